package evaluate

import (
	"context"
	"fmt"
	"io/fs"
	"slices"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// maxExample bounds the file of an input example.
const maxExample = 4 << 20

// Signature checks that a model says what it takes and gives, and answers that schema: one
// result named signature. The predictor is nil for a model that a server of its own runs.
func Signature(m *mlmodel.Model, p *mlmodel.Predictor) (tensor.Schema, []verdict.Result) {
	schema, err := m.Schema(p)
	if err != nil {
		e := slipway.AsError(err)
		return schema, named("signature", *failed(e.Message, e.Next))
	}
	r := verdict.Result{Verdict: verdict.Pass, Message: fmt.Sprintf("%d inputs and %d outputs", len(schema.Inputs), len(schema.Outputs))}
	if len(schema.Outputs) == 0 {
		r.Verdict, r.Next = verdict.Warn, "save the model with signature=infer_signature(X, model.predict(X))"
		r.Message = "the signature has no outputs, so answers cannot be checked"
	}
	return schema, named("signature", r)
}

// Example asks a model for the input example that was saved with it, and holds the answer
// to the signature: one result named example. A model without one gives Warn. The error is
// that of a context that has ended.
func Example(ctx context.Context, dir fs.FS, saved *mlmodel.Model, m Model) ([]verdict.Result, error) {
	r, err := example(ctx, dir, saved, m)
	if err != nil {
		return nil, err
	}
	return named("example", *r), nil
}

func example(ctx context.Context, dir fs.FS, saved *mlmodel.Model, m Model) (*verdict.Result, error) {
	in, name, stop := rowsOf(dir, saved, &m.Schema)
	if stop != nil {
		return stop, nil
	}
	out, stop, err := m.ask(ctx, in, func(row int) string { return fmt.Sprintf("row %d of %s", row+1, name) })
	if stop != nil || err != nil {
		return stop, err
	}
	if wrong := misfit(out, m.Schema.Outputs); wrong != "" {
		return failed(fmt.Sprintf("the answer to %s does not fit the signature: %s", name, wrong), "correct the model or its signature"), nil
	}
	return &verdict.Result{Verdict: verdict.Pass, Message: fmt.Sprintf("%d rows of %s answered", in.Rows(), name)}, nil
}

// ExampleRows gives the rows of the input example that was saved with a model, nil if there
// is none that fits its schema.
func ExampleRows(dir fs.FS, saved *mlmodel.Model, schema *tensor.Schema) *tensor.Batch {
	in, _, _ := rowsOf(dir, saved, schema)
	return in
}

// rowsOf reads the input example and names its file, or tells why there is none.
func rowsOf(dir fs.FS, saved *mlmodel.Model, schema *tensor.Schema) (in *tensor.Batch, name string, stop *verdict.Result) {
	const again = "save the model again with input_example=X.head(3)"
	if name = saved.ExampleFile(); name == "" {
		return nil, "", &verdict.Result{Verdict: verdict.Warn, Message: "the model was saved without an input example", Next: again}
	}
	b, ok := saved.ExampleRequest(dir, maxExample)
	if !ok {
		return nil, name, failed(fmt.Sprintf("%s cannot be read, or is larger than %d MiB", name, maxExample>>20), again)
	}
	in, err := tensor.ParseInvocations(b, schema)
	if err != nil {
		e := slipway.AsError(err)
		return nil, name, failed(fmt.Sprintf("%s does not fit the signature: %s %s", name, e.Field, e.Message), again)
	}
	if in.Rows() == 0 {
		return nil, name, failed(name+" has no rows", again)
	}
	return in, name, nil
}

// misfit says which declared output an answer does not have with its width. More outputs
// than declared are no harm, and the only one may have any name.
func misfit(out *tensor.Batch, fields []tensor.Field) string {
	for _, f := range fields {
		t := out.Tensor(f.Name)
		if t == nil && len(out.Tensors) == 1 && len(fields) == 1 {
			t = &out.Tensors[0]
		}
		if t == nil {
			return fmt.Sprintf("output %.80q is missing", f.Name)
		}
		row := t.Shape[1:]
		if len(f.Shape) == 0 && len(row) == 1 && row[0] == 1 {
			continue
		}
		if !slices.EqualFunc(row, f.Shape, func(have, want int) bool { return want < 0 || have == want }) {
			return fmt.Sprintf("a row of output %.80q has the shape %v, not %v", f.Name, row, f.Shape)
		}
	}
	return ""
}
