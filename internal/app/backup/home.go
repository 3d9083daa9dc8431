// Package backup makes backups of an installation while it runs, on request and by itself,
// checks them, and brings one back on an empty machine.
package backup

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/slipway-ml/slipway/internal/disk"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/backup"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/oci"
)

// collect lists the state of a home in files whose bytes stay: what changes is copied aside
// first. The order is that of config.State. What older programs have left of models in images
// is no state: it is in clear, and made again from blobs.
func collect(ctx context.Context, c config.Config, known *digests, early bool) ([]backup.File, error) {
	var out []backup.File
	plain, err := inClear(ctx, c)
	if err != nil {
		return nil, err
	}
	for _, item := range config.State {
		if item.Early != early {
			continue
		}
		err := filepath.WalkDir(filepath.Join(c.Home, item.Path), func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) { // there is none, or a draft has got its name
				return nil
			}
			if err = errors.Join(err, ctx.Err()); err != nil || e.IsDir() || !e.Type().IsRegular() {
				return err
			}
			rel, err := filepath.Rel(c.Home, path)
			if err != nil {
				return err
			}
			if state, _ := config.Belongs(filepath.ToSlash(rel)); !state || plain[path] {
				return nil
			}
			if item.Change != config.Never {
				path, err = aside(c, path, rel, item.Change)
			}
			var info fs.FileInfo
			if err == nil {
				info, err = os.Stat(path)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			f := backup.File{Entry: backup.Entry{Path: filepath.ToSlash(rel), Size: info.Size(), Mode: uint32(info.Mode().Perm())},
				Open: func() (io.ReadCloser, error) { return os.Open(path) }}
			if item.Change == config.Never {
				f.Digest = known.of(f.Path, info)
			}
			out = append(out, f)
			return nil
		})
		if err != nil {
			return nil, ioError("read "+item.Path, err)
		}
	}
	return out, nil
}

// inClear are the files of models in images.
func inClear(ctx context.Context, c config.Config) (map[string]bool, error) {
	all, err := oci.ModelsInClear(ctx, c.Images())
	out := map[string]bool{}
	for _, m := range all {
		out[m.Path] = true
	}
	return out, err
}

// aside keeps a file as it is now: by another link to it, if a change is another file.
func aside(c config.Config, path, rel string, how config.Change) (string, error) {
	to := filepath.Join(c.BackupDrafts(), rel)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return "", err
	}
	if how == config.Replaced && os.Link(path, to) == nil {
		return to, nil
	}
	from, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer from.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, from)
	return to, errors.Join(err, f.Close())
}

// nameless is a file without a name, which is gone when this process is.
func nameless(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "database-*")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// digests remembers those of files that do not change, by what tells a file from another.
type digests struct {
	path string

	mu   sync.Mutex
	last map[string]seen
	next map[string]seen
}

type seen struct {
	Size   int64          `json:"size"`
	Inode  uint64         `json:"inode"`
	Time   int64          `json:"time"` // ns
	Digest slipway.Digest `json:"digest"`
}

// openDigests reads what was remembered; what cannot be read is taken anew.
func openDigests(path string) *digests {
	d := &digests{path: path, last: map[string]seen{}, next: map[string]seen{}}
	if b, err := os.ReadFile(path); err == nil && json.Unmarshal(b, &d.last) != nil {
		d.last = map[string]seen{}
	}
	return d
}

func (d *digests) of(path string, info fs.FileInfo) slipway.Digest {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	s := seen{Size: info.Size(), Inode: stat.Ino, Time: info.ModTime().UnixNano()}
	d.mu.Lock()
	defer d.mu.Unlock()
	last := d.last[path]
	s.Digest = last.Digest
	if last != s {
		s.Digest = ""
	}
	d.next[path] = s
	return s.Digest
}

// keep remembers the digests of files for the next time.
func (d *digests) keep(files []backup.File) error {
	for _, f := range files {
		if s, ok := d.next[f.Path]; ok {
			s.Digest = f.Digest
			d.next[f.Path] = s
		}
	}
	b, err := json.Marshal(d.next)
	if err == nil {
		err = os.WriteFile(d.path+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(d.path+".new", d.path)
	}
	return err
}

func ioError(what string, err error) error {
	if err == nil || errors.As(err, new(*slipway.Error)) || errors.Is(err, context.Canceled) {
		return err
	}
	e := &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Internal, Message: "cannot " + what, Next: "check the disk and the permissions of the home directory", Cause: err}
	if disk.Full(err) {
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeDiskFull, slipway.Exhausted, "the disk of the home directory is full", "free space on it, then try again"
	}
	return e
}
