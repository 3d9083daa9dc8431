package mlmodel

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tree"
)

// Names of the outputs of a Predictor.
const (
	OutputPredict     = "predict"
	OutputProbability = "probability"
)

const byCommand = "serve it by a command of your own (model.command in platform.yaml)"

// Predictor answers what MLflow's predict answers for a tree ensemble. It never changes,
// and may be used by many goroutines.
type Predictor struct {
	trees   *tree.Model
	wrapper bool // a class of the scikit-learn interface, not a Booster
	labels  bool // predict gives class labels, not values
	several bool // one label for each value of a row, not one for the row
}

// Result is the answer for a batch. Its slices are used again by the next Predict.
type Result struct {
	Labels      []int64   // of a classifier: predict, one a row, or one for each of its targets
	Values      []float32 // of others: predict, Width a row
	Probability []float32 // where the outputs name it: of class 1, or of each class
	scratch     []float32
}

// OpenTree reads a model directory and loads its tree ensemble. It answers Invalid, with a
// code of the model directory or file, for what cannot be evaluated exactly.
func OpenTree(dir fs.FS) (*Model, *Predictor, error) {
	m, err := Read(dir)
	if err != nil {
		return nil, nil, err
	}
	if m.XGBoost == nil {
		return nil, nil, dirError(FileName+":flavors", byCommand, "none of the flavors %.200q is evaluated natively", m.Flavors)
	}
	b, err := readFile(dir, m.XGBoost.Data, tree.MaxBytes)
	if err != nil {
		return nil, nil, err
	}
	p, err := NewPredictor(m.XGBoost.ModelClass, m.XGBoost.Data, b)
	if err != nil {
		return nil, nil, err
	}
	if m.Signature != nil {
		if err := p.checkInputs(m.Signature.Inputs); err != nil {
			return nil, nil, err
		}
	}
	return m, p, nil
}

// NewPredictor loads a model file as the given class of the library: scikit-learn wrappers
// stop at the best iteration, and classifiers among them answer labels.
func NewPredictor(class, name string, b []byte) (*Predictor, error) {
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
	p := &Predictor{trees: t, wrapper: wrapper, labels: labels}
	// The library takes two columns of multi:softprob for independent labels, too.
	p.several = labels && t.Width() > 1 && (t.Width() == 2 || t.Objective() != "multi:softprob")
	if remark, ok := t.Attribute("scikit_learn"); wrapper && ok {
		if feature := wrapperFeature(remark); feature != "" {
			return nil, fileFeature(name, feature)
		}
	}
	return p, nil
}

// Wrappers before XGBoost 2 leave their parameters in the file, and take them up again.
var (
	missingValue = regexp.MustCompile(`"missing":\s*-?[0-9]`)
	labelEncoder = regexp.MustCompile(`"_le":\s*\{`)
	dartBooster  = regexp.MustCompile(`"booster":\s*"dart"`)
	predictor    = regexp.MustCompile(`"predictor":\s*"(cpu|gpu)_predictor"`)
)

// wrapperFeature names a parameter of a wrapper that changes what predict means.
func wrapperFeature(remark string) string {
	switch {
	case missingValue.MatchString(remark):
		return "a number that stands for missing values (missing=)"
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

// checkInputs holds the inputs of a signature against the features of the trees: numeric
// columns of the same names in the same order, or one tensor of as many columns.
func (p *Predictor) checkInputs(inputs []Field) error {
	const field = FileName + ":signature.inputs"
	n := p.trees.NumFeature()
	if len(inputs) == 1 && inputs[0].Type == "tensor" {
		shape := inputs[0].Shape
		if len(shape) != 2 || shape[1] != -1 && shape[1] != int64(n) || !numeric(inputs[0].DType) {
			return dirError(field, saveAgain, "not a numeric tensor of rows of %d features", n)
		}
		return nil
	}
	if len(inputs) != n {
		return dirError(field, saveAgain, "%d inputs, but the model has %d features", len(inputs), n)
	}
	if p.wrapper && p.trees.KeepsCategoryNames() {
		return dirError(field, "train on the codes of the categories (feature_types) and save again, or save the Booster, which takes codes",
			"columns come as numbers or texts, and the library's wrapper of a model with names of categories takes only a data frame of categories")
	}
	names := p.trees.FeatureNames()
	for i, f := range inputs {
		place := fmt.Sprintf("%s[%d]", field, i)
		if !numeric(f.Type) {
			next := byCommand
			if p.trees.Categorical(i) {
				next = "give the category by its code: save the model with a signature of numbers"
			}
			return dirError(place, next, "the type %s is no feature of a tree natively yet", f.Type)
		}
		if len(names) > 0 && names[i] != f.Name {
			return dirError(place, "save the model with a signature inferred from its training data", "the model has another feature at this place")
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
func (p *Predictor) NumFeature() int { return p.trees.NumFeature() }

// Outputs are the outputs that Predict gives, predict first. Their types are long and
// float; Shape is [-1], or [-1, k] for k values a row.
func (p *Predictor) Outputs() []Field {
	values := Field{Name: OutputPredict, Type: "float", Shape: []int64{-1}, Required: true}
	if w := p.trees.Width(); w > 1 {
		values.Shape = append(values.Shape, int64(w))
	}
	if !p.labels {
		return []Field{values}
	}
	out := []Field{{Name: OutputPredict, Type: "long", Shape: []int64{-1}, Required: true}}
	if p.several {
		out[0].Shape = slices.Clone(values.Shape)
	}
	if p.trees.Probabilistic() {
		values.Name = OutputProbability
		out = append(out, values)
	}
	return out
}

// Predict answers nrows rows of NumFeature values, row-major, NaN for missing, into r. It
// allocates only when r is too small. Its errors are those of tree.Model.Predict.
func (p *Predictor) Predict(rows []float32, nrows int, r *Result) error {
	*r = Result{Labels: r.Labels[:0], scratch: r.scratch}
	need := max(nrows, 0) * p.trees.Groups()
	r.scratch = slices.Grow(r.scratch[:0], need)[:need]
	values, err := p.trees.Predict(rows, nrows, r.scratch)
	if err != nil {
		return err
	}
	if !p.labels {
		r.Values = values
		return nil
	}
	if p.trees.Probabilistic() {
		r.Probability = values
	}
	width := p.trees.Width()
	if p.several {
		nrows, width = nrows*width, 1
	}
	for i := range nrows {
		r.Labels = append(r.Labels, p.label(values[i*width:(i+1)*width]))
	}
	return nil
}

// label is the class that the library's classifier answers for one row: the class of the
// first of the largest probabilities; of a single value that is no class itself, whether it
// is above one half.
func (p *Predictor) label(v []float32) int64 {
	switch {
	case len(v) > 1:
		best := 0
		for i, x := range v {
			if x > v[best] {
				best = i
			}
		}
		return int64(best)
	case p.trees.Objective() == "multi:softmax":
		return int64(v[0])
	case v[0] > 0.5:
		return 1
	default:
		return 0
	}
}
