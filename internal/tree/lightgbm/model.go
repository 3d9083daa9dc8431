// Package lightgbm evaluates models of LightGBM without LightGBM. It reads the text files of
// a Booster, checks them, and sums the trees in double precision in the library's own order.
// What it does not know it refuses: it never answers a value that the library would not.
//
// The format has no description but its writer and reader, src/boosting/gbdt_model_text.cpp
// and src/io/tree.cpp of LightGBM (https://github.com/microsoft/LightGBM).
package lightgbm

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tree/flat"
)

// MaxBytes is the largest model file that is loaded.
const MaxBytes = 256 << 20

// Bounds of a model that is loaded. They are far above real models.
const (
	maxTrees    = 1 << 17
	maxNodes    = 1 << 24
	maxGroups   = 1 << 12
	maxFeatures = 1 << 20
	maxHeader   = 1 << 8
)

// tiny is how near to 0 a value is taken for 0 (kZeroThreshold in LightGBM's meta.h, a
// single there).
const tiny = float64(float32(1e-35))

// Model is a loaded ensemble. It never changes, and may be used by many goroutines.
type Model struct {
	objective  objective
	features   int
	groups     int // trees of an iteration, and values of a row
	average    bool
	categories int

	forest flat.Forest
	cuts   [][]float64 // by feature: the thresholds of its splits, ascending
	values []float64   // of leaves, by their place
	linear []bool      // by tree
	lines  []uint32    // of linear leaves, by their place: their index in models
	models []line
	terms  []term
	pool   sync.Pool // of *flat.Scratch
}

// Load reads a model file; name is for error texts. It answers Invalid with CodeModelFormat
// for what it cannot evaluate exactly.
func Load(b []byte, name string) (*Model, error) {
	if len(b) > MaxBytes {
		return nil, modelError(name, fmt.Errorf("larger than %d bytes", MaxBytes))
	}
	d, err := parse(b)
	if err != nil {
		return nil, modelError(name, err)
	}
	m, err := build(d)
	if err != nil {
		return nil, modelError(name, err)
	}
	return m, nil
}

// unsupportedError is a feature of LightGBM that is read but not evaluated.
type unsupportedError string

func unsupported(feature string) error { return unsupportedError(feature) }

func (e unsupportedError) Error() string { return string(e) + " is not supported natively yet" }

func modelError(name string, err error) error {
	e := &slipway.Error{Code: slipway.CodeModelFormat, Kind: slipway.Invalid, Field: name, Message: err.Error(),
		Next: "save the model again with Booster.save_model('model.txt') of LightGBM 4"}
	if _, ok := errors.AsType[unsupportedError](err); ok {
		e.Next = "serve it by a command of your own (model.command in platform.yaml)"
	}
	return e
}

// build makes a model of what a file says, or says why not.
func build(d *document) (*Model, error) {
	m := &Model{average: d.average, categories: d.categories}
	m.forest.Tiny, m.forest.NegativeFractions = tiny, true
	if err := m.readHeader(d); err != nil {
		return nil, err
	}
	if len(d.trees)%m.groups != 0 || m.average && len(d.trees) == 0 {
		return nil, fmt.Errorf("%d trees are not whole iterations of %d", len(d.trees), m.groups)
	}
	if err := m.readCuts(d); err != nil {
		return nil, err
	}
	for i := range d.trees {
		if err := m.plant(&d.trees[i]); err != nil {
			return nil, fmt.Errorf("tree %d: %w", i, err)
		}
		d.trees[i] = rawTree{}
	}
	m.forest.Done()
	m.pool.New = func() any { return m.forest.Scratch() }
	return m, m.checkTerms()
}

// words counts the words of a text.
func words(text string) (n int) {
	for range strings.FieldsSeq(text) {
		n++
	}
	return n
}

func (m *Model) readHeader(d *document) error {
	if v := d.header["version"]; v != "v4" && v != "v3" {
		return unsupported(fmt.Sprintf("the version %.40q of the file", v))
	}
	last, err := d.whole("max_feature_idx", 0, maxFeatures-1)
	if err != nil {
		return err
	}
	m.features = last + 1
	if names := words(d.header["feature_names"]); names != m.features {
		return fmt.Errorf("feature_names: %d for %d features", names, m.features)
	}
	classes, err := d.whole("num_class", 1, maxGroups)
	if err != nil {
		return err
	}
	if m.groups, err = d.whole("num_tree_per_iteration", 1, maxGroups); err != nil {
		return err
	}
	if m.objective, err = objectiveOf(d.header["objective"]); err != nil {
		return err
	}
	if classes != m.groups {
		return fmt.Errorf("num_class is %d, num_tree_per_iteration %d", classes, m.groups)
	}
	return nil
}

// NumFeature is the number of values in a row.
func (m *Model) NumFeature() int { return m.features }

// Width is the number of predictions of a row.
func (m *Model) Width() int { return m.groups }

// Objective is the name of the objective, "binary"; empty if it was the user's own.
func (m *Model) Objective() string { return m.objective.name }

// NumTrees is the number of trees.
func (m *Model) NumTrees() int { return m.forest.Trees() }

// CategoryColumns is the number of columns of the training data, a data frame, whose
// categories have names: the library then takes data frames with as many such columns only,
// or arrays of codes.
func (m *Model) CategoryColumns() int { return m.categories }
