package adopt_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway/internal/adopt"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/tensor"
)

func TestFromRequest(t *testing.T) {
	columns := []adopt.Field{{Name: "b", Type: tensor.FP64}, {Name: "a", Type: tensor.Bytes}, {Name: "n", Type: tensor.Int64}, {Name: "ok", Type: tensor.Bool}}
	for _, tt := range []struct {
		body string
		want []adopt.Field
	}{
		{`{"dataframe_split": {"columns": ["b", "a", "n", "ok"], "data": [[1, "x", 1, true], [0.5, "y", 2, false]]}}`, columns},
		{`{"dataframe_records": [{"b": null, "a": "x", "n": 7, "ok": true}, {"n": 8, "b": 1e3, "a": "", "ok": false}]}`, columns},
		{`{"instances": [[1, 2.5], [3, 4]]}`, []adopt.Field{{Type: tensor.FP64, Shape: []int{-1, 2}}}},
		{`{"inputs": [1, 2, 3]}`, []adopt.Field{{Type: tensor.Int64, Shape: []int{-1}}}},
		{`{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}`, []adopt.Field{{Name: "x", Type: tensor.FP32, Shape: []int{-1, 3}}}},
	} {
		got, err := adopt.FromRequest([]byte(tt.body))
		if d := cmp.Diff(tt.want, got); d != "" || err != nil {
			t.Errorf("%s: %v %s", tt.body, err, d)
		}
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"inputs": []}`, `{"inputs": [[1], [1, 2]]}`, `{"inputs": [[]]}`, `{"instances": 7}`, `{"dataframe_split": {"columns": ["a"], "data": []}}`,
		`{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}`, `{"dataframe_split": {"columns": ["a"], "data": [["x"], [1]]}}`, `{"dataframe_records": []}`,
		`{"dataframe_records": [{"a": {}}]}`, `{"inputs": [{"name": "x", "datatype": "FP99", "shape": [1]}]}`} {
		if got, err := adopt.FromRequest([]byte(bad)); err == nil {
			t.Errorf("%s gives %v", bad, got)
		}
	}
}

// TestFiles reads back what is written.
func TestFiles(t *testing.T) {
	p := adopt.Project{Name: "churn", Team: "growth", Tier: 4, Example: []byte(`{"inputs": [[1]]}`),
		Server: adopt.Server{URL: "https://scoring.example.com/it's", Protocol: spec.ProtocolOpenInference, Model: "churn_7"},
		Signature: adopt.Signature{Inputs: []adopt.Field{{Name: "it's", Type: tensor.FP64}, {Name: "n", Type: tensor.Int64}},
			Outputs: []adopt.Field{{Name: "p", Type: tensor.FP32, Shape: []int{-1, 2}}, {Name: "small", Type: tensor.Int8}}}}
	files, err := p.Files()
	if err != nil {
		t.Fatal(err)
	}
	s, err := spec.Load("platform.yaml", files["platform.yaml"])
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&spec.External{URL: p.Server.URL, Protocol: p.Server.Protocol, Model: "churn_7"}, s.Model.External); d != "" {
		t.Error(d)
	}
	m, err := mlmodel.Read(fstest.MapFS{"MLmodel": {Data: files["model/MLmodel"]}})
	if err != nil {
		t.Fatal(err)
	}
	schema, err := m.Schema(nil)
	want := tensor.Schema{Inputs: []tensor.Field{{Name: "it's", Type: tensor.FP64, Required: true}, {Name: "n", Type: tensor.Int64, Required: true}},
		Outputs: []tensor.Field{{Name: "p", Type: tensor.FP32, Shape: []int{2}, Required: true}, {Name: "small", Type: tensor.Int8, Required: true}}}
	if d := cmp.Diff(want, schema); d != "" || err != nil {
		t.Error(err, d)
	}
	if m.ServingInput == "" || !strings.Contains(string(files["model/serving_input_example.json"]), "inputs") {
		t.Error("the example is lost")
	}
}

func FuzzFromRequest(f *testing.F) {
	f.Add([]byte(`{"dataframe_records": [{"b": null, "a": "x"}]}`))
	f.Add([]byte(`{"inputs": [[[1, 2]], [[3, 4]]]}`))
	f.Add([]byte(`{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		fields, err := adopt.FromRequest(body)
		if err != nil {
			return
		}
		p := adopt.Project{Name: "a", Team: "b", Tier: 4, Server: adopt.Server{URL: "https://a.example", Protocol: "mlflow"}, Signature: adopt.Signature{Inputs: fields}}
		files, err := p.Files()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := spec.Load("platform.yaml", files["platform.yaml"]); err != nil {
			t.Fatal(err)
		}
	})
}
