package tensor_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// cards is a schema of columns of every sort: b is optional.
func cards() *tensor.Schema {
	return &tensor.Schema{Inputs: []tensor.Field{
		{Name: "a", Type: tensor.FP64, Required: true}, {Name: "b", Type: tensor.FP32},
		{Name: "n", Type: tensor.Int64, Required: true}, {Name: "s", Type: tensor.Bytes, Required: true},
		{Name: "ok", Type: tensor.Bool, Required: true}}}
}

func numbers() *tensor.Schema {
	return &tensor.Schema{Inputs: []tensor.Field{{Name: "a", Type: tensor.FP64, Required: true}, {Name: "b", Type: tensor.FP32, Required: true}}}
}

func block() *tensor.Schema {
	return &tensor.Schema{Inputs: []tensor.Field{{Name: "input", Type: tensor.FP64, Shape: []int{2}, Required: true}}}
}

// show prints a batch with its values.
func show(b *tensor.Batch) string {
	var out strings.Builder
	for i := range b.Tensors {
		t := &b.Tensors[i]
		fmt.Fprintf(&out, "%s%v=", t.Name, t.Shape)
		for e := range t.Len() {
			if t.Type == tensor.Bytes {
				fmt.Fprintf(&out, "%q ", t.Strings[e])
			} else {
				fmt.Fprintf(&out, "%g ", t.Float(e))
			}
		}
	}
	return strings.TrimSpace(out.String())
}

func column(name, kind, shape, data string) string {
	return fmt.Sprintf(`{"name":%q,"shape":%s,"datatype":%q,"data":%s}`, name, shape, kind, data)
}

func infer(tensors ...string) string { return `{"inputs":[` + strings.Join(tensors, ",") + `]}` }

func parseInfer(body string, s *tensor.Schema) (*tensor.Batch, tensor.Wanted, error) {
	return tensor.ParseInfer([]byte(body), len(body), s)
}

// answered is an inference response without binary data.
func answered(model, version, id string, b *tensor.Batch) []byte {
	text, head, err := tensor.AppendInferResponse(nil, model, version, &tensor.Wanted{ID: id}, b)
	if err != nil || head != 0 {
		panic(err)
	}
	return text
}

func TestParseInfer(t *testing.T) {
	for name, c := range map[string]struct {
		schema     *tensor.Schema
		body, want string
	}{
		"columns": {numbers(), infer(column("b", "FP32", "[2,1]", "[[3],[4]]"), column("a", "INT64", "[2]", "[1,2]")), "a[2]=1 2 b[2]=3 4"},
		"matrix":  {numbers(), infer(column("x", "FP32", "[2,2]", "[1,2,3,4]")), "a[2]=1 3 b[2]=2 4"},
		"matrix with a column's name": {numbers(), infer(column("a", "FP32", "[1,2]", "[[1,2]]")),
			"a[1]=1 b[1]=2"},
		"data first":    {numbers(), `{"inputs":[{"data":[[1,null]],"shape":[1,2],"name":"x","datatype":"FP64"}],"parameters":{}}`, "a[1]=1 b[1]=NaN"},
		"block":         {block(), infer(column("whatever", "FP64", "[2,2]", "[[1,2],[3,4]]")), "input[2 2]=1 2 3 4"},
		"optional":      {cards(), infer(column("a", "FP64", "[1]", "[1e3]"), column("n", "INT8", "[1]", "[-7]"), column("s", "BYTES", "[1]", `["\u00fc\ud83d\ude00"]`), column("ok", "BOOL", "[1]", "[true]")), `a[1]=1000 b[1]=NaN n[1]=-7 s[1]="ü😀" ok[1]=1`},
		"escaped keys":  {numbers(), `{"\u0069nputs":[` + column("x", "FP32", "[1,2]", "[1,2]") + `]}`, "a[1]=1 b[1]=2"},
		"white space":   {numbers(), " {\n\"inputs\" : [ " + column("x", "FP32", "[ 1 , 2 ]", "[ 1 , 2 ]") + "\t] } ", "a[1]=1 b[1]=2"},
		"other outputs": {numbers(), `{"outputs":[{"name":"p"}],"inputs":[` + column("x", "FP32", "[1,2]", "[1,2]") + `]}`, "a[1]=1 b[1]=2"},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := parseInfer(c.body, c.schema)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, show(b)); d != "" {
				t.Error(d)
			}
		})
	}
	_, w, err := parseInfer(`{"id":"42",`+infer(column("x", "FP32", "[1,2]", "[1,2]"))[1:], numbers())
	if err != nil || w.ID != "42" {
		t.Error(w, err)
	}
}

func TestParseInvocations(t *testing.T) {
	want := "a[2]=1 3 b[2]=2 NaN"
	for name, c := range map[string]struct {
		schema     *tensor.Schema
		body, want string
	}{
		"split":               {numbers(), `{"dataframe_split":{"index":[0,1],"columns":["a","b"],"data":[[1,2],[3,null]]}}`, want},
		"split, data first":   {numbers(), `{"dataframe_split":{"data":[[2,9,1],[null,9,3]],"columns":["b","more","a"]}}`, want},
		"split, no columns":   {numbers(), `{"dataframe_split":{"data":[[1,2],[3,null]]}}`, want},
		"split of a block":    {block(), `{"dataframe_split":{"columns":[0,1],"data":[[1,2]]}}`, "input[1 2]=1 2"},
		"records":             {numbers(), `{"dataframe_records":[{"a":1,"b":2,"more":{}},{"b":null,"a":3}],"params":{}}`, want},
		"records, optional":   {cards(), `{"dataframe_records":[{"a":1,"n":2,"s":"x","ok":false}]}`, `a[1]=1 b[1]=NaN n[1]=2 s[1]="x" ok[1]=0`},
		"instances":           {numbers(), `{"instances":[[1,2],[3,null]]}`, want},
		"instances, objects":  {numbers(), `{"instances":[{"a":1,"b":2},{"a":3,"b":null}]}`, want},
		"instances of blocks": {block(), `{"instances":[{"input":[1,2]},{"input":[3,4]}]}`, "input[2 2]=1 2 3 4"},
		"inputs":              {numbers(), `{"inputs":{"a":[1,3],"b":[2,null],"more":[1]}}`, want},
		"inputs, rows":        {numbers(), `{"inputs":[[1,2],[3,null]]}`, want},
		"inputs of a block":   {block(), `{"inputs":[[1,2],[3,4]]}`, "input[2 2]=1 2 3 4"},
		"bare values": {&tensor.Schema{Inputs: []tensor.Field{{Name: "a", Type: tensor.FP64, Required: true}}},
			`{"instances":[1,2]}`, "a[2]=1 2"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := tensor.ParseInvocations([]byte(c.body), c.schema)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, show(b)); d != "" {
				t.Error(d)
			}
		})
	}
}

// Every refusal names the place, and none quotes the value 4711 that was sent.
func TestRefusals(t *testing.T) {
	full := column("x", "FP32", "[1,2]", "[4711,2]")
	for name, c := range map[string]struct {
		schema            *tensor.Schema
		body, code, field string
	}{
		"no json":           {numbers(), `{"inputs":[{4711`, slipway.CodeRequest, ""},
		"trailing":          {numbers(), infer(full) + "4711", slipway.CodeRequest, ""},
		"nan":               {numbers(), infer(column("x", "FP32", "[1,2]", "[NaN,2]")), slipway.CodeRequest, ""},
		"leading zero":      {numbers(), infer(column("x", "FP32", "[1,2]", "[01,2]")), slipway.CodeRequest, ""},
		"deep":              {numbers(), `{"x":` + strings.Repeat("[", 100), slipway.CodeRequest, ""},
		"no inputs":         {numbers(), `{"data":4711}`, slipway.CodeSchema, "inputs"},
		"not listed":        {numbers(), `{"inputs":4711}`, slipway.CodeSchema, "inputs"},
		"missing":           {cards(), infer(column("a", "FP64", "[1]", "[4711]")), slipway.CodeSchema, "inputs"},
		"unknown":           {cards(), infer(column("z", "FP64", "[1]", "[4711]")), slipway.CodeSchema, "inputs[0].name"},
		"twice":             {numbers(), infer(column("a", "FP64", "[1]", "[1]"), column("a", "FP64", "[1]", "[4711]")), slipway.CodeSchema, "inputs[1]"},
		"twice as matrix":   {numbers(), infer(full, column("a", "FP64", "[1]", "[4711]")), slipway.CodeSchema, "inputs[1]"},
		"type":              {cards(), infer(column("n", "FP64", "[1]", "[4711]")), slipway.CodeSchema, "inputs[0].datatype"},
		"no type":           {cards(), infer(column("n", "FP8", "[1]", "[4711]")), slipway.CodeSchema, "inputs[0].datatype"},
		"fraction":          {cards(), infer(column("n", "INT64", "[1]", "[4711.5]")), slipway.CodeSchema, "inputs[0].data[0]"},
		"range":             {cards(), infer(column("n", "INT64", "[1]", "[47114711471147114711]")), slipway.CodeSchema, "inputs[0].data[0]"},
		"float range":       {numbers(), infer(column("x", "FP64", "[1,2]", "[1,4711e4000]")), slipway.CodeSchema, "inputs[0].data[1]"},
		"text for number":   {numbers(), infer(column("x", "FP64", "[1,2]", `["4711",1]`)), slipway.CodeSchema, "inputs[0].data[0]"},
		"number for text":   {cards(), infer(column("s", "BYTES", "[1]", "[4711]")), slipway.CodeSchema, "inputs[0].data[0]"},
		"object":            {numbers(), infer(column("x", "FP64", "[1,2]", `[{"x":4711},1]`)), slipway.CodeSchema, "inputs[0].data[0]"},
		"null for int":      {cards(), infer(column("n", "INT64", "[2]", "[1,null]")), slipway.CodeSchema, "inputs[0].data[1]"},
		"ragged":            {numbers(), infer(column("x", "FP64", "[2,2]", "[[1,2],[4711]]")), slipway.CodeSchema, "inputs[0].data[1]"},
		"shape":             {numbers(), infer(column("x", "FP64", "[2,2]", "[1,2,4711]")), slipway.CodeSchema, "inputs[0].data"},
		"no shape":          {numbers(), infer(column("x", "FP64", "[-4711]", "[1]")), slipway.CodeSchema, "inputs[0].shape"},
		"rows":              {numbers(), infer(column("a", "FP64", "[1]", "[1]"), column("b", "FP64", "[2]", "[4711,1]")), slipway.CodeSchema, "inputs[1].shape"},
		"no rows":           {numbers(), infer(column("x", "FP64", "[0,2]", "[]")), slipway.CodeSchema, "inputs"},
		"binary":            {numbers(), `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":4711}}]}`, slipway.CodeSchema, "inputs[0].parameters.binary_data_size"},
		"wide block":        {block(), infer(column("x", "FP64", "[1,3]", "[1,2,4711]")), slipway.CodeSchema, "inputs[0].shape"},
		"invalid utf-8":     {cards(), infer(column("s", "BYTES", "[1]", "[\"\xff4711\"]")), slipway.CodeRequest, ""},
		"control character": {cards(), infer(column("s", "BYTES", "[1]", "[\"\n4711\"]")), slipway.CodeRequest, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := parseInfer(c.body, c.schema)
			refused(t, err, c.code, c.field)
		})
	}
	for name, c := range map[string]struct {
		schema            *tensor.Schema
		body, code, field string
	}{
		"no form":       {numbers(), `{"rows":[4711]}`, slipway.CodeSchema, ""},
		"two forms":     {numbers(), `{"inputs":[[1,2]],"instances":[[4711,2]]}`, slipway.CodeSchema, "instances"},
		"split value":   {numbers(), `{"dataframe_split":{"columns":["a","b"],"data":[[1,2],[3,"4711"]]}}`, slipway.CodeSchema, "dataframe_split.data[1][1]"},
		"split width":   {numbers(), `{"dataframe_split":{"columns":["a","b"],"data":[[4711]]}}`, slipway.CodeSchema, "dataframe_split.data[0]"},
		"split lacks":   {numbers(), `{"dataframe_split":{"columns":["a"],"data":[[4711]]}}`, slipway.CodeSchema, "dataframe_split"},
		"params":        {&tensor.Schema{Inputs: numbers().Inputs, Params: []string{"t"}}, `{"inputs":[[1,2]],"params":{"other":1,"t":4711}}`, slipway.CodeSchema, "params.t"},
		"no params":     {numbers(), `{"inputs":[[1,2]],"params":4711}`, slipway.CodeSchema, "params"},
		"split name":    {numbers(), `{"dataframe_split":{"columns":["a",["4711"]],"data":[[1,2]]}}`, slipway.CodeSchema, "dataframe_split.columns[1]"},
		"split member":  {numbers(), `{"dataframe_split":{"column":["a"],"data":[[4711]]}}`, slipway.CodeSchema, "dataframe_split"},
		"split twice":   {numbers(), `{"dataframe_split":{"columns":["a","a"],"data":[[4711,1]]}}`, slipway.CodeSchema, "dataframe_split.columns[1]"},
		"record value":  {numbers(), `{"dataframe_records":[{"a":1,"b":2},{"a":"4711","b":2}]}`, slipway.CodeSchema, "dataframe_records[1].a"},
		"record lacks":  {numbers(), `{"dataframe_records":[{"a":1,"b":2},{"a":4711}]}`, slipway.CodeSchema, "dataframe_records[1]"},
		"record twice":  {numbers(), `{"dataframe_records":[{"a":1,"a":4711,"b":2}]}`, slipway.CodeSchema, "dataframe_records[0].a"},
		"record no row": {numbers(), `{"dataframe_records":[4711]}`, slipway.CodeSchema, "dataframe_records[0]"},
		"columns rows":  {numbers(), `{"inputs":{"a":[1],"b":[4711,2]}}`, slipway.CodeSchema, "inputs.b"},
		"column scalar": {numbers(), `{"inputs":{"a":4711,"b":[2,3]}}`, slipway.CodeSchema, "inputs.b"},
		"empty":         {numbers(), `{"instances":[]}`, slipway.CodeSchema, "instances"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tensor.ParseInvocations([]byte(c.body), c.schema)
			refused(t, err, c.code, c.field)
		})
	}
}

func refused(t *testing.T, err error, code, field string) {
	t.Helper()
	var e *slipway.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v", err)
	}
	if e.Code != code || e.Field != field || e.Next == "" {
		t.Errorf("%s at %q: %s", e.Code, e.Field, e)
	}
	if strings.Contains(e.Error(), "4711") {
		t.Errorf("quotes the value: %s", e)
	}
}

func TestMissingColumnsAreNamedAtOnce(t *testing.T) {
	_, err := tensor.ParseInvocations([]byte(`{"dataframe_records":[{"b":1}]}`), cards())
	if err == nil || !strings.Contains(err.Error(), "lacks a, n, s, ok") {
		t.Error(err)
	}
}

func TestResponses(t *testing.T) {
	two := &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewInt64("predict", []int{2}, []int64{0, 1}),
		tensor.NewFloat32("probability", []int{2}, []float32{.25, float32(math.NaN())})}}
	frame := &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat64("p", []int{1, 2}, []float64{1e-9, math.Inf(1)}), tensor.NewStrings("s", []int{1}, []string{"<\"ü\n"})}}
	for name, c := range map[string]struct{ got, want string }{
		"infer": {string(answered("fraud", "3", "id\"", two)),
			`{"model_name":"fraud","model_version":"3","id":"id\"","outputs":[{"name":"predict","shape":[2],"datatype":"INT64","data":[0,1]},{"name":"probability","shape":[2],"datatype":"FP32","data":[0.25,null]}]}`},
		"request":        {string(tensor.AppendInferRequest(nil, two)), `{"inputs":[{"name":"predict","shape":[2],"datatype":"INT64","data":[0,1]},{"name":"probability","shape":[2],"datatype":"FP32","data":[0.25,null]}]}`},
		"as MLflow":      {string(tensor.AppendPredictions(nil, two)), `{"predictions":[0,1]}`},
		"as a dataframe": {string(tensor.AppendPredictions(nil, frame)), `{"predictions":[{"p":[1e-09,null],"s":"\u003c\"ü\n"}]}`},
	} {
		if d := cmp.Diff(c.want, c.got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if !json.Valid([]byte(c.got)) {
			t.Errorf("%s is no JSON", name)
		}
	}
}

// anyBatch draws a batch of finite numbers and text.
func anyBatch(t *rapid.T) *tensor.Batch {
	rows := rapid.IntRange(1, 5).Draw(t, "rows")
	b := &tensor.Batch{}
	for i := range rapid.IntRange(1, 6).Draw(t, "tensors") {
		shape, n, name := []int{rows}, rows, fmt.Sprint("t", i)
		if rapid.Bool().Draw(t, "wide") {
			shape, n = []int{rows, 2}, 2*rows
		}
		switch rapid.IntRange(0, 3).Draw(t, "type") {
		case 0:
			b.Tensors = append(b.Tensors, tensor.NewFloat64(name, shape, rapid.SliceOfN(rapid.Float64(), n, n).Draw(t, "v")))
		case 1:
			b.Tensors = append(b.Tensors, tensor.NewFloat32(name, shape, rapid.SliceOfN(rapid.Float32(), n, n).Draw(t, "v")))
		case 2:
			b.Tensors = append(b.Tensors, tensor.NewInt64(name, shape, rapid.SliceOfN(rapid.Int64(), n, n).Draw(t, "v")))
		default:
			b.Tensors = append(b.Tensors, tensor.NewStrings(name, shape, rapid.SliceOfN(rapid.String(), n, n).Draw(t, "v")))
		}
	}
	return b
}

func schemaOf(b *tensor.Batch) *tensor.Schema {
	s := &tensor.Schema{}
	for i := range b.Tensors {
		s.Inputs = append(s.Inputs, tensor.Field{Name: b.Tensors[i].Name, Type: b.Tensors[i].Type, Shape: b.Tensors[i].Shape[1:], Required: true})
	}
	return s
}

// What is written is read back bit by bit, in every form.
func TestRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyBatch(t)
		same := func(form string, got *tensor.Batch, err error) {
			if err != nil || show(got) != show(want) {
				t.Fatalf("%s: %v\n%s\n%s", form, err, show(want), show(got))
			}
			if err := tensor.Check(got, schemaOf(want).Inputs); err != nil {
				t.Fatal(err)
			}
		}
		frame, err := tensor.DecodeBatch(tensor.AppendBatch(nil, want))
		same("frame", frame, err)
		request, _, err := parseInfer(string(tensor.AppendInferRequest(nil, want)), schemaOf(want))
		same("request", request, err)
		response, err := tensor.ParseInferResponse(answered("m", "1", "", want))
		same("response", response, err)
	})
}

func TestRows(t *testing.T) {
	b := &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewInt64("n", []int{2}, []int64{1, 2}), tensor.NewFloat64("x", []int{2, 2}, []float64{.5, 3, 4, math.NaN()})}}
	got, err := tensor.Rows(b, schemaOf(b).Inputs, []float32{9})
	if err != nil || fmt.Sprint(got) != "[9 1 0.5 3 2 4 NaN]" {
		t.Error(got, err)
	}
	if show(b.Slice(1, 2)) != "n[1]=2 x[1 2]=4 NaN" {
		t.Error(show(b.Slice(1, 2)))
	}
	if _, err := tensor.Rows[float64](b, []tensor.Field{{Name: "gone"}}, nil); err == nil {
		t.Error("a missing column is no error")
	}
}
