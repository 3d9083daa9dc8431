package describe_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/slipway-ml/slipway/internal/describe"
	"github.com/slipway-ml/slipway/internal/tensor"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func number(v float64) *float64 { return &v }

func endpoint() *describe.Endpoint {
	return &describe.Endpoint{Key: "fraud.staging", Model: "fraud", Version: "3", Base: "https://models.example.com", Deadline: 5 * time.Second, MaxBody: 16 << 20,
		Schema: &tensor.Schema{Unknown: tensor.Refuse, Inputs: []tensor.Field{
			{Name: "amount", Type: tensor.FP64, Required: true, Bounds: tensor.Bounds{Min: number(1), Max: number(1e6), Missing: tensor.Refuse}},
			{Name: "country <b>", Type: tensor.Bytes, Required: true, Bounds: tensor.Bounds{Enum: []string{"DE", "FR"}}},
			{Name: "when", Type: tensor.Bytes, Format: tensor.FormatTime},
			{Name: "kind", Type: tensor.Int8, Required: true, Bounds: tensor.Bounds{Enum: []string{"1", "2"}}},
			{Name: "old", Type: tensor.FP32}, {Name: "ok", Type: tensor.Bool, Required: true}, {Name: "n", Type: tensor.Uint64, Required: true},
		}, Outputs: []tensor.Field{{Name: "predict", Type: tensor.Int64}, {Name: "probability", Type: tensor.FP32}}}}
}

func TestGoldens(t *testing.T) {
	e := endpoint()
	for name, write := range map[string]func() ([]byte, error){"openapi.json": e.OpenAPI, "page.html": e.Page} {
		got, err := write()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), string(got)); d != "" {
			t.Error(d)
		}
	}
}

// TestExamples: the examples of a description fit its schemas and the model, whatever that takes.
func TestExamples(t *testing.T) {
	own := endpoint()
	own.Example = &tensor.Batch{Tensors: []tensor.Tensor{tensor.NewFloat64("amount", []int{3}, []float64{7, 8, 9}), tensor.NewStrings("country <b>", []int{3}, []string{"FR", "FR", "DE"}),
		{Name: "kind", Type: tensor.Int8, Shape: []int{3}, Data: []byte{1, 2, 1}}, {Name: "ok", Type: tensor.Bool, Shape: []int{3}, Data: []byte{1, 0, 0}},
		{Name: "n", Type: tensor.Uint64, Shape: []int{3}, Data: make([]byte, 24)}}}
	block := endpoint()
	block.Schema = &tensor.Schema{Inputs: []tensor.Field{{Name: "input", Type: tensor.FP16, Shape: []int{2, -1}, Required: true}}}
	raw := endpoint()
	raw.Schema = &tensor.Schema{Inputs: []tensor.Field{{Name: "b", Type: tensor.Bytes, Format: tensor.FormatBase64, Required: true}, {Name: "u", Type: tensor.Uint8, Required: true, Bounds: tensor.Bounds{Min: number(3)}}}}
	for name, e := range map[string]*describe.Endpoint{"made": endpoint(), "own": own, "block": block, "raw": raw} {
		b, err := e.OpenAPI()
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Paths map[string]struct {
				Post struct {
					RequestBody struct {
						Content map[string]struct{ Example json.RawMessage }
					}
				}
			}
		}
		if err := json.Unmarshal(b, &doc); err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource("openapi.json", document); err != nil {
			t.Fatal(err)
		}
		for path, at := range map[string]string{"/endpoints/fraud.staging/invocations": "~1endpoints~1fraud.staging~1invocations", "/v2/models/fraud.staging/infer": "~1v2~1models~1fraud.staging~1infer"} {
			example := doc.Paths[path].Post.RequestBody.Content["application/json"].Example
			if strings.HasPrefix(path, "/v2") {
				_, _, err = tensor.ParseInfer(example, len(example), e.Schema)
			} else {
				_, err = tensor.ParseInvocations(example, e.Schema)
			}
			if err != nil {
				t.Errorf("%s %s: %v\n%s", name, path, err, example)
			}
			schema, err := c.Compile("openapi.json#/paths/" + at + "/post/requestBody/content/application~1json/schema")
			if err != nil {
				t.Fatal(err)
			}
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(example))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(value); err != nil {
				t.Errorf("%s %s: %v", name, path, err)
			}
		}
	}
}

// TestNothingFits: of an input whose bounds no value of its type meets there is no example, and
// a value of an enumeration is shown as it is.
func TestNothingFits(t *testing.T) {
	for name, f := range map[string]tensor.Field{
		"a fraction":    {Type: tensor.Int64, Bounds: tensor.Bounds{Min: number(0.5)}},
		"too large":     {Type: tensor.Int8, Bounds: tensor.Bounds{Min: number(1000)}},
		"half":          {Type: tensor.FP16, Bounds: tensor.Bounds{Min: number(1e6)}},
		"true":          {Type: tensor.Bool, Bounds: tensor.Bounds{Enum: []string{"true"}}},
		"beyond double": {Type: tensor.Int64, Bounds: tensor.Bounds{Enum: []string{"9007199254740993"}}},
	} {
		f.Name, f.Required = "x", true
		e := endpoint()
		e.Schema = &tensor.Schema{Inputs: []tensor.Field{f}}
		b, err := e.OpenAPI()
		if err != nil {
			t.Fatal(err)
		}
		page, err := e.Page()
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Enum) > 0 && (!bytes.Contains(b, []byte(f.Enum[0])) || !bytes.Contains(page, []byte("["+f.Enum[0]+"]"))) {
			t.Errorf("%s: %s", name, page)
		}
	}
}
