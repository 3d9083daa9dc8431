package mlmodel

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/tree"
)

// xgboost answers what predict of one of XGBoost's classes answers.
type xgboost struct {
	trees   *tree.Model
	wrapper bool      // a class of the scikit-learn interface, not a Booster
	labels  bool      // predict gives class labels, not values
	several bool      // one label for each value of a row, not one for the row
	missing float32   // a number that stands for a missing value; NaN if none does
	pool    sync.Pool // of *singles
}

// singles is the memory of one prediction.
type singles struct {
	rows, values []float32
	labels       []int64
}

// openXGBoost loads a model file as the given class of the library: scikit-learn wrappers
// stop at the best iteration, and classifiers among them answer labels.
func openXGBoost(class, name string, b []byte) (*xgboost, error) {
	wrapper, labels := true, false
	switch class {
	case "xgboost.core.Booster", "": // MLflow before 1.22 names no class
		wrapper = false
	case "xgboost.sklearn.XGBRegressor", "xgboost.sklearn.XGBRFRegressor", "xgboost.sklearn.XGBRanker":
	case "xgboost.sklearn.XGBClassifier", "xgboost.sklearn.XGBRFClassifier":
		labels = true
	default:
		return nil, dirError(FileName+":flavors.xgboost.model_class", byCommand, "the class %.80q is not supported natively yet", class)
	}
	t, err := tree.Load(b, tree.Options{Name: name, Wrapper: wrapper})
	if err != nil {
		return nil, err
	}
	x := &xgboost{trees: t, wrapper: wrapper, labels: labels, missing: float32(math.NaN()), pool: sync.Pool{New: func() any { return new(singles) }}}
	// The library takes two columns of multi:softprob for independent labels, too.
	x.several = labels && t.Width() > 1 && (t.Width() == 2 || t.Objective() != "multi:softprob")
	if remark, ok := t.Attribute("scikit_learn"); wrapper && ok {
		if feature := wrapperFeature(remark); feature != "" {
			return nil, fileFeature(name, feature)
		}
		if number := missingValue.FindStringSubmatch(remark); number != nil {
			v, err := strconv.ParseFloat(number[1], 32)
			if err != nil {
				return nil, fileFeature(name, "the value that stands for missing ones (missing=)")
			}
			x.missing = float32(v)
		}
	}
	return x, nil
}

// Wrappers before XGBoost 2 leave their parameters in the file, and take them up again.
var (
	missingValue = regexp.MustCompile(`"missing":\s*(-?[0-9][0-9.eE+-]*)`)
	labelEncoder = regexp.MustCompile(`"_le":\s*\{`)
	dartBooster  = regexp.MustCompile(`"booster":\s*"dart"`)
	predictor    = regexp.MustCompile(`"predictor":\s*"(cpu|gpu)_predictor"`)
)

// wrapperFeature names a parameter of a wrapper that changes what predict means.
func wrapperFeature(remark string) string {
	switch {
	case labelEncoder.MatchString(remark):
		return "the label encoder of XGBoost 1.5 and before"
	case dartBooster.MatchString(remark) && predictor.MatchString(remark):
		return "dart with a predictor of one's choice (predictor=)"
	default:
		return ""
	}
}

func fileFeature(name, feature string) error {
	e := slipway.Errorf(slipway.Invalid, slipway.CodeModelFormat, byCommand, "%s is not supported natively yet", feature)
	e.Field = name
	return e
}

func (x *xgboost) features() int { return x.trees.NumFeature() }

// checkColumns holds the columns of a signature: of the same names in the same order as the
// model's features, if it has names.
func (x *xgboost) checkColumns(columns []Field) error {
	if x.wrapper && x.trees.KeepsCategoryNames() {
		return dirError(inputsField, "train on the codes of the categories (feature_types) and save again, or save the Booster, which takes codes",
			"columns come as numbers or texts, and the library's wrapper of a model with names of categories takes only a data frame of categories")
	}
	names := x.trees.FeatureNames()
	for i, f := range columns {
		place := fmt.Sprintf("%s[%d]", inputsField, i)
		if !numeric(f.Type) && x.trees.Categorical(i) {
			return dirError(place, "give the category by its code: save the model with a signature of numbers", "the type %s is no feature of a tree natively yet", f.Type)
		}
		if len(names) > 0 && names[i] != f.Name {
			return dirError(place, "save the model with a signature inferred from its training data", "the model has another feature at this place")
		}
	}
	return nil
}

// outputs are labels of a classifier and their probability, or values: long and float.
func (x *xgboost) outputs() []Field {
	values := Field{Name: OutputPredict, Type: "float", Shape: []int64{-1}, Required: true}
	if w := x.trees.Width(); w > 1 {
		values.Shape = append(values.Shape, int64(w))
	}
	if !x.labels {
		return []Field{values}
	}
	out := []Field{{Name: OutputPredict, Type: "long", Shape: []int64{-1}, Required: true}}
	if x.several {
		out[0].Shape = slices.Clone(values.Shape)
	}
	if x.trees.Probabilistic() {
		values.Name = OutputProbability
		out = append(out, values)
	}
	return out
}

func (x *xgboost) predict(in *tensor.Batch, inputs []tensor.Field) ([]tensor.Tensor, error) {
	s := x.pool.Get().(*singles)
	defer x.pool.Put(s)
	var err error
	if s.rows, err = tensor.Rows(in, inputs, s.rows[:0]); err != nil {
		return nil, err
	}
	for i, v := range s.rows {
		if v == x.missing {
			s.rows[i] = float32(math.NaN())
		}
	}
	n := in.Rows()
	s.values = slices.Grow(s.values[:0], n*x.trees.Groups())[:n*x.trees.Groups()]
	values, err := x.trees.Predict(s.rows, n, s.values)
	if err != nil {
		return nil, err
	}
	shape := func(width int) []int {
		if width > 1 {
			return []int{n, width}
		}
		return []int{n}
	}
	width := x.trees.Width()
	if !x.labels {
		return []tensor.Tensor{tensor.NewFloat32(OutputPredict, shape(width), values)}, nil
	}
	each := width // values of one label
	if x.several {
		each = 1
	}
	s.labels = s.labels[:0]
	for v := values; len(v) > 0; v = v[each:] {
		s.labels = append(s.labels, x.label(v[:each]))
	}
	out := []tensor.Tensor{tensor.NewInt64(OutputPredict, shape(width/each), s.labels)}
	if x.trees.Probabilistic() {
		out = append(out, tensor.NewFloat32(OutputProbability, shape(width), values))
	}
	return out, nil
}

// label is the class that the library's classifier answers for one row: the class of the
// first of the largest probabilities; of a single value that is no class itself, whether it
// is above one half.
func (x *xgboost) label(v []float32) int64 {
	switch {
	case len(v) > 1:
		best := 0
		for i, x := range v {
			if x > v[best] {
				best = i
			}
		}
		return int64(best)
	case x.trees.Objective() == "multi:softmax":
		return int64(v[0])
	case v[0] > 0.5:
		return 1
	default:
		return 0
	}
}
