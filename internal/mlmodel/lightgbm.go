package mlmodel

import (
	"slices"
	"sync"

	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/tree/lightgbm"
)

// boosterClass is the class of LightGBM whose file is text.
const boosterClass = "lightgbm.basic.Booster"

// booster answers what predict of LightGBM's Booster answers.
type booster struct {
	trees  *lightgbm.Model
	singly bool      // values become singles before they are looked at
	pool   sync.Pool // of *doubles
}

// doubles is the memory of one prediction.
type doubles struct{ rows, values []float64 }

// Native says that the flavor's model is of a class whose file can be read.
func (l *LightGBM) Native() bool {
	return l.ModelClass == boosterClass || l.ModelClass == "" // MLflow before 1.23 names no class
}

func openLightGBM(class, name string, b []byte) (*booster, error) {
	if !(&LightGBM{ModelClass: class}).Native() {
		return nil, dirError(FileName+":flavors.lightgbm.model_class", "save the model's Booster (model.booster_)", "the class %.80q is an object of Python", class)
	}
	m, err := lightgbm.Load(b, name)
	if err != nil {
		return nil, err
	}
	return &booster{trees: m, pool: sync.Pool{New: func() any { return new(doubles) }}}, nil
}

func (b *booster) features() int { return b.trees.NumFeature() }

// checkColumns: the library goes by the order of the columns and never looks at their names.
// The model of a data frame with columns of categories takes such data frames only, which no
// request becomes.
func (b *booster) checkColumns([]Field) error {
	if b.trees.CategoryColumns() > 0 {
		return dirError(inputsField, "train on an array with the codes of the categories (categorical_feature=[...]), or save the model with a tensor as its signature",
			"columns come as numbers or texts, and the model takes only a data frame with columns of categories")
	}
	return nil
}

// checkTensor: the library makes singles of an array of anything but floats.
func (b *booster) checkTensor(f Field) {
	b.singly = f.DType != "float64" && f.DType != "float32"
}

// outputs are values: double.
func (b *booster) outputs() []Field {
	f := Field{Name: OutputPredict, Type: "double", Shape: []int64{-1}, Required: true}
	if w := b.trees.Width(); w > 1 {
		f.Shape = append(f.Shape, int64(w))
	}
	return []Field{f}
}

func (b *booster) predict(in *tensor.Batch, inputs []tensor.Field) ([]tensor.Tensor, error) {
	s := b.pool.Get().(*doubles)
	defer b.pool.Put(s)
	var err error
	if s.rows, err = tensor.Rows(in, inputs, s.rows[:0]); err != nil {
		return nil, err
	}
	if b.singly {
		for i, x := range s.rows {
			s.rows[i] = float64(float32(x))
		}
	}
	n, width := in.Rows(), b.trees.Width()
	s.values = slices.Grow(s.values[:0], n*width)[:n*width]
	if err := b.trees.Predict(s.rows, n, s.values); err != nil {
		return nil, err
	}
	shape := []int{n}
	if width > 1 {
		shape = append(shape, width)
	}
	return []tensor.Tensor{tensor.NewFloat64(OutputPredict, shape, s.values)}, nil
}
