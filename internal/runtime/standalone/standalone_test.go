package standalone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/runtime/standalone"
	"github.com/slipway-ml/slipway/internal/tensor"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// model is a predictor made of functions; nil ones do what is usual.
type model struct {
	predict func(context.Context, *tensor.Batch) (*tensor.Batch, error)
	ready   func(context.Context) error
}

func (m model) Predict(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
	if m.predict != nil {
		return m.predict(ctx, in)
	}
	return sum(in), nil
}

func (m model) Ready(ctx context.Context) error {
	if m.ready != nil {
		return m.ready(ctx)
	}
	return nil
}

// sum adds the columns of each row.
func sum(in *tensor.Batch) *tensor.Batch {
	n := in.Rows()
	out := make([]float64, n)
	for i := range in.Tensors {
		for r := range n {
			out[r] += in.Tensors[i].Float(r)
		}
	}
	return &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat64("predict", []int{n}, out)}}
}

func fields(names ...string) []tensor.Field {
	var out []tensor.Field
	for _, n := range names {
		out = append(out, tensor.Field{Name: n, Type: tensor.FP64, Required: true})
	}
	return out
}

// server serves a model under usual names, and logs to a buffer.
func server(p standalone.Predictor, l standalone.Limits) (*standalone.Server, *bytes.Buffer) {
	var log bytes.Buffer
	return standalone.New(standalone.Model{Name: "fraud", Version: "7", Platform: "slipway_tree", Predictor: p,
		Schema: tensor.Schema{Inputs: fields("amount", "age"), Outputs: fields("predict")}}, l, "1.2.3", "test", slog.New(slog.NewTextHandler(&log, nil))), &log
}

// ask sends a request; header is "name: value" lines.
func ask(h http.Handler, method, path, body string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(r *http.Response) string {
	b, _ := io.ReadAll(r.Body)
	return string(b)
}

const (
	infer = `{"id":"x","inputs":[{"name":"amount","shape":[2],"datatype":"FP64","data":[1,2]},{"name":"age","shape":[2],"datatype":"FP64","data":[30,40.5]}]}`
	split = `{"dataframe_split":{"columns":["amount","age"],"data":[[1,30],[2,40.5]]}}`
)

// What the server says to whom, in full.
func TestAnswers(t *testing.T) {
	h, log := server(model{}, standalone.Limits{MaxBody: 200})
	var got strings.Builder
	for _, q := range []struct{ method, path, body, header string }{
		{"GET", "/v2", "", ""},
		{"GET", "/v2/", "", ""},
		{"GET", "/v2/health/live", "", ""},
		{"GET", "/v2/health/ready", "", ""},
		{"GET", "/v2/models/fraud", "", ""},
		{"GET", "/v2/models/fraud/versions/7", "", ""},
		{"GET", "/v2/models/fraud/ready", "", ""},
		{"GET", "/v2/models/fraud/versions/7/ready", "", ""},
		{"HEAD", "/v2/models/fraud/ready", "", ""},
		{"POST", "/v2/models/fraud/infer", infer, ""},
		{"POST", "/v2/models/fraud/versions/7/infer", infer, "Content-Type: application/json; charset=utf-8"},
		{"POST", "/invocations", split, "Content-Type: application/json"},
		{"GET", "/ping", "", ""},
		{"GET", "/health", "", ""},
		{"GET", "/version", "", ""},

		{"GET", "/", "", ""},
		{"GET", "/v2/models/", "", ""},
		{"GET", "/v2/models/fraudulent", "", ""},
		{"GET", "/v2/models/other/ready", "", ""},
		{"GET", "/v2/models/fraud/versions/77", "", ""},
		{"GET", "/v2/models/fraud/config", "", ""},
		{"POST", "/v2/models/other/infer", infer, ""},
		{"GET", "/v2/models/fraud/infer", "", ""},
		{"GET", "/invocations", "", ""},
		{"DELETE", "/v2/models/fraud", "", ""},
		{"POST", "/v2/health/live", "", ""},
		{"POST", "/invocations", `{"inputs":`, ""},
		{"POST", "/v2/models/fraud/infer", `{"inputs":[]}`, ""},
		{"POST", "/v2/models/fraud/infer", `{"inputs":[{"name":"amount","shape":[1],"datatype":"FP64","data":["secret"]}]}`, ""},
		{"POST", "/invocations", `{"dataframe_split":{"columns":["amount"],"data":[[1]]}}`, ""},
		{"POST", "/invocations", split, "Content-Type: text/csv"},
		{"POST", "/invocations", "amount,age,more\n1,30,x\n2,,y\n", "Content-Type: text/csv; charset=UTF-8"},
		{"POST", "/invocations", split, "Content-Type: application/xml"},
		{"POST", "/v2/models/fraud/infer", `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","data":[1,2]}],"outputs":[{"name":"other"}]}`, ""},
		{"POST", "/v2/models/fraud/infer", `{}`, "Inference-Header-Content-Length: 3"},
		{"POST", "/v2/models/fraud/infer", infer, "Content-Type: ;"},
		{"POST", "/v2/models/fraud/infer", infer, "Content-Encoding: gzip"},
		{"POST", "/v2/models/fraud/infer", infer, "Content-Encoding: br"},
		{"POST", "/v2/models/fraud/infer", strings.Repeat(" ", 201), ""},
	} {
		r := ask(h, q.method, q.path, q.body, q.header)
		fmt.Fprintf(&got, "%s %s %.60s %s\n%d", q.method, q.path, strings.TrimSpace(q.body), q.header, r.StatusCode)
		for _, name := range []string{"Content-Type", "Slipway-Model-Version", "Allow", "Connection", "Retry-After"} {
			if v := r.Header.Get(name); v != "" {
				fmt.Fprintf(&got, " %s: %s", name, v)
			}
		}
		fmt.Fprintf(&got, "\n%s\n\n", strings.TrimSpace(text(r)))
	}
	golden := filepath.Join("testdata", "answers.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Error(diff)
	}
	if log.Len() > 0 {
		t.Errorf("callers' mistakes are in the log: %s", log)
	}
}

func TestRequestIDs(t *testing.T) {
	var seen []string
	h, _ := server(model{predict: func(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
		seen = append(seen, slipway.RequestOf(ctx))
		return sum(in), nil
	}}, standalone.Limits{})
	want := []string{"trace-1.a_B", "test-1", "test-2", "test-3", "test-4"}
	for i, id := range []string{want[0], "", "two words", strings.Repeat("x", 65), ".hidden"} {
		r := ask(h, "POST", "/invocations", split, "X-Request-Id: "+id)
		if got := r.Header.Get("X-Request-Id"); got != want[i] {
			t.Errorf("%q became %q, want %q", id, got, want[i])
		}
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

// A model may do what it likes: the caller gets an answer that says no more than it should.
func TestModelFails(t *testing.T) {
	fails := func(err error) model {
		return model{predict: func(context.Context, *tensor.Batch) (*tensor.Batch, error) { return nil, err }}
	}
	panics := func(v any) model {
		return model{predict: func(context.Context, *tensor.Batch) (*tensor.Batch, error) { panic(v) }}
	}
	gives := func(b *tensor.Batch) model {
		return model{predict: func(context.Context, *tensor.Batch) (*tensor.Batch, error) { return b, nil }}
	}
	for _, c := range []struct {
		name   string
		model  model
		status int
		code   string
		logged string // "" for nothing
	}{
		{"an error", fails(errors.New("secret\nsecond line")), 502, slipway.CodeModelFailed, "cause=secret"},
		{"an error for the caller", fails(slipway.Errorf(slipway.Unprocessable, slipway.CodeSchema, "", "too old")), 422, slipway.CodeSchema, ""},
		{"an error that it is wrapped in", fails(fmt.Errorf("secret: %w", slipway.Errorf(slipway.Unavailable, slipway.CodeNoReplica, "", "busy"))), 503, slipway.CodeNoReplica, ""},
		{"its own deadline", fails(context.DeadlineExceeded), 502, slipway.CodeModelFailed, "deadline"},
		{"a panic", panics("secret"), 502, slipway.CodeModelFailed, "a value that is not shown"},
		{"a panic of the language", model{predict: func(_ context.Context, in *tensor.Batch) (*tensor.Batch, error) {
			return nil, fmt.Errorf("%v", in.Tensors[len(in.Tensors)])
		}}, 502, slipway.CodeModelFailed, "index out of range"},
		{"nothing", gives(nil), 502, slipway.CodeModelFailed, "panic"},
		{"no tensors", gives(&tensor.Batch{}), 502, slipway.CodeModelFailed, "2 rows with 0"},
		{"another number of rows", gives(&tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat64("predict", []int{3}, make([]float64, 3))}}), 502, slipway.CodeModelFailed, "2 rows with 3"},
		{"fewer elements than it says", gives(&tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat64("predict", []int{2}, make([]float64, 1))}}), 502, slipway.CodeModelFailed, "not as large"},
		{"tensors of different lengths", gives(&tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat64("predict", []int{2}, make([]float64, 2)), tensor.NewFloat64("more", []int{1}, make([]float64, 1))}}), 502, slipway.CodeModelFailed, "not as large"},
	} {
		for _, path := range []string{"/invocations", "/v2/models/fraud/infer"} {
			h, log := server(c.model, standalone.Limits{})
			body := split
			if path != "/invocations" {
				body = infer
			}
			r := ask(h, "POST", path, body, "X-Request-Id: me")
			said := text(r)
			var f struct{ Code string }
			if err := json.Unmarshal([]byte(said), &f); err != nil || r.StatusCode != c.status || f.Code != c.code {
				t.Errorf("%s: %d %s, %v, want %d %s", c.name, r.StatusCode, said, err, c.status, c.code)
			}
			if strings.Contains(said, "secret") {
				t.Errorf("%s: the caller is told %s", c.name, said)
			}
			if c.logged == "" && log.Len() > 0 || !strings.Contains(log.String(), c.logged) || c.logged != "" && !strings.Contains(log.String(), "request=me") {
				t.Errorf("%s: %q is in the log", c.name, log)
			}
			if strings.Contains(c.name, "panic") && strings.Contains(log.String(), "secret") {
				t.Errorf("%s: what may be a caller's is in the log: %s", c.name, log)
			}
		}
	}
}

func TestNotReady(t *testing.T) {
	for what, ready := range map[string]func(context.Context) error{
		"says no": func(context.Context) error { return errors.New("loading") },
		"panics":  func(context.Context) error { panic("x") },
	} {
		h, _ := server(model{ready: ready}, standalone.Limits{})
		for _, path := range []string{"/v2/health/ready", "/v2/models/fraud/ready", "/v2/models/fraud/versions/7/ready", "/ping", "/health"} {
			if r := ask(h, "GET", path, ""); r.StatusCode != 503 {
				t.Errorf("%s: %s is %d", what, path, r.StatusCode)
			}
		}
		if r := ask(h, "GET", "/v2/health/live", ""); r.StatusCode != 200 {
			t.Errorf("%s: it is not alive: %d", what, r.StatusCode)
		}
	}
}

// Numbers come out as the model gave them.
func TestRoundTrip(t *testing.T) {
	h, _ := server(model{predict: func(_ context.Context, in *tensor.Batch) (*tensor.Batch, error) {
		out := *in.Tensor("amount")
		out.Name = "predict"
		return &tensor.Batch{Tensors: []tensor.Tensor{out}}, nil
	}}, standalone.Limits{})
	rapid.Check(t, func(r *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64().Filter(func(f float64) bool { return !math.IsInf(f, 0) && !math.IsNaN(f) }), 1, 20).Draw(r, "values")
		zeros := make([]float64, len(values))
		columns, err := json.Marshal(map[string]any{"inputs": map[string]any{"amount": values, "age": zeros}})
		if err != nil {
			t.Fatal(err)
		}
		tensors := tensor.AppendInferRequest(nil, &tensor.Batch{Tensors: []tensor.Tensor{
			tensor.NewFloat64("age", []int{len(values)}, zeros), tensor.NewFloat64("amount", []int{len(values)}, values)}})
		var flavour struct{ Predictions []float64 }
		var open struct{ Outputs []struct{ Data []float64 } }
		for path, q := range map[string]struct {
			body []byte
			into any
		}{"/invocations": {columns, &flavour}, "/v2/models/fraud/infer": {tensors, &open}} {
			a := ask(h, "POST", path, string(q.body))
			if said := text(a); a.StatusCode != 200 || json.Unmarshal([]byte(said), q.into) != nil {
				r.Fatalf("%s: %d %s", path, a.StatusCode, said)
			}
		}
		if diff := cmp.Diff(values, flavour.Predictions); diff != "" {
			r.Error(diff)
		}
		if len(open.Outputs) != 1 || !cmp.Equal(values, open.Outputs[0].Data) {
			r.Errorf("%v, want %v", open, values)
		}
	})
}

// FuzzPredict: whatever comes is answered, or refused with a reason.
func FuzzPredict(f *testing.F) {
	f.Add(true, infer)
	f.Add(false, split)
	f.Add(false, `{"instances":[{"amount":1,"age":2}]}`)
	f.Add(true, `{"inputs":[{"name":"amount","shape":[0],"datatype":"FP64","data":[]}]}`)
	f.Add(false, "[[[[")
	h, _ := server(model{}, standalone.Limits{})
	f.Fuzz(func(t *testing.T, open bool, body string) {
		path := "/invocations"
		if open {
			path = "/v2/models/fraud/infer"
		}
		r := ask(h, "POST", path, body)
		said := text(r)
		if !json.Valid([]byte(said)) {
			t.Errorf("%d %q is no JSON", r.StatusCode, said)
		}
		switch r.StatusCode {
		case 200, 400, 413, 422:
		default:
			t.Errorf("%d %s", r.StatusCode, said)
		}
	})
}
