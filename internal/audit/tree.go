package audit

import (
	"bytes"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

var factory = compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// LeafHash is the hash of a leaf in the tree (RFC 6962 §2.1).
func LeafHash(leaf []byte) []byte { return rfc6962.DefaultHasher.HashLeaf(leaf) }

// Tree is a Merkle tree of which only the right edge is kept. The zero value is empty.
type Tree struct{ edge *compact.Range }

// NewTree makes a tree of a size from the roots of its complete subtrees, from left to
// right; Hashes gives them.
func NewTree(size uint64, hashes [][]byte) (*Tree, error) {
	edge, err := factory.NewRange(0, size, hashes)
	return &Tree{edge}, err
}

// Size is how many leaves the tree has.
func (t *Tree) Size() uint64 {
	if t.edge == nil {
		return 0
	}
	return t.edge.End()
}

// Append adds the hash of a leaf. Visit, unless it is nil, is called for each complete
// node that comes into being, leaves too.
func (t *Tree) Append(hash []byte, visit compact.VisitFn) error {
	if t.edge == nil {
		t.edge = factory.NewEmptyRange(0)
	}
	return t.edge.Append(hash, visit)
}

// Root is the hash of the whole tree.
func (t *Tree) Root() []byte {
	if t.Size() == 0 {
		return rfc6962.DefaultHasher.EmptyRoot()
	}
	root, err := t.edge.GetRootHash(nil)
	if err != nil {
		return nil // a range that begins at 0 has a root
	}
	return root
}

// Hashes are the roots of the complete subtrees, from left to right.
func (t *Tree) Hashes() [][]byte {
	if t.edge == nil {
		return nil
	}
	return t.edge.Hashes()
}

// Clone is a tree that grows by itself.
func (t *Tree) Clone() *Tree {
	if t.edge == nil {
		return &Tree{}
	}
	c, err := NewTree(t.Size(), append([][]byte{}, t.Hashes()...))
	if err != nil {
		return &Tree{} // it was a tree a moment ago
	}
	return c
}

// RootOver is the root of a tree of a size whose leaves up to t.Size() are in t, and whose
// others are in the complete subtrees right of it, from left to right.
func (t *Tree) RootOver(size uint64, right [][]byte) ([]byte, error) {
	if size < t.Size() {
		return nil, fmt.Errorf("a tree of %d leaves has none at %d", size, t.Size())
	}
	if size == t.Size() {
		if len(right) > 0 {
			return nil, fmt.Errorf("there is nothing right of leaf %d", size)
		}
		return t.Root(), nil
	}
	whole := t.Clone()
	if whole.edge == nil {
		whole.edge = factory.NewEmptyRange(0)
	}
	rest, err := factory.NewRange(t.Size(), size, right)
	if err == nil {
		err = whole.edge.AppendRange(rest, nil)
	}
	if err != nil {
		return nil, err
	}
	return whole.Root(), nil
}

// Included says whether a leaf is at an index of the tree that a checkpoint is of.
func Included(leaf []byte, index uint64, hashes [][]byte, c Checkpoint) error {
	return proof.VerifyInclusion(rfc6962.DefaultHasher, index, c.Size, LeafHash(leaf), hashes, c.Root)
}

// Consistent says whether the tree of a checkpoint grew into that of another.
func Consistent(from, to Checkpoint, hashes [][]byte) error {
	if from.Size > to.Size {
		return fmt.Errorf("it has %d events, and the later one %d", from.Size, to.Size)
	}
	if from.Size == 0 {
		if !bytes.Equal(from.Root, rfc6962.DefaultHasher.EmptyRoot()) {
			return fmt.Errorf("it has no events, and the root of some")
		}
		return nil
	}
	return proof.VerifyConsistency(rfc6962.DefaultHasher, from.Size, to.Size, hashes, from.Root, to.Root)
}
