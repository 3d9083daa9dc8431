package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipway-ml/slipway/internal/disk"

	"github.com/slipway-ml/slipway"
)

// dir keeps objects as files. It is opened as a root, which no name leads out of.
type dir struct {
	path string
	root *os.Root
	now  func() time.Time
}

// draft begins the names of files that are not whole.
const draft = ".draft-"

// stale is the age from which a draft is taken for one that a process left when it died.
const stale = 24 * time.Hour

func openDir(path string, o Options) (*dir, error) {
	if !o.Existing {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, dirError(path, err)
		}
	}
	root, err := os.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unusable(err, "check the path, and that its disk is mounted", "there is no directory %s", path)
	}
	if err != nil {
		return nil, dirError(path, err)
	}
	return &dir{path, root, o.Now}, nil
}

func dirError(path string, err error) error {
	if disk.Full(err) {
		return &slipway.Error{Code: slipway.CodeDiskFull, Kind: slipway.Exhausted, Message: "the disk of " + path + " is full",
			Next: "free space on it, or keep fewer: platform up --backup-keep N", Cause: err}
	}
	return unusable(err, "check that it is a directory which this user may write", "%s cannot be used: %s", path, slipway.OneLine(reason(err), 100))
}

// reason is an error without the path.
func reason(err error) string {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err.Error()
	}
	return err.Error()
}

// String is the path.
func (d *dir) String() string { return d.path }

// Put stores an object.
func (d *dir) Put(ctx context.Context, name string, size int64, r io.Reader) (err error) {
	parent := filepath.Dir(name)
	if err := d.root.MkdirAll(parent, 0o700); err != nil {
		return dirError(d.path, err)
	}
	young := filepath.Join(parent, draft+filepath.Base(name))
	f, err := d.root.OpenFile(young, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return dirError(d.path, err)
	}
	defer func() {
		if err != nil {
			_ = d.root.Remove(young)
		}
	}()
	in := &source{ctx: ctx, r: r}
	n, err := io.CopyBuffer(onlyWriter{f}, in, make([]byte, 256<<10))
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes were given instead of %d", n, size)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		if err = d.root.Rename(young, name); err == nil {
			err = d.sync(parent)
		}
	}
	if in.err != nil { // of what was to be stored, not of the disk
		return in.err
	}
	if err != nil {
		return dirError(d.path, err)
	}
	return nil
}

// source remembers why it could not be read.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := 0, s.ctx.Err()
	if err == nil {
		n, err = s.r.Read(p)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

type onlyWriter struct{ io.Writer }

// sync makes the names in a directory durable, and the directory's own.
func (d *dir) sync(name string) error {
	for ; ; name = filepath.Dir(name) {
		f, err := d.root.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		if name == "." {
			return nil
		}
	}
}

// Get opens an object.
func (d *dir) Get(_ context.Context, name string) (io.ReadCloser, int64, error) {
	f, err := d.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, missing(name, Backups.Other)
	}
	if err != nil {
		return nil, 0, dirError(d.path, err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, 0, errors.Join(dirError(d.path, errors.Join(err, fmt.Errorf("%s is no file", name))), f.Close())
	}
	return f, info.Size(), nil
}

// List finds objects, and removes what processes that died have left long ago.
func (d *dir) List(ctx context.Context, prefix string, each func(string, int64)) error {
	err := fs.WalkDir(d.root.FS(), strings.TrimSuffix(prefix, "/"), func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case strings.HasPrefix(e.Name(), draft):
			if d.now().Sub(info.ModTime()) > stale {
				return d.root.Remove(name)
			}
			return nil
		}
		each(name, info.Size())
		return nil
	})
	if err != nil && ctx.Err() == nil {
		return dirError(d.path, err)
	}
	return err
}

// Delete removes an object.
func (d *dir) Delete(_ context.Context, name string) error {
	if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return dirError(d.path, err)
	}
	return nil
}
