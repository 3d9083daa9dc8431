package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/audit"
	"github.com/slipway-ml/slipway/internal/tilelog"
)

func (s *Service) draft() string { return filepath.Join(s.Dir, "log.new") }

// finishRebuild ends an exchange of directories that was interrupted: a draft without a log
// beside it is whole.
func (s *Service) finishRebuild() error {
	if _, err := os.Lstat(s.dir()); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	err := os.Rename(s.draft(), s.dir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// rebuild makes a damaged log again from the events in the database, if these are what was
// signed: then the files were damaged, and no history was changed. Otherwise, and when
// there is nothing signed to hold the events against, it answers why it was called.
func (s *Service) rebuild(ctx context.Context, key *audit.Key, why error) (*tilelog.Log, error) {
	public, err := audit.ParsePublic(key.Public())
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(s.dir(), "checkpoint"))
	if err != nil {
		return nil, why
	}
	signed, err := public.Checkpoint(text)
	if err != nil {
		return nil, why
	}
	var tree audit.Tree
	if err := s.each(ctx, signed.Size, func(leaves [][]byte) error { return grow(&tree, leaves) }); err != nil {
		return nil, err
	}
	if tree.Size() != signed.Size || string(tree.Root()) != string(signed.Root) {
		return nil, why
	}
	s.Log.Warn("the audit log is made again from the database, which has what was signed", "events", signed.Size, "why", why.Error())
	if err := os.RemoveAll(s.draft()); err != nil {
		return nil, err
	}
	l, err := tilelog.Open(ctx, s.draft(), key, nil)
	if err != nil {
		return nil, err
	}
	if err := s.each(ctx, signed.Size, func(leaves [][]byte) error { return l.Append(ctx, leaves) }); err != nil {
		return nil, err
	}
	aside := s.dir() + ".damaged-" + strconv.FormatInt(s.Now().Unix(), 10)
	if err := errors.Join(os.Rename(s.dir(), aside), os.Rename(s.draft(), s.dir())); err != nil {
		return nil, err
	}
	now := s.Now()
	err = s.Events.Append(ctx, slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: "system", Action: "audit.rebuilt", Subject: key.Name(),
		Detail: map[string]string{"events": fmt.Sprint(signed.Size), "reason": slipway.AsError(why).Message, "kept": filepath.Base(aside)}})
	if err != nil {
		return nil, err
	}
	return tilelog.Open(ctx, s.dir(), key, nil)
}

func grow(t *audit.Tree, leaves [][]byte) error {
	for _, leaf := range leaves {
		if err := t.Append(audit.LeafHash(leaf), nil); err != nil {
			return err
		}
	}
	return nil
}

// each gives the leaves of the first events, up to a size or to the last one there is.
func (s *Service) each(ctx context.Context, size uint64, use func(leaves [][]byte) error) error {
	for at := uint64(0); at < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		events, err := s.Events.List(ctx, int64(at), int(min(size-at, maxBatch)), "")
		if err != nil || len(events) == 0 {
			return err
		}
		leaves, err := leavesOf(events, at)
		if err == nil {
			err = use(leaves)
		}
		if err != nil {
			return err
		}
		at += uint64(len(events))
	}
	return nil
}
