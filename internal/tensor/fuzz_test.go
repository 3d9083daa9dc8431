package tensor_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/slipway-ml/slipway/internal/tensor"
)

// agree holds our judgement of JSON against encoding/json's: what we accept is JSON, and
// what we call malformed is not, but for bytes that are no UTF-8 and deep nesting.
func agree(t *testing.T, body []byte, err error) {
	t.Helper()
	valid := json.Valid(body)
	if err == nil && !valid {
		t.Fatalf("accepted %q", body)
	}
	if err != nil && strings.Contains(err.Error(), "no valid JSON") && valid && utf8.Valid(body) && body[0] == '{' {
		t.Fatalf("%v in %q", err, body)
	}
}

func FuzzParseInfer(f *testing.F) {
	for _, s := range []string{`{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":[1.5]}]}`, `{"inputs":[{"data":[[1,2],[3,4]],"name":"x","shape":[2,2],"datatype":"FP32"}]}`,
		`{"id":"\ud83d\ude00","inputs":[]}`, `{"parameters":[[[{}]]],"inputs":null}`, "[1e5,-0.0]", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, s := range []*tensor.Schema{cards(), numbers(), block()} {
			b, _, err := tensor.ParseInfer(body, len(body), s)
			agree(t, body, err)
			if err == nil {
				if err := tensor.Check(b, s.Inputs); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func FuzzParseInvocations(f *testing.F) {
	for _, s := range []string{`{"dataframe_split":{"columns":["a","b"],"data":[[1,2]]}}`, `{"dataframe_records":[{"a":1,"b":null}]}`, `{"instances":[[1,2]]}`,
		`{"inputs":{"a":[1],"b":[2]}}`, `{"instances":[{"input":[1,2]}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, s := range []*tensor.Schema{cards(), numbers(), block()} {
			b, err := tensor.ParseInvocations(body, s)
			agree(t, body, err)
			if err == nil {
				if err := tensor.Check(b, s.Inputs); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func FuzzParseInferResponse(f *testing.F) {
	f.Add([]byte(`{"outputs":[{"name":"p","shape":[2],"datatype":"FP32","data":[0.5,null]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := tensor.ParseInferResponse(body)
		agree(t, body, err)
		if err == nil && !json.Valid(tensor.AppendPredictions(nil, b)) {
			t.Fatal("the answer is no JSON")
		}
	})
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add(tensor.AppendBatch(nil, &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewInt64("n", []int{2}, []int64{1, 2}), tensor.NewStrings("s", []int{2}, []string{"", "x"})}}))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := tensor.DecodeBatch(body)
		if err == nil && !bytes.Equal(tensor.AppendBatch(nil, b), body) {
			t.Fatal("another batch")
		}
	})
}

func BenchmarkParseInfer(b *testing.B) {
	s := &tensor.Schema{}
	var values []string
	for i := range 30 {
		s.Inputs = append(s.Inputs, tensor.Field{Name: string(rune('a'+i%26)) + string(rune('0'+i/26)), Type: tensor.FP64, Required: true})
		values = append(values, "12.375")
	}
	body := []byte(infer(column("x", "FP64", "[1,30]", "["+strings.Join(values, ",")+"]")))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := tensor.ParseInfer(body, len(body), s); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParseCSV(f *testing.F) {
	f.Add([]byte("a,b,n,s,ok\n1,,3,\"x,\"\"\ny\",true\n"))
	f.Add([]byte("\xef\xbb\xbfinput,x\n1e5,-inf\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, s := range []*tensor.Schema{cards(), numbers(), block()} {
			if b, err := tensor.ParseCSV(body, s); err == nil {
				if err := tensor.Check(b, s.Inputs); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// FuzzBinary reads JSON with binary data behind it, at any length of the JSON.
func FuzzBinary(f *testing.F) {
	f.Add([]byte(`{"inputs":[{"name":"s","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":5}},{"name":"a","shape":[1],"datatype":"BF16","parameters":{"binary_data_size":2}}]}`+"\x01\x00\x00\x00x\x80\x3f"), 167)
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf0\x3f"), 0)
	f.Fuzz(func(t *testing.T, body []byte, head int) {
		if head < 0 || head > len(body) {
			return
		}
		for _, s := range []*tensor.Schema{cards(), numbers(), block()} {
			b, w, err := tensor.ParseInfer(body, head, s)
			if err != nil {
				continue
			}
			if err := tensor.Check(b, s.Inputs); err != nil {
				t.Fatal(err)
			}
			w.Outputs = nil
			if out, head, err := tensor.AppendInferResponse(nil, "m", "1", &w, b); err != nil || head == 0 && !json.Valid(out) || head > 0 && !json.Valid(out[:head]) {
				t.Fatal(err, head)
			}
		}
	})
}
