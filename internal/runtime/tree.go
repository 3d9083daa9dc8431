package runtime

import (
	"context"
	"os"

	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// forest answers with a tree ensemble that is evaluated in this process.
type forest struct{ trees *mlmodel.Predictor }

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
	if _, err := m.Schema(p); err != nil {
		return nil, err
	}
	return &forest{p}, nil
}

// Ready answers nil: what is loaded can answer.
func (f *forest) Ready(context.Context) error { return nil }

// Predict evaluates every row.
func (f *forest) Predict(_ context.Context, in *tensor.Batch) (*tensor.Batch, error) {
	return f.trees.Predict(in)
}
