// Package modeldir reads a model directory that is to be uploaded: which files there are,
// and the digest of each. It refuses what an upload could not carry or should not.
package modeldir

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-ml/slipway"
)

// File is one regular file. Path is as CheckPath wants it, Size in bytes.
type File struct {
	Path       string
	Digest     slipway.Digest
	Size       int64
	Executable bool
}

// Manifest is a directory's files, sorted by path, and their size together in bytes.
type Manifest struct {
	Files []File
	Total int64
}

// Bounds of a model directory.
const (
	maxFiles   = 10_000
	maxEntries = 10 * maxFiles // directories and what is ignored count too
	maxTotal   = 50 << 30      // bytes
	sparseMin  = 1 << 30       // larger files must have their bytes on disk
)

// ignored are names that are never part of a model.
func ignored(name string) bool {
	return slices.Contains([]string{".git", "__pycache__", ".DS_Store", ".ipynb_checkpoints"}, name)
}

func refuse(field, next, format string, args ...any) error {
	e := slipway.Errorf(slipway.Invalid, slipway.CodeModelDir, next, format, args...)
	e.Field = field
	return e
}

// Scan lists and hashes the files of a directory. Sizes are looked at before anything is
// read, so that a directory that is too large is refused at once. Links to files inside
// the directory are followed, others refused. progress, which may be nil, is told how many
// bytes of how many are hashed, by several goroutines. It answers Invalid with the path of
// the file that is at fault, one that is written meanwhile too.
func Scan(ctx context.Context, dir string, progress func(done, total int64)) (Manifest, error) {
	root, err := os.OpenRoot(dir)
	if st, e := os.Stat(dir); e == nil && !st.IsDir() {
		err = syscall.ENOTDIR // OpenRoot does not say it in a way that can be told
	}
	if err != nil {
		return Manifest{}, unreadable(dir, err)
	}
	defer root.Close()
	l := lister{root: root, dir: dir}
	if err := fs.WalkDir(root.FS(), ".", func(p string, e fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return l.visit(p, e, err)
	}); err != nil {
		return Manifest{}, err
	}
	if len(l.found) == 0 {
		return Manifest{}, refuse(dir, "give the directory that mlflow.*.save_model wrote", "has no files")
	}
	// A walk gives a/b before a-b, the order of the paths is the other one.
	slices.SortFunc(l.found, func(a, b found) int { return strings.Compare(a.path, b.path) })
	var done atomic.Int64
	count := func(n int) {
		if sum := done.Add(int64(n)); progress != nil {
			progress(sum, l.total)
		}
	}
	m := Manifest{Files: make([]File, len(l.found)), Total: l.total}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for i, f := range l.found {
		g.Go(func() error {
			digest, err := hashFile(ctx, root, f, count)
			m.Files[i] = File{Path: f.path, Digest: digest, Size: f.info.Size(), Executable: f.info.Mode()&0o100 != 0}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

// found is a file as it was when it was listed.
type found struct {
	path string
	info fs.FileInfo
}

// lister checks everything of a directory but the contents of its files.
type lister struct {
	root    *os.Root
	dir     string
	entries int
	total   int64
	found   []found
}

func (l *lister) visit(p string, e fs.DirEntry, err error) error {
	if p == "." {
		if err != nil {
			return unreadable(l.dir, err)
		}
		return nil
	}
	if l.entries++; l.entries > maxEntries {
		return refuse(l.dir, "keep only the model in its directory", "has more than %d entries", maxEntries)
	}
	if err := CheckPath(p); err != nil {
		return err
	}
	switch {
	case err != nil:
		return unreadable(p, err)
	case ignored(e.Name()) && e.IsDir():
		return fs.SkipDir
	case ignored(e.Name()) || e.IsDir():
		return nil
	}
	info, err := l.root.Stat(p)
	if err != nil && e.Type()&fs.ModeSymlink != 0 {
		return refuse(p, "replace the link by the file itself", "is a link that leads out of the model directory, in a circle or nowhere")
	}
	if err != nil {
		return unreadable(p, err)
	}
	return l.add(found{p, info})
}

func (l *lister) add(f found) error {
	const next = "keep only the model in its directory"
	if f.info.IsDir() {
		return refuse(f.path, "replace the link by the directory itself", "is a link to a directory")
	}
	if !f.info.Mode().IsRegular() {
		return refuse(f.path, "keep only regular files in the model directory", "is no regular file")
	}
	if sparse(f.info) {
		return refuse(f.path, "write the file anew: a model has no holes of this size", "claims %d GiB, most of which are not on disk", f.info.Size()>>30)
	}
	if f.info.Size() > maxTotal-l.total {
		return refuse(l.dir, next, "has more than %d GiB, at %q", int64(maxTotal)>>30, f.path)
	}
	l.total += f.info.Size()
	if l.found = append(l.found, f); len(l.found) > maxFiles {
		return refuse(l.dir, next, "has more than %d files", maxFiles)
	}
	return nil
}

// sparse finds large files most of whose bytes are not there.
func sparse(info fs.FileInfo) bool {
	sys, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Size() > sparseMin && sys.Blocks*512 < info.Size()/2
}

// hashFile hashes a file that is still the one that was listed, and stays it.
func hashFile(ctx context.Context, root *os.Root, f found, count func(int)) (slipway.Digest, error) {
	in, err := root.OpenFile(f.path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe in its place must not block
	if err != nil {
		return "", unreadable(f.path, err)
	}
	defer in.Close()
	before, err := in.Stat()
	if err != nil {
		return "", unreadable(f.path, err)
	}
	if !os.SameFile(f.info, before) || !unchanged(f.info, before) {
		return "", changed(f.path)
	}
	h := sha256.New()
	n, err := io.CopyBuffer(h, io.LimitReader(&source{ctx, in, count}, f.info.Size()+1), make([]byte, 256<<10))
	if err != nil {
		return "", unreadable(f.path, err)
	}
	after, err := in.Stat()
	if err != nil {
		return "", unreadable(f.path, err)
	}
	if n != f.info.Size() || !unchanged(before, after) {
		return "", changed(f.path)
	}
	return slipway.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))), nil
}

func unchanged(a, b fs.FileInfo) bool {
	return a.Mode() == b.Mode() && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func changed(path string) error {
	return refuse(path, "run the command again when the model is written", "changed while it was read")
}

// source reads a file until the context ends, and tells how much.
type source struct {
	ctx   context.Context
	f     *os.File
	count func(int)
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.f.Read(p)
	s.count(n)
	return n, err
}

func unreadable(name string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	e := &slipway.Error{Code: slipway.CodeModelDir, Kind: slipway.Invalid, Field: name, Message: "cannot be read",
		Next: "check that you may read it", Cause: fmt.Errorf("model directory: %w", err)}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Message, e.Next = "does not exist", "check its name"
	case errors.Is(err, syscall.ENOTDIR):
		e.Message, e.Next = "is no directory", "give the directory that mlflow.*.save_model wrote"
	}
	return e
}
