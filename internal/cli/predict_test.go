package cli_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli"
)

func predictor(t *testing.T) (*replies, *machine) {
	s := newReplies(t, map[string]any{
		"POST /endpoints/fraud/invocations": map[string]any{"predictions": []float64{0.25}},
		"POST /v2/models/fraud/infer":       map[string]any{"outputs": []any{}},
		"POST /endpoints/gone/invocations":  api.Problem{Status: 503, Code: "SLIP-E0505", Detail: "withdrawn"},
		"GET /v2/models/fraud": client.Metadata{Name: "fraud", Inputs: []client.TensorMetadata{
			{Name: "amount", Datatype: "FP64", Shape: []int{-1}}, {Name: "hour", Datatype: "INT64", Shape: []int{-1}},
			{Name: "image", Datatype: "FP32", Shape: []int{-1, 2}}, {Name: "unused", Datatype: "FP32", Shape: []int{-1}}}},
	})
	return s, newMachine(t, s)
}

func TestPredict(t *testing.T) {
	const (
		toMLflow = "POST /endpoints/fraud/invocations"
		toInfer  = "POST /v2/models/fraud/infer"
	)
	for _, tt := range []struct{ name, line, data, path, body string }{
		{"row", "predict fraud -d", `{"amount": 12.5}`, toMLflow, `{"dataframe_records":[{"amount":12.5}]}`},
		{"rows", "predict fraud -d", `[{"amount": 1}, {"amount": 2}]`, toMLflow, `{"dataframe_records":[{"amount":1},{"amount":2}]}`},
		{"golden record", "predict fraud -d", `{"inputs":{"amount":1},"outputs":{"predict":0}}`, toMLflow, `{"dataframe_records":[{"amount":1}]}`},
		{"MLflow request", "predict fraud -d", `{"dataframe_split":{"columns":["amount"],"data":[[1]]}}`, toMLflow, `{"dataframe_split":{"columns":["amount"],"data":[[1]]}}`},
		{"MLflow inputs", "predict fraud -d", `{"inputs":[[1,2]]}`, toMLflow, `{"inputs":[[1,2]]}`},
		{"a column named inputs is MLflow's", "predict fraud -d", `{"inputs":{"amount":[1]}}`, toMLflow, `{"inputs":{"amount":[1]}}`},
		{"whole request", "predict fraud -d", `{"inputs":[{"name":"amount","datatype":"FP64","shape":[1],"data":[1]}]}`, toInfer,
			`{"inputs":[{"name":"amount","datatype":"FP64","shape":[1],"data":[1]}]}`},
		{"rows as tensors", "predict fraud --format infer -d", `[{"amount":1,"image":[1,2]},{"hour":3,"image":[3,4]}]`, toInfer,
			`{"inputs":[{"name":"amount","shape":[2],"datatype":"FP64","data":[1,null]},{"name":"hour","shape":[2],"datatype":"INT64","data":[null,3]},{"name":"image","shape":[2,2],"datatype":"FP32","data":[[1,2],[3,4]]}]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, m := predictor(t)
			_, stderr := m.run(0, tt.line, tt.data)
			if got := s.got[tt.path]; got != tt.body {
				t.Errorf("sent %s\nwant %s", got, tt.body)
			}
			contains(t, stderr, "next: platform status fraud")
		})
	}
}

func TestPredictSources(t *testing.T) {
	s, m := predictor(t)
	m.write("row.json", `{"amount": 3}`)
	out, _ := m.run(0, "predict fraud -d @row.json --json")
	if strings.TrimSpace(out) != `{"predictions":[0.25]}` {
		t.Error(out)
	}
	m.env.Stdin = strings.NewReader(`{"amount": 4}`)
	m.run(0, "predict fraud -d -")
	contains(t, s.got["POST /endpoints/fraud/invocations"], `{"amount":4}`)

	m.project()
	out, stderr := m.run(0, "predict")
	contains(t, out, `{"predictions":[0.25]}`)
	contains(t, stderr, "sending the first record of ./golden.jsonl")
	contains(t, s.got["POST /endpoints/fraud/invocations"], `{"dataframe_records":[{"account_age_days":1941,"amount":13.66`)
}

func TestPredictRefuses(t *testing.T) {
	_, m := predictor(t)
	for _, tt := range []struct {
		code       int
		line, data string
		want       string
	}{
		{2, "predict fraud -d", `{`, "are no JSON"},
		{2, "predict fraud -d", `5`, "no row"},
		{2, "predict fraud -d", `[{}]`, "has no columns"},
		{2, "predict fraud -d", `[1]`, "no row"},
		{2, "predict fraud -d", `{}`, "no row"},
		{2, "predict fraud --format infer -d", `{"instances":[1]}`, "leave --format out"},
		{2, "predict fraud --format infer -d", `{"other":1}`, "no column of the data"},
		{2, "predict fraud -d", "@missing.json", "missing.json does not exist"},
		{5, "predict gone -d", `{"a":1}`, "withdrawn"},
		{2, "predict", "fraud", "no platform.yaml here with golden records"},
	} {
		_, stderr := m.run(tt.code, tt.line, tt.data)
		contains(t, stderr, tt.want, "next: ")
	}
}

// TestGoldenRecordsAreRead: the first line may be all there is, and may be missing.
func TestGoldenRecordsAreRead(t *testing.T) {
	s, m := predictor(t)
	m.project()
	m.write("golden.jsonl", `{"inputs":{"amount":7},"outputs":{}}`)
	m.run(0, "predict")
	var got map[string]any
	if err := json.Unmarshal([]byte(s.got["POST /endpoints/fraud/invocations"]), &got); err != nil || len(got) != 1 {
		t.Error(err, got)
	}
	m.write("golden.jsonl", "\n")
	_, stderr := m.run(2, "predict")
	contains(t, stderr, "begins with an empty line")
}

// FuzzRequest: whatever is given, what is sent is JSON of a known format.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"amount":1}`), true)
	f.Add([]byte(`[{"amount":null},{"hour":"x"}]`), true)
	f.Add([]byte(`{"inputs":[{"name":"a","datatype":"FP32"}]}`), false)
	f.Add([]byte(`{"inputs":{"a":1},"outputs":{}}`), false)
	m := client.Metadata{Inputs: []client.TensorMetadata{{Name: "amount", Datatype: "FP64", Shape: []int{-1}}, {Name: "hour", Datatype: "BYTES"}}}
	f.Fuzz(func(t *testing.T, raw []byte, tensors bool) {
		format := ""
		if tensors {
			format = "infer"
		}
		got, body, err := cli.Request(raw, format, m)
		if err == nil && (!json.Valid(body) || got != "infer" && got != "invocations") {
			t.Errorf("%s %s", got, body)
		}
	})
}
