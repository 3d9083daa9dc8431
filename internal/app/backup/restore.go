package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway/internal/disk"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/backup"
	"github.com/slipway-ml/slipway/internal/bucket"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Restore says what is brought back, and where.
type Restore struct {
	Config     config.Config // Home, and PostgreSQL or not
	Target     string
	ID         string // empty: the newest
	Key        []byte // the file of the recovery key
	Passphrase string // of it
	// RootPassphrase opens the root key of the key service, if the backup has it; empty: that
	// is not restored.
	RootPassphrase string
	Getenv         func(string) string
	Now            func() time.Time
	Progress       func(done, total int64)
}

// SealRootKey seals the root key of the key service for a backup.
func SealRootKey(plain []byte, passphrase string) (string, error) {
	b, err := backup.SealPassphrase(plain, passphrase)
	return string(b), err
}

// NewKey makes a recovery key, the half of it that seals, and the name of both.
func NewKey(passphrase string) (recovery, seal []byte, id string, err error) {
	r, err := backup.NewRecovery()
	if err != nil {
		return nil, nil, "", err
	}
	recovery, err = r.Text(passphrase)
	return recovery, r.Seal.Text(), r.ID(), err
}

// Restored is what a restore, or the reading of a backup, found.
type Restored struct {
	ID      string
	Created time.Time
	Build   string
	Target  string
	Home    string
	Files   int
	Parts   int
	Bytes   int64
	Events  int64
	Blobs   int // that were read again in the end
	Missing int
	Bad     []string // parts that are not as they were written
	RootKey bool     // the backup has one
	TookMS  int64
}

// open opens the place, the key and the backup.
func (r Restore) open(ctx context.Context) (bucket.Store, *backup.Recovery, backup.Index, backup.Contents, error) {
	key, err := backup.ParseRecovery(r.Key, r.Passphrase)
	if err != nil {
		return nil, nil, backup.Index{}, backup.Contents{}, err
	}
	t, err := bucket.Open(ctx, r.Target, bucket.Options{Getenv: r.Getenv, Now: r.Now, Existing: true})
	if err != nil {
		return nil, nil, backup.Index{}, backup.Contents{}, err
	}
	x, c, err := backup.Open(ctx, t, key, r.ID)
	return t, key, x, c, err
}

func (r Restore) about(t bucket.Store, x backup.Index, c backup.Contents) Restored {
	root := slices.ContainsFunc(c.Files, func(e backup.Entry) bool { return e.Path == backup.RootKeyPath })
	return Restored{RootKey: root, ID: x.ID, Created: x.Created, Build: x.Build, Target: t.String(), Files: len(c.Files), Parts: len(x.Parts), Bytes: x.Bytes, Events: c.Seq, Missing: len(c.Missing)}
}

// reporting tells progress from time to time until stop is called.
func (r Restore) reporting(p *backup.Progress) (stop func()) {
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-over:
				return
			case <-time.After(200 * time.Millisecond):
				r.Progress(p.Done.Load(), p.Total.Load())
			}
		}
	}()
	return func() { close(over); <-ended }
}

// Verify reads all of a backup, and restores nothing. It answers CodeBackupDamaged, and gives
// the parts, for one that is not as it was written.
func Verify(ctx context.Context, r Restore) (Restored, error) {
	began := r.Now()
	t, key, x, c, err := r.open(ctx)
	if err != nil {
		return Restored{}, err
	}
	out := r.about(t, x, c)
	p := &backup.Progress{}
	stop := r.reporting(p)
	bad, err := backup.Verify(ctx, t, key, x, c, p)
	stop()
	out.TookMS = r.Now().Sub(began).Milliseconds()
	if err != nil {
		return out, err
	}
	for _, e := range bad {
		out.Bad = append(out.Bad, slipway.AsError(e).What())
	}
	if len(bad) > 0 {
		e := *slipway.AsError(bad[0])
		e.Next = "use another backup; the next one is whole again with: platform backup create --full"
		if len(bad) > 1 {
			e.Message += ", and " + strconv.Itoa(len(bad)-1) + " more parts"
		}
		return out, &e
	}
	return out, nil
}

// marker is what the file RESTORING holds.
type marker struct {
	Backup string `json:"backup"`
	Target string `json:"target"`
}

// Run brings a backup back into an empty home and an empty database. Until it has ended well
// the home is marked, so that no server starts on it; when it is run again after it was broken off it
// goes on.
func Run(ctx context.Context, r Restore) (Restored, error) {
	began := r.Now()
	t, key, x, c, err := r.open(ctx)
	if err != nil {
		return Restored{}, err
	}
	out := r.about(t, x, c)
	out.Home = r.Config.Home
	lock, err := r.begin(marker{x.ID, t.String()})
	if err != nil {
		return out, err
	}
	defer lock.Close()
	p := &backup.Progress{}
	stop := r.reporting(p)
	err = r.fill(ctx, t, key, x, c, p)
	stop()
	if err != nil {
		return out, err
	}
	if out.Blobs, err = r.check(ctx, c); err != nil {
		return out, err
	}
	if err := r.end(ctx, key, x, t.String()); err != nil {
		return out, err
	}
	out.TookMS = r.Now().Sub(began).Milliseconds()
	return out, nil
}

// begin marks the home. It answers CodeNotEmpty for one that holds something else than what
// a restore of the same backup has left. The file that it gives is locked.
func (r Restore) begin(m marker) (*os.File, error) {
	c := r.Config
	if err := os.MkdirAll(c.Home, 0o700); err != nil {
		return nil, ioError("make the home directory", err)
	}
	entries, err := os.ReadDir(c.Home)
	if err != nil {
		return nil, ioError("read the home directory", err)
	}
	var left marker
	b, err := os.ReadFile(c.Restoring())
	ours := err == nil
	_ = json.Unmarshal(b, &left) // one that was cut off was the first thing that was written
	for _, e := range entries {
		if !ours && e.Name() != "lost+found" && !strings.HasPrefix(e.Name(), filepath.Base(c.Restoring())) {
			return nil, slipway.Errorf(slipway.Conflict, slipway.CodeNotEmpty, "name an empty or a new directory: --home DIRECTORY", "%s holds something already: %.60q", c.Home, e.Name())
		}
	}
	f, err := os.OpenFile(c.Restoring(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, ioError("mark the home directory", err)
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		f.Close()
		return nil, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "wait for it", "another restore into %s is under way", c.Home)
	}
	if ours && left != m && left != (marker{}) { // another backup: nothing of it may stay
		for _, e := range entries {
			if e.Name() != filepath.Base(c.Restoring()) && e.Name() != "lost+found" {
				err = errors.Join(err, removeAll(filepath.Join(c.Home, e.Name())))
			}
		}
	}
	if b, e := json.Marshal(m); e == nil {
		_, e = f.WriteAt(b, 0)
		err = errors.Join(err, e, f.Truncate(int64(len(b))), f.Sync(), disk.Sync(c.Home))
	}
	if err != nil {
		f.Close()
		return nil, ioError("mark the home directory", err)
	}
	return f, nil
}

func removeAll(path string) error {
	_ = filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path)
}

// fill writes all files and the database.
func (r Restore) fill(ctx context.Context, t bucket.Store, key *backup.Recovery, x backup.Index, c backup.Contents, p *backup.Progress) error {
	home, err := os.OpenRoot(r.Config.Home)
	if err != nil {
		return ioError("open the home directory", err)
	}
	defer home.Close()
	for _, f := range c.Files {
		if state, _ := config.Belongs(f.Path); !state && f.Path != backup.DatabasePath && f.Path != backup.RootKeyPath {
			return slipway.Errorf(slipway.Conflict, slipway.CodeBackupDamaged, "restore it with the platform that made it: "+x.Build, "%.100q has no place in a home", f.Path)
		}
	}
	if err := home.MkdirAll("backup", 0o700); err != nil {
		return ioError("write the home directory", err)
	}
	dump, err := nameless(filepath.Join(r.Config.Home, "backup"))
	if err != nil {
		return ioError("write the home directory", err)
	}
	defer dump.Close()
	root := &bytes.Buffer{}
	have := func(e backup.Entry) bool { return !strings.HasPrefix(e.Path, "//") && same(home, e) }
	create := func(e backup.Entry) (backup.Sink, error) {
		switch e.Path {
		case backup.DatabasePath:
			return held{dump}, nil
		case backup.RootKeyPath:
			return held{root}, nil
		default:
			return newSink(home, e)
		}
	}
	if err := backup.Fetch(ctx, t, key, x, c, p, have, create); err != nil {
		return err
	}
	if err := r.rootKey(home, root.Bytes()); err != nil {
		return err
	}
	if err := home.WriteFile("backup/seal.key", key.Seal.Text(), 0o600); err != nil {
		return ioError("write the home directory", err)
	}
	if _, err := dump.Seek(0, io.SeekStart); err != nil {
		return ioError("read the dump of the database", err)
	}
	if r.Config.PostgreSQL == "" { // what a restore before has left, may be half
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(r.Config.Database() + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return ioError("write the database", err)
			}
		}
	}
	_, err = sqlstore.Load(ctx, r.database(), dump, sqlstore.Loading{Home: r.Config.Home, Mark: x.ID + " into " + r.Config.Home, Edit: moved(c.Home, r.Config.Home)})
	return err
}

// rootKey brings back the root key of the key service, if the backup has it and somebody
// knows its passphrase.
func (r Restore) rootKey(home *os.Root, sealed []byte) error {
	if len(sealed) == 0 || r.RootPassphrase == "" {
		return nil
	}
	plain, err := backup.OpenPassphrase(sealed, r.RootPassphrase)
	if err != nil {
		return err
	}
	return ioError("write the home directory", home.WriteFile("root.key", plain, 0o600))
}

func (r Restore) database() sqlstore.Options {
	return sqlstore.Options{Path: r.Config.Database(), URL: r.Config.PostgreSQL, Plain: r.Config.PostgreSQLUnverified, Now: r.Now, Log: slog.New(slog.DiscardHandler)}
}

// moved gives documents the new place of the home: revisions name directories in it.
func moved(from, to string) func(string) string {
	quote := func(dir string) string {
		b, _ := json.Marshal(dir + "/") // a string
		return strings.TrimSuffix(string(b), `"`)
	}
	return strings.NewReplacer(quote(from), quote(to)).Replace
}

// same says whether a file is there already, whole.
func same(home *os.Root, e backup.Entry) bool {
	f, err := home.Open(filepath.FromSlash(e.Path))
	if err != nil {
		return false
	}
	defer f.Close()
	d, n, err := slipway.DigestReader(f)
	return err == nil && n == e.Size && d == e.Digest
}

// held takes what is no file of the home.
type held struct{ io.Writer }

func (held) Keep() error { return nil }
func (held) Abandon()    {}

// sink writes a file that appears whole.
type sink struct {
	*os.File

	home        *os.Root
	young, name string
	mode        fs.FileMode
}

var making sync.Mutex // of directories, which several files may have in common

func newSink(home *os.Root, e backup.Entry) (*sink, error) {
	name := filepath.FromSlash(e.Path)
	making.Lock()
	err := home.MkdirAll(filepath.Dir(name), 0o700)
	making.Unlock()
	if err != nil {
		return nil, ioError("write the home directory", err)
	}
	young := filepath.Join(filepath.Dir(name), ".restore-"+filepath.Base(name))
	f, err := home.OpenFile(young, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, ioError("write the home directory", err)
	}
	return &sink{f, home, young, name, fs.FileMode(e.Mode) & 0o700}, nil
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.File.Write(p)
	return n, ioError("write the home directory", err)
}

func (s *sink) Keep() error {
	err := errors.Join(s.File.Chmod(s.mode), s.File.Close())
	if err == nil {
		err = s.home.Rename(s.young, s.name)
	}
	return ioError("write the home directory", err)
}

func (s *sink) Abandon() { _ = errors.Join(s.File.Close(), s.home.Remove(s.young)) }

// end makes all durable, records the restore, and takes the mark away: from then on a server
// may start.
func (r Restore) end(ctx context.Context, key *backup.Recovery, x backup.Index, target string) error {
	dir, err := os.Open(r.Config.Home)
	if err == nil {
		err = errors.Join(unix.Syncfs(int(dir.Fd())), dir.Close())
	}
	if err != nil {
		return ioError("make the restore durable", err)
	}
	db, err := sqlstore.Open(ctx, r.database())
	if err != nil {
		return err
	}
	now := r.Now()
	err = db.Write(ctx, []slipway.Event{{ID: slipway.NewID("evt", now), Time: now, Actor: system, Action: "backup.restored", Subject: x.ID,
		Detail: map[string]string{"target": target, "home": r.Config.Home, "key": key.ID(), "made": x.Created.Format(time.RFC3339), "by": x.Build}}},
		func(*sqlstore.Tx) error { return nil })
	if err == nil {
		err = db.Finish(ctx)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	return ioError("end the restore", errors.Join(os.Remove(r.Config.Restoring()), disk.Sync(r.Config.Home)))
}

// Refuse answers CodeRestoring for a home into which a restore has not finished.
func Refuse(c config.Config) error {
	b, err := os.ReadFile(c.Restoring())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var m marker
	_ = json.Unmarshal(bytes.TrimSpace(b), &m)
	return slipway.Errorf(slipway.Conflict, slipway.CodeRestoring, "finish it: platform backup restore "+m.Target+" --key FILE --home "+c.Home,
		"a restore into %s has not finished", c.Home)
}

// sorted are digests, each once.
func sorted(ds []slipway.Digest) []slipway.Digest {
	slices.Sort(ds)
	return slices.Compact(ds)
}
