package evaluate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// Bounds of a file of golden records.
const (
	maxRecords     = 10_000
	maxGoldenBytes = 64 << 20
)

// Goldens replays recorded rows, each alone, and compares the answers: one result named
// golden. A line of the file is {"inputs": {column: value}, "outputs": {name: value}} with
// null for a missing input; outputs that a line does not name are not compared. Floating
// point agrees when |Δ| ≤ tolerance·max(1, |y|) of the recorded y; anything else must be
// equal.
//
// It answers Invalid with CodeHoldout and the line for a file that cannot be used, and the
// context's error if that ends; a model that cannot be asked gives Unknown.
func Goldens(ctx context.Context, file io.Reader, g spec.Golden, m Model) ([]verdict.Result, error) {
	lines := bufio.NewScanner(io.LimitReader(file, maxGoldenBytes+1))
	lines.Buffer(nil, maxRecord)
	records, wrong, at, read := 0, 0, 0, 0
	var first string
	for lines.Scan() {
		at++
		if read += len(lines.Bytes()) + 1; read > maxGoldenBytes || records == maxRecords {
			return nil, unusable(g.File, "keep fewer records: they are replayed before every release", "has more than %d records or %d MiB", maxRecords, maxGoldenBytes>>20)
		}
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		in, want, err := parseGolden(line(g.File, at), lines.Bytes(), &m.Schema)
		if err != nil {
			return nil, err
		}
		records++
		off, stop, err := replay(ctx, &m, in, want, g.Tolerance)
		if err != nil {
			return nil, err
		}
		if stop != nil && stop.Verdict == verdict.Unknown {
			return named("golden", *stop), nil
		}
		if stop != nil {
			off = stop.Message
		}
		if off != "" {
			if wrong++; wrong == 1 {
				first = fmt.Sprintf("first in line %d: %s", at, off)
			}
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, unusable(line(g.File, at+1), "record smaller rows", "is longer than %d KiB", maxRecord>>10)
	case err != nil:
		return nil, &slipway.Error{Code: slipway.CodeHoldout, Kind: slipway.Unavailable, Field: g.File, Message: "cannot be read", Next: "deploy again", Cause: err}
	case records == 0:
		return nil, unusable(g.File, `write a line {"inputs": {...}, "outputs": {...}} for each record`, "has no records")
	case wrong > 0:
		return named("golden", *failed(fmt.Sprintf("%d of %d records differ, %s", wrong, records, first),
			"find out why the model answers otherwise than in training; record them anew if the change is meant")), nil
	}
	return named("golden", verdict.Result{Verdict: verdict.Pass, Message: fmt.Sprintf("%d of %d records agree within %g", records, records, g.Tolerance)}), nil
}

// replay asks for one record and says in what the answer is off.
func replay(ctx context.Context, m *Model, in *tensor.Batch, want map[string][]any, tolerance float64) (off string, stop *verdict.Result, err error) {
	out, stop, err := m.ask(ctx, in, func(int) string { return "the record" })
	if stop != nil || err != nil {
		return "", stop, err
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		t := out.Tensor(name)
		if t == nil && len(out.Tensors) == 1 && len(want) == 1 {
			t = &out.Tensors[0]
		}
		if t == nil {
			return fmt.Sprintf("the model gives no output %.80q", name), nil, nil
		}
		if off := deviation(t, want[name], tolerance); off != "" {
			return fmt.Sprintf("output %.80q %s", name, off), nil, nil
		}
	}
	return "", nil, nil
}

// deviation says in what an output differs from the recorded values, without naming them.
func deviation(t *tensor.Tensor, want []any, tolerance float64) string {
	if t.Len() != len(want) {
		return fmt.Sprintf("has %d values where %d are recorded", t.Len(), len(want))
	}
	for i, w := range want {
		switch w := w.(type) {
		case string:
			if t.Type != tensor.Bytes || t.Strings[i] != w {
				return "is another text"
			}
		case bool:
			if t.Type != tensor.Bool || (t.Int(i) != 0) != w {
				return "is not the recorded truth value"
			}
		case json.Number:
			if t.Type == tensor.Bytes || t.Type == tensor.Bool {
				return "is no number"
			}
			if off := apart(t, i, w, tolerance); off != "" {
				return off
			}
		}
	}
	return ""
}

// apart compares a number: whole numbers with whole numbers exactly.
func apart(t *tensor.Tensor, i int, want json.Number, tolerance float64) string {
	if t.Type != tensor.FP32 && t.Type != tensor.FP64 {
		got := strconv.FormatInt(t.Int(i), 10)
		if t.Type == tensor.Uint64 {
			got = strconv.FormatUint(uint64(t.Int(i)), 10)
		}
		if y, err := want.Float64(); got == want.String() || err == nil && y == t.Float(i) && math.Abs(y) < 1<<53 {
			return ""
		}
		return "is not the recorded whole number"
	}
	y, _ := want.Float64() // parseGolden refused what is none
	if d := math.Abs(t.Float(i) - y); !(d <= tolerance*max(1, math.Abs(y))) {
		return fmt.Sprintf("is off by %.3g where %.3g is allowed", d, tolerance*max(1, math.Abs(y)))
	}
	return ""
}

// parseGolden reads one line: the inputs as one row of a schema, and the recorded outputs,
// each flattened row-major.
func parseGolden(place string, b []byte, schema *tensor.Schema) (*tensor.Batch, map[string][]any, error) {
	const next = `write {"inputs": {column: value}, "outputs": {name: value}} in one line`
	var record struct {
		Inputs  json.RawMessage            `json:"inputs"`
		Outputs map[string]json.RawMessage `json:"outputs"`
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&record); err != nil {
		return nil, nil, unusable(place, next, "is no golden record")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, unusable(place, next, "holds more than one record")
	}
	if len(record.Inputs) == 0 || record.Inputs[0] != '{' || len(record.Outputs) == 0 {
		return nil, nil, unusable(place, next, "has no inputs or no outputs")
	}
	body := slices.Concat([]byte(`{"dataframe_records":[`), record.Inputs, []byte("]}"))
	in, err := tensor.ParseInvocations(body, schema)
	if err != nil {
		e := slipway.AsError(err)
		return nil, nil, unusable(place, e.Next, "does not fit the model's signature: %s %s", strings.Replace(e.Field, "dataframe_records[0]", "inputs", 1), e.Message)
	}
	want := make(map[string][]any, len(record.Outputs))
	for name, raw := range record.Outputs {
		values, ok := flatten(raw)
		if !ok {
			return nil, nil, unusable(place, "record numbers, texts, true or false, or arrays of them", "output %.80q cannot be compared with", name)
		}
		want[name] = values
	}
	return in, want, nil
}

// flatten reads a value or an array of values of any depth.
func flatten(raw json.RawMessage) (values []any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return values, len(values) > 0
		}
		if err != nil {
			return nil, false
		}
		switch v := token.(type) {
		case json.Delim:
			if v == '{' {
				return nil, false
			}
		case json.Number:
			if y, err := v.Float64(); err != nil || math.IsInf(y, 0) {
				return nil, false
			}
			values = append(values, v)
		case string, bool:
			values = append(values, v)
		default: // null
			return nil, false
		}
	}
}
