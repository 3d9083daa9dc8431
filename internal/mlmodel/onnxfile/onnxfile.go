// Package onnxfile reads of an ONNX model what it takes and gives, and which files it needs
// beside it, and keeps nothing else of it: weights are passed over, however large they are.
// The format is that of onnx.proto3 (https://github.com/onnx/onnx/blob/main/docs/IR.md).
package onnxfile

import (
	"errors"
	"fmt"
	"io"

	"github.com/slipway-ml/slipway/internal/tensor"
)

// Bounds of a model file.
const (
	MaxBytes    = 2<<30 - 1 // of a message of protocol buffers
	maxDepth    = 64        // of messages, and so of graphs within graphs
	maxName     = 4 << 10   // bytes of a name
	maxValues   = 1 << 14   // inputs, and outputs
	maxDims     = 8
	maxKept     = 32 << 20 // bytes of names that are kept while a file is read
	maxExternal = 1 << 16
)

// Errors of files that cannot be read. What they wrap says where.
var (
	ErrFormat = errors.New("is no ONNX model")
	ErrLimit  = errors.New("is beyond what is read of an ONNX model")
)

// Graph is what an ONNX model says of itself.
type Graph struct {
	Inputs   []Value // those that must be given
	Outputs  []Value
	External []string // files of weights, as the model names them: unchecked
}

// Value is an input or an output.
type Value struct {
	Name   string
	Type   tensor.Type // of its elements; Invalid if no batch can carry it
	Spelt  string      // the type as ONNX names it, "tensor(float)"
	Shape  []Dim
	Ranked bool // Shape is known; it is empty for a single value
	ZipMap bool // one map from a class to a number for each row, in a sequence
}

// Dim is one dimension: its size, -1 if that differs, and then perhaps a name, which stands
// for the same size everywhere.
type Dim struct {
	Size int64
	Name string
}

// Read reads a model of at most MaxBytes to its end. It answers ErrFormat or ErrLimit, or the
// reader's own error.
func Read(r io.Reader) (*Graph, error) {
	p := newParser(r)
	g := &Graph{}
	c := &collector{p: p, g: g}
	if err := p.fields(-1, 0, func(f field) error { return c.walk(model, f, 0) }); err != nil {
		return nil, err
	}
	if !c.graph {
		return nil, fmt.Errorf("%w: it has no graph", ErrFormat)
	}
	// Weights of old files are listed as inputs, too.
	kept := g.Inputs[:0]
	for _, in := range g.Inputs {
		if !c.weights[in.Name] {
			kept = append(kept, in)
		}
	}
	g.Inputs = kept
	return g, nil
}
