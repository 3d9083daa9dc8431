package evaluate

import (
	"fmt"
	"slices"

	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// maxBreaks bounds the fields that are named.
const maxBreaks = 50

// Compatible tells whether whoever calls the live version, of the old schema, can call one
// of the new schema as before: results named schema, a Fail for each field that breaks this,
// else one Pass. Every request that fitted must still fit, which a removed input, a new
// required one, a narrower type or a fixed dimension prevent; every answer must still have
// what it had, so that no output may go or change its type, or its shape but for becoming
// fixed. More is no harm, and neither is less that is asked for. Another order of the inputs
// gives Warn: requests that do not name their columns would be read otherwise.
//
// Inputs may become wider as requests do: whole numbers to larger ones and to FP64 (those
// above 2⁵³ are rounded there), FP32 to FP64. Outputs without a declaration are not judged.
func Compatible(old, next tensor.Schema) []verdict.Result {
	c := comparison{}
	c.inputs(old.Inputs, next.Inputs)
	if next.Unknown == tensor.Refuse && old.Unknown != tensor.Refuse {
		c.breaks("inputs that the model does not take are refused, and were dropped")
	}
	if len(old.Outputs) > 0 {
		c.outputs(old.Outputs, next.Outputs)
	}
	if left := len(c.results) - maxBreaks; left > 0 {
		c.results = append(c.results[:maxBreaks], named("schema", *failed(fmt.Sprintf("%d more fields break requests or answers", left), keep))...)
	}
	if verdict.Fold(c.results) == verdict.Fail {
		return c.results
	}
	message := "whoever calls the live version can call this one"
	if len(c.added) > 0 {
		message += "; new: " + listed(c.added)
	}
	return append(c.results, named("schema", verdict.Result{Verdict: verdict.Pass, Message: message})...)
}

const keep = "keep it as it is in the signature, or set validation.schema.compatible to none and tell the callers first"

// comparison is what was found between two schemas.
type comparison struct {
	results []verdict.Result
	added   []string
}

func (c *comparison) breaks(format string, args ...any) {
	c.results = append(c.results, named("schema", *failed(fmt.Sprintf(format, args...), keep))...)
}

func (c *comparison) inputs(old, next []tensor.Field) {
	if unnamed(old) && unnamed(next) {
		c.input(&old[0], &next[0])
		return
	}
	var before, after []string // names that both have, in either order
	for i := range old {
		n := find(next, old[i].Name)
		if n == nil {
			c.breaks("input %.80q is gone: requests that name it are refused", old[i].Name)
			continue
		}
		before = append(before, old[i].Name)
		c.input(&old[i], n)
	}
	for i := range next {
		f := &next[i]
		switch {
		case find(old, f.Name) != nil:
			after = append(after, f.Name)
		case !omittable(f):
			c.breaks("input %.80q is new and must be sent: requests without it are refused", f.Name)
		default:
			c.added = append(c.added, fmt.Sprintf("optional input %.80q", f.Name))
		}
	}
	if !slices.Equal(before, after) {
		c.results = append(c.results, named("schema", verdict.Result{Verdict: verdict.Warn,
			Message: "the inputs have another order: requests that send rows without names are read otherwise",
			Next:    "train with the columns in the order of the live version"})...)
	}
}

func (c *comparison) input(old, next *tensor.Field) {
	if omittable(old) && next.Required {
		c.breaks("input %.80q must now be sent: requests without it are refused", old.Name)
	}
	if !widens(old.Type, next.Type) {
		c.breaks("input %.80q changes from %s to %s, which does not hold every value sent so far", old.Name, old.Type, next.Type)
	}
	if !covers(next.Shape, old.Shape) {
		c.breaks("input %.80q changes the shape of a row from %v to %v", old.Name, old.Shape, next.Shape)
	}
	if narrows(&old.Bounds, &next.Bounds) {
		c.breaks("input %.80q is held to narrower bounds than before", old.Name)
	}
}

// narrows is true when some value that the old bounds allow is refused by the next.
func narrows(old, next *tensor.Bounds) bool {
	switch {
	case next.Min != nil && (old.Min == nil || *next.Min > *old.Min), next.Max != nil && (old.Max == nil || *next.Max < *old.Max),
		next.Missing != "" && old.Missing == "":
		return true
	case len(next.Enum) == 0:
		return false
	}
	return len(old.Enum) == 0 || slices.ContainsFunc(old.Enum, func(v string) bool { return !slices.Contains(next.Enum, v) })
}

func (c *comparison) outputs(old, next []tensor.Field) {
	for i := range old {
		o, n := &old[i], find(next, old[i].Name)
		switch {
		case n == nil:
			c.breaks("output %.80q is gone", o.Name)
			continue
		case n.Type != o.Type:
			c.breaks("output %.80q changes from %s to %s", o.Name, o.Type, n.Type)
		}
		if !covers(o.Shape, n.Shape) {
			c.breaks("output %.80q changes the shape of a row from %v to %v", o.Name, o.Shape, n.Shape)
		}
	}
	for i := range next {
		if find(old, next[i].Name) == nil {
			c.added = append(c.added, fmt.Sprintf("output %.80q", next[i].Name))
		}
	}
	was, is := predictions(old), predictions(next)
	if was == is || was != "" && find(next, was) == nil {
		return
	}
	c.breaks("answers of /invocations become %s where they were %s", form(is), form(was))
}

// predictions is the output that MLflow's protocol answers alone, empty when it answers an
// object of all (see tensor.AppendPredictions).
func predictions(outputs []tensor.Field) string {
	switch {
	case find(outputs, mlmodel.OutputPredict) != nil:
		return mlmodel.OutputPredict
	case len(outputs) == 1:
		return outputs[0].Name
	}
	return ""
}

func form(output string) string {
	if output == "" {
		return "an object of all outputs"
	}
	return fmt.Sprintf("output %.80q alone", output)
}

// unnamed is a model of one tensor, whose name requests need not know.
func unnamed(fields []tensor.Field) bool {
	return len(fields) == 1 && (fields[0].Name == "" || len(fields[0].Shape) > 0)
}

// omittable is true of an input that requests may leave out.
func omittable(f *tensor.Field) bool {
	return !f.Needed() && len(f.Shape) == 0 && f.Type.Float()
}

func find(fields []tensor.Field, name string) *tensor.Field {
	for i := range fields {
		if fields[i].Name == name {
			return &fields[i]
		}
	}
	return nil
}

// covers is true when rows of the narrow shape have the wide one: -1 stands for any length.
func covers(wide, narrow []int) bool {
	return slices.EqualFunc(wide, narrow, func(w, n int) bool { return w < 0 || w == n })
}

// widens is true when every value of one type may be sent as another.
func widens(from, to tensor.Type) bool {
	if from == to {
		return true
	}
	signed := func(t tensor.Type) bool { return t >= tensor.Int8 && t <= tensor.Int64 }
	unsigned := func(t tensor.Type) bool { return t >= tensor.Uint8 && t <= tensor.Uint64 }
	switch {
	case to == tensor.FP64:
		return signed(from) || unsigned(from) || from.Float()
	case to == tensor.FP32:
		return (signed(from) || unsigned(from) || from.Float()) && from.Size() <= 2
	case signed(from) && signed(to), unsigned(from) && unsigned(to), unsigned(from) && signed(to):
		return to.Size() > from.Size()
	}
	return false
}
