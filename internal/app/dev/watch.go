package dev

import (
	"context"
	"fmt"
	"hash/fnv"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// The pace of looking for changes. Files are looked at, not subscribed to: that works on
// every file system, those of containers and networks too, and needs no limit raised.
const (
	lookEvery  = 500 * time.Millisecond
	quietFor   = 300 * time.Millisecond // a training writes many files: it has ended then
	maxWatched = 20000                  // files
)

// fingerprint changes with any name, size or time of a file below some paths. Places for
// what interpreters and editors leave are not looked at.
func fingerprint(paths []string) uint64 {
	h := fnv.New64a()
	n := 0
	for _, path := range paths {
		_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
			switch {
			case err != nil || n >= maxWatched:
				return nil //nolint:nilerr // what is not there is not there
			case d.IsDir() && p != path && (d.Name() == "__pycache__" || strings.HasPrefix(d.Name(), ".")):
				return fs.SkipDir
			}
			if info, err := d.Info(); err == nil && !d.IsDir() {
				n++
				fmt.Fprintf(h, "%s\x00%d\x00%d\x00", p, info.Size(), info.ModTime().UnixNano())
			}
			return nil
		})
	}
	return h.Sum64()
}

// changes calls changed whenever the files are others than last and are quiet, until ctx
// ends. Paths are asked for each time: they change with the project's file.
func changes(ctx context.Context, last uint64, paths func() []string, changed func()) {
	pause := func(d time.Duration) bool {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(d):
			return true
		}
	}
	for pause(lookEvery) {
		now := fingerprint(paths())
		if now == last {
			continue
		}
		for quiet := false; !quiet; {
			if !pause(quietFor) {
				return
			}
			next := fingerprint(paths())
			quiet, now = next == now, next
		}
		last = now
		changed()
	}
}
