// Package evaluate judges a model before its release: on recorded answers, on a labelled
// hold-out file, beside the live version, and by its own signature and example. The checks
// are pure: a model is a function, a file is a reader, and the answer is verdicts.
package evaluate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// Predict answers a batch that fits the model's schema, row by row. An error of kind
// Invalid or Unprocessable, or of CodeModelFailed, is the model's fault and fails a check;
// after any other error the check could not judge, and says Unknown.
type Predict func(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error)

// Model is what is judged: how to ask it, and what it takes and gives.
type Model struct {
	Schema  tensor.Schema
	Predict Predict
}

// ask predicts and holds the answer to as many finite rows as were asked. The result tells
// why there is no usable answer, and for which row in the words of place; the error is that
// of a context that has ended.
func (m *Model) ask(ctx context.Context, in *tensor.Batch, place func(row int) string) (*tensor.Batch, *verdict.Result, error) {
	out, err := m.Predict(ctx, in)
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	if err != nil {
		return nil, refusal(err), nil
	}
	const one = "let predict answer a value for each row"
	if out == nil || len(out.Tensors) == 0 {
		return nil, failed("the model gives no outputs", one), nil
	}
	for i := range out.Tensors {
		t := &out.Tensors[i]
		if len(t.Shape) == 0 || t.Len() != size(t.Shape) {
			return nil, failed(fmt.Sprintf("output %.80q does not have as many values as its shape says", t.Name), one), nil
		}
		switch got, want := t.Shape[0], in.Rows(); {
		case got < want:
			return nil, failed(fmt.Sprintf("output %.80q has %d rows for the %d asked: none for %s", t.Name, got, want, place(got)), one), nil
		case got > want:
			return nil, failed(fmt.Sprintf("output %.80q has %d rows for the %d asked, the last of which is %s", t.Name, got, want, place(want-1)), one), nil
		}
	}
	if row, output := firstNotFinite(out); row >= 0 {
		return nil, failed(fmt.Sprintf("output %.80q is not finite for %s", output, place(row)), "find out why the model gives NaN or infinity for this row"), nil
	}
	return out, nil, nil
}

// size is the number of elements of a shape, -1 for one that cannot be.
func size(shape []int) int {
	n := 1
	for _, d := range shape {
		if d < 0 || d > math.MaxInt32 || n > math.MaxInt32 {
			return -1
		}
		n *= d
	}
	return n
}

// refusal tells a model that fails from one that could not be asked.
func refusal(err error) *verdict.Result {
	e := slipway.AsError(err)
	var own *slipway.Error
	if errors.As(err, &own) && (e.Kind == slipway.Invalid || e.Kind == slipway.Unprocessable || e.Code == slipway.CodeModelFailed) {
		return failed("the model answers with an error: "+e.Message, cmp.Or(e.Next, "read the log of its replicas"))
	}
	return &verdict.Result{Verdict: verdict.Unknown, Message: "the model could not be asked: " + e.Message, Next: cmp.Or(e.Next, "run the check again")}
}

func failed(message, next string) *verdict.Result {
	return &verdict.Result{Verdict: verdict.Fail, Message: message, Next: next}
}

// named gives a result the name of its check.
func named(check string, r verdict.Result) []verdict.Result {
	r.Check = check
	return []verdict.Result{r}
}

// predictOf is the output that holds the predictions: the one named predict, else the
// first.
func predictOf(out *tensor.Batch) *tensor.Tensor {
	if t := out.Tensor(mlmodel.OutputPredict); t != nil {
		return t
	}
	return &out.Tensors[0]
}

// firstNotFinite is the first row in which a floating-point output is NaN or infinite, -1
// if none is.
func firstNotFinite(out *tensor.Batch) (row int, output string) {
	row = -1
	for i := range out.Tensors {
		t := &out.Tensors[i]
		if t.Type != tensor.FP32 && t.Type != tensor.FP64 {
			continue
		}
		for e := range t.Len() {
			if v := t.Float(e); math.IsNaN(v) || math.IsInf(v, 0) {
				if r := e / (t.Len() / t.Shape[0]); row < 0 || r < row {
					row, output = r, t.Name
				}
				break
			}
		}
	}
	return row, output
}

// unusable is the error of a file that cannot be judged by.
func unusable(place, next, format string, args ...any) *slipway.Error {
	e := slipway.Errorf(slipway.Invalid, slipway.CodeHoldout, next, format, args...)
	e.Field = place
	return e
}

// line is a place in a file.
func line(file string, n int) string { return fmt.Sprintf("%s:%d", file, n) }

// listed names a few of many.
func listed(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
