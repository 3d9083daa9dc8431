package tilelog

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/transparency-dev/tessera/api/layout"
)

// levels is how high a tree can become.
const levels = 8

// place is what a file of the log is: a tile, or a bundle of entries, whole or a part.
type place struct {
	entries bool
	level   uint64
	index   uint64
	partial uint8
}

func (p place) path() string {
	if p.entries {
		return layout.EntriesPath(p.index, p.partial)
	}
	return layout.TilePath(p.level, p.index, p.partial)
}

// parsePlace is the inverse of place.path.
func parsePlace(path string) (p place, ok bool) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok {
		return p, false
	}
	level, index, ok := strings.Cut(rest, "/")
	if !ok {
		return p, false
	}
	var err error
	if level == "entries" {
		p.entries = true
	} else if p.level, err = strconv.ParseUint(level, 10, 8); err != nil {
		return p, false
	}
	p.index, p.partial, err = layout.ParseTileIndexPartial(index)
	return p, err == nil && p.path() == path
}

// partials are the places of the tiles and the bundle at the right edge of a tree.
func partials(size uint64) map[place]bool {
	out := map[place]bool{}
	for level := uint64(0); level < levels && size > 0; level++ {
		if p := uint8(size % layout.TileWidth); p > 0 {
			at := size / layout.TileWidth
			out[place{level: level, index: at, partial: p}] = true
			if level == 0 {
				out[place{entries: true, index: at, partial: p}] = true
			}
		}
		size /= layout.TileWidth
	}
	return out
}

// forget removes the right edge of a tree that has grown. What stays is removed by sweep.
func (l *Log) forget(old, size uint64) {
	now := partials(size)
	for p := range partials(old) {
		if now[p] {
			continue
		}
		file := filepath.Join(l.dir, p.path())
		_ = os.Remove(file)               // it is not wrong to have it
		_ = os.Remove(filepath.Dir(file)) // unless something else is in it
	}
}

// leftover are the names of files that were being written.
var leftover = regexp.MustCompile(`^(treeState|version|checkpoint)?[0-9]+$`)

// sweep removes what killed processes left: files half written, and right edges of the
// tree as it was. What it does not know it leaves for a verification to tell.
func (l *Log) sweep() error {
	now := partials(l.Size())
	for p := range partials(l.Checkpoint().Size) {
		now[p] = true
	}
	return l.clear(func(p place) bool { return p.partial > 0 && !now[p] })
}

// clear removes files that were being written when a process was killed or the disk was
// full, and places that are not wanted any more.
func (l *Log) clear(unwanted func(place) bool) error {
	err := filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(l.dir, path)
		if err != nil {
			return err
		}
		p, ok := parsePlace(filepath.ToSlash(rel))
		if ok && unwanted(p) || !ok && leftover.MatchString(d.Name()) {
			return os.Remove(path)
		}
		return nil
	})
	if err != nil {
		return diskError(err)
	}
	return nil
}
