package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/backup"
	"github.com/slipway-ml/slipway/internal/bucket"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Options are the parts of an installation that backups need.
type Options struct {
	Config   config.Config
	Build    string
	Getenv   func(string) string
	Database *sqlstore.DB
	// Named lists the digests of all blobs that something in the record names.
	Named func(ctx context.Context) ([]slipway.Digest, error)
	Blobs interface {
		Missing(ctx context.Context, digests []slipway.Digest) ([]slipway.Digest, error)
	}
	Record func(ctx context.Context, ev ...slipway.Event) error
	// Allow answers Denied, and records that, unless the principal may do the action.
	Allow func(ctx context.Context, p slipway.Principal, a authz.Action) error
	// Hold keeps the audit log from growing until release is called. It is never in front of
	// the log again by the time the database is read: what the log has, the database has.
	Hold func(ctx context.Context) (release func(), err error)
	Now  func() time.Time
	Log  *slog.Logger
}

// Service makes backups: one at a time.
type Service struct {
	o    Options
	life context.Context
	wg   sync.WaitGroup
	busy sync.Mutex // held while a backup is made, and while anything is removed from the home

	mu   sync.Mutex
	run  *running
	last api.BackupRun // that has ended
}

// running is a backup under way.
type running struct {
	began    time.Time
	target   string
	by       string
	progress *backup.Progress
}

// New makes a Service; life ends what is under way.
func New(life context.Context, o Options) *Service { return &Service{o: o, life: life} }

// Wait waits for what is under way, after life has ended.
func (s *Service) Wait() { s.wg.Wait() }

// Alone keeps backups from being made until release is called; ok is false while one is.
func (s *Service) Alone() (release func(), ok bool) { return s.busy.Unlock, s.busy.TryLock() }

// Create begins a backup, and tells its progress with List. The place is the configured
// one; only an owner names another.
func (s *Service) Create(ctx context.Context, p slipway.Principal, r api.CreateBackup) (api.BackupRun, error) {
	if err := s.o.Allow(ctx, p, authz.BackupCreate); err != nil {
		return api.BackupRun{}, err
	}
	if r.RootKey != "" && !backup.SealedByPassphrase([]byte(r.RootKey)) {
		return api.BackupRun{}, slipway.Errorf(slipway.Invalid, slipway.CodeBackupKey, "platform backup create --include-key FILE --passphrase-file FILE", "the root key is not sealed by a passphrase")
	}
	seal, t, keep, err := s.place(ctx, p, r.Target)
	if err != nil {
		return api.BackupRun{}, err
	}
	if !s.busy.TryLock() {
		return api.BackupRun{}, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform backup list", "a backup is being made already, or something is being removed")
	}
	s.wg.Go(func() {
		defer s.busy.Unlock()
		_ = s.make(s.life, t, seal, p.ID, r, keep) // Running tells it
	})
	return api.BackupRun{State: "running", Target: t.String(), By: p.ID, Started: s.o.Now()}, nil
}

// place opens the configured place, of which only some backups are kept, or another.
func (s *Service) place(ctx context.Context, p slipway.Principal, to string) (*backup.Seal, bucket.Store, int, error) {
	b := s.o.Config.Backup
	keep := 0
	if to == "" || to == b.To {
		to, keep = b.To, b.Keep
	} else if err := s.o.Allow(ctx, p, authz.BackupElsewhere); err != nil {
		return nil, nil, 0, err
	}
	if to == "" {
		return nil, nil, 0, slipway.Errorf(slipway.Invalid, slipway.CodeBackupTarget, "name one: platform backup create DIRECTORY; or start with: platform up --backup-to DIRECTORY", "it is not said where backups go")
	}
	seal, t, err := s.open(ctx, to)
	return seal, t, keep, err
}

// open opens a place and the key.
func (s *Service) open(ctx context.Context, to string) (*backup.Seal, bucket.Store, error) {
	b, err := os.ReadFile(s.o.Config.BackupSeal())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, slipway.Errorf(slipway.Invalid, slipway.CodeBackupKey, "platform backup key FILE, and keep the file elsewhere", "there is no key to seal backups for")
	}
	if err != nil {
		return nil, nil, ioError("read the key of backups", err)
	}
	seal, err := backup.ParseSeal(b)
	if err != nil {
		return nil, nil, err
	}
	if path, err := filepath.Abs(to); err == nil && !strings.Contains(to, "://") && within(s.o.Config.Home, path) {
		return nil, nil, slipway.Errorf(slipway.Invalid, slipway.CodeBackupTarget, "name a place on another disk, or another machine", "a backup in the home directory would be lost with it")
	}
	t, err := bucket.Open(ctx, to, bucket.Options{Getenv: s.o.Getenv, Now: s.o.Now})
	return seal, t, err
}

// within says whether a path lies in a directory, whatever links lead there.
func within(dir, path string) bool {
	for _, resolve := range []func(string) (string, error){func(p string) (string, error) { return p, nil }, filepath.EvalSymlinks} {
		d, err := resolve(dir)
		p, err2 := resolve(path)
		if err == nil && err2 == nil && (p == d || strings.HasPrefix(p, d+string(filepath.Separator))) {
			return true
		}
	}
	return false
}

// limit is the longest that a backup may take: a disk or a service may hang.
const limit = 12 * time.Hour

// make makes a backup and removes those that are too many. The caller has busy.
func (s *Service) make(ctx context.Context, t bucket.Store, seal *backup.Seal, by string, asked api.CreateBackup, keep int) error {
	r := &running{began: s.o.Now(), target: t.String(), by: by, progress: &backup.Progress{}}
	s.mu.Lock()
	s.run = r
	s.mu.Unlock()
	copying, cancel := context.WithTimeout(ctx, limit)
	x, missing, err := s.copy(copying, t, seal, r, asked)
	cancel()
	var removed []string
	if err == nil && keep > 0 {
		if removed, err = backup.Prune(ctx, t, seal, keep); err != nil { // the backup is there
			s.o.Log.Warn("old backups were not removed", "target", t.String(), "error", err.Error())
			err = nil
		}
	}
	now := s.o.Now()
	ended := api.BackupRun{ID: x.ID, State: "done", Target: t.String(), By: by, Started: r.began, Ended: now, Bytes: x.Bytes, Copied: r.progress.Copied.Load(), Missing: len(missing), Removed: removed}
	ev := slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: by, Action: "backup.created", Subject: x.ID, Detail: map[string]string{
		"target": t.String(), "key": seal.ID(), "bytes": strconv.FormatInt(x.Bytes, 10), "copied": strconv.FormatInt(ended.Copied, 10), "removed": strings.Join(removed, " "), "missing": strconv.Itoa(len(missing)), "root_key": strconv.FormatBool(asked.RootKey != "")}}
	if err != nil {
		e := slipway.AsError(err)
		ended.State, ended.Code, ended.Message, ended.Next = "failed", e.Code, e.What(), e.Next
		ev.Action, ev.Detail = "backup.failed", map[string]string{"target": t.String(), "code": e.Code, "message": e.What()}
		s.o.Log.Error("no backup was made", "target", t.String(), "error", err.Error(), "cause", fmt.Sprint(e.Cause))
	}
	if e := s.o.Record(context.WithoutCancel(ctx), ev); e != nil {
		s.o.Log.Error("a backup was not recorded", "backup", x.ID, "error", e.Error())
	}
	s.mu.Lock()
	s.run, s.last = nil, ended
	s.mu.Unlock()
	return err
}

// copy is the backup itself. The order is what makes it consistent: the audit log as it was
// before the database, so that it has no event that the database lacks; the database, of one
// moment; then files that never change, so that all that the database names is there.
func (s *Service) copy(ctx context.Context, t bucket.Store, seal *backup.Seal, r *running, asked api.CreateBackup) (backup.Index, []slipway.Digest, error) {
	c := s.o.Config
	if err := errors.Join(os.RemoveAll(c.BackupDrafts()), os.MkdirAll(c.BackupDrafts(), 0o700)); err != nil {
		return backup.Index{}, nil, ioError("prepare a backup", err)
	}
	defer os.RemoveAll(c.BackupDrafts())
	release, err := s.o.Hold(ctx)
	if err != nil {
		return backup.Index{}, nil, err
	}
	known := openDigests(c.BackupDigests())
	before, err := collect(ctx, c, known, true)
	release()
	if err != nil {
		return backup.Index{}, nil, err
	}
	dump, err := nameless(c.BackupDrafts())
	if err != nil {
		return backup.Index{}, nil, ioError("prepare a backup", err)
	}
	defer dump.Close()
	of, err := s.o.Database.Dump(ctx, dump)
	if err != nil {
		return backup.Index{}, nil, ioError("copy the database", err)
	}
	size, err := dump.Seek(0, io.SeekCurrent)
	if err != nil {
		return backup.Index{}, nil, ioError("copy the database", err)
	}
	named, err := s.o.Named(ctx)
	if err != nil {
		return backup.Index{}, nil, err
	}
	missing, err := s.o.Blobs.Missing(ctx, named)
	if err != nil {
		return backup.Index{}, nil, err
	}
	after, err := collect(ctx, c, known, false)
	if err != nil {
		return backup.Index{}, missing, err
	}
	files := append([]backup.File{{Entry: backup.Entry{Path: backup.DatabasePath, Size: size, Mode: 0o600},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(dump, 0, size)), nil }}}, before...)
	files = append(files, after...)
	if asked.RootKey != "" {
		files = append(files, backup.File{Entry: backup.Entry{Path: backup.RootKeyPath, Size: int64(len(asked.RootKey)), Mode: 0o600},
			Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(asked.RootKey)), nil }})
	}
	contents := backup.Contents{Home: c.Home, Database: "sqlite", Schema: of.Schema, Seq: of.Seq, Missing: missing, Blobs: bucketOf(c)}
	if c.PostgreSQL != "" {
		contents.Database = "postgresql"
	}
	x, err := backup.Create(ctx, backup.Job{Target: t, Seal: seal, Build: s.o.Build, Created: r.began, Contents: contents, Files: files, Full: asked.Full, Progress: r.progress})
	if err == nil {
		if e := known.keep(files); e != nil {
			s.o.Log.Warn("digests were not remembered for the next backup", "error", e.Error())
		}
	}
	return x, missing, err
}
