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

// names lists the backups of a target, the newest first: ids are in the order of time.
func names(ctx context.Context, t Target) ([]Listed, error) {
	var out []Listed
	err := t.List(ctx, backupDir, func(name string, _ int64) {
		id, ok := strings.CutSuffix(strings.TrimPrefix(name, backupDir), suffix)
		if ok && idForm.MatchString(id) {
			out = append(out, Listed{ID: id})
		}
	})
	slices.SortFunc(out, func(a, b Listed) int { return strings.Compare(b.ID, a.ID) })
	return out, err
}

// read gets the index of a backup.
func (l *Listed) read(ctx context.Context, t Target, s *Seal) {
	var b []byte
	if b, l.Err = read(ctx, t, objectOf(l.ID), maxManifest); l.Err == nil {
		l.Index, _, l.Err = s.decode(l.ID, b)
	}
}

// Newest gives the newest backup that is as it was written and sealed for the key, or
// NotFound.
func Newest(ctx context.Context, t Target, s *Seal) (Index, error) {
	all, err := names(ctx, t)
	if err != nil {
		return Index{}, err
	}
	for _, l := range all {
		if l.read(ctx, t, s); l.Err == nil {
			return l.Index, nil
		}
		if !l.unusable() {
			return Index{}, l.Err
		}
	}
	return Index{}, none(t, s)
}

func none(t Target, s *Seal) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform backup create", "there is no backup for the key %s in %s", s.ID(), t)
}

// unusable says whether the backup itself cannot be used, and not the target.
func (l *Listed) unusable() bool {
	return errors.Is(l.Err, &slipway.Error{Code: slipway.CodeBackupDamaged}) || errors.Is(l.Err, &slipway.Error{Code: slipway.CodeBackupKey})
}

// List gives the backups of a target, the newest first. Of those sealed for another key it
// knows no more than the name.
func List(ctx context.Context, t Target, s *Seal) ([]Listed, error) {
	out, err := names(ctx, t)
	if err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, workers)
	for i := range out {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			out[i].read(ctx, t, s)
		})
	}
	wg.Wait()
	for _, l := range out { // a target that does not answer has not lost its backups
		if l.Err != nil && !l.unusable() {
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
			return Index{}, Contents{}, none(t, &r.Seal)
		}
		id = all[i].ID // damaged or not: a person chooses an older one
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
