package mlmodel_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/tensor"
)

const (
	models = "../../testdata/xgboost/models"
	inputs = "../../testdata/xgboost/inputs"
)

// mlmodelText is what MLflow 3 writes, shortened.
const mlmodelText = `flavors:
  python_function:
    data: model.ubj
    env: {conda: conda.yaml}
    loader_module: mlflow.xgboost
  xgboost:
    code: null
    data: model.ubj
    model_class: xgboost.sklearn.XGBClassifier
    model_format: ubj
    xgb_version: 3.2.0
mlflow_version: 3.17.2
model_id: null
saved_input_example_info:
  artifact_path: input_example.json
  pandas_orient: split
  serving_input_path: serving_input_example.json
signature:
  inputs: '[{"type": "double", "name": "a", "required": false}, {"type": "long", "name":
    "b", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
  params: null
`

func TestRead(t *testing.T) {
	dir := fstest.MapFS{
		"MLmodel":          {Data: []byte(mlmodelText)},
		"requirements.txt": {Data: []byte("# ours\nmlflow==3.17.2\n\nxgboost-cpu==3.2.0  # no GPU\n")},
	}
	got, err := mlmodel.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := &mlmodel.Model{
		Flavors: []string{"python_function", "xgboost"},
		Loader:  "mlflow.xgboost",
		XGBoost: &mlmodel.XGBoost{ModelClass: "xgboost.sklearn.XGBClassifier", Data: "model.ubj", Format: "ubj", Version: "3.2.0"},
		Signature: &mlmodel.Signature{
			Inputs:  []mlmodel.Field{{Name: "a", Type: "double"}, {Name: "b", Type: "long", Required: true}},
			Outputs: []mlmodel.Field{{Type: "tensor", DType: "int64", Shape: []int64{-1}, Required: true}},
		},
		Example:       "input_example.json",
		ServingInput:  "serving_input_example.json",
		Requirements:  []string{"mlflow==3.17.2", "xgboost-cpu==3.2.0"},
		MLflowVersion: "3.17.2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseRefuses(t *testing.T) {
	signature := func(inputs string) string { return "flavors: {x: {}}\nsignature: {inputs: '" + inputs + "'}\n" }
	tests := []struct{ name, text, want string }{
		{"empty", "", "names no flavor"},
		{"no YAML", "flavors: [", "cannot be read"},
		{"no map", "flavors: [1, 2]", "cannot be read"},
		{"alias", "flavors: &a {x: {y: z}}\nmetadata: *a\n", "anchor or an alias"},
		{"deep", "flavors: " + strings.Repeat("[", 30_000), "elements"},
		{"large", strings.Repeat("#", 2<<20), "larger than"},
		{"no data", "flavors: {xgboost: {model_class: a}}", "names no model file"},
		{"path", "flavors: {xgboost: {data: ../model.ubj}}", "names no file of the model directory"},
		{"absolute path", "flavors: {xgboost: {data: /etc/passwd}}", "names no file of the model directory"},
		{"example path", "flavors: {x: {}}\nsaved_input_example_info: {artifact_path: ../a}", "names no file of the model directory"},
		{"no JSON", signature("[{"), "list of columns"},
		{"array type", signature(`[{"name":"a","type":"array","items":{"type":"long"}}]`), `"array" is not supported yet`},
		{"object type", signature(`[{"name":"a","type":"object","properties":{}}]`), `"object" is not supported yet`},
		{"map type", signature(`[{"name":"a","type":"map"}]`), `"map" is not supported yet`},
		{"no name", signature(`[{"type":"long"},{"type":"long","name":"b"}]`), "has no name"},
		{"same name", signature(`[{"name":"b","type":"long"},{"type":"long","name":"b"}]`), "name of another field"},
		{"mixed", signature(`[{"name":"b","type":"long"},{"name":"c","type":"tensor","tensor-spec":{"dtype":"float32","shape":[-1]}}]`), "mixed"},
		{"no tensor-spec", signature(`[{"type":"tensor"}]`), "unknown element type"},
		{"dtype", signature(`[{"type":"tensor","tensor-spec":{"dtype":"complex64","shape":[-1]}}]`), "unknown element type"},
		{"shape", signature(`[{"type":"tensor","tensor-spec":{"dtype":"float32","shape":[-7]}}]`), "impossible shape"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := mlmodel.Parse([]byte(tt.text))
			if !errors.Is(err, &slipway.Error{Code: slipway.CodeModelDir}) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// classifierDir is a model directory around a model of the test data.
func classifierDir(t *testing.T, file, class, signature string) fs.FS {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(models, file))
	if err != nil {
		t.Fatal(err)
	}
	return modelDir("xgboost", class, b, signature)
}

// modelDir is a model directory around a model file.
func modelDir(flavor, class string, b []byte, signature string) fs.FS {
	text := "flavors:\n  " + flavor + ": {data: m, model_class: " + class + "}\n"
	if signature != "" {
		text += "signature: {inputs: '" + signature + "'}\n"
	}
	return fstest.MapFS{"MLmodel": {Data: []byte(text)}, "m": {Data: b}}
}

const anyRows = `[{"type":"tensor","tensor-spec":{"dtype":"float32","shape":[-1,-1]}}]`

// predictor opens a model of the test data that takes rows of singles.
func predictor(t *testing.T, file, class string) *mlmodel.Predictor {
	t.Helper()
	_, p, err := mlmodel.OpenTree(classifierDir(t, file, class, anyRows))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// answer predicts rows of singles.
func answer(t *testing.T, p *mlmodel.Predictor, rows []float32) *tensor.Batch {
	t.Helper()
	n := len(rows) / p.NumFeature()
	out, err := p.Predict(&tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat32("input", []int{n, p.NumFeature()}, rows)}})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// floats are the values of an output; nil without it.
func floats(out *tensor.Batch, name string) (values []float32) {
	if o := out.Tensor(name); o != nil {
		for i := range o.Len() {
			values = append(values, float32(o.Float(i)))
		}
	}
	return values
}

func TestOpenTreeRefuses(t *testing.T) {
	const booster = "xgboost.core.Booster"
	array := func(shape string) string {
		return `[{"type":"tensor","tensor-spec":{"dtype":"float64","shape":` + shape + `}}]`
	}
	flavor := fstest.MapFS{"MLmodel": {Data: []byte("flavors: {sklearn: {pickled_model: model.pkl}}")}}
	gone := fstest.MapFS{"MLmodel": {Data: []byte("flavors: {xgboost: {data: model.ubj}}")}}
	iris, codes := "v32_softprob.json", "v32_cat_names.ubj"
	text := func(name, edit string) []byte {
		b, err := os.ReadFile("../tree/lightgbm/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return []byte(strings.Replace(string(b), "pandas_categorical:null", edit, 1))
	}
	names := text("category.txt", `pandas_categorical:[["a", "b"]]`)
	plain := text("regression.txt", "pandas_categorical:[]")
	const lgbm = "lightgbm.basic.Booster"
	tests := []struct {
		name       string
		dir        fs.FS
		code, want string
	}{
		{"no MLmodel", fstest.MapFS{}, slipway.CodeModelDir, "is not in the model directory"},
		{"flavor", flavor, slipway.CodeModelDir, `["sklearn"]`},
		{"no model file", gone, slipway.CodeModelDir, "model.ubj: is not in the model directory"},
		{"class", classifierDir(t, iris, "xgboost.dask.DaskXGBClassifier", ""), slipway.CodeModelDir, "not supported natively yet"},
		{"too few columns", classifierDir(t, iris, booster, `[{"name":"a","type":"double"}]`), slipway.CodeModelDir, "1 inputs, but the model has 4 features"},
		{"tensor shape", classifierDir(t, iris, booster, array("[-1,5]")), slipway.CodeModelDir, "rows of 4 features"},
		{"tensor rank", classifierDir(t, iris, booster, array("[-1]")), slipway.CodeModelDir, "rows of 4 features"},
		{"strings", classifierDir(t, iris, booster, `[{"name":"a","type":"double"},{"name":"b","type":"string"},{"name":"c","type":"long"},{"name":"d","type":"long"}]`),
			slipway.CodeModelDir, "type string"},
		{"category as text", classifierDir(t, codes, booster, columns(`{"name":"f0","type":"string"}`, 6)), slipway.CodeModelDir, "by its code"},
		{"names of categories", classifierDir(t, "v32_cat_skl_names.json", "xgboost.sklearn.XGBRegressor", columns(`{"name":"f0","type":"long"}`, 6)),
			slipway.CodeModelDir, "names of categories"},
		{"object of Python", modelDir("lightgbm", "lightgbm.sklearn.LGBMClassifier", plain, ""), slipway.CodeModelDir, "is an object of Python"},
		{"data frame of categories", modelDir("lightgbm", lgbm, names, columns(`{"name":"f0","type":"long"}`, 4)), slipway.CodeModelDir, "only a data frame with columns of categories"},
		{"text for LightGBM", modelDir("lightgbm", lgbm, plain, columns(`{"name":"f0","type":"string"}`, 4)), slipway.CodeModelDir, "type string"},
		{"columns for LightGBM", modelDir("lightgbm", lgbm, plain, columns(`{"name":"f0","type":"long"}`, 5)), slipway.CodeModelDir, "5 inputs, but the model has 4 features"},
		{"a pickle for LightGBM", modelDir("lightgbm", lgbm, []byte("\x80\x04"), ""), slipway.CodeModelFormat, "no text file"},
		{"model file", fstest.MapFS{"MLmodel": gone["MLmodel"], "model.ubj": {Data: []byte("{")}}, slipway.CodeModelFormat, "neither"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := mlmodel.OpenTree(tt.dir)
			if !errors.Is(err, &slipway.Error{Code: tt.code}) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %s %q", err, tt.code, tt.want)
			}
		})
	}
	for name, dir := range map[string]fs.FS{
		"a tensor of the right shape":            classifierDir(t, iris, booster, array("[-1,4]")),
		"a Booster takes codes in columns":       classifierDir(t, codes, booster, columns(`{"name":"f0","type":"long"}`, 6)),
		"a wrapper with names takes a tensor":    classifierDir(t, "v32_cat_skl_names.json", "xgboost.sklearn.XGBRegressor", array("[-1,6]")),
		"a wrapper without names takes columns":  classifierDir(t, "v32_cat_skl_regressor.ubj", "xgboost.sklearn.XGBRegressor", columns(`{"name":"f0","type":"long"}`, 6)),
		"LightGBM takes columns of any names":    modelDir("lightgbm", lgbm, plain, columns(`{"name":"any","type":"long"}`, 4)),
		"LightGBM takes codes in a tensor":       modelDir("lightgbm", lgbm, names, array("[-1,4]")),
		"a wrapper of several targets, a tensor": classifierDir(t, "v32_skl_labels.ubj", "xgboost.sklearn.XGBClassifier", array("[-1,4]")),
	} {
		if _, _, err := mlmodel.OpenTree(dir); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// columns is a signature of the first column and doubles after it.
func columns(first string, n int) string {
	s := "[" + first
	for i := 1; i < n; i++ {
		s += fmt.Sprintf(`,{"name":"f%d","type":"double"}`, i)
	}
	return s + "]"
}

// TestOutputs: the shapes of what several targets, classes and labels give.
func TestOutputs(t *testing.T) {
	field := func(name, kind string, shape ...int64) mlmodel.Field {
		return mlmodel.Field{Name: name, Type: kind, Shape: append([]int64{-1}, shape...), Required: true}
	}
	tests := []struct {
		file, class string
		want        []mlmodel.Field
	}{
		{"v32_skl_labels.ubj", "XGBClassifier", []mlmodel.Field{field("predict", "long", 3), field("probability", "float", 3)}},
		{"v21_skl_two_columns.ubj", "XGBClassifier", []mlmodel.Field{field("predict", "long", 2), field("probability", "float", 2)}},
		{"v32_skl_softmax.ubj", "XGBClassifier", []mlmodel.Field{field("predict", "long")}},
		{"v32_skl_vector_multi.ubj", "XGBClassifier", []mlmodel.Field{field("predict", "long"), field("probability", "float", 3)}},
		{"v32_cat_skl_binary.json", "XGBClassifier", []mlmodel.Field{field("predict", "long"), field("probability", "float")}},
		{"v17_skl_targets_forest.ubj", "XGBRFRegressor", []mlmodel.Field{field("predict", "float", 3)}},
		{"v21_skl_quantiles.ubj", "XGBRegressor", []mlmodel.Field{field("predict", "float", 2)}},
		{"v32_skl_ranker.ubj", "XGBRanker", []mlmodel.Field{field("predict", "float")}},
	}
	for _, tt := range tests {
		p := predictor(t, tt.file, "xgboost.sklearn."+tt.class)
		if diff := cmp.Diff(tt.want, p.Outputs()); diff != "" {
			t.Errorf("%s: %s", tt.file, diff)
		}
	}
}

func openBytes(class, text string) error {
	_, _, err := mlmodel.OpenTree(modelDir("xgboost", class, []byte(text), ""))
	return err
}

// TestWrapperRemarks: parameters that old wrappers take up from the file are not ignored.
func TestWrapperRemarks(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(models, "v17_skl_regressor.json"))
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{`\"missing\": -9e99`: "missing=", `\"_le\": {}`: "label encoder"} {
		odd := strings.Replace(string(b), `\"missing\": NaN`, from, 1)
		if odd == string(b) {
			t.Fatal("the model has no remark of the wrapper")
		}
		if err := openBytes("xgboost.sklearn.XGBRegressor", odd); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if err := openBytes("xgboost.core.Booster", odd); err != nil {
			t.Errorf("a Booster heeds no wrapper: %v", err)
		}
	}
	for file, refused := range map[string]bool{"v17_dart_skl_multi.json": true, "v17_skl_binary_stop.json": false} {
		b, err := os.ReadFile(filepath.Join(models, file))
		if err != nil {
			t.Fatal(err)
		}
		named := strings.Replace(string(b), `\"predictor\": null`, `\"predictor\": \"cpu_predictor\"`, 1)
		if named == string(b) {
			t.Fatalf("%s says nothing of a predictor", file)
		}
		if err := openBytes("xgboost.sklearn.XGBClassifier", named); (err != nil) != refused {
			t.Errorf("%s with a named predictor: %v", file, err)
		}
	}
}

// flatten reads nested lists of numbers; null is NaN.
func flatten(v any) []float32 {
	switch v := v.(type) {
	case []any:
		var out []float32
		for _, e := range v {
			out = append(out, flatten(e)...)
		}
		return out
	case float64:
		return []float32{float32(v)}
	default:
		return []float32{float32(math.NaN())}
	}
}

func readJSON(t *testing.T, file string, v any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

// TestPredictorParity holds labels and probabilities against the library's.
func TestPredictorParity(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(models, "*.expect.json"))
	if err != nil || len(files) < 283 {
		t.Fatalf("%d models, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			var want struct {
				Dataset, Model, Class string
				Predict, Probability  any
			}
			readJSON(t, file, &want)
			var nested any
			readJSON(t, filepath.Join(inputs, want.Dataset+".json"), &nested)
			p := predictor(t, want.Model, want.Class)
			out := answer(t, p, flatten(nested))
			labels := strings.HasSuffix(want.Class, "Classifier")
			if labels != (p.Outputs()[0].Type == "long") || (want.Probability != nil) != (len(p.Outputs()) == 2) {
				t.Errorf("outputs %v", p.Outputs())
			}
			if !labels {
				near(t, floats(out, "predict"), flatten(want.Predict))
				return
			}
			if want.Probability != nil {
				near(t, floats(out, "probability"), flatten(want.Probability))
			}
			if diff := cmp.Diff(flatten(want.Predict), floats(out, "predict")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// near holds |got-want| to 1e-6·max(1,|want|).
func near(t *testing.T, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d values, want %d", len(got), len(want))
	}
	for i := range got {
		g, w := float64(got[i]), float64(want[i])
		if !(math.Abs(g-w) <= 1e-6*max(1, math.Abs(w))) {
			t.Errorf("[%d] = %v, want %v", i, g, w)
		}
	}
}

// TestClassifierOfSingleValues: objectives whose predictions are no probabilities.
func TestClassifierOfSingleValues(t *testing.T) {
	for _, tt := range []struct{ file, dataset string }{{"v32_hinge.json", "breast_cancer"}, {"v32_softmax.ubj", "wine"}} {
		p := predictor(t, tt.file, "xgboost.sklearn.XGBClassifier")
		var nested any
		readJSON(t, filepath.Join(inputs, tt.dataset+".json"), &nested)
		var want struct{ Predict []float32 }
		readJSON(t, filepath.Join(models, strings.Split(tt.file, ".")[0]+".expect.json"), &want)
		for range 2 { // the second time in the same memory
			out := answer(t, p, flatten(nested))
			if len(out.Tensors) != 1 || out.Tensors[0].Type != tensor.Int64 {
				t.Errorf("%s: outputs %v", tt.file, out)
			}
			if diff := cmp.Diff(want.Predict, floats(out, "predict")); diff != "" {
				t.Errorf("%s: %s", tt.file, diff)
			}
		}
	}
}

// TestExampleRequest: what MLflow saves is a request, with null for a missing value.
func TestExampleRequest(t *testing.T) {
	for text, want := range map[string]string{
		` {"dataframe_split": {"columns": ["NaN", "a\"NaN"], "data": [[NaN, 1], [2, NaN]]}}`: `{"dataframe_split": {"columns": ["NaN", "a\"NaN"], "data": [[null, 1], [2, null]]}}`,
		`{"columns": ["a"], "data": [[NaN]]}`:                                                `{"dataframe_split":{"columns": ["a"], "data": [[null]]}}`,
		`[{"a": 1}]`:                                                                         `{"dataframe_records":[{"a": 1}]}`,
		`{"inputs": [[1]]}`:                                                                  `{"inputs": [[1]]}`,
		`{"inputs": "NaN\`:                                                                   `{"inputs": "NaN\`,
	} {
		m := &mlmodel.Model{Example: "e"}
		got, ok := m.ExampleRequest(fstest.MapFS{"e": {Data: []byte(text)}}, 1000)
		if !ok || string(got) != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(mlmodelText))
	f.Add([]byte("flavors: {x: {}}\nsignature: {inputs: '[{\"type\":\"tensor\",\"tensor-spec\":{\"dtype\":\"str\",\"shape\":[]}}]'}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := mlmodel.Parse(b)
		if err != nil {
			if slipway.AsError(err).Code != slipway.CodeModelDir {
				t.Errorf("unclassified: %v", err)
			}
			return
		}
		if len(m.Flavors) == 0 || m.XGBoost != nil && !fs.ValidPath(m.XGBoost.Data) || m.LightGBM != nil && !fs.ValidPath(m.LightGBM.Data) {
			t.Errorf("accepted %+v", m)
		}
	})
}
