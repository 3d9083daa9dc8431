package mlmodel

import (
	"fmt"
	"io/fs"
	"slices"

	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/tree"
)

// Names of the outputs of a Predictor.
const (
	OutputPredict     = "predict"
	OutputProbability = "probability"
)

const (
	byCommand   = "serve it by a command of your own (model.command in platform.yaml)"
	inputsField = FileName + ":signature.inputs"
)

// ensemble is a loaded model of one of the libraries.
type ensemble interface {
	features() int
	outputs() []Field
	// checkColumns holds a signature of as many columns as there are features.
	checkColumns(columns []Field) error
	// predict answers the outputs for a batch of the given inputs.
	predict(in *tensor.Batch, inputs []tensor.Field) ([]tensor.Tensor, error)
}

// Predictor answers what MLflow's predict answers for a tree ensemble, of XGBoost or of
// LightGBM. It never changes, and may be used by many goroutines.
type Predictor struct {
	trees  ensemble
	inputs []tensor.Field
}

// OpenTree reads a model directory and loads its tree ensemble. It answers Invalid, with a
// code of the model directory or file, for what cannot be evaluated exactly.
func OpenTree(dir fs.FS) (*Model, *Predictor, error) {
	m, err := Read(dir)
	if err != nil {
		return nil, nil, err
	}
	var trees ensemble
	switch {
	case m.XGBoost != nil:
		trees, err = open(dir, m.XGBoost.ModelClass, m.XGBoost.Data, openXGBoost)
	case m.LightGBM != nil:
		trees, err = open(dir, m.LightGBM.ModelClass, m.LightGBM.Data, openLightGBM)
	default:
		err = dirError(FileName+":flavors", byCommand, "none of the flavors %.200q is evaluated natively", m.Flavors)
	}
	if err != nil {
		return nil, nil, err
	}
	p := &Predictor{trees: trees}
	if m.Signature == nil {
		return m, p, nil
	}
	p.inputs = tensorFields(m.Signature.Inputs, unnamedInput)
	return m, p, p.checkInputs(m.Signature.Inputs)
}

// open loads the model file of a directory.
func open[E ensemble](dir fs.FS, class, name string, load func(class, name string, b []byte) (E, error)) (ensemble, error) {
	b, err := readFile(dir, name, tree.MaxBytes)
	if err != nil {
		return nil, err
	}
	return load(class, name, b)
}

// checkInputs holds the inputs of a signature against the features of the trees: as many
// numeric columns, or one tensor of as many.
func (p *Predictor) checkInputs(inputs []Field) error {
	n := p.NumFeature()
	if len(inputs) == 1 && inputs[0].Type == "tensor" {
		shape := inputs[0].Shape
		if len(shape) != 2 || shape[1] != -1 && shape[1] != int64(n) || !numeric(inputs[0].DType) {
			return dirError(inputsField, saveAgain, "not a numeric tensor of rows of %d features", n)
		}
		if b, ok := p.trees.(*booster); ok {
			b.checkTensor(inputs[0])
		}
		return nil
	}
	if len(inputs) != n {
		return dirError(inputsField, saveAgain, "%d inputs, but the model has %d features", len(inputs), n)
	}
	if err := p.trees.checkColumns(inputs); err != nil {
		return err
	}
	for i, f := range inputs {
		if !numeric(f.Type) {
			return dirError(fmt.Sprintf("%s[%d]", inputsField, i), byCommand, "the type %s is no feature of a tree natively yet", f.Type)
		}
	}
	return nil
}

// numeric says whether values of a column type or dtype are numbers, as trees need them.
func numeric(name string) bool {
	return name != "object" && name != "str" && name != "bytes" && slices.Contains(dtypes(), name) ||
		slices.Contains([]string{"boolean", "integer", "long", "float", "double"}, name)
}

// NumFeature is the number of values in a row.
func (p *Predictor) NumFeature() int { return p.trees.features() }

// Outputs are the outputs that Predict gives, predict first. Shape is [-1], or [-1, k] for
// k values a row. Types are float for XGBoost, double for LightGBM and long for labels.
func (p *Predictor) Outputs() []Field { return p.trees.outputs() }

// Predict answers a batch of the signature's inputs, NaN being a missing value, with the
// outputs. It answers Unprocessable for what the library refuses: with XGBoost an infinite
// value.
func (p *Predictor) Predict(in *tensor.Batch) (*tensor.Batch, error) {
	out, err := p.trees.predict(in, p.inputs)
	if err != nil {
		return nil, err
	}
	return &tensor.Batch{Tensors: out}, nil
}
