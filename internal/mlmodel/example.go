package mlmodel

import (
	"bytes"
	"cmp"
	"io"
	"io/fs"
	"slices"
)

// ExampleFile is the file of the input example that was saved with a model; empty for none.
func (m *Model) ExampleFile() string { return cmp.Or(m.ServingInput, m.Example) }

// ExampleRequest reads that file, of at most limit bytes, as a request of MLflow's scoring
// protocol. It answers false for one that is not there, cannot be read or is larger.
func (m *Model) ExampleRequest(dir fs.FS, limit int64) ([]byte, bool) {
	f, err := dir.Open(m.ExampleFile())
	if err != nil {
		return nil, false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil || int64(len(b)) > limit {
		return nil, false
	}
	return request(b), true
}

// request makes a request of an example: it is one already, or the data frame alone, by
// columns and data or by records.
func request(b []byte) []byte {
	b = nullNaN(bytes.TrimSpace(b))
	if bytes.HasPrefix(b, []byte("[")) {
		return slices.Concat([]byte(`{"dataframe_records":`), b, []byte("}"))
	}
	for _, form := range []string{`"dataframe_split"`, `"dataframe_records"`, `"instances"`, `"inputs"`} {
		if rest := bytes.TrimSpace(bytes.TrimPrefix(b, []byte("{"))); bytes.HasPrefix(rest, []byte(form)) {
			return b
		}
	}
	return slices.Concat([]byte(`{"dataframe_split":`), b, []byte("}"))
}

// nullNaN writes null for every NaN outside of strings: what MLflow's saving writes where an
// example has a missing value, and JSON does not have.
func nullNaN(b []byte) []byte {
	nan := []byte("NaN")
	if !bytes.Contains(b, nan) {
		return b
	}
	out, inside := make([]byte, 0, len(b)+len(b)/8), false
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == '"':
			inside = !inside
		case inside && b[i] == '\\' && i+1 < len(b):
			out = append(out, b[i])
			i++
		case !inside && bytes.HasPrefix(b[i:], nan):
			out = append(out, "null"...)
			i += len(nan) - 1
			continue
		}
		out = append(out, b[i])
	}
	return out
}
