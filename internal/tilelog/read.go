package tilelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"

	"github.com/slipway-ml/slipway"
)

// read finds a file in the log's directory, or where it was moved.
func (l *Log) read(path string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(l.dir, path))
	for _, dir := range *l.cold.Load() {
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		b, err = os.ReadFile(filepath.Join(dir, path))
	}
	return b, err
}

// either reads a resource of which a part is wanted. The part may have become larger
// meanwhile, or whole: then the smaller one is gone.
func (l *Log) either(level, index uint64, partial uint8, path func(partial uint8) string) (b []byte, err error) {
	for range 3 {
		for _, p := range []uint8{partial, layout.PartialTileSize(level, index, l.Size()), 0} {
			if b, err = l.read(path(p)); !errors.Is(err, fs.ErrNotExist) {
				return b, err
			}
		}
	}
	return b, err
}

func (l *Log) tile(_ context.Context, level, index uint64, partial uint8) ([]byte, error) {
	b, err := l.either(level, index, partial, func(p uint8) string { return layout.TilePath(level, index, p) })
	if want := width(partial) * rfc6962.DefaultHasher.Size(); err == nil && len(b) > want {
		b = b[:want]
	}
	return b, err
}

func width(partial uint8) int {
	if partial == 0 {
		return layout.TileWidth
	}
	return int(partial)
}

// bundle gives the leaves of a bundle in a tree of a size.
func (l *Log) bundle(index, size uint64) ([][]byte, error) {
	partial := layout.PartialTileSize(0, index, size)
	b, err := l.either(0, index, partial, func(p uint8) string { return layout.EntriesPath(index, p) })
	if err != nil {
		return nil, cannotRead(index, err)
	}
	var entries api.EntryBundle
	if err := entries.UnmarshalText(b); err != nil || len(entries.Entries) < width(partial) {
		return nil, damaged(fmt.Sprintf("the events from %d on cannot be read", index*layout.EntryBundleWidth+1), err)
	}
	return entries.Entries[:width(partial)], nil
}

func cannotRead(index uint64, err error) error {
	first := index*layout.EntryBundleWidth + 1
	if errors.Is(err, fs.ErrNotExist) {
		return slipway.Errorf(slipway.NotFound, slipway.CodeAuditDamaged, "if they were moved away, bring their directory back; else: platform audit verify",
			"the events %d to %d are not in the audit log", first, first+layout.EntryBundleWidth-1)
	}
	return damaged(fmt.Sprintf("the events from %d on cannot be read", first), err)
}

// Leaf gives one leaf.
func (l *Log) Leaf(index uint64) ([]byte, error) {
	size := l.Size()
	if index >= size {
		return nil, fmt.Errorf("leaf %d of %d", index, size)
	}
	entries, err := l.bundle(index/layout.EntryBundleWidth, size)
	if err != nil {
		return nil, err
	}
	return entries[index%layout.EntryBundleWidth], nil
}

// Leaves gives those from first to before end, which is at most Size, until yield fails.
func (l *Log) Leaves(ctx context.Context, first, end uint64, yield func(leaf []byte) error) error {
	for at, size := first, l.Size(); at < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := l.bundle(at/layout.EntryBundleWidth, size)
		if err != nil {
			return err
		}
		for _, leaf := range entries[at%layout.EntryBundleWidth:] {
			if at == end {
				return nil
			}
			if err := yield(leaf); err != nil {
				return err
			}
			at++
		}
	}
	return nil
}

// Inclusion proves that a leaf is in the tree of a size.
func (l *Log) Inclusion(ctx context.Context, index, size uint64) ([][]byte, error) {
	b, err := client.NewProofBuilder(ctx, size, l.tile)
	if err != nil {
		return nil, err
	}
	return b.InclusionProof(ctx, index)
}

// Consistency proves that the tree of one size grew into that of another.
func (l *Log) Consistency(ctx context.Context, from, to uint64) ([][]byte, error) {
	if from == 0 || from == to {
		return nil, nil
	}
	b, err := client.NewProofBuilder(ctx, to, l.tile)
	if err != nil {
		return nil, err
	}
	return b.ConsistencyProof(ctx, from, to)
}

// Subtrees gives the roots of the complete subtrees that the leaves from begin to before
// end are in, of a tree of a size, from left to right.
func (l *Log) Subtrees(ctx context.Context, begin, end, size uint64) ([][]byte, error) {
	var out [][]byte
	for _, id := range compact.RangeNodes(begin, end, nil) {
		level, index, inner, at := layout.NodeCoordsToTileAddress(uint64(id.Level), id.Index)
		b, err := l.tile(ctx, level, index, layout.PartialTileSize(level, index, size))
		if err != nil {
			return nil, err
		}
		var tile api.HashTile
		if err := tile.UnmarshalText(b); err != nil {
			return nil, err
		}
		first, last := at<<inner, (at+1)<<inner
		if last > uint64(len(tile.Nodes)) {
			return nil, fmt.Errorf("tile %d of level %d has %d hashes", index, level, len(tile.Nodes))
		}
		r := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
		for _, h := range tile.Nodes[first:last] {
			if err := r.Append(h, nil); err != nil {
				return nil, err
			}
		}
		root, err := r.GetRootHash(nil)
		if err != nil {
			return nil, err
		}
		out = append(out, root)
	}
	return out, nil
}
