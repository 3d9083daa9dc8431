// Package tree evaluates tree ensembles of XGBoost without XGBoost; package lightgbm below it
// does so for LightGBM. It reads the JSON and UBJSON files of versions 1 to 3, checks them,
// and sums the trees in single precision in the library's own order. What it does not know it
// refuses: it never answers a value that the library would not.
//
// The format is described in XGBoost's "Introduction to Model IO"
// (https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html).
package tree

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tree/flat"
)

// Format is how a model file is written.
type Format int

// The formats. Auto tells them apart by their first bytes.
const (
	Auto Format = iota
	JSON
	UBJSON
)

// Options say how to load a model.
type Options struct {
	Name   string // of the file, for error texts
	Format Format
	// Wrapper answers as the scikit-learn wrappers do: without the trees that were grown
	// after the best iteration of early stopping, and with the rounding that dart has where
	// it predicts in place. A plain Booster uses all trees.
	Wrapper bool
}

// Model is a loaded ensemble. It never changes, and may be used by many goroutines.
type Model struct {
	name       string
	objective  objective
	names      []string
	types      []string // of the features: "c" is a category
	attributes map[string]string
	features   int
	groups     int
	base       []float32 // margins, one a group
	groupOf    []uint32  // by tree: which margin it adds to

	forest       flat.Forest
	values       []float32 // of leaves, by their place
	vectorOf     []uint32  // of vector leaves, by their place: where the vector begins
	vectors      []float32 // one value a group
	vectorLeaves bool
	pool         sync.Pool // of *flat.Scratch
	linear       []float32 // of gblinear, which has no trees
	namesKept    bool      // the file has the names of categories
}

// Load reads a model file. It answers Invalid, with CodeLegacyModel for XGBoost's old
// binary format and CodeModelFormat for everything else that it cannot evaluate exactly.
func Load(b []byte, o Options) (*Model, error) {
	if o.Name == "" {
		o.Name = "model"
	}
	if len(b) > MaxBytes {
		return nil, modelError(o, fmt.Errorf("larger than %d bytes", MaxBytes))
	}
	d := decoder{}
	var end func() error
	switch detect(b, o.Format) {
	case JSON:
		s := newJSON(b)
		d.source, end = s, s.end
	case UBJSON:
		s := &ubjson{b: b}
		d.source, end = s, s.end
	default:
		return nil, unreadable(b, o)
	}
	if err := d.decode(); err != nil {
		return nil, modelError(o, err)
	}
	if err := end(); err != nil {
		return nil, modelError(o, err)
	}
	m, err := build(&d.doc, o.Wrapper)
	if err != nil {
		return nil, modelError(o, err)
	}
	return m, nil
}

// detect tells the formats apart: both begin with a brace, but a JSON object goes on with
// a quote or white space.
func detect(b []byte, f Format) Format {
	text := bytes.TrimLeft(b, " \t\r\n")
	if f != Auto || len(text) < 2 || text[0] != '{' {
		if len(text) == 0 || text[0] != '{' {
			return Auto
		}
		return f
	}
	if bytes.IndexByte([]byte("\" \t\r\n}"), text[1]) >= 0 {
		return JSON
	}
	return UBJSON
}

// plainChars need no quotes in a shell, nor in Python.
const plainChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/"

// unreadable is the error for a file in neither format.
func unreadable(b []byte, o Options) error {
	if !bytes.HasPrefix(b, []byte("binf")) {
		return modelError(o, errors.New("neither JSON nor UBJSON"))
	}
	file := o.Name
	if strings.IndexFunc(file, func(r rune) bool { return !strings.ContainsRune(plainChars, r) }) >= 0 {
		file = "model.xgb" // an odd name has no place in a command for a shell
	}
	return &slipway.Error{Code: slipway.CodeLegacyModel, Kind: slipway.Invalid, Field: o.Name,
		Message: "the model is in XGBoost's legacy binary format",
		Next:    fmt.Sprintf(`re-save it with an XGBoost before 3.1: python -c "import xgboost; b = xgboost.Booster(); b.load_model('%s'); b.save_model('model.ubj')"`, file)}
}

// unsupportedError is a feature of XGBoost that is read but not evaluated.
type unsupportedError string

func unsupported(feature string) error { return unsupportedError(feature) }

func (e unsupportedError) Error() string { return string(e) + " is not supported natively yet" }

func modelError(o Options, err error) error {
	e := &slipway.Error{Code: slipway.CodeModelFormat, Kind: slipway.Invalid, Field: o.Name, Message: err.Error(),
		Next: "save the model again with Booster.save_model('model.ubj') of an XGBoost from 1.7 to 3"}
	if _, ok := errors.AsType[unsupportedError](err); ok {
		e.Next = "serve it by a command of your own (model.command in platform.yaml)"
	}
	return e
}

// build makes a model of what a file says, or says why not.
func build(d *document, wrapper bool) (*Model, error) {
	m := &Model{name: d.objective, names: d.names, types: d.types, attributes: d.attributes}
	if err := m.readLearner(d); err != nil {
		return nil, err
	}
	if d.booster == "gblinear" {
		return m, m.readLinear(d)
	}
	return m, m.readTrees(d, wrapper)
}

func (m *Model) readTrees(d *document, wrapper bool) error {
	if n, err := d.forest.whole("num_trees", maxTrees); err != nil {
		return err
	} else if n != len(d.trees) || n != len(d.treeInfo) {
		return fmt.Errorf("num_trees is %d but there are %d trees and %d groups of trees", n, len(d.trees), len(d.treeInfo))
	}
	if n := len(d.segments); n > 0 {
		m.namesKept = d.segments[n-1] > 0
	}
	if len(d.trees) > 0 {
		size, err := d.trees[0].params.whole("size_leaf_vector", maxGroups)
		m.vectorLeaves = err == nil && size > 1
	}
	return m.grow(d, wrapper)
}

// readLearner takes everything but the trees.
func (m *Model) readLearner(d *document) error {
	if len(d.version) == 0 || d.version[0] < 1 || d.version[0] > 3 {
		return errors.New("version: not written by XGBoost 1, 2 or 3")
	}
	if !slices.Contains([]string{"gbtree", "dart", "gblinear"}, d.booster) {
		return unsupported(fmt.Sprintf("the booster %.40q", d.booster))
	}
	var known bool
	if m.objective, known = objectiveOf(d.objective); !known {
		return unsupported(fmt.Sprintf("the objective %.40q", d.objective))
	}
	var err error
	if m.features, err = d.learner.whole("num_feature", maxFeatures); err != nil {
		return err
	}
	for _, list := range [][]string{m.names, m.types} {
		if m.features == 0 || len(list) != 0 && len(list) != m.features {
			return fmt.Errorf("num_feature is %d but there are %d names and %d types", m.features, len(m.names), len(m.types))
		}
	}
	if err := m.readGroups(d); err != nil {
		return err
	}
	return m.readBase(d)
}

func (m *Model) readGroups(d *document) error {
	targets, err := d.learner.whole("num_target", maxGroups)
	if err != nil {
		return err
	}
	classes, err := d.learner.whole("num_class", maxGroups)
	if err != nil {
		return err
	}
	if classes > 1 && targets > 1 {
		return unsupported("a model of several classes and several targets")
	}
	m.groups = max(classes, targets, 1)
	multi := m.objective.out == softmax || m.objective.out == softprobs
	if multi != (classes > 1) {
		return fmt.Errorf("num_class is %d for %s", classes, m.name)
	}
	return nil
}

func (m *Model) readBase(d *document) error {
	scores, err := d.learner.vector("base_score")
	if err != nil {
		return err
	}
	if len(scores) != 1 && len(scores) != m.groups {
		return fmt.Errorf("base_score: %d numbers for %d groups", len(scores), m.groups)
	}
	if m.objective.base == logit && slices.Compare(d.version, []int32{3, 1}) >= 0 {
		for i := range scores {
			scores[i] = insideUnit(scores[i])
		}
	}
	m.base = make([]float32, m.groups)
	for i := range m.base {
		if m.base[i], err = m.objective.base.margin(scores[i%len(scores)]); err != nil {
			return err
		}
	}
	return nil
}

// best is how many trees end with the best iteration, if early stopping noted one. An
// iteration has num_parallel_tree trees for each group; files since XGBoost 2.0, and so all
// with vector leaves, say where each begins.
func (m *Model) best(d *document) (trees int, err error) {
	s, ok := d.attributes["best_iteration"]
	if !ok {
		return len(m.groupOf), nil
	}
	best, err := strconv.Atoi(s)
	if err != nil || best < 0 || best >= maxTrees {
		return 0, errors.New("attributes: best_iteration: no iteration")
	}
	keep := -1
	if len(d.indptr) == 0 {
		parallel, err := d.forest.whole("num_parallel_tree", maxTrees)
		if err != nil {
			return 0, err
		}
		keep = (best + 1) * max(parallel, 1) * m.groups
	} else if best+1 < len(d.indptr) {
		keep = int(d.indptr[best+1])
	}
	if keep < 0 || keep > len(m.groupOf) {
		return 0, errors.New("attributes: best_iteration: beyond the trees")
	}
	return keep, nil
}

// NumFeature is the number of values in a row.
func (m *Model) NumFeature() int { return m.features }

// FeatureNames are the names that the model was trained with, in the order of a row; none
// if it was trained without names.
func (m *Model) FeatureNames() []string { return slices.Clone(m.names) }

// Objective is the name of the objective, "binary:logistic".
func (m *Model) Objective() string { return m.name }

// Attribute is a remark in the file, such as best_iteration.
func (m *Model) Attribute(name string) (string, bool) {
	v, ok := m.attributes[name]
	return v, ok
}

// Groups is the number of margins of a row: classes, targets or quantiles.
func (m *Model) Groups() int { return m.groups }

// Width is the number of predictions of a row: Groups, but 1 for multi:softmax.
func (m *Model) Width() int {
	if m.objective.out == softmax {
		return 1
	}
	return m.groups
}

// Probabilistic says that Predict answers probabilities: of the second class, or of each.
func (m *Model) Probabilistic() bool {
	return m.objective.out == sigmoid || m.objective.out == softprobs
}

// NumTrees is the number of trees that are summed; a gblinear model has none.
func (m *Model) NumTrees() int { return len(m.groupOf) }

// Categorical says whether a feature is a category, given by its code.
func (m *Model) Categorical(feature int) bool {
	return feature < len(m.types) && m.types[feature] == "c"
}

// KeepsCategoryNames says that the file has the names of categories, by which XGBoost since
// 3.1 translates the categories of a data frame to codes.
func (m *Model) KeepsCategoryNames() bool { return m.namesKept }
