package onnxfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway/internal/mlmodel/onnxfile"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Parts of a model, as protocol buffers write them.

func number(field int, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3), v)
}

func part(field int, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3|2), uint64(len(body))), body...)
}

func name(field int, s string) []byte { return part(field, []byte(s)) }

// value is an input (11) or output (12) of a graph; a dimension is a number or a name.
func value(field int, called string, kind uint64, dims ...any) []byte {
	var shape [][]byte
	for _, d := range dims {
		switch d := d.(type) {
		case int:
			shape = append(shape, part(1, number(1, uint64(d))))
		case string:
			shape = append(shape, part(1, name(2, d)))
		}
	}
	return part(field, name(1, called), part(2, part(1, number(1, kind), part(2, shape...))))
}

// weights are a tensor of a graph (5), which lie in a file unless that is empty.
func weights(field int, called, file string) []byte {
	t := [][]byte{number(2, 1), name(8, called), part(9, make([]byte, 100))}
	if file != "" {
		t = append(t, part(13, name(1, "location"), name(2, file)), part(13, name(1, "offset"), name(2, "0")), number(14, 1))
	}
	return part(field, t...)
}

// example has an old listing of weights among its inputs, weights in files at three places, a
// graph in a graph, and what ZipMap answers.
func example() []byte {
	inner := part(6, weights(5, "deep", "deep.bin"), value(11, "no input of the model", 1, 2))
	zipmap := part(12, name(1, "probabilities"), part(2, part(4, part(1, part(5, number(1, 7), part(2, part(1, number(1, 1))))))))
	graph := part(7,
		part(1, name(4, "If"), part(5, inner)),
		weights(5, "w", "w.bin"),
		part(15, weights(1, "sparse", ""), weights(2, "", "w.bin")),
		value(11, "x", 1, "batch", 4), value(11, "w", 1, 4, 2), value(11, "texts", 8, 1, ""), value(11, "single", 7),
		value(12, "y", 11, "batch", 2), zipmap, value(12, "odd", 14, 1))
	return bytes.Join([][]byte{number(1, 9), graph, part(8, number(2, 17)), part(25, part(7, part(5, weights(5, "f", "../out"))))}, nil)
}

func TestRead(t *testing.T) {
	got, err := onnxfile.Read(bytes.NewReader(example()))
	if err != nil {
		t.Fatal(err)
	}
	any2 := []onnxfile.Dim{{Size: -1}, {Size: -1}}
	want := &onnxfile.Graph{
		Inputs: []onnxfile.Value{
			{Name: "x", Type: tensor.FP32, Spelt: "tensor(float)", Ranked: true, Shape: []onnxfile.Dim{{Size: -1, Name: "batch"}, {Size: 4}}},
			{Name: "texts", Type: tensor.Bytes, Spelt: "tensor(string)", Ranked: true, Shape: []onnxfile.Dim{{Size: 1}, {Size: -1}}},
			{Name: "single", Type: tensor.Int64, Spelt: "tensor(int64)", Ranked: true},
		},
		Outputs: []onnxfile.Value{
			{Name: "y", Type: tensor.FP64, Spelt: "tensor(double)", Ranked: true, Shape: []onnxfile.Dim{{Size: -1, Name: "batch"}, {Size: 2}}},
			{Name: "probabilities", Type: tensor.FP32, Spelt: "a sequence of maps to numbers", Ranked: true, ZipMap: true, Shape: any2},
			{Name: "odd", Spelt: "tensor(complex64)", Ranked: true, Shape: []onnxfile.Dim{{Size: 1}}},
		},
		External: []string{"deep.bin", "w.bin", "../out"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadRefuses(t *testing.T) {
	deep := part(6, number(1, 0))
	for range 40 {
		deep = part(6, part(1, part(5, deep)))
	}
	many := bytes.Repeat(value(11, "x", 1), 1<<14+1)
	for what, c := range map[string]struct {
		file []byte
		want error
	}{
		"nothing":             {nil, onnxfile.ErrFormat},
		"text":                {[]byte("hello, world"), onnxfile.ErrFormat},
		"no graph":            {number(1, 9), onnxfile.ErrFormat},
		"two graphs":          {append(part(7), part(7)...), onnxfile.ErrFormat},
		"cut":                 {example()[:200], onnxfile.ErrFormat},
		"a length beyond":     {append(part(7), 0x3a, 0xff, 0xff, 0xff, 0x03), onnxfile.ErrFormat},
		"a length of 2^63":    {append(part(7), 0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), onnxfile.ErrFormat},
		"a number of 80 bits": {append(part(7), 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), onnxfile.ErrFormat},
		"a group":             {append(part(7), 0x0b), onnxfile.ErrFormat},
		"a tag of 33 bits":    {part(7, part(5, append([]byte{0xea, 0x80, 0x80, 0x80, 0x10}, 0))), onnxfile.ErrFormat},
		"a field 0":           {append(part(7), 0x02, 0), onnxfile.ErrFormat},
		"graphs in graphs":    {part(7, part(1, part(5, deep))), onnxfile.ErrLimit},
		"a long name":         {part(7, value(11, strings.Repeat("x", 5000), 1)), onnxfile.ErrLimit},
		"a name of bytes":     {part(7, value(11, "\xff", 1)), onnxfile.ErrFormat},
		"many inputs":         {part(7, many), onnxfile.ErrLimit},
		"nine dimensions":     {part(7, value(11, "x", 1, 1, 2, 3, 4, 5, 6, 7, 8, 9)), onnxfile.ErrLimit},
	} {
		if _, err := onnxfile.Read(bytes.NewReader(c.file)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(example())
	f.Add(example()[:300])
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := onnxfile.Read(bytes.NewReader(b))
		if err == nil && len(g.Inputs)+len(g.Outputs)+len(g.External) > len(b) {
			t.Error("more was read than is there")
		}
	})
}
