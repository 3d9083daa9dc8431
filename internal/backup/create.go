package backup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-ml/slipway"
)

// workers is how many parts are made or read at once.
const workers = 4

// File is one of a home. Its bytes do not change.
type File struct {
	Entry // without a digest it is hashed

	Open func() (io.ReadCloser, error)
}

// Progress counts bytes of plaintext, and is safe for concurrent use.
type Progress struct{ Done, Total, Copied atomic.Int64 }

// Job is what is backed up.
type Job struct {
	Target   Target
	Seal     *Seal
	Build    string
	Created  time.Time
	Contents Contents // without files
	Files    []File   // the database first
	Full     bool     // copy what is there already, too
	Progress *Progress
}

// Create makes a backup. One that breaks off leaves parts, which the next one uses or Prune
// removes, and no backup. It changes the digests of the files that had none.
func Create(ctx context.Context, j Job) (Index, error) {
	x := Index{ID: slipway.NewID("bak", j.Created), Key: j.Seal.ID(), Created: j.Created.UTC(), Build: j.Build}
	there := map[string]int64{}
	if !j.Full {
		err := j.Target.List(ctx, partDir, func(name string, size int64) { there[name[strings.LastIndexByte(name, '/')+1:]] = size })
		if err != nil {
			return x, err
		}
	}
	empty, err := j.Seal.emptySize()
	if err != nil {
		return x, err
	}
	for _, f := range j.Files {
		x.Bytes += f.Size
	}
	j.Progress.Total.Store(x.Bytes)
	var mu sync.Mutex
	begun := map[string]bool{} // several files may have one content
	group, run := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i := range j.Files {
		group.Go(func() error {
			f := &j.Files[i]
			if f.Digest == "" {
				d, err := digest(run, *f)
				if err != nil {
					return err
				}
				f.Digest = d
			}
			name, size := j.Seal.nameOf(f.Digest), sealedSize(empty, f.Size)
			mu.Lock()
			twice := begun[name]
			if !twice {
				begun[name] = true
				x.Parts = append(x.Parts, Part{name, size})
			}
			mu.Unlock()
			if have, ok := there[name]; twice || ok && have == size {
				j.Progress.Done.Add(f.Size)
				return nil
			}
			j.Progress.Copied.Add(f.Size)
			return put(run, j.Target, j.Seal, *f, name, size, &j.Progress.Done)
		})
	}
	if err := group.Wait(); err != nil {
		return x, err
	}
	slices.SortFunc(x.Parts, func(a, b Part) int { return strings.Compare(a.Name, b.Name) })
	c := j.Contents
	c.ID = x.ID
	for _, f := range j.Files {
		c.Files = append(c.Files, f.Entry)
	}
	b, err := j.Seal.encode(x, c)
	if err != nil {
		return x, err
	}
	return x, j.Target.Put(ctx, objectOf(x.ID), int64(len(b)), bytes.NewReader(b))
}

// Prune removes all but the newest backups that are sealed for a key, and the parts that no
// backup needs. Nobody may make a backup into the target meanwhile. While there is one that
// cannot be read, or is sealed for another key, no part is removed: it may be its.
func Prune(ctx context.Context, t Target, s *Seal, keep int) (removed []string, err error) {
	all, err := List(ctx, t, s)
	if err != nil {
		return nil, err
	}
	needed, unknown := map[string]bool{}, false
	for _, l := range all {
		switch {
		case l.Err != nil:
			unknown = true
		case keep > 0:
			keep--
			for _, p := range l.Index.Parts {
				needed[partPath(p.Name)] = true
			}
		default:
			if err := t.Delete(ctx, objectOf(l.ID)); err != nil {
				return removed, err
			}
			removed = append(removed, l.ID)
		}
	}
	if unknown {
		return removed, nil
	}
	var gone []string
	err = t.List(ctx, partDir, func(name string, _ int64) {
		if !needed[name] {
			gone = append(gone, name)
		}
	})
	for _, name := range gone {
		err = errors.Join(err, t.Delete(ctx, name))
	}
	return removed, err
}
