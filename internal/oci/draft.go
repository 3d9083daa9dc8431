package oci

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A draft is a file or a directory that becomes visible under its real name when it is
// whole. Who works on it holds a lock on it, so that a draft without one was left by a
// crash.
const draftPrefix = ".draft-"

// newDraft makes a locked draft in a directory.
func newDraft(parent string, directory bool) (*os.File, error) {
	for {
		f, err := create(parent, directory)
		if err != nil {
			return nil, err
		}
		if held(f) {
			return f, nil
		}
		f.Close() // sweep came between, and removes it
	}
}

func create(parent string, directory bool) (*os.File, error) {
	if !directory {
		return os.CreateTemp(parent, draftPrefix+"*")
	}
	path, err := os.MkdirTemp(parent, draftPrefix+"*")
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return create(parent, directory)
	}
	return f, err
}

// held locks a draft, and tells whether that worked and the draft is still there.
func held(f *os.File) bool {
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false
	}
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(ours, there)
}

// sweep removes what crashes left in a directory.
func sweep(parent string) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), draftPrefix) {
			continue
		}
		f, err := os.Open(filepath.Join(parent, e.Name()))
		if err != nil {
			continue // it was finished, or somebody else sweeps
		}
		if held(f) {
			err = os.RemoveAll(f.Name())
		}
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// finish makes a file durable under its real name, whose directory is still to be synced.
func finish(f *os.File, name string) error {
	if err := errors.Join(f.Chmod(0o444), f.Sync()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// discard closes a draft and removes it, unless it was finished.
func discard(f *os.File) {
	_ = os.RemoveAll(f.Name())
	f.Close()
}
