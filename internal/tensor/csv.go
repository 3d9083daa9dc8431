package tensor

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
)

// ParseCSV reads rows as MLflow's scoring protocol takes them as text/csv, which is as
// pandas.DataFrame.to_csv writes them: a header with the names of columns, commas, quotes
// around what has either (RFC 4180). An empty cell is missing, and so is what pandas takes for
// that in a column of numbers. Errors are those of ParseInvocations.
func ParseCSV(body []byte, schema *Schema) (*Batch, error) {
	b := newBinder(nil, schema)
	b.room = room(len(body))
	batch, err := b.csv(body)
	if err != nil {
		return nil, err
	}
	return batch, nil
}

const csvPlace = "rows"

func malformedCSV(err error) *slipway.Error {
	line := 1
	if parse := (*csv.ParseError)(nil); errors.As(err, &parse) {
		line = parse.Line
	}
	return slipway.Errorf(slipway.Invalid, slipway.CodeRequest, "send a header, commas, and quotes around cells that have commas or quotes; every row has as many cells as the header",
		"no valid CSV in line %d", line)
}

// tooWide tells whether a row has more cells than most. The reader makes a whole row before it
// counts, and a row of commas alone would take a hundred times its bytes.
func tooWide(body []byte, most int) bool {
	cells, quoted := 1, false
	for _, c := range body {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ',':
			if cells++; cells > most {
				return true
			}
		case c == '\n':
			cells = 1
		}
	}
	return false
}

// widest is how many cells a row may have.
func (b *binder) widest() int {
	most := max(maxInputs, len(b.fields))
	if b.single() && len(b.fields[0].Shape) == 1 {
		most = max(most, b.fields[0].Shape[0])
	}
	return most
}

func (b *binder) csv(body []byte) (*Batch, *slipway.Error) {
	if most := b.widest(); tooWide(body, most) {
		return nil, at(csvPlace, misfit("send a column for each input", "has a row of more than %d cells", most))
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))))
	r.ReuseRecord = true
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, at(csvPlace, misfit("send a header and at least one row", "has no rows"))
	}
	if err != nil {
		return nil, malformedCSV(err)
	}
	targets, failed := b.headers(header)
	if failed != nil {
		return nil, failed
	}
	rows := 0
	for ; ; rows++ {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, malformedCSV(err)
		}
		for i, cell := range cells {
			if targets[i] < 0 {
				continue
			}
			if err := b.cols[targets[i]].cell(cell); err != nil {
				return nil, within(csvPlace, element(rows, at("."+b.fields[targets[i]].Name, err)))
			}
		}
	}
	if err := b.shapeCSV(rows, targets); err != nil {
		return nil, at(csvPlace, err)
	}
	return b.batch(csvPlace)
}

// headers gives the field that each column is for, -1 for none. All columns together are the
// elements of a row of the only tensor.
func (b *binder) headers(names []string) ([]int, *slipway.Error) {
	targets := make([]int, len(names))
	if b.single() && len(b.fields[0].Shape) == 1 {
		return targets, nil
	}
	taken := make([]bool, len(b.fields))
	for i, name := range names {
		f := b.find([]byte(name), i)
		switch {
		case f >= 0 && taken[f]:
			return nil, within("header", element(i, misfit("send each column once", "is sent twice")))
		case f >= 0 && len(b.fields[f].Shape) > 0:
			return nil, within("header", element(i, misfit("send JSON: CSV has no arrays", "is an array in each row")))
		case f >= 0:
			taken[f] = true
		case b.unknown == Refuse:
			return nil, b.stranger(fmt.Sprintf("header[%d]", i))
		}
		targets[i] = f
	}
	return targets, nil
}

func (b *binder) shapeCSV(rows int, targets []int) *slipway.Error {
	if b.single() && len(b.fields[0].Shape) == 1 {
		return b.put(0, []int{rows, len(targets)})
	}
	for _, f := range targets {
		if f < 0 {
			continue
		}
		if err := b.put(f, []int{rows}); err != nil {
			return err
		}
	}
	return b.setRows(rows)
}

// cell appends what a cell of a CSV file says.
func (c *column) cell(s string) *slipway.Error {
	switch {
	case c.typ == Bytes && s == "":
		return c.missing()
	case c.typ == Bytes:
		return c.utf8(strings.Clone(s)) // the reader's strings hold a whole row
	}
	s = strings.TrimSpace(s)
	switch s {
	case "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null":
		return c.missing()
	case "inf", "-inf", "Infinity", "-Infinity":
		if c.typ.Float() {
			sign := 1
			if s[0] == '-' {
				sign = -1
			}
			return c.float(math.Inf(sign))
		}
	}
	if c.typ == Bool {
		switch s {
		case "true", "True", "TRUE":
			return c.put(1)
		case "false", "False", "FALSE":
			return c.put(0)
		}
		return misfit("write true or false", "is no boolean")
	}
	s, plus := strings.CutPrefix(s, "+")
	_, err := strconv.ParseFloat(s, 64)
	if errors.Is(err, strconv.ErrSyntax) || strings.ContainsAny(s, "xX_iInN") || plus && strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") {
		return misfit("write a number, or leave the cell empty for a missing one", "is no %s", c.typ)
	}
	return c.number(s, !strings.ContainsAny(s, ".eE"))
}
