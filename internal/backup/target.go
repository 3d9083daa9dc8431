package backup

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/slipway-ml/slipway"
)

// Target keeps objects under names of lower-case letters, digits, and "/-_.". Its methods
// are safe for concurrent use. It answers NotFound for what is not there, CodeDiskFull when
// there is no room, and CodeBackupTarget for what keeps it from being used.
type Target interface {
	// Put stores an object of a size. It is there, whole and durable, when Put answers nil,
	// and else what was there before is.
	Put(ctx context.Context, name string, size int64, r io.Reader) error
	// Get opens an object and tells its size.
	Get(ctx context.Context, name string) (io.ReadCloser, int64, error)
	// List calls each for every object whose name begins with prefix, in any order.
	List(ctx context.Context, prefix string, each func(name string, size int64)) error
	// Delete removes an object that may be there.
	Delete(ctx context.Context, name string) error
	// String names the target, without secrets.
	String() string
}

// read gives a whole small object.
func read(ctx context.Context, t Target, name string, limit int64) ([]byte, error) {
	in, size, err := t.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if size > limit {
		return nil, damaged(name, "it has %d bytes, which is too many", size)
	}
	b, err := io.ReadAll(io.LimitReader(in, limit))
	if err == nil && int64(len(b)) != size {
		err = damaged(name, "it ends after %d of %d bytes", len(b), size)
	}
	return b, err
}

// Listed is a backup of a target, or why it cannot be used.
type Listed struct {
	ID    string
	Index Index
	Err   error
}

// List gives the backups of a target, the newest first. Of those sealed for another key it
// knows no more than the name. IDs are in the order of time.
func List(ctx context.Context, t Target, s *Seal) ([]Listed, error) {
	var out []Listed
	err := t.List(ctx, backupDir, func(name string, _ int64) {
		id, ok := strings.CutSuffix(strings.TrimPrefix(name, backupDir), suffix)
		if ok && idForm.MatchString(id) {
			out = append(out, Listed{ID: id})
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b Listed) int { return strings.Compare(b.ID, a.ID) })
	var wg sync.WaitGroup
	slots := make(chan struct{}, workers)
	for i := range out {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			var b []byte
			if b, out[i].Err = read(ctx, t, objectOf(out[i].ID), maxManifest); out[i].Err == nil {
				out[i].Index, _, out[i].Err = s.decode(out[i].ID, b)
			}
		})
	}
	wg.Wait()
	for _, l := range out { // a target that does not answer has not lost its backups
		if l.Err != nil && !errors.Is(l.Err, &slipway.Error{Code: slipway.CodeBackupDamaged}) && !errors.Is(l.Err, &slipway.Error{Code: slipway.CodeBackupKey}) {
			return nil, l.Err
		}
	}
	return out, nil
}

// Open reads what a backup holds; with an empty id, the newest that is sealed for the key.
// It answers NotFound if there is none.
func Open(ctx context.Context, t Target, r *Recovery, id string) (Index, Contents, error) {
	if id == "" {
		all, err := List(ctx, t, &r.Seal)
		if err != nil {
			return Index{}, Contents{}, err
		}
		i := slices.IndexFunc(all, func(l Listed) bool { return !errors.Is(l.Err, &slipway.Error{Code: slipway.CodeBackupKey}) })
		if i < 0 {
			return Index{}, Contents{}, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform backup create", "there is no backup for the key %s in %s", r.ID(), t)
		}
		id = all[i].ID
	}
	if !idForm.MatchString(id) {
		return Index{}, Contents{}, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "platform backup list", "%.80q is no name of a backup", id)
	}
	b, err := read(ctx, t, objectOf(id), maxManifest)
	if err != nil {
		return Index{}, Contents{}, err
	}
	x, tail, err := r.decode(id, b)
	if err != nil {
		return x, Contents{}, err
	}
	c, err := r.contents(x, tail)
	return x, c, err
}
