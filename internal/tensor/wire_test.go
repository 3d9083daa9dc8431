package tensor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tensor"
)

func number(v float64) *float64 { return &v }

// bounded is a schema with something declared of every sort of column.
func bounded(t *testing.T, unknown string) *tensor.Schema {
	t.Helper()
	s := &tensor.Schema{Inputs: []tensor.Field{{Name: "amount", Type: tensor.FP64, Required: true}, {Name: "kind", Type: tensor.Int32, Required: true},
		{Name: "country", Type: tensor.Bytes, Required: true}, {Name: "when", Type: tensor.Bytes, Format: tensor.FormatTime}, {Name: "raw", Type: tensor.Bytes, Format: tensor.FormatBase64}}}
	if wrong := s.Declare(tensor.Declared{Unknown: unknown, Columns: map[string]tensor.Bounds{"amount": {Min: number(0), Max: number(100), Missing: tensor.Refuse},
		"kind": {Enum: []string{"2", "1.0", "1"}}, "country": {Enum: []string{"FR", "DE"}}}}); wrong != nil {
		t.Fatal(wrong)
	}
	return s
}

func TestBounds(t *testing.T) {
	for name, c := range map[string]struct{ amount, kind, country, more, field, says string }{
		"fits":         {"100", "1", `"DE"`, "", "", ""},
		"times":        {"0", "2.0", `"FR"`, `,"when":"2026-03-31T12:30:00.25+02:00","raw":"AP8="`, "", ""},
		"above":        {"100.5", "1", `"DE"`, "", "amount", "between 0 and 100"},
		"below":        {"-1", "1", `"DE"`, "", "amount", "between 0 and 100"},
		"missing":      {"null", "1", `"DE"`, "", "amount", "must not be"},
		"enum":         {"1", "4711", `"DE"`, "", "kind", "none of 1, 2"},
		"text":         {"1", "1", `"4711"`, "", "country", "none of DE, FR"},
		"no time":      {"1", "1", `"DE"`, `,"when":"31.3.2026"`, "when", "no date or time"},
		"time as int":  {"1", "1", `"DE"`, `,"when":1711888200000`, "when", "no string"},
		"no base64":    {"1", "1", `"DE"`, `,"raw":"4711!"`, "raw", "no base64"},
		"unknown":      {"1", "1", `"DE"`, `,"more":4711`, " member 4", "no input of this model"},
		"NaN as int":   {"1", "null", `"DE"`, "", "kind", "is missing"},
		"half":         {"1", "1.5", `"DE"`, "", "kind", "no INT32"},
		"int32's edge": {"1", "2147483648", `"DE"`, "", "kind", "does not fit into INT32"},
	} {
		body := fmt.Sprintf(`{"dataframe_records":[{"amount":%s,"kind":%s,"country":%s%s}]}`, c.amount, c.kind, c.country, c.more)
		_, err := tensor.ParseInvocations([]byte(body), bounded(t, tensor.Refuse))
		if c.field == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !strings.HasPrefix(c.field, " ") {
			c.field = "." + c.field
		}
		refused(t, err, slipway.CodeSchema, "dataframe_records[0]"+c.field)
		if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The same bounds hold in every form, and name the place in it.
func TestBoundsInEveryForm(t *testing.T) {
	s := bounded(t, "")
	binary := `{"inputs":[{"name":"amount","shape":[2],"datatype":"INT16","parameters":{"binary_data_size":4}}]}`
	for form, parse := range map[string]func() error{
		"inputs[0].data[1]": func() error {
			_, _, err := parseInfer(infer(column("amount", "FP32", "[2]", "[1,4711]")), s)
			return err
		},
		"inputs[0].data[1] ": func() error {
			_, _, err := tensor.ParseInfer([]byte(binary+"\x01\x00\xff\x7f"), len(binary), s)
			return err
		},
		"inputs[0].data[1]  ": func() error {
			_, err := tensor.Bind([]tensor.Tensor{tensor.NewFloat64("amount", []int{2}, []float64{1, 4711})}, s)
			return err
		},
		"rows[1].amount": func() error {
			_, err := tensor.ParseCSV([]byte("amount,kind,country\n1,1,DE\n4711,1,DE\n"), s)
			return err
		},
		"inputs.amount[1]": func() error {
			_, err := tensor.ParseInvocations([]byte(`{"inputs":{"amount":[1,4711]}}`), s)
			return err
		},
		"dataframe_split.data[1][0]": func() error {
			_, err := tensor.ParseInvocations([]byte(`{"dataframe_split":{"columns":["amount","kind","country"],"data":[[1,1,"DE"],[4711,1,"DE"]]}}`), s)
			return err
		},
	} {
		refused(t, parse(), slipway.CodeSchema, strings.TrimSpace(form))
	}
}

func TestUnknown(t *testing.T) {
	for unknown, want := range map[string][3]bool{"": {false, true, true}, tensor.Drop: {true, true, true}, tensor.Refuse: {false, false, false}} {
		s := numbers()
		s.Unknown = unknown
		_, _, infer := parseInfer(infer(column("a", "FP32", "[1]", "[1]"), column("more", "BYTES", "[1]", `["x"]`), column("b", "FP32", "[1]", "[1]")), s)
		_, split := tensor.ParseInvocations([]byte(`{"dataframe_split":{"columns":["a","more","b"],"data":[[1,{},2]]}}`), s)
		_, csv := tensor.ParseCSV([]byte("a,more,b\n1,\"x,\"\"\",2\n"), s)
		if got := [3]bool{infer == nil, split == nil, csv == nil}; got != want {
			t.Errorf("%q: %v, want %v: %v %v %v", unknown, got, want, infer, split, csv)
		}
	}
}

func TestDeclareRefuses(t *testing.T) {
	s := cards()
	wrong := s.Declare(tensor.Declared{Columns: map[string]tensor.Bounds{"z": {}, "s": {Min: number(1)}, "n": {Missing: tensor.Refuse}, "ok": {Enum: []string{"yes"}}, "b": {Enum: []string{"1e99"}}}})
	var names []string
	for _, e := range wrong {
		names = append(names, e.Field)
	}
	if d := cmp.Diff([]string{"b", "n", "ok", "s", "z"}, names); d != "" {
		t.Error(d)
	}
}

func TestCSV(t *testing.T) {
	for name, c := range map[string]struct {
		schema     *tensor.Schema
		body, want string
	}{
		"usual":     {cards(), "\xef\xbb\xbfa,b,n,s,ok\r\n1e3,,-7,\"x,\"\"y\"\"\nz\",True\r\n", `a[1]=1000 b[1]=NaN n[1]=-7 s[1]="x,\"y\"\nz" ok[1]=1`},
		"order":     {numbers(), ",b,a\n0,NaN,1\n1,2, +3.5 \n", "a[2]=1 3.5 b[2]=NaN 2"},
		"optional":  {cards(), "a,n,s,ok\n1,2,NA,false\n", `a[1]=1 b[1]=NaN n[1]=2 s[1]="NA" ok[1]=0`},
		"infinite":  {numbers(), "a,b\n-inf,inf\n", "a[1]=-Inf b[1]=+Inf"},
		"3.0":       {cards(), "a,n,s,ok\n1,3.0,x,TRUE\n", `a[1]=1 b[1]=NaN n[1]=3 s[1]="x" ok[1]=1`},
		"one block": {block(), "0,1\n1,2\n3,4\n", "input[2 2]=1 2 3 4"},
	} {
		b, err := tensor.ParseCSV([]byte(c.body), c.schema)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if d := cmp.Diff(c.want, show(b)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	for name, c := range map[string]struct {
		body, code, field string
	}{
		"empty":     {"", slipway.CodeSchema, "rows"},
		"no rows":   {"a,n,s,ok\n", slipway.CodeSchema, "rows"},
		"ragged":    {"a,n,s,ok\n4711\n", slipway.CodeRequest, ""},
		"quote":     {"a,n,s,ok\n\"4711", slipway.CodeRequest, ""},
		"lacks":     {"a,n,s\n1,4711,x\n", slipway.CodeSchema, "rows"},
		"twice":     {"a,a,n,s,ok\n1,1,1,x,true\n", slipway.CodeSchema, "header[1]"},
		"hex":       {"a,n,s,ok\n0x4711,1,x,true\n", slipway.CodeSchema, "rows[0].a"},
		"text":      {"a,n,s,ok\n1,1,x,true\nx4711,1,x,true\n", slipway.CodeSchema, "rows[1].a"},
		"missing":   {"a,n,s,ok\n1,,x,true\n", slipway.CodeSchema, "rows[0].n"},
		"no text":   {"a,n,s,ok\n1,1,,true\n", slipway.CodeSchema, "rows[0].s"},
		"no bool":   {"a,n,s,ok\n1,1,x,4711\n", slipway.CodeSchema, "rows[0].ok"},
		"no UTF-8":  {"a,n,s,ok\n1,1,\xff4711,true\n", slipway.CodeSchema, "rows[0].s"},
		"too large": {"a,n,s,ok\n1e4711,1,x,true\n", slipway.CodeSchema, "rows[0].a"},
	} {
		_, err := tensor.ParseCSV([]byte(c.body), cards())
		t.Run(name, func(t *testing.T) { refused(t, err, c.code, c.field) })
	}
}

// Inputs that come in another type than the schema's are converted, and counted.
func TestCoercions(t *testing.T) {
	for body, want := range map[string]int{
		infer(column("a", "FP64", "[1]", "[1]"), column("b", "FP32", "[1]", "[1]")):      0,
		infer(column("a", "FP32", "[1]", "[1]"), column("b", "FP32", "[1]", "[1]")):      1,
		infer(column("x", "INT64", "[1,2]", "[1,2]")):                                    2,
		infer(column("a", "FP64", "[1]", "[1]"), column("b", "UINT8", "[1,1]", "[[1]]")): 1,
	} {
		b, _, err := parseInfer(body, numbers())
		if err != nil || b.Coerced != want {
			t.Errorf("%s: %v %v, want %d", body, b, err, want)
		}
	}
	b, err := tensor.ParseInvocations([]byte(`{"inputs":{"a":[1],"n":[1.0],"s":["x"],"ok":[true]}}`), cards())
	if err != nil || b.Coerced != 1 {
		t.Error(b, err)
	}
}

// An optional input that is no number stays away if no row has it.
func TestOptionalTexts(t *testing.T) {
	s := cards()
	s.Inputs[2].Required, s.Inputs[3].Required = false, false
	b, err := tensor.ParseInvocations([]byte(`{"dataframe_records":[{"a":1,"ok":true},{"a":2,"ok":false}]}`), s)
	if err != nil || show(b) != "a[2]=1 2 b[2]=NaN NaN ok[2]=1 0" {
		t.Error(b, err)
	}
	b, err = tensor.ParseInvocations([]byte(`{"inputs":[{"a":1,"n":null,"s":null,"ok":true}]}`), s)
	if err != nil || show(b) != "a[1]=1 b[1]=NaN ok[1]=1" {
		t.Error(b, err)
	}
	_, err = tensor.ParseInvocations([]byte(`{"inputs":{"a":[1,2],"s":[null,"x"],"ok":[true,true]}}`), s)
	refused(t, err, slipway.CodeSchema, "inputs")
	for field, body := range map[string]string{"dataframe_records[1].s": `[{"a":1,"ok":true},{"a":2,"ok":true,"s":"x"}]`, "dataframe_records": `[{"a":1,"ok":true,"s":"x"},{"a":2,"ok":true}]`} {
		_, err := tensor.ParseInvocations([]byte(`{"dataframe_records":`+body+`}`), s)
		refused(t, err, slipway.CodeSchema, field)
	}
}

var allTypes = []tensor.Type{tensor.Bool, tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64, tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64,
	tensor.FP16, tensor.BF16, tensor.FP32, tensor.FP64, tensor.Bytes}

// Every type comes back bit by bit as binary data and, but for what JSON has not, as JSON.
func TestEveryTypeRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(1, 4).Draw(t, "rows")
		want := &tensor.Batch{}
		for i, kind := range allTypes {
			x := tensor.Tensor{Name: fmt.Sprint("t", i), Type: kind, Shape: []int{rows, 2}}
			switch {
			case kind == tensor.Bytes:
				x.Strings = rapid.SliceOfN(rapid.String(), 2*rows, 2*rows).Draw(t, "texts")
			case kind == tensor.Bool:
				x.Data = rapid.SliceOfN(rapid.ByteRange(0, 1), 2*rows, 2*rows).Draw(t, "bools")
			default:
				n := 2 * rows * kind.Size()
				x.Data = rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "data")
			}
			for e := range x.Len() {
				if kind.Float() && (math.IsNaN(x.Float(e)) || math.IsInf(x.Float(e), 0)) {
					clear(x.Data[e*kind.Size() : (e+1)*kind.Size()])
				}
			}
			want.Tensors = append(want.Tensors, x)
		}
		s := schemaOf(want)
		same := func(form string, got *tensor.Batch, err error) {
			if err != nil {
				t.Fatal(form, err)
			}
			for i := range want.Tensors {
				a, b := &want.Tensors[i], &got.Tensors[i]
				if !bytes.Equal(a.Data, b.Data) || fmt.Sprint(a.Strings) != fmt.Sprint(b.Strings) {
					t.Fatalf("%s: %s differs", form, a.Type)
				}
			}
		}
		got, _, err := parseInfer(string(tensor.AppendInferRequest(nil, want)), s)
		same("json", got, err)
		got, err = tensor.Bind(want.Tensors, s)
		same("bind", got, err)
		body, head, err := tensor.AppendInferResponse(nil, "m", "1", &tensor.Wanted{Binary: true}, want)
		if err != nil {
			t.Fatal(err)
		}
		request := bytes.Replace(body[:head], []byte(`"outputs"`), []byte(`"inputs"`), 1)
		got, _, err = tensor.ParseInfer(append(request, body[head:]...), len(request), s)
		same("binary", got, err)
		got, err = tensor.DecodeBatch(tensor.AppendBatch(nil, want))
		same("frame", got, err)
		got, err = tensor.ParseInvocations(tensor.AppendInvocation(nil, want), s)
		same("invocation", got, err)
	})
}

// Bytes that are no text reach clients as base64, and come back as such.
func TestRawBytes(t *testing.T) {
	out := &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewStrings("s", []int{2}, []string{"\xff\x00", "x"})}}
	text := string(answered("m", "1", "", out))
	if !strings.Contains(text, `"parameters":{"content_type":"base64"},"data":["/wA=","eA=="]`) {
		t.Error(text)
	}
	s := &tensor.Schema{Inputs: []tensor.Field{{Name: "s", Type: tensor.Bytes, Format: tensor.FormatBase64, Required: true}}}
	b, _, err := parseInfer(strings.Replace(text[strings.Index(text, `"outputs"`)-1:], `,"outputs"`, `{"inputs"`, 1), s)
	if err != nil || b.Tensors[0].Strings[0] != "/wA=" {
		t.Error(b, err)
	}
	b, err = tensor.Bind(out.Tensors, s)
	if err != nil || b.Tensors[0].Strings[0] != "/wA=" {
		t.Error(b, err)
	}
	s.Inputs[0].Format = ""
	_, err = tensor.Bind(out.Tensors, s)
	refused(t, err, slipway.CodeSchema, "inputs[0].data[0]")
	if !json.Valid(tensor.AppendPredictions(nil, out)) {
		t.Error("no JSON")
	}
}

// Shapes that lie, in every way that numbers allow.
func TestShapes(t *testing.T) {
	for _, shape := range []string{"[4294967295,4294967295,4294967295]", "[2147483648,4294967295]", "[1099511627776]", "[-1]", "[0,4294967295]", "[1,1,1,1,1,1,1,1,1]", "[1e9]", "[null]", "[]", `["1"]`, "1"} {
		for _, data := range []string{"[]", "[1]", "null"} {
			_, _, err := parseInfer(infer(column("a", "FP64", shape, data)), block())
			if err == nil {
				t.Errorf("%s %s is taken", shape, data)
			}
		}
		head := `{"inputs":[{"name":"a","shape":` + shape + `,"datatype":"BYTES","parameters":{"binary_data_size":8}}]}`
		if _, _, err := tensor.ParseInfer([]byte(head+"\xff\xff\xff\xff\xff\xff\xff\xff"), len(head), cards()); err == nil {
			t.Error(shape)
		}
	}
}
