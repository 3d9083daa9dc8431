package spec

import (
	"github.com/slipway-ml/slipway/internal/spec/strict"
	"github.com/slipway-ml/slipway/internal/tensor"
)

const maxEnum = 500

// inputFields is what requests are held to beyond the model's signature.
func inputFields() field {
	value := strict.Text(200)
	value.Form = strict.EitherForm
	value.Schema = map[string]any{"anyOf": []any{value.Schema, map[string]any{"type": []any{"number", "boolean"}}}}
	bound := strict.Number(-1e308, 1e308)
	return field{Key: "inputs", Doc: "what requests are held to, beyond the types of the model's signature", Fields: []field{
		{Key: "unknown", Doc: "what becomes of inputs that the model does not take; by default Open Inference refuses them and MLflow's form drops them",
			Kind: strict.OneOf(tensor.Refuse, tensor.Drop)},
		{Key: "columns", Doc: "bounds by the name of the input", Items: 500, Names: strict.Text(200), Each: &field{Doc: "bounds of one input", Fields: []field{
			{Key: "enum", Doc: "the values that are taken, and no others", Items: maxEnum, Item: &field{Doc: "one value", Kind: value}},
			{Key: "min", Doc: "lowest number that is taken", Kind: bound},
			{Key: "max", Doc: "highest number that is taken", Kind: bound},
			{Key: "missing", Doc: "refuse: a number that is null or NaN is not taken; by default it is", Kind: strict.OneOf(tensor.Refuse)},
		}}},
	}}
}

func (d *document) inputs() tensor.Declared {
	in := tensor.Declared{Unknown: text(d, "inputs.unknown")}
	for _, name := range d.Keys("inputs.columns") {
		path := strict.Join("inputs.columns", name)
		b := tensor.Bounds{Enum: d.texts(path + ".enum"), Min: d.bound(path + ".min"), Max: d.bound(path + ".max"), Missing: text(d, path+".missing")}
		if in.Columns == nil {
			in.Columns = map[string]tensor.Bounds{}
		}
		in.Columns[name] = b
		d.checkTwice(path+".enum", b.Enum)
		if b.Min != nil && b.Max != nil && *b.Min > *b.Max {
			d.Report(path+".max", path+".max", strict.Mistake{Message: "is below min", Next: "swap the two"})
		}
	}
	return in
}

// bound is an optional number, nil when it is absent.
func (d *document) bound(path string) *float64 {
	if !d.well(path) {
		return nil
	}
	v := d.number(path)
	return &v
}
