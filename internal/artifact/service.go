package artifact

import (
	"cmp"
	"context"
	"io"
	"mime"
	"path"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
)

// Config is what a Service is made of.
type Config struct {
	Store   Store
	Roots   Roots
	Ledger  Ledger
	Uploads Uploads
	Blobs   Blobs
	// Adopt gives blobs to a team, before anything says that they are there.
	Adopt func(ctx context.Context, team string, digests ...slipway.Digest)
	// Named says which digests something names beside artifacts: versions, deployments.
	Named func(ctx context.Context, digests []slipway.Digest) (map[slipway.Digest]bool, error)
	// Alone keeps backups, which copy what the record names, from running until release is
	// called; ok is false while one runs.
	Alone func() (release func(), ok bool)
	Now   func() time.Time
}

// Service keeps artifacts. Who may do what, its caller knows. Safe for concurrent use.
type Service struct {
	Config
	completing running
}

// New makes a Service.
func New(c Config) *Service {
	return &Service{Config: c, completing: running{calls: map[string]*call{}}}
}

// Content is what is put at a path.
type Content struct {
	Path string // as ParsePath gives it
	Type string // as it was sent; empty: by the name
	Team string
	Size int64 // bytes; -1: unknown
	Body io.Reader
}

// Put stores a file. When it answers nil the file is there, whatever happens then; else what
// was there before is. Other bytes in the place of old ones are an event.
func (s *Service) Put(ctx context.Context, by slipway.Principal, c Content) (File, error) {
	digest, size, err := s.Blobs.Receive(ctx, c.Size, c.Body)
	if err != nil {
		return File{}, err
	}
	s.Adopt(ctx, c.Team, digest)
	f := File{Path: c.Path, Digest: digest, Size: size, Type: TypeOf(c.Type, c.Path), Team: c.Team, By: by.ID, Created: s.Now().UTC().Truncate(time.Microsecond)}
	return f, s.Store.Put(ctx, f, s.replaced(f))
}

// maxType bounds a content type, in bytes.
const maxType = 200

// byEnding are the types of files of which nobody has said one. What people read is plain text
// to MLflow (mlflow/utils/mime_type_utils.py), so that pages show it.
var byEnding = map[string]string{".html": "text/html", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".svg": "image/svg+xml",
	".pdf": "application/pdf", ".zip": "application/zip"}

const readable = " txt log err cfg conf cnf cf ini properties prop hocon toml yaml yml xml json js py py3 csv tsv md rst mlmodel mlproject "

// TypeOf is the content type of a file: what was sent, if that is one, else by the name.
func TypeOf(sent, p string) string {
	if _, _, err := mime.ParseMediaType(sent); err == nil && len(sent) <= maxType {
		return sent
	}
	ending := path.Ext(p)
	if word := cmp.Or(strings.TrimPrefix(ending, "."), path.Base(p)); strings.Contains(readable, " "+strings.ToLower(word)+" ") {
		return "text/plain"
	}
	return cmp.Or(byEnding[ending], "application/octet-stream")
}

func (s *Service) replaced(f File) func(File) slipway.Event {
	return func(old File) slipway.Event {
		return s.event(f.By, "artifact.replaced", f.Path, map[string]string{"from": string(old.Digest), "to": string(f.Digest), "path": string(slipway.DigestOf([]byte(f.Path)))})
	}
}

// event is one about what lies at a path. It names the run or model; what people call their
// files may say more than a record that stays should, and is there as a digest.
func (s *Service) event(actor, action, p string, detail map[string]string) slipway.Event {
	now := s.Now()
	return slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: actor, Action: action, Subject: place(p), Detail: detail}
}

// Open gives a file and its bytes.
func (s *Service) Open(ctx context.Context, p string) (File, Bytes, error) {
	f, err := s.Store.File(ctx, p)
	if err != nil {
		return f, nil, err
	}
	b, err := s.Blobs.Open(ctx, f.Digest)
	return f, b, err
}

// Bounds of what is listed at once.
const (
	page       = 1000
	maxEntries = 100_000
)

// List gives the entries of a directory, by name. One that is not there has none.
func (s *Service) List(ctx context.Context, dir string) ([]Entry, error) {
	var out []Entry
	for after := ""; ; {
		some, err := s.Store.List(ctx, dir, after, page)
		if out = append(out, some...); err != nil || len(some) < page {
			return out, err
		}
		if len(out) >= maxEntries {
			return nil, slipway.Errorf(slipway.Invalid, slipway.CodeTooLarge, "list the directories in it", "the directory has more than %d entries", maxEntries)
		}
		after = some[len(some)-1].Name
	}
}

// Files gives all files at a path and below it, by directory and name, at most limit.
func (s *Service) Files(ctx context.Context, p string, limit int) ([]File, error) {
	var out []File
	for {
		var after File
		if len(out) > 0 {
			after = out[len(out)-1]
		}
		some, err := s.Store.Below(ctx, p, after, min(page, limit+1-len(out)))
		if out = append(out, some...); err != nil {
			return nil, err
		}
		if len(out) > limit {
			return nil, slipway.Errorf(slipway.Invalid, slipway.CodeTooLarge, "name a directory in it", "there are more than %d files", limit)
		}
		if len(some) < page {
			return out, nil
		}
	}
}

// Delete removes what lies at a path and below it, as one event, and then the blobs that
// nothing names any more.
func (s *Service) Delete(ctx context.Context, by slipway.Principal, p string) (d Deleted, err error) {
	d.Files, d.Bytes, err = s.Store.Delete(ctx, p, s.event(by.ID, "artifact.deleted", p, map[string]string{"path": string(slipway.DigestOf([]byte(p)))}))
	if err != nil {
		return d, err
	}
	d.Freed, err = s.Reclaim(ctx)
	return d, err
}

// Release frees what something else has named and does not any more: the files of versions
// that were deleted.
func (s *Service) Release(ctx context.Context, digests []slipway.Digest) (Freed, error) {
	if err := s.Ledger.Release(ctx, digests); err != nil {
		return Freed{}, err
	}
	return s.reclaim(ctx, digests)
}

// grace is how long a blob stays after somebody has stored it or asked for it: as long as one
// may take to make known what he relies on.
const grace = time.Minute

// Freed is what went of blobs that came to be unused.
type Freed struct {
	Blobs int
	Bytes int64
	Later int // that wait, since somebody has asked for them lately or a backup runs
}

// Reclaim removes blobs that came to be unused: those that nothing names, and that nobody has
// asked for lately.
func (s *Service) Reclaim(ctx context.Context) (all Freed, err error) {
	for after := slipway.Digest(""); ; {
		some, err := s.Ledger.Unused(ctx, after, page)
		if err != nil || len(some) == 0 {
			return all, err
		}
		after = some[len(some)-1]
		f, err := s.reclaim(ctx, some)
		all = Freed{all.Blobs + f.Blobs, all.Bytes + f.Bytes, all.Later + f.Later}
		if err != nil {
			return all, err
		}
	}
}

func (s *Service) reclaim(ctx context.Context, digests []slipway.Digest) (f Freed, err error) {
	release, ok := s.Alone()
	if !ok {
		return Freed{Later: len(digests)}, nil
	}
	defer release()
	before := s.Now().Add(-grace)
	named, err := s.named(ctx, digests)
	if err != nil {
		return f, err
	}
	var free, done []slipway.Digest
	for _, d := range digests {
		if named[d] {
			done = append(done, d)
		} else {
			free = append(free, d)
		}
	}
	gone, err := s.Blobs.Reclaim(ctx, free, before)
	for d, size := range gone {
		f.Bytes += size
		done = append(done, d)
	}
	f.Blobs, f.Later = len(gone), len(free)-len(gone)
	if err != nil {
		return f, err
	}
	return f, s.Ledger.Forget(ctx, done)
}

func (s *Service) named(ctx context.Context, digests []slipway.Digest) (map[slipway.Digest]bool, error) {
	named, err := s.Ledger.Named(ctx, digests)
	if err != nil {
		return nil, err
	}
	others, err := s.Named(ctx, digests)
	for d, is := range others {
		named[d] = named[d] || is
	}
	return named, err
}
