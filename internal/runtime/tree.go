package runtime

import (
	"context"
	"os"
	"sync"

	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// forest answers with a tree ensemble that is evaluated in this process.
type forest struct {
	trees   *mlmodel.Predictor
	inputs  []tensor.Field
	outputs []tensor.Field
	pool    sync.Pool // of *forestRun
}

// forestRun is the memory of one prediction.
type forestRun struct {
	rows   []float32
	result mlmodel.Result
}

func loadTree(cfg Config) (*forest, error) {
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	m, p, err := mlmodel.OpenTree(root.FS())
	if err != nil {
		return nil, err
	}
	s, err := m.Schema(p)
	if err != nil {
		return nil, err
	}
	return &forest{trees: p, inputs: s.Inputs, outputs: s.Outputs, pool: sync.Pool{New: func() any { return new(forestRun) }}}, nil
}

// Ready answers nil: what is loaded can answer.
func (f *forest) Ready(context.Context) error { return nil }

// Predict evaluates every row.
func (f *forest) Predict(_ context.Context, in *tensor.Batch) (*tensor.Batch, error) {
	run := f.pool.Get().(*forestRun)
	defer f.pool.Put(run)
	var err error
	if run.rows, err = tensor.Float32Rows(in, f.inputs, run.rows[:0]); err != nil {
		return nil, err
	}
	n := in.Rows()
	if err := f.trees.Predict(run.rows, n, &run.result); err != nil {
		return nil, err
	}
	out := &tensor.Batch{Tensors: make([]tensor.Tensor, len(f.outputs))}
	for i, o := range f.outputs {
		values, shape := run.result.Values, append([]int{n}, o.Shape...)
		switch {
		case o.Name == mlmodel.OutputProbability:
			values = run.result.Probability
		case o.Type == tensor.Int64:
			out.Tensors[i] = tensor.NewInt64(o.Name, shape, run.result.Labels)
			continue
		}
		out.Tensors[i] = tensor.NewFloat32(o.Name, shape, values)
	}
	return out, nil
}
