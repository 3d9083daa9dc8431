package answer_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/tensor"
)

func schema() *tensor.Schema {
	return &tensor.Schema{Inputs: []tensor.Field{{Name: "a", Type: tensor.FP32, Required: true}, {Name: "s", Type: tensor.Bytes, Required: true}},
		Outputs: []tensor.Field{{Name: "p"}, {Name: "t"}}}
}

func result(rows int) *tensor.Batch {
	p, t := make([]float32, rows), make([]string, rows)
	for i := range p {
		p[i], t[i] = float32(i)+.5, fmt.Sprint("t", i)
	}
	return &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat32("p", []int{rows}, p), tensor.NewStrings("t", []int{rows}, t)}}
}

// headers are "name: value" lines.
func headers(lines ...string) func(string) string {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Set(name, value)
	}
	return h.Get
}

const limit = 1 << 20

func free(int64) *slipway.Error { return nil }

// exchange reads a request and writes an answer of so many rows.
func exchange(p answer.Protocol, body []byte, s *tensor.Schema, rows int, header ...string) (*tensor.Batch, answer.Reply, *slipway.Error) {
	x, err := p.Open(headers(header...))
	if err == nil {
		err = x.Decode(body, limit, free)
	}
	var in *tensor.Batch
	if err == nil {
		in, err = x.Bind(s)
	}
	var r answer.Reply
	if err == nil {
		r, err = x.Reply(nil, "m", "3", result(rows))
	}
	return in, r, err
}

// le writes elements as binary data.
func le(values ...any) string {
	var b bytes.Buffer
	for _, v := range values {
		if s, ok := v.(string); ok {
			_ = binary.Write(&b, binary.LittleEndian, uint32(len(s)))
			b.WriteString(s)
			continue
		}
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	return b.String()
}

func TestBinaryData(t *testing.T) {
	numbers, texts := le(float32(1.5), float32(math.Inf(1))), le("x", "ü")
	head := fmt.Sprintf(`{"id":"7","parameters":{"binary_data_output":true,"mine":1},"inputs":[{"name":"a","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":%d}},`+
		`{"name":"s","shape":[2,1],"datatype":"BYTES","parameters":{"binary_data_size":%d}}],"outputs":[{"name":"t"},{"name":"p","parameters":{"binary_data":false}}]}`, len(numbers), len(texts))
	in, r, err := exchange(answer.OpenInference, []byte(head+numbers+texts), schema(), 2, fmt.Sprint("Inference-Header-Content-Length: ", len(head)), "Content-Type: application/octet-stream")
	if err != nil {
		t.Fatal(err)
	}
	if a, s := in.Tensor("a"), in.Tensor("s"); a.Float(0) != 1.5 || !math.IsInf(a.Float(1), 1) || s.Strings[1] != "ü" || in.Coerced != 0 {
		t.Error(in, s.Strings)
	}
	want := `{"model_name":"m","model_version":"3","id":"7","outputs":[{"name":"t","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":12}},` +
		`{"name":"p","shape":[2],"datatype":"FP32","data":[0.5,1.5]}]}`
	if d := cmp.Diff(want+le("t0", "t1"), string(r.Body)); d != "" || r.Head != len(want) {
		t.Error(r.Head, len(want), d)
	}
	w := httptest.NewRecorder()
	r.Write(w)
	if h := w.Header(); h.Get("Inference-Header-Content-Length") != fmt.Sprint(len(want)) || h.Get("Content-Type") != "application/octet-stream" {
		t.Error(h)
	}
}

// A request that is the data of the only input, and nothing else.
func TestRaw(t *testing.T) {
	one := &tensor.Schema{Inputs: []tensor.Field{{Name: "a", Type: tensor.FP16, Shape: []int{2}, Required: true}}}
	in, r, err := exchange(answer.OpenInference, []byte("\x00\x3c\x00\xc0\x00\x00\x00\x7c"), one, 1, "Inference-Header-Content-Length: 0")
	if err != nil || in.Tensors[0].Float(1) != -2 || in.Rows() != 2 || r.Head == 0 {
		t.Error(in, r, err)
	}
	for name, c := range map[string]struct {
		s    *tensor.Schema
		body string
	}{"two inputs": {schema(), "1234"}, "half a row": {one, "1234567"}, "no row": {one, ""}} {
		if _, _, err := exchange(answer.OpenInference, []byte(c.body), c.s, 1, "Inference-Header-Content-Length: 0"); err == nil {
			t.Error(name)
		}
	}
}

func pack(t *testing.T, coding string, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	default:
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	}
	if _, err := w.Write(body); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unpack(t *testing.T, coding string, body []byte) string {
	t.Helper()
	var r io.Reader
	var err error
	switch coding {
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		r, err = zlib.NewReader(bytes.NewReader(body))
	case "zstd":
		r, err = zstd.NewReader(bytes.NewReader(body))
	default:
		return string(body)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCodings(t *testing.T) {
	body := []byte(`{"dataframe_split":{"columns":["a","s"],"data":[[1,"x"]]}}`)
	const rows = 20_000
	_, want, _ := exchange(answer.MLflowScoring, body, schema(), rows)
	for _, coding := range []string{"gzip", "deflate", "zstd"} {
		for range 3 { // readers and writers are used again
			in, r, err := exchange(answer.MLflowScoring, pack(t, coding, body), schema(), rows, "Content-Encoding: "+coding, "Accept-Encoding: "+coding)
			if err != nil || in.Rows() != 1 || r.Encoding != coding || unpack(t, coding, r.Body) != string(want.Body) {
				t.Fatal(coding, r.Encoding, err)
			}
		}
		if _, r, _ := exchange(answer.MLflowScoring, body, schema(), 10, "Accept-Encoding: "+coding); r.Encoding != "" {
			t.Error("a small answer is packed")
		}
		packed := pack(t, coding, body)
		if _, _, err := exchange(answer.MLflowScoring, packed[:len(packed)-3], schema(), 1, "Content-Encoding: "+coding); err == nil || answer.Status(err) != http.StatusBadRequest {
			t.Error("cut:", coding, err)
		}
		for name, bomb := range map[string][]byte{"size": bytes.Repeat([]byte("0123456789abcdef"), 2*limit/16), "ratio": make([]byte, 64<<20)} {
			held := int64(0)
			x, _ := answer.OpenInference.Open(headers("Content-Encoding: " + coding))
			err := x.Decode(pack(t, coding, bomb), limit, func(n int64) *slipway.Error { held += n; return nil })
			if err == nil || answer.Status(err) != http.StatusRequestEntityTooLarge || held > 2*limit {
				t.Error(name, coding, held, err)
			}
		}
	}
	x, _ := answer.OpenInference.Open(headers("Content-Encoding: zstd"))
	err := x.Decode(pack(t, "zstd", make([]byte, 4<<20)), 64<<20, free)
	if err == nil || !strings.Contains(err.Message, "200 times") {
		t.Error(err)
	}
}

func TestNegotiation(t *testing.T) {
	body := []byte(`{"dataframe_split":{"columns":["a","s"],"data":[[1,"x"]]}}`)
	for accept, want := range map[string]string{"": "", "identity": "", "br": "", "*": "", "gzip, deflate, br, zstd": "zstd", "gzip, deflate": "gzip", "deflate, gzip;q=0.5": "deflate",
		"gzip;q=0": "", "gzip;q=0, deflate;q=0.1": "deflate", "GZIP": "gzip", "gzip;q=x": "", ";;,,": ""} {
		if _, r, err := exchange(answer.MLflowScoring, body, schema(), 20_000, "Accept-Encoding: "+accept); err != nil || r.Encoding != want {
			t.Errorf("%q: %q, want %q", accept, r.Encoding, want)
		}
	}
}

// What the headers refuse, and what is wrong with the body that they announce.
func TestExchangeRefusals(t *testing.T) {
	column := `{"name":"a","shape":[1],"datatype":"FP32","data":[1]}`
	text := `{"name":"s","shape":[1],"datatype":"BYTES","data":["x"]}`
	whole := `{"inputs":[` + column + `,` + text + `]}`
	binary := func(more string, data string) (string, []string) {
		head := `{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","parameters":{` + more + `}},` + text + `]}`
		return head + data, []string{fmt.Sprint("Inference-Header-Content-Length: ", len(head))}
	}
	long, longHeader := binary(`"binary_data_size":5`, "1234")
	short, shortHeader := binary(`"binary_data_size":3`, "123")
	rest, restHeader := binary(`"binary_data_size":4`, "12345")
	huge, hugeHeader := binary(`"binary_data_size":9223372036854775807`, "1234")
	for name, c := range map[string]struct {
		p      answer.Protocol
		body   string
		header []string
		status int
		field  string
	}{
		"brotli":           {0, whole, []string{"Content-Encoding: br"}, 415, "Content-Encoding"},
		"packed twice":     {0, whole, []string{"Content-Encoding: gzip, gzip"}, 415, "Content-Encoding"},
		"csv":              {0, whole, []string{"Content-Type: text/csv"}, 415, "Content-Type"},
		"binary":           {0, whole, []string{"Content-Type: application/octet-stream"}, 415, "Content-Type"},
		"charset":          {1, whole, []string{"Content-Type: application/json; charset=latin1"}, 415, "Content-Type"},
		"parameter":        {1, whole, []string{"Content-Type: application/json; format=pandas-split"}, 415, "Content-Type"},
		"no length":        {0, whole, []string{"Inference-Header-Content-Length: -1"}, 400, "Inference-Header-Content-Length"},
		"length":           {0, whole, []string{"Inference-Header-Content-Length: 100000"}, 400, "Inference-Header-Content-Length"},
		"short JSON":       {0, whole, []string{"Inference-Header-Content-Length: 14"}, 400, ""},
		"data beyond":      {0, long, longHeader, 422, "inputs[0].parameters.binary_data_size"},
		"huge data":        {0, huge, hugeHeader, 422, "inputs[0].parameters.binary_data_size"},
		"size beside type": {0, short, shortHeader, 422, "inputs[0].data"},
		"more data":        {0, rest, restHeader, 422, "inputs"},
		"output":           {0, whole[:len(whole)-1] + `,"outputs":[{"name":"p"},{"name":"q"}]}`, nil, 422, "outputs[1].name"},
		"output twice":     {0, whole[:len(whole)-1] + `,"outputs":[{"name":"p"},{"name":"p"}]}`, nil, 422, "outputs[1].name"},
		"classification":   {0, whole[:len(whole)-1] + `,"outputs":[{"name":"p","parameters":{"classification":2}}]}`, nil, 422, "outputs[0].parameters.classification"},
		"parameters":       {0, whole[:len(whole)-1] + `,"parameters":{"x":[4711]}}`, nil, 422, "parameters"},
		"sequence":         {0, whole[:len(whole)-1] + `,"parameters":{"sequence_id":1}}`, nil, 422, "parameters.sequence_id"},
		"inputs twice":     {0, whole[:len(whole)-1] + `,"inputs":[]}`, nil, 422, "inputs"},
		"id":               {0, whole[:len(whole)-1] + `,"id":4711}`, nil, 422, "id"},
	} {
		_, _, err := exchange(c.p, []byte(c.body), schema(), 1, c.header...)
		if err == nil || answer.Status(err) != c.status || err.Field != c.field {
			t.Errorf("%s: %v, want %d at %q", name, err, c.status, c.field)
		} else if strings.Contains(err.Error(), "4711") {
			t.Errorf("%s quotes the value: %v", name, err)
		}
	}
}

func TestParsePath(t *testing.T) {
	for path, want := range map[string]answer.Path{
		"/v2/models/fraud":                          {Name: "fraud", What: answer.ModelMetadata},
		"/v2/models/fraud.staging/ready":            {Name: "fraud.staging", What: answer.ModelReady},
		"/v2/models/fraud/infer":                    {Name: "fraud", What: answer.Predict},
		"/v2/models/fraud/versions/3":               {Name: "fraud", Version: "3", What: answer.ModelMetadata},
		"/v2/models/fraud.staging/versions/3/infer": {Name: "fraud.staging", Version: "3", What: answer.Predict},
		"/v2/models/fraud/versions//infer":          {Name: "fraud"},
		"/v2/models/fraud/config":                   {Name: "fraud"},
		"/endpoints/fraud.staging/invocations":      {Protocol: answer.MLflowScoring, Name: "fraud.staging", What: answer.Predict},
		"/endpoints/fraud/openapi.json":             {Protocol: answer.MLflowScoring, Name: "fraud", What: answer.OpenAPI},
		"/endpoints/fraud/docs":                     {Protocol: answer.MLflowScoring, Name: "fraud", What: answer.Page},
		"/endpoints/fraud":                          {Protocol: answer.MLflowScoring, Name: "fraud"},
	} {
		if got, ok := answer.ParsePath(path); !ok || got != want {
			t.Errorf("%s: %+v", path, got)
		}
	}
	for _, path := range []string{"/v2", "/v2/models/", "/v2/models", "/endpoints/", "/metrics", ""} {
		if p, ok := answer.ParsePath(path); ok {
			t.Error(path, p)
		}
	}
}

// FuzzExchange reads any headers and bodies: nothing panics, and no error quotes the body.
func FuzzExchange(f *testing.F) {
	f.Add(true, "application/json", "", "0", []byte("1234"))
	f.Add(true, "", "", "70", []byte(`{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]}1234`))
	f.Add(false, "text/csv", "", "", []byte("a,s\n1,\"x\"\n"))
	f.Add(false, "", "gzip", "", []byte("\x1f\x8b\x08\x00"))
	f.Add(true, "", "zstd", "", []byte("\x28\xb5\x2f\xfd"))
	f.Fuzz(func(t *testing.T, open bool, kind, coding, head string, body []byte) {
		p := answer.MLflowScoring
		if open {
			p = answer.OpenInference
		}
		s := schema()
		in, _, err := exchange(p, body, s, 1, "Content-Type: "+kind, "Content-Encoding: "+coding, "Inference-Header-Content-Length: "+head)
		if err == nil {
			if err := tensor.Check(in, s.Inputs); err != nil {
				t.Fatal(err)
			}
		}
	})
}
