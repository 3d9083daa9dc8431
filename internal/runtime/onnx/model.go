// Package onnx answers batches with ONNX models, by ONNX Runtime. What it links to makes a program
// dynamic: it is for platform-onnx alone.
package onnx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/runtime/onnx/ort"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Model is a loaded model. It never changes, and may be used by many goroutines.
type Model struct {
	session *ort.Session
	feeds   []feed
	answers []answer
	single  bool // rows are given one by one
}

// Open loads the model of an unpacked directory, to be run by at most threads threads at
// once for each request.
func Open(l *ort.Library, dir string, threads int) (*Model, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	saved, err := mlmodel.OpenONNX(root.FS())
	if err != nil {
		return nil, err
	}
	schema, err := saved.Schema(nil)
	if err != nil {
		return nil, err
	}
	feeds, err := saved.Feeds()
	if err != nil {
		return nil, err
	}
	m := &Model{}
	if m.session, err = l.Load(filepath.Join(dir, filepath.FromSlash(saved.ONNX.Data)), threads); err != nil {
		return nil, fmt.Errorf("ONNX Runtime %s does not load it: %w", l.Version, err)
	}
	err = m.inputs(feeds, schema.Inputs)
	if err == nil {
		err = m.outputs(saved, schema.Outputs)
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// inputs brings the feeds into the order of the session.
func (m *Model) inputs(feeds []mlmodel.Feed, fields []tensor.Field) error {
	for _, name := range m.session.Inputs {
		at := slices.IndexFunc(feeds, func(f mlmodel.Feed) bool { return f.Input.Name == name })
		if at < 0 {
			return fmt.Errorf("the library finds an input %.80q that the file does not declare", name)
		}
		f, err := newFeed(feeds[at], fields)
		if err != nil {
			return err
		}
		m.feeds = append(m.feeds, f)
		m.single = m.single || f.whole || f.rows == 1
	}
	return nil
}

func (m *Model) outputs(saved *mlmodel.Model, fields []tensor.Field) error {
	for _, name := range m.session.Outputs {
		at := slices.IndexFunc(fields, func(f tensor.Field) bool { return f.Name == name })
		if at < 0 {
			return fmt.Errorf("the library finds an output %.80q that the file does not declare", name)
		}
		v := saved.ONNX.Graph.Outputs[at]
		m.answers = append(m.answers, answer{field: fields[at], whole: len(v.Shape) == 0 || v.Shape[0].Size > 1 && !m.fixed(v.Shape[0].Size)})
	}
	return nil
}

// fixed says whether the model takes just that many rows.
func (m *Model) fixed(rows int64) bool {
	return slices.ContainsFunc(m.feeds, func(f feed) bool { return int64(f.rows) == rows })
}

// Close frees the model; nobody may use it any more.
func (m *Model) Close() { m.session.Close() }

// Ready answers nil: what is loaded can answer.
func (m *Model) Ready(context.Context) error { return nil }

// Predict runs the model over all rows at once, or row by row if it takes one at a time.
func (m *Model) Predict(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
	n := in.Rows()
	if !m.single || n == 1 {
		return m.run(ctx, in)
	}
	parts := make([]*tensor.Batch, n)
	for i := range parts {
		var err error
		if parts[i], err = m.run(ctx, in.Slice(i, i+1)); err != nil {
			return nil, err
		}
	}
	return join(parts)
}

// join puts answers for one row each together.
func join(parts []*tensor.Batch) (*tensor.Batch, error) {
	out := &tensor.Batch{Tensors: make([]tensor.Tensor, len(parts[0].Tensors))}
	for i, first := range parts[0].Tensors {
		t := tensor.Tensor{Name: first.Name, Type: first.Type, Shape: slices.Clone(first.Shape)}
		t.Shape[0] = len(parts)
		for _, p := range parts {
			if !slices.Equal(p.Tensors[i].Shape[1:], t.Shape[1:]) {
				return nil, misfit("send one row in a request", "the model answers each row with another shape of %s", first.Name)
			}
			t.Data, t.Strings = append(t.Data, p.Tensors[i].Data...), append(t.Strings, p.Tensors[i].Strings...)
		}
		out.Tensors[i] = t
	}
	return out, nil
}

// run runs the model once.
func (m *Model) run(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
	values := make([]ort.Value, len(m.feeds))
	for i := range m.feeds {
		var err error
		if values[i], err = m.feeds[i].value(in); err != nil {
			return nil, err
		}
	}
	got, err := m.session.Run(ctx, values)
	if err != nil {
		return nil, failed(err)
	}
	out := &tensor.Batch{Tensors: make([]tensor.Tensor, len(got))}
	for i := range got {
		if out.Tensors[i], err = m.answers[i].tensor(&got[i], in.Rows()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// failed makes an error that may be seen of the library's. What it says about an operator's
// input may quote it, and comes last.
func failed(err error) error {
	var e *ort.Error
	if !errors.As(err, &e) {
		return err
	}
	text, _, _ := strings.Cut(e.Text, "Status Message:")
	if strings.Contains(text, "Got invalid dimensions") || strings.Contains(text, "Invalid rank") || strings.Contains(text, "Invalid input shape") {
		text, _, _ = strings.Cut(text, "Please fix")
		return misfit("see the endpoint's metadata for the shapes", "does not have the shape that the model takes: %s", slipway.OneLine(strings.Join(strings.Fields(text), " "), 300))
	}
	return errors.New(slipway.OneLine(strings.Join(strings.Fields(text), " "), 300))
}

func misfit(next, format string, args ...any) error {
	return slipway.Errorf(slipway.Unprocessable, slipway.CodeSchema, next, format, args...)
}
