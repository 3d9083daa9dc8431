package evaluate

import (
	"context"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Bounds of a hold-out file.
const (
	maxFile    = 1 << 30 // bytes
	maxRecord  = 1 << 20 // bytes of a row
	maxRows    = 2_000_000
	maxColumns = 1 << 14
	chunkRows  = 512
	chunkBytes = 4 << 20
)

// meter ends a stream that is too long, as a whole or within one record.
type meter struct {
	r      io.Reader
	total  int64
	record int64 // since the last record began
}

var (
	errFile   = errors.New("file too large")
	errRecord = errors.New("row too large")
)

func (m *meter) Read(p []byte) (int, error) {
	switch {
	case m.total > maxFile:
		return 0, errFile
	case m.record > maxRecord:
		return 0, errRecord
	}
	n, err := m.r.Read(p)
	m.total += int64(n)
	m.record += int64(n)
	return n, err
}

// table is a CSV file (RFC 4180) with a header, read in chunks of rows.
type table struct {
	file   string
	meter  *meter
	csv    *csv.Reader
	header []string
	target int
	groups []*groups // of the columns that are sliced by
	rows   int
}

// chunk is some rows of a table and the lines they begin in.
type chunk struct {
	lines []int
	cells [][]string
}

const (
	asCSV    = "write the file as CSV: a header, commas, and quotes around cells that have commas or quotes"
	fewer    = "take a sample of the rows"
	inHeader = "name the columns in the first line, as the model's signature does"
)

// openTable reads the header. Its errors are those of a file that cannot be used.
func openTable(v spec.Validation, r io.Reader) (*table, error) {
	file, target := v.Dataset.File, v.Dataset.Target
	m := &meter{r: r}
	t := &table{file: file, meter: m, csv: csv.NewReader(m), target: -1}
	header, err := t.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, unusable(file, inHeader, "is empty")
	}
	if err != nil {
		return nil, t.malformed(err)
	}
	header[0] = strings.TrimPrefix(header[0], "\xef\xbb\xbf")
	if len(header) > maxColumns {
		return nil, unusable(line(file, 1), "leave out what the model does not take", "has more than %d columns", maxColumns)
	}
	seen := make(map[string]bool, len(header))
	for i, name := range header {
		if seen[name] {
			return nil, unusable(line(file, 1), "rename one of the two", "has two columns named %.80q", name)
		}
		seen[name] = true
		if name == target {
			t.target = i
		}
	}
	t.header = header
	if t.target < 0 {
		next := "set validation.dataset.target in platform.yaml to one of the columns: " + listed(header)
		if len(header) == 1 && strings.ContainsAny(header[0], ";\t|") {
			next = "separate the columns by commas"
		}
		return nil, unusable(line(file, 1), next, "has no target column %.80q", target)
	}
	return t, t.sliceBy(v.Slices)
}

// next reads some rows; io.EOF follows the last.
func (t *table) next() (*chunk, error) {
	c := &chunk{}
	start := t.meter.total
	for len(c.cells) < chunkRows && t.meter.total-start < chunkBytes {
		t.meter.record = 0
		cells, err := t.csv.Read()
		if errors.Is(err, io.EOF) {
			if len(c.cells) == 0 {
				return nil, io.EOF
			}
			break
		}
		if err != nil {
			return nil, t.malformed(err)
		}
		if t.rows++; t.rows > maxRows {
			return nil, unusable(t.file, fewer, "has more than %d rows", maxRows)
		}
		n, _ := t.csv.FieldPos(0)
		c.lines = append(c.lines, n)
		c.cells = append(c.cells, cells)
	}
	return c, nil
}

func (t *table) malformed(err error) error {
	var parse *csv.ParseError
	switch {
	case errors.Is(err, errFile):
		return unusable(t.file, fewer, "is larger than %d MiB", maxFile>>20)
	case errors.Is(err, errRecord):
		return unusable(t.file, asCSV, "has a row of more than %d KiB after row %d", maxRecord>>10, t.rows)
	case errors.As(err, &parse) && errors.Is(err, csv.ErrFieldCount):
		return unusable(line(t.file, parse.Line), asCSV, "does not have %d cells as the header has", len(t.header))
	case errors.As(err, &parse):
		return unusable(line(t.file, parse.Line), asCSV, "is no CSV at column %d", parse.Column)
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	default:
		return &slipway.Error{Code: slipway.CodeHoldout, Kind: slipway.Unavailable, Field: t.file, Message: "cannot be read", Next: "deploy again", Cause: err}
	}
}

// binding says which cells feed which inputs.
type binding struct {
	fields  []tensor.Field
	columns [][]int // of each field: one for a scalar, the row's elements for a tensor
}

// bind matches inputs with columns by name. A model that takes one tensor of one dimension
// gets all columns but the target and those that are sliced by, in the order of the file.
func (t *table) bind(schema *tensor.Schema) (*binding, error) {
	b := &binding{fields: schema.Inputs, columns: make([][]int, len(schema.Inputs))}
	if len(b.fields) == 1 && len(b.fields[0].Shape) == 1 {
		for i := range t.header {
			if i != t.target && t.grouping(i) == nil {
				b.columns[0] = append(b.columns[0], i)
			}
		}
		if want := b.fields[0].Shape[0]; len(b.columns[0]) == 0 || want >= 0 && want != len(b.columns[0]) {
			return nil, unusable(line(t.file, 1), "give a column for each element of the model's input, and the target", "has %d columns for it where the model takes %d", len(b.columns[0]), want)
		}
		return b, nil
	}
	var missing []string
	for i, f := range b.fields {
		at := slices.Index(t.header, f.Name)
		switch {
		case len(f.Shape) > 0:
			return nil, unusable(t.file, "use golden records for this model", "cannot hold input %.80q, whose rows have the shape %v", f.Name, f.Shape)
		case at == t.target:
			return nil, unusable(line(t.file, 1), "train the model without the target, or name another target", "has the target column %.80q, which is an input of the model", f.Name)
		case at >= 0:
			b.columns[i] = []int{at}
		case f.Required || f.Type != tensor.FP32 && f.Type != tensor.FP64:
			missing = append(missing, f.Name)
		}
	}
	if len(missing) > 0 {
		return nil, unusable(line(t.file, 1), inHeader, "has no column for the inputs %s", listed(missing))
	}
	return b, nil
}

// ignored lists the columns that are neither the target nor fed to the model.
func (t *table) ignored(b *binding) (names []string) {
	used := map[int]bool{t.target: true}
	for _, g := range t.groups {
		used[g.column] = true
	}
	for _, columns := range b.columns {
		for _, i := range columns {
			used[i] = true
		}
	}
	for i, name := range t.header {
		if !used[i] {
			names = append(names, name)
		}
	}
	return names
}

// batch converts the rows of a chunk to a model's inputs.
func (t *table) batch(c *chunk, b *binding) (*tensor.Batch, error) {
	out := &tensor.Batch{Tensors: make([]tensor.Tensor, len(b.fields))}
	for i, f := range b.fields {
		out.Tensors[i] = tensor.Tensor{Name: f.Name, Type: f.Type, Shape: []int{len(c.cells)}}
		if len(f.Shape) > 0 {
			out.Tensors[i].Shape = append(out.Tensors[i].Shape, len(b.columns[i]))
		}
	}
	for r, cells := range c.cells {
		for i := range out.Tensors {
			if len(b.columns[i]) == 0 { // an optional column that the file does not have
				_ = appendCell(&out.Tensors[i], "")
			}
			for _, column := range b.columns[i] {
				if wrong := appendCell(&out.Tensors[i], cells[column]); wrong != "" {
					return nil, unusable(line(t.file, c.lines[r]), "correct the cell, or remove the row", "column %.80q %s", t.header[column], wrong)
				}
			}
		}
	}
	return out, nil
}

// appendCell converts one cell and appends it to a tensor, or says what is wrong with it.
// An empty cell is missing: NaN where the type has one. Whole numbers may be written with
// ".0", as data frames with missing values write them.
func appendCell(t *tensor.Tensor, cell string) (wrong string) {
	if cell == "" && t.Type != tensor.FP32 && t.Type != tensor.FP64 {
		return "is empty, which " + t.Type.String() + " cannot be"
	}
	switch t.Type {
	case tensor.Bytes:
		t.Strings = append(t.Strings, cell)
		return ""
	case tensor.FP32, tensor.FP64:
		v := math.NaN()
		if cell != "" {
			var err error
			if v, err = strconv.ParseFloat(cell, 8*t.Type.Size()); err != nil || math.IsInf(v, 0) {
				return "is no finite " + t.Type.String()
			}
		}
		if t.Type == tensor.FP32 {
			t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(float32(v)))
		} else {
			t.Data = binary.LittleEndian.AppendUint64(t.Data, math.Float64bits(v))
		}
		return ""
	case tensor.Bool:
		v, err := strconv.ParseBool(strings.TrimSuffix(cell, ".0"))
		if err != nil {
			return "is neither true nor false"
		}
		if v {
			t.Data = append(t.Data, 1)
		} else {
			t.Data = append(t.Data, 0)
		}
		return ""
	default:
		return appendInteger(t, strings.TrimSuffix(cell, ".0"))
	}
}

func appendInteger(t *tensor.Tensor, cell string) (wrong string) {
	width := t.Type.Size()
	var v uint64
	var err error
	if t.Type >= tensor.Uint8 {
		v, err = strconv.ParseUint(cell, 10, 8*width)
	} else {
		var i int64
		i, err = strconv.ParseInt(cell, 10, 8*width)
		v = uint64(i)
	}
	if err != nil {
		return fmt.Sprintf("is no %s", t.Type)
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	t.Data = append(t.Data, b[:width]...)
	return ""
}
