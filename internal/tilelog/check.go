package tilelog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"

	"github.com/slipway-ml/slipway/internal/audit"
)

// Checker compares the files of a log, byte by byte, with the events that should be in it.
// They are fed to it in order. The log may grow meanwhile; it stands still from before the
// last event is fed until Close returns.
type Checker struct {
	l     *Log
	found *audit.Findings
	size  uint64
	point audit.Checkpoint

	tree   audit.Tree // of the events that were fed
	stored audit.Tree // of the entries that the files have, as far as they can be read
	bundle []byte     // the entries since the last whole bundle, as they should be stored
	tiles  [levels][]byte
	index  [levels]uint64
	differ []int64 // events whose entry is another one
	seen   map[place]bool
	broken map[place]bool // told already
}

// Check begins to compare.
func (l *Log) Check(found *audit.Findings) *Checker {
	return &Checker{l: l, found: found, seen: map[place]bool{}, broken: map[place]bool{}}
}

// Fed is how many events were fed.
func (c *Checker) Fed() uint64 { return c.tree.Size() }

// Root is the root of the events that were fed so far.
func (c *Checker) Root() []byte { return c.tree.Root() }

// Feed takes the leaf of the next event.
func (c *Checker) Feed(leaf []byte) error {
	c.bundle = binary.BigEndian.AppendUint16(c.bundle, uint16(len(leaf)))
	c.bundle = append(c.bundle, leaf...)
	err := c.tree.Append(audit.LeafHash(leaf), c.node)
	if c.tree.Size()%layout.EntryBundleWidth == 0 {
		c.closeBundle(0)
	}
	return err
}

// node takes up each complete node that comes into being: those that are the leaves of
// tiles are compared when their tile is whole.
func (c *Checker) node(id compact.NodeID, hash []byte) {
	if id.Level%layout.TileHeight != 0 || id.Level/layout.TileHeight >= levels {
		return
	}
	level := id.Level / layout.TileHeight
	c.tiles[level] = append(c.tiles[level], hash...)
	if len(c.tiles[level]) == layout.TileWidth*len(hash) {
		c.same(place{level: uint64(level), index: c.index[level]}, c.tiles[level])
		c.tiles[level] = c.tiles[level][:0]
		c.index[level]++
	}
}

// same compares a file with what it should be.
func (c *Checker) same(p place, want []byte) {
	c.seen[p] = true
	b, err := c.l.read(p.path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.found.Fail(audit.CheckFiles, c.first(p), "%s is missing", p.path())
	case err != nil:
		c.found.Fail(audit.CheckFiles, c.first(p), "%s cannot be read: %v", p.path(), err)
	case !bytes.Equal(b, want) && !c.broken[p]:
		c.found.Fail(audit.CheckFiles, c.first(p), "%s is not what the events from %d on make", p.path(), c.first(p))
	}
}

// first is the first event that a file is about.
func (c *Checker) first(p place) int64 {
	return int64(p.index<<(layout.TileHeight*(p.level+1))) + 1
}

// closeBundle compares the entries of a bundle, one by one.
func (c *Checker) closeBundle(partial uint8) {
	n := width(partial)
	p := place{entries: true, index: (c.tree.Size() - uint64(n)) / layout.EntryBundleWidth, partial: partial}
	want, have := entries(c.bundle), [][]byte(nil)
	if b, err := c.l.read(p.path()); err == nil {
		have = entries(b)
	}
	for i, leaf := range want {
		if i < len(have) {
			if !bytes.Equal(have[i], leaf) {
				c.differ = append(c.differ, int64(p.index*layout.EntryBundleWidth)+int64(i)+1)
			}
			leaf = have[i]
		}
		_ = c.stored.Append(audit.LeafHash(leaf), nil) // a tree takes leaves at its end
	}
	c.broken[p] = len(have) == len(want) && len(c.differ) > 0
	c.same(p, c.bundle)
	c.bundle = c.bundle[:0]
}

func entries(b []byte) [][]byte {
	var e api.EntryBundle
	if err := e.UnmarshalText(b); err != nil {
		return nil
	}
	return e.Entries
}

// Close looks at the right edge, at the state and at files that should not be there, and
// says who is wrong where an event and its entry differ.
func (c *Checker) Close() {
	c.size, c.point = c.l.Size(), c.l.Checkpoint()
	if partial := uint8(c.tree.Size() % layout.EntryBundleWidth); partial > 0 {
		c.closeBundle(partial)
	}
	for level, tile := range c.tiles {
		if n := len(tile) / 32; n > 0 {
			c.same(place{level: uint64(level), index: c.index[level], partial: uint8(n)}, tile)
		}
	}
	c.blame()
	c.state()
	c.strangers()
}

// blame says of each event that differs whether the database or the file was changed: the
// signature is over one of them.
func (c *Checker) blame() {
	signed := func(t *audit.Tree) bool { return t.Size() == c.size && bytes.Equal(t.Root(), c.point.Root) }
	for _, seq := range c.differ {
		switch {
		case c.point.Size == c.size && signed(&c.stored):
			c.found.Fail(audit.CheckInclusion, seq, "event %d was changed in the database: the signed log has another", seq)
		case c.point.Size == c.size && signed(&c.tree):
			c.found.Fail(audit.CheckFiles, seq, "event %d was changed in the files of the log: the database has what was signed", seq)
		default:
			c.found.Fail(audit.CheckInclusion, seq, "event %d differs between the database and the log", seq)
		}
	}
	if c.tree.Size() != c.size {
		c.found.Fail(audit.CheckCompleteness, int64(c.tree.Size())+1, "the log has %d events, and the database %d of them", c.size, c.tree.Size())
	} else if c.point.Size == c.size && !signed(&c.tree) {
		c.found.Fail(audit.CheckInclusion, 0, "the events in the database are not those that the checkpoint of %d events was signed over", c.size)
	}
}

// state looks at the small files.
func (c *Checker) state() {
	root, err := json.Marshal(state{c.size, c.tree.Root()})
	if b, e := os.ReadFile(filepath.Join(c.l.dir, stateFile)); err != nil || e != nil || c.tree.Size() == c.size && !bytes.Equal(b, root) {
		c.found.Fail(audit.CheckFiles, 0, "%s is not that of %d events", stateFile, c.size)
	}
	if b, err := os.ReadFile(filepath.Join(c.l.dir, versionFile)); err != nil || string(b) != strconv.Itoa(layoutVersion) {
		c.found.Fail(audit.CheckFiles, 0, "%s is not %d", versionFile, layoutVersion)
	}
	point, err := c.l.readCheckpoint()
	switch {
	case err != nil:
		c.found.Fail(audit.CheckSignature, 0, "%v", err)
	case !point.Same(c.point):
		c.found.Fail(audit.CheckSignature, 0, "the checkpoint on disk is of %d events, and the one that was signed last of %d", point.Size, c.point.Size)
	case c.point.Size < c.size:
		c.found.Fail(audit.CheckSignature, int64(c.point.Size)+1, "the events from %d on are not signed yet", c.point.Size+1)
	}
	for _, lock := range []string{stateLock, publishLock} {
		if st, err := os.Stat(filepath.Join(c.l.dir, lock)); err == nil && st.Size() > 0 {
			c.found.Fail(audit.CheckFiles, 0, "%s is not empty", lock)
		}
	}
}

// layoutVersion is that of Tessera's files.
const layoutVersion = 1

// strangers looks for files that no log of these events has.
func (c *Checker) strangers() {
	known := map[string]bool{stateFile: true, stateLock: true, publishLock: true, versionFile: true, layout.CheckpointPath: true}
	err := filepath.WalkDir(c.l.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(c.l.dir, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if p, ok := parsePlace(rel); !known[rel] && !(ok && c.seen[p]) {
			c.found.Fail(audit.CheckFiles, 0, "%.200q is no file of a log of %d events", rel, c.size)
		}
		return nil
	})
	if err != nil {
		c.found.Fail(audit.CheckFiles, 0, "the directory of the log cannot be read: %v", err)
	}
}
