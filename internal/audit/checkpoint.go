package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	flog "github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/slipway-ml/slipway"
)

// maxCheckpoint bounds a checkpoint's text, in bytes.
const maxCheckpoint = 16 << 10

// Checkpoint is what a log has promised: so many events, with this root (C2SP
// tlog-checkpoint). Text is the signed note.
type Checkpoint struct {
	Size uint64
	Root []byte
	Text []byte
}

// Same says whether two checkpoints are of one tree.
func (c Checkpoint) Same(d Checkpoint) bool { return c.Size == d.Size && bytes.Equal(c.Root, d.Root) }

// Key signs checkpoints and bundles. Its name is the log's: logs with another key are
// other logs.
type Key struct {
	secret string
	signer note.Signer
	public string
}

// Public is the verifier's key, NAME+HASH+KEY as golang.org/x/mod/sumdb/note writes it.
func (k *Key) Public() string { return k.public }

// Name is the name of the log.
func (k *Key) Name() string { return k.signer.Name() }

// Signer is what signs in this key's name.
func (k *Key) Signer() note.Signer { return k.signer }

// Witness is the same key as that of a witness, whose signature says when it has seen a
// checkpoint (C2SP tlog-cosignature).
func (k *Key) Witness() (note.Signer, string, error) {
	s, err := fnote.NewSignerForCosignatureV1(k.secret)
	if err != nil {
		return nil, "", err
	}
	public, err := fnote.VKeyToCosignatureV1(k.public)
	return s, public, err
}

// LoadKey reads a key file, or makes it with mode 0600. A file that others may read is
// refused.
func LoadKey(path string) (*Key, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if b, err = makeKey(path); err == nil {
			return parseKey(path, string(b))
		}
	}
	if err != nil {
		return nil, keyError(path, err, "let the platform's user read it, and write its directory")
	}
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, keyError(path, nil, "chmod 600 "+path+"; and make a new one if others may have read it")
	}
	if err != nil {
		return nil, keyError(path, err, "check the path")
	}
	return parseKey(path, string(b))
}

func keyError(path string, cause error, next string) error {
	return &slipway.Error{Code: slipway.CodeAuditKey, Kind: slipway.Internal, Message: "the key of the audit log cannot be used: " + path, Next: next, Cause: cause}
}

// makeKey writes a new key whole or not at all, and never over another.
func makeKey(path string) ([]byte, error) {
	var id [4]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	secret, _, err := note.GenerateKey(rand.Reader, "slipway-"+hex.EncodeToString(id[:]))
	if err != nil {
		return nil, err
	}
	b := []byte(secret + "\n")
	f, err := os.CreateTemp(filepath.Dir(path), ".audit-key-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Link(f.Name(), path)
	}
	return b, err
}

func parseKey(path, text string) (*Key, error) {
	k := &Key{secret: strings.TrimSpace(text)}
	var err error
	if k.signer, err = note.NewSigner(k.secret); err == nil {
		k.public, err = publicOf(k.signer.Name(), k.secret)
	}
	if err != nil {
		return nil, keyError(path, nil, "give a file that the platform has made, or none: it makes one") // the cause may have the secret
	}
	return k, nil
}

// publicOf is the verifier's key of PRIVATE+KEY+NAME+HASH+KEY, in which KEY is an
// algorithm's byte and an Ed25519 seed.
func publicOf(name, secret string) (string, error) {
	parts := strings.SplitN(secret, "+", 5)
	seed, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return "", errors.New("no Ed25519 key")
	}
	key, _ := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	return note.NewEd25519VerifierKey(name, key)
}

// Sign makes the checkpoint of a tree.
func (k *Key) Sign(size uint64, root []byte) (Checkpoint, error) {
	body := flog.Checkpoint{Origin: k.Name(), Size: size, Hash: root}.Marshal()
	text, err := note.Sign(&note.Note{Text: string(body)}, k.signer)
	return Checkpoint{size, root, text}, err
}

// Seal signs any other text: the names of what is signed are in its first line.
func (k *Key) Seal(text string) ([]byte, error) { return note.Sign(&note.Note{Text: text}, k.signer) }

// Public is a log as those know it who cannot sign in its name.
type Public struct {
	Key      string
	verifier note.Verifier
}

// ParsePublic reads what Key.Public gives.
func ParsePublic(key string) (Public, error) {
	v, err := note.NewVerifier(strings.TrimSpace(key))
	if err != nil {
		return Public{}, &slipway.Error{Code: slipway.CodeAuditKey, Kind: slipway.Invalid, Message: "this is no public key of an audit log", Next: "give the line that platform audit status shows"}
	}
	return Public{strings.TrimSpace(key), v}, nil
}

// Name is the name of the log.
func (p Public) Name() string { return p.verifier.Name() }

// Checkpoint reads a checkpoint and verifies who signed it.
func (p Public) Checkpoint(text []byte) (Checkpoint, error) {
	if len(text) > maxCheckpoint {
		return Checkpoint{}, errors.New("the checkpoint is too large")
	}
	if err := strict(text); err != nil {
		return Checkpoint{}, err
	}
	c, rest, _, err := flog.ParseCheckpoint(text, p.Name(), p.verifier)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("the checkpoint is not signed by %s: %w", p.Name(), err)
	}
	if len(rest) > 0 {
		return Checkpoint{}, errors.New("the checkpoint says more than a size and a root")
	}
	return Checkpoint{c.Size, c.Hash, text}, nil
}

// Open verifies what Seal has signed, and gives the text.
func (p Public) Open(signed []byte) (string, error) {
	if err := strict(signed); err != nil {
		return "", err
	}
	n, err := note.Open(signed, note.VerifierList(p.verifier))
	if err != nil {
		return "", err
	}
	return n.Text, nil
}

// strict refuses a note whose signatures are written in another way than signers write
// them: base64 has bits that nobody reads.
func strict(text []byte) error {
	_, signatures, _ := bytes.Cut(text, []byte("\n\n"))
	for line := range strings.SplitSeq(strings.TrimSuffix(string(signatures), "\n"), "\n") {
		fields := strings.Split(line, " ")
		if len(fields) != 3 {
			return errors.New("a line of the signatures is none")
		}
		if _, err := base64.StdEncoding.Strict().DecodeString(fields[2]); err != nil {
			return fmt.Errorf("a signature is badly written: %w", err)
		}
	}
	return nil
}

// Cosigned says when a witness has signed a checkpoint that it found consistent.
func Cosigned(text []byte, witness string) (time.Time, error) {
	v, err := fnote.NewVerifierForCosignatureV1(witness)
	if err != nil {
		return time.Time{}, fmt.Errorf("this is no public key of a witness: %w", err)
	}
	n, err := note.Open(text, note.VerifierList(v))
	if err != nil {
		return time.Time{}, err
	}
	return fnote.CoSigV1Timestamp(n.Sigs[0])
}
