package remote_test

import (
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/runtime/remote"
	"github.com/slipway-ml/slipway/internal/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers every request with a status and a body, and tells what was asked.
func serve(t *testing.T, status int, body string) (remote.Options, *string) {
	t.Helper()
	asked := new(string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		*asked = r.Method + " " + r.URL.Path + " " + r.Header.Get("X-Request-Id") + " " + string(b)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return remote.Options{Base: s.URL + "/base", What: "the server", Conns: 2, Dial: new(net.Dialer).DialContext}, asked
}

func frame() *tensor.Batch {
	return &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat64("x", []int{2}, []float64{1.5, math.NaN()}),
		tensor.NewInt64("n", []int{2}, []int64{1, 2}), tensor.NewStrings("s", []int{2}, []string{"a", "b"})}}
}

func TestScoringAsks(t *testing.T) {
	ctx := slipway.WithRequest(t.Context(), "r-7")
	for _, tt := range []struct {
		in   *tensor.Batch
		want string
	}{
		{frame(), `{"dataframe_split":{"columns":["x","n","s"],"data":[[1.5,1,"a"],[null,2,"b"]]}}`},
		{&tensor.Batch{Tensors: []tensor.Tensor{tensor.NewInt64("m", []int{2, 2}, []int64{1, 2, 3, 4})}}, `{"inputs":[[1,2],[3,4]]}`},
		{&tensor.Batch{Tensors: []tensor.Tensor{tensor.NewInt64("m", []int{2, 1}, []int64{1, 2}), tensor.NewStrings("s", []int{2}, []string{"a", "b"})}},
			`{"inputs":{"m":[[1],[2]],"s":["a","b"]}}`},
	} {
		o, asked := serve(t, 200, `{"predictions": [1, 2]}`)
		c := remote.NewScoring(o, tensor.Schema{})
		if _, err := c.Predict(ctx, tt.in); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff("POST /base/invocations r-7 "+tt.want, *asked); d != "" {
			t.Error(d)
		}
		c.Close()
	}
}

func TestScoringReads(t *testing.T) {
	for _, tt := range []struct{ body, want string }{
		{`{"predictions": [1, 2]}`, `predict INT64 [2] 1 2`},
		{`[1, 2.5]`, `predict FP64 [2] 1 2.5`},
		{`{"predictions": [true, null]}`, `predict FP64 [2] 1 NaN`},
		{`{"predictions": ["a", "b"]}`, `predict BYTES [2] a b`},
		{`{"predictions": [[1, 2], [3, 4]]}`, `predict INT64 [2 2] 1 2 3 4`},
		{`{"predictions": [{"b": 1, "a": "x"}, {"a": "y", "b": 0.5}]}`, `a BYTES [2] x y, b FP64 [2] 1 0.5`},
		{`{"predictions": [1]}`, "error: 1 predictions for 2 rows"},
		{`{"predictions": 1}`, "error: the predictions are no list"},
		{`{"error": "x"}`, "error: there is no member predictions"},
		{`{"predictions": [[1], [1, 2]]}`, "error: row 2 has another shape"},
		{`{"predictions": [{"a": 1}, {"b": 1}]}`, "error: row 2 has other members"},
		{`{"predictions": [{"a": 1}, 3]}`, "error: row 2 has other members"},
		{`{"predictions": [1, "a"]}`, "error: numbers and text are mixed"},
		{`{"predictions": [[[1]], [[2]]]}`, "error: value 1 is no number"},
		{`nonsense`, "error: the predictions are no list"},
		{``, "error: the predictions are no list"},
	} {
		o, _ := serve(t, 200, tt.body)
		c := remote.NewScoring(o, tensor.Schema{})
		out, err := c.Predict(t.Context(), frame())
		switch want, wrong := strings.CutPrefix(tt.want, "error: "); {
		case wrong:
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s gives %v, want %q", tt.body, err, want)
			}
		case err != nil:
			t.Errorf("%s gives %v", tt.body, err)
		default:
			if d := cmp.Diff(tt.want, show(out)); d != "" {
				t.Errorf("%s: %s", tt.body, d)
			}
		}
		c.Close()
	}
}

func show(b *tensor.Batch) string {
	var parts []string
	for _, t := range b.Tensors {
		text := strings.NewReplacer("\"", "", ",", " ").Replace(string(tensor.AppendPredictions(nil, &tensor.Batch{Tensors: []tensor.Tensor{t}})))
		text = strings.TrimSuffix(strings.TrimPrefix(text, "{predictions:["), "]}")
		shape := strings.Fields(strings.NewReplacer("[", "", "]", "", "null", "NaN").Replace(text))
		dims := make([]string, len(t.Shape))
		for i, n := range t.Shape {
			dims[i] = string(rune('0' + n))
		}
		parts = append(parts, t.Name+" "+t.Type.String()+" ["+strings.Join(dims, " ")+"] "+strings.Join(shape, " "))
	}
	return strings.Join(parts, ", ")
}

func TestStatuses(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		kind   slipway.Kind
		want   string
	}{
		{500, "oops", slipway.Internal, "the server answered with status 500"},
		{401, "", slipway.Internal, "the server answered with status 401"},
		{302, "", slipway.Internal, "the server answered with status 302"},
		{400, `{"error": "x is missing\nand more"}`, slipway.Invalid, "the model refused the request: x is missing"},
		{422, `no json`, slipway.Unprocessable, "the model refused the request with status 422"},
	} {
		o, _ := serve(t, tt.status, tt.body)
		for _, c := range []interface {
			Predict(context.Context, *tensor.Batch) (*tensor.Batch, error)
			Ready(context.Context) error
			Close()
		}{remote.NewScoring(o, tensor.Schema{}), remote.NewOpenInference(o, "m")} {
			_, err := c.Predict(t.Context(), frame())
			if e := slipway.AsError(err); e.Kind != tt.kind || e.Message != tt.want {
				t.Errorf("status %d gives %d %s", tt.status, e.Kind, e.Message)
			}
			if c.Ready(t.Context()) == nil {
				t.Errorf("it is ready with status %d", tt.status)
			}
			c.Close()
		}
	}
}

func TestNobodyThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := remote.Options{Base: "http://" + ln.Addr().String(), What: "the server", Conns: 1, Dial: new(net.Dialer).DialContext}
	c := remote.NewScoring(o, tensor.Schema{})
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Predict(ctx, frame()); err == nil || ctx.Err() == nil { // accepted by the kernel, never answered
		t.Error(err)
	}
	ln.Close()
	if e := slipway.AsError(c.Ready(t.Context())); e.Code != slipway.CodeNoReplica {
		t.Error(e)
	}
}
