package tensor_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// allocated is how many bytes of memory a function has taken, in all.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestLeftOut: a short request that leaves much out, or claims rows that nothing is sent of,
// is refused before memory is taken for it.
func TestLeftOut(t *testing.T) {
	var wide tensor.Schema
	for i := range 200 {
		wide.Inputs = append(wide.Inputs, tensor.Field{Name: fmt.Sprint("c", i), Type: tensor.FP64})
	}
	hollow := tensor.Schema{Inputs: []tensor.Field{{Name: "x", Type: tensor.FP32, Shape: []int{-1}, Required: true}, {Name: "y", Type: tensor.FP64}}}
	rows := func(one string) string { return strings.Repeat(one+",", 99_999) + one }
	infer := func(body string) func() error {
		return func() error { _, _, err := tensor.ParseInfer([]byte(body), len(body), &hollow); return err }
	}
	invoke := func(body string) func() error {
		return func() error { _, err := tensor.ParseInvocations([]byte(body), &wide); return err }
	}
	for name, tt := range map[string]struct {
		parse func() error
		code  string
	}{
		"records": {invoke(`{"dataframe_records":[` + rows("{}") + `]}`), slipway.CodeTooLarge},
		"columns": {invoke(`{"inputs":{"c0":[` + rows("0") + `]}}`), slipway.CodeTooLarge},
		"csv": {func() error {
			_, err := tensor.ParseCSV([]byte("c0\n"+strings.Repeat("0\n", 100_000)), &wide)
			return err
		}, slipway.CodeTooLarge},
		"cells":  {func() error { _, err := tensor.ParseCSV([]byte("c0\n"+strings.Repeat(",", 1<<20)), &wide); return err }, slipway.CodeSchema},
		"header": {func() error { _, err := tensor.ParseCSV([]byte(strings.Repeat(",", 1<<20)), &wide); return err }, slipway.CodeSchema},
		"tensor": {infer(`{"inputs":[{"name":"x","shape":[30000000,0],"datatype":"FP32","data":[]}]}`), slipway.CodeSchema},
		"tensor, binary": {func() error {
			_, err := tensor.Bind([]tensor.Tensor{{Name: "x", Type: tensor.FP32, Shape: []int{30_000_000, 0}}}, &hollow)
			return err
		}, slipway.CodeSchema},
		"frame": {func() error {
			_, err := tensor.DecodeBatch(tensor.AppendBatch(nil, &tensor.Batch{Tensors: []tensor.Tensor{{Name: "x", Type: tensor.FP32, Shape: []int{30_000_000, 0}}}}))
			return err
		}, ""},
	} {
		var err error
		if n := allocated(func() { err = tt.parse() }); n > 96<<20 {
			t.Errorf("%s took %d MiB", name, n>>20)
		}
		if err == nil || tt.code != "" && !errors.Is(err, &slipway.Error{Code: tt.code}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	few := invoke(`{"dataframe_records":[{"c1":1},{"c2":2}]}`)
	if err := few(); err != nil {
		t.Errorf("two rows of few columns: %v", err)
	}
}

// TestAskOnce: outputs are asked for once each, and not more than there can be.
func TestAskOnce(t *testing.T) {
	var w tensor.Wanted
	for i := range 1024 {
		if err := w.Ask(tensor.Output{Name: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Ask(tensor.Output{Name: "one more"}); err == nil {
		t.Error("there is no end")
	}
	w.Outputs = w.Outputs[:1]
	if err := w.Ask(tensor.Output{Name: "0"}); err == nil {
		t.Error("twice is taken")
	}
	if w.Missing(nil) != nil || w.Missing([]tensor.Field{{Name: "1"}}) == nil {
		t.Error("of a model that declares no outputs nobody knows what it has")
	}
}

// TestWholeByText: a number is whole by what was written, not by what is left of it in a double.
func TestWholeByText(t *testing.T) {
	s := tensor.Schema{Inputs: []tensor.Field{{Name: "n", Type: tensor.Int64, Required: true}}}
	for text, want := range map[string]string{
		"3.0": "3", "-0.0": "0", "1e3": "1000", "1.5e1": "15", "120e-1": "12", "-2.50e2": "-250", "9007199254740993.0": "9007199254740993", "0e999999999": "0",
		"2.5": "", "4503599627370497.5": "", "1.00000000000000001": "", "9007199254740991.5": "", "1e-400": "", "1e999999999": "", "1e19": "", "15e-1": "",
	} {
		body := `{"inputs":[{"name":"n","shape":[1],"datatype":"INT64","data":[` + text + `]}]}`
		b, _, err := tensor.ParseInfer([]byte(body), len(body), &s)
		switch {
		case want == "" && err == nil:
			t.Errorf("%s became %d", text, b.Tensors[0].Int(0))
		case want != "" && (err != nil || fmt.Sprint(b.Tensors[0].Int(0)) != want):
			t.Errorf("%s: %v, %v", text, b, err)
		}
	}
	for _, cell := range []string{"+-5", "++5"} {
		if _, err := tensor.ParseCSV([]byte("n\n"+cell+"\n"), &s); err == nil {
			t.Errorf("%s is taken", cell)
		}
	}
	body := `{"parameters":{"binary_data_output":true,"binary_data_output":false},"inputs":[{"name":"n","shape":[1],"datatype":"INT64","data":[1]}]}`
	if _, _, err := tensor.ParseInfer([]byte(body), len(body), &s); err == nil {
		t.Error("a parameter is taken twice")
	}
}
