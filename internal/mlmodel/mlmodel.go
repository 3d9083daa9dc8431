// Package mlmodel reads model directories in MLflow's format: the file MLmodel, the
// signature in it, and what predict means for the flavor it names. The format is
// described in "MLflow Models" (https://mlflow.org/docs/latest/ml/model/).
package mlmodel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"

	"github.com/slipway-ml/slipway"
)

// Names of files in a model directory.
const (
	FileName         = "MLmodel"
	RequirementsFile = "requirements.txt"
)

// Bounds of the descriptive files.
const (
	maxFile   = 1 << 20
	maxTokens = 20_000 // bounds depth and work of the YAML parser
)

// Model is what a model directory says about itself.
type Model struct {
	Flavors       []string   // names, sorted
	Loader        string     // loader_module of the flavor python_function; may be empty
	Code          string     // directory of the model's own Python modules; may be empty
	PredictFn     string     // the method that python_function calls; may be empty
	XGBoost       *XGBoost   // nil without this flavor
	LightGBM      *LightGBM  // nil without this flavor
	Sklearn       *Sklearn   // nil without this flavor
	ONNX          *ONNX      // nil without this flavor
	Signature     *Signature // nil if the model was saved without one
	Example       string     // file of the input example; may be empty
	ServingInput  string     // file of the example as a request; may be empty
	Requirements  []string   // lines of requirements.txt, without comments
	MLflowVersion string
}

// XGBoost is MLflow's flavor xgboost.
type XGBoost struct {
	ModelClass string // "xgboost.sklearn.XGBClassifier"
	Data       string // name of the model file
	Format     string // ubj, json or xgb; may be empty
	Version    string // of the library
}

// LightGBM is MLflow's flavor lightgbm. The file of a Booster is text; that of a
// scikit-learn wrapper is an object of Python.
type LightGBM struct {
	ModelClass string // "lightgbm.basic.Booster"
	Data       string // name of the model file
	Version    string // of the library
}

// Sklearn is MLflow's flavor sklearn.
type Sklearn struct {
	Data          string   // name of the estimator's file
	Serialization string   // cloudpickle, pickle or skops
	Trusted       []string // of skops: the types beyond its own list that may be made
	Version       string   // of the library
}

// file is the part of MLmodel that is read; other keys are ignored.
type file struct {
	Flavors   map[string]map[string]any `yaml:"flavors"`
	Signature *struct {
		Inputs  string `yaml:"inputs"`
		Outputs string `yaml:"outputs"`
		Params  string `yaml:"params"`
	} `yaml:"signature"`
	Example struct {
		Path    string `yaml:"artifact_path"`
		Serving string `yaml:"serving_input_path"`
	} `yaml:"saved_input_example_info"`
	Version string `yaml:"mlflow_version"`
}

func dirError(field, next, format string, args ...any) error {
	e := slipway.Errorf(slipway.Invalid, slipway.CodeModelDir, next, format, args...)
	e.Field = field
	return e
}

const saveAgain = "save the model again with mlflow.*.save_model"

// Read reads the MLmodel and the requirements of a model directory. It answers Invalid
// with CodeModelDir if that is none, or has a signature that is not supported.
func Read(dir fs.FS) (*Model, error) {
	b, err := readFile(dir, FileName, maxFile)
	if err != nil {
		return nil, err
	}
	m, err := Parse(b)
	if err != nil {
		return nil, err
	}
	b, err = readFile(dir, RequirementsFile, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(b) {
		requirement, _, _ := strings.Cut(string(line), " #")
		if requirement = strings.TrimSpace(requirement); requirement != "" && !strings.HasPrefix(requirement, "#") {
			m.Requirements = append(m.Requirements, requirement)
		}
	}
	return m, nil
}

// Parse reads the bytes of a file MLmodel.
func Parse(b []byte) (*Model, error) {
	if len(b) > maxFile {
		return nil, dirError(FileName, saveAgain, "larger than %d bytes", maxFile)
	}
	if err := checkTokens(string(b)); err != nil {
		return nil, err
	}
	var f file
	if err := yaml.Unmarshal(b, &f); err != nil {
		return nil, &slipway.Error{Code: slipway.CodeModelDir, Kind: slipway.Invalid, Field: FileName,
			Message: "cannot be read as MLflow writes it", Next: saveAgain, Cause: err}
	}
	if len(f.Flavors) == 0 {
		return nil, dirError(FileName+":flavors", saveAgain, "names no flavor")
	}
	m := &Model{Example: f.Example.Path, ServingInput: f.Example.Serving, MLflowVersion: f.Version}
	for name := range f.Flavors {
		m.Flavors = append(m.Flavors, name)
	}
	slices.Sort(m.Flavors)
	python := f.Flavors["python_function"]
	m.Loader, m.Code, m.PredictFn = text(python, "loader_module"), text(python, "code"), text(python, "predict_fn")
	if x, ok := f.Flavors["sklearn"]; ok {
		m.Sklearn = &Sklearn{Data: text(x, "pickled_model"), Serialization: text(x, "serialization_format"), Version: text(x, "sklearn_version"), Trusted: texts(x, "skops_trusted_types")}
	}
	if x, ok := f.Flavors["onnx"]; ok {
		m.ONNX = &ONNX{Data: text(x, "data"), Version: text(x, "onnx_version"), Providers: texts(x, "providers"), Options: x["onnx_session_options"] != nil}
	}
	if x, ok := f.Flavors["xgboost"]; ok {
		m.XGBoost = &XGBoost{ModelClass: text(x, "model_class"), Data: text(x, "data"), Format: text(x, "model_format"), Version: text(x, "xgb_version")}
	}
	if x, ok := f.Flavors["lightgbm"]; ok {
		m.LightGBM = &LightGBM{ModelClass: text(x, "model_class"), Data: text(x, "data"), Version: text(x, "lgb_version")}
	}
	if s := f.Signature; s != nil {
		var err error
		if m.Signature, err = parseSignature(s.Inputs, s.Outputs, s.Params); err != nil {
			return nil, err
		}
	}
	return m, m.checkPaths()
}

// text is a member of a flavor, empty if it is none or no string.
func text(flavor map[string]any, key string) string {
	s, _ := flavor[key].(string)
	return s
}

// texts is a list of strings in a flavor; what is no string in it is left out.
func texts(flavor map[string]any, key string) []string {
	list, _ := flavor[key].([]any)
	var out []string
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// checkTokens refuses text that would make the parser work without bound, and anchors,
// which could make small text stand for much.
func checkTokens(source string) error {
	tokens := lexer.Tokenize(source)
	if len(tokens) > maxTokens {
		return dirError(FileName, saveAgain, "has more than %d elements", maxTokens)
	}
	for _, t := range tokens {
		if t.Type == token.AnchorType || t.Type == token.AliasType || t.Type == token.MergeKeyType {
			return dirError(FileName, saveAgain, "has an anchor or an alias in line %d", t.Position.Line)
		}
	}
	return nil
}

// checkPaths holds every file that is named inside the directory.
func (m *Model) checkPaths() error {
	paths := map[string]string{
		"flavors.python_function.code":                m.Code,
		"saved_input_example_info.artifact_path":      m.Example,
		"saved_input_example_info.serving_input_path": m.ServingInput,
	}
	if m.Sklearn != nil {
		if m.Sklearn.Data == "" {
			return dirError(FileName+":flavors.sklearn.pickled_model", saveAgain, "names no model file")
		}
		paths["flavors.sklearn.pickled_model"] = m.Sklearn.Data
	}
	if m.ONNX != nil {
		if m.ONNX.Data == "" {
			return dirError(FileName+":flavors.onnx.data", saveAgain, "names no model file")
		}
		paths["flavors.onnx.data"] = m.ONNX.Data
	}
	if m.XGBoost != nil {
		if m.XGBoost.Data == "" {
			return dirError(FileName+":flavors.xgboost.data", saveAgain, "names no model file")
		}
		paths["flavors.xgboost.data"] = m.XGBoost.Data
	}
	if m.LightGBM != nil {
		if m.LightGBM.Data == "" {
			return dirError(FileName+":flavors.lightgbm.data", saveAgain, "names no model file")
		}
		paths["flavors.lightgbm.data"] = m.LightGBM.Data
	}
	for field, path := range paths {
		if path != "" && (!fs.ValidPath(path) || strings.Contains(path, `\`)) {
			return dirError(FileName+":"+field, saveAgain, "names no file of the model directory")
		}
	}
	return nil
}

// readFile reads a file of at most limit bytes.
func readFile(dir fs.FS, name string, limit int64) ([]byte, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, fileError(name, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fileError(name, err)
	}
	if int64(len(b)) > limit {
		return nil, dirError(name, saveAgain, "larger than %d bytes", limit)
	}
	return b, nil
}

func fileError(name string, err error) error {
	message := "cannot be read"
	if errors.Is(err, fs.ErrNotExist) {
		message = "is not in the model directory"
	}
	return &slipway.Error{Code: slipway.CodeModelDir, Kind: slipway.Invalid, Field: name, Message: message,
		Next: "give a directory that mlflow.*.save_model wrote", Cause: fmt.Errorf("model directory: %w", err)}
}
