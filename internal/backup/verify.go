package backup

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-ml/slipway"
)

// sizes are the lengths of a backup's parts.
func (x *Index) sizes() map[string]int64 {
	m := make(map[string]int64, len(x.Parts))
	for _, p := range x.Parts {
		m[p.Name] = p.Size
	}
	return m
}

// Verify reads all of a backup. It gives every part that is not as it was written, each a
// CodeBackupDamaged with its name; an error is why it could not look.
func Verify(ctx context.Context, t Target, r *Recovery, x Index, c Contents, p *Progress) (bad []error, err error) {
	sizes := x.sizes()
	once := map[slipway.Digest]bool{}
	var mu sync.Mutex
	group, run := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, e := range c.Files {
		p.Total.Add(e.Size)
	}
	for _, e := range c.Files {
		if once[e.Digest] {
			p.Done.Add(e.Size)
			continue
		}
		once[e.Digest] = true
		group.Go(func() error {
			err := r.fetch(run, t, e, sizes, io.Discard, &p.Done)
			if errors.Is(err, &slipway.Error{Code: slipway.CodeBackupDamaged}) {
				mu.Lock()
				bad = append(bad, err)
				mu.Unlock()
				return nil
			}
			return err
		})
	}
	err = group.Wait()
	slices.SortFunc(bad, func(a, b error) int { return strings.Compare(slipway.AsError(a).Field, slipway.AsError(b).Field) })
	return bad, err
}

// Fetch writes the files of a backup: create is called for each, and its writer closed when
// all bytes are there, or abandoned. Files of which have answers true are left out.
func Fetch(ctx context.Context, t Target, r *Recovery, x Index, c Contents, p *Progress, have func(Entry) bool, create func(Entry) (Sink, error)) error {
	sizes := x.sizes()
	group, run := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, e := range c.Files {
		p.Total.Add(e.Size)
	}
	for _, e := range c.Files {
		group.Go(func() error {
			if have(e) {
				p.Done.Add(e.Size)
				return nil
			}
			out, err := create(e)
			if err != nil {
				return err
			}
			if err := r.fetch(run, t, e, sizes, out, &p.Done); err != nil {
				out.Abandon()
				return err
			}
			return out.Keep()
		})
	}
	return group.Wait()
}

// Sink takes the bytes of one file.
type Sink interface {
	io.Writer
	Keep() error // they are whole
	Abandon()    // they are not, and must not be seen
}
