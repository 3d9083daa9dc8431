package backup

import (
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/slipway-ml/slipway"
)

// Format is the layout of a target that this program writes, and the only one it reads.
const Format = 1

// Index is what the server itself can read of a backup.
type Index struct {
	ID      string    `json:"id"`
	Key     string    `json:"key"` // ID of the key that it is sealed for
	Created time.Time `json:"created"`
	Build   string    `json:"build"` // version of the program
	Bytes   int64     `json:"bytes"` // of all files, before sealing
	Parts   []Part    `json:"parts"`
}

// Part is one object of a target: a keyed name and its length, sealed.
type Part struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// Contents are what only the recovery key reads of a backup.
type Contents struct {
	ID       string           `json:"id"`
	Home     string           `json:"home"`              // where the installation was
	Database string           `json:"database"`          // sqlite or postgresql
	Schema   int64            `json:"schema"`            // of the database
	Seq      int64            `json:"seq"`               // of the last event in it
	Missing  []slipway.Digest `json:"missing,omitempty"` // blobs that versions name and the home had not any more
	Blobs    string           `json:"blobs,omitempty"`   // the bucket of the blobs that are not among the files, if they have one
	Files    []Entry          `json:"files"`
}

// Entry is one file of a home. Some are no file there, such as the dump of the database.
type Entry struct {
	Path   string         `json:"path"` // relative to the home, with slashes
	Size   int64          `json:"size"`
	Mode   uint32         `json:"mode"`
	Digest slipway.Digest `json:"digest"` // of the file as it was on disk
}

// Entries that are no files of a home.
const (
	DatabasePath = "//database" // the dump
	RootKeyPath  = "//rootkey"  // the root key of the key service, sealed by a passphrase
)

const (
	magic       = "slipway-backup 1"
	maxManifest = 256 << 20
	maxPart     = 64 << 30
	backupDir   = "backups/"
	partDir     = "parts/"
	suffix      = ".backup"
)

var (
	idForm   = regexp.MustCompile(`^bak_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	nameForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func objectOf(id string) string   { return backupDir + id + suffix }
func partPath(name string) string { return partDir + name[:2] + "/" + name }

// damaged is the error of a backup that is not what was written.
func damaged(what, format string, args ...any) error {
	e := slipway.Errorf(slipway.Conflict, slipway.CodeBackupDamaged, "use another one: platform backup list", format, args...)
	e.Field = what
	return e
}

// encode writes a backup's file.
func (s *Seal) encode(x Index, c Contents) ([]byte, error) {
	head, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	plain, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	var tail bytes.Buffer
	w, err := age.Encrypt(&tail, s.recipient)
	if err != nil {
		return nil, err
	}
	if _, err = w.Write(plain); err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, err
	}
	first := append([]byte(magic+"\n"), append(head, '\n')...)
	sum := keyed(s.macs, first, tail.Bytes())
	out := append(first, hex.EncodeToString(sum)+"\n"...)
	return append(out, tail.Bytes()...), nil
}

// decode reads a backup's file as far as the seal can, and gives what is sealed. It answers
// CodeBackupKey for one that was sealed for another key, and CodeBackupDamaged for one that
// is not as it was written.
func (s *Seal) decode(id string, b []byte) (Index, []byte, error) {
	var x Index
	what := objectOf(id)
	rest, ok := bytes.CutPrefix(b, []byte(magic+"\n"))
	if !ok {
		return x, nil, damaged(what, "it is no backup of format %d", Format)
	}
	head, rest, ok := bytes.Cut(rest, []byte("\n"))
	if !ok || json.Unmarshal(head, &x) != nil {
		return x, nil, damaged(what, "its index cannot be read")
	}
	if x.Key != s.ID() {
		return x, nil, slipway.Errorf(slipway.Invalid, slipway.CodeBackupKey, "give the key that it was sealed for, and that it names", "%s was sealed for the key %.20q, not for %s", id, x.Key, s.ID())
	}
	mac, tail, ok := bytes.Cut(rest, []byte("\n"))
	sum, err := hex.DecodeString(string(mac))
	if !ok || err != nil || !hmac.Equal(sum, keyed(s.macs, b[:len(magic)+1+len(head)+1], tail)) {
		return x, nil, damaged(what, "it was changed since it was written")
	}
	return x, tail, x.check(id)
}

// check holds what is authentic to what can be: another program may have written it.
func (x *Index) check(id string) error {
	if x.ID != id {
		return damaged(objectOf(id), "it is the backup %.60q under another name", x.ID)
	}
	for _, p := range x.Parts {
		if !nameForm.MatchString(p.Name) || p.Size < 0 || p.Size > maxPart {
			return damaged(objectOf(id), "it names an impossible part %.80q", p.Name)
		}
	}
	return nil
}

// contents opens what only the recovery key reads.
func (r *Recovery) contents(x Index, tail []byte) (Contents, error) {
	var c Contents
	what := objectOf(x.ID)
	in, err := age.Decrypt(bytes.NewReader(tail), r.identity)
	if err != nil {
		return c, damaged(what, "its contents do not open")
	}
	b, err := io.ReadAll(io.LimitReader(in, maxManifest))
	if err != nil || json.Unmarshal(b, &c) != nil || c.ID != x.ID {
		return c, damaged(what, "its contents cannot be read")
	}
	if len(c.Files) == 0 || c.Files[0].Path != DatabasePath {
		return c, damaged(what, "it has no database")
	}
	seen := map[string]bool{}
	for _, f := range c.Files {
		if _, err := slipway.ParseDigest(string(f.Digest)); err != nil || f.Size < 0 || !pathIsFit(f.Path) || seen[f.Path] {
			return c, damaged(what, "it names an impossible file %.200q", f.Path)
		}
		seen[f.Path] = true
	}
	return c, nil
}

// pathIsFit says whether a path lies in a home, or is of what is no file.
func pathIsFit(p string) bool {
	if p == DatabasePath || p == RootKeyPath {
		return true
	}
	return filepath.IsLocal(p) && filepath.ToSlash(filepath.Clean(p)) == p && !strings.ContainsRune(p, 0)
}
