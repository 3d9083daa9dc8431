package tensor

import (
	"fmt"
	"strconv"

	"github.com/slipway-ml/slipway"
)

// ParseInvocations reads a request of MLflow's scoring protocol for a schema: one of
// dataframe_split, dataframe_records, instances and inputs
// (https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/). Columns that the
// model does not take are dropped, as MLflow does. Errors are those of ParseInfer.
func ParseInvocations(body []byte, schema *Schema) (*Batch, error) {
	b := newBinder(body, schema)
	batch, err := b.invocations()
	if err != nil {
		return nil, err
	}
	return batch, nil
}

const fourForms = "send one of dataframe_split, dataframe_records, instances and inputs"

func (b *binder) invocations() (*Batch, *slipway.Error) {
	form := ""
	err := b.s.object(func(key []byte) *slipway.Error {
		var read func() *slipway.Error
		switch string(key) {
		case "dataframe_split":
			read = b.split
		case "dataframe_records":
			read = func() *slipway.Error { return b.records("dataframe_records") }
		case "instances":
			read = b.instances
		case "inputs":
			read = b.columns
		default: // params, which no flavor served here takes, and what later versions add
			return b.s.skip()
		}
		if form != "" {
			return at(string(key), misfit(fourForms, "comes beside %s", form))
		}
		form = string(key)
		return read()
	})
	if err == nil {
		err = b.s.end()
	}
	if err != nil {
		return nil, err
	}
	if form == "" {
		return nil, misfit(fourForms, "the request has no rows")
	}
	return b.batch(form)
}

// split reads {"columns": [names], "data": [[values of a row]]}.
func (b *binder) split() *slipway.Error {
	const place = "dataframe_split"
	if b.s.peek() != '{' {
		return at(place, misfit(`send {"columns": [...], "data": [[...]]}`, "is no object"))
	}
	var targets []int
	data, done := -1, false
	err := b.s.object(func(key []byte) (err *slipway.Error) {
		switch string(key) {
		case "columns":
			targets, err = b.targets(place + ".columns")
			return err
		case "data":
			b.s.peek()
			if data >= 0 {
				return at(place+".data", misfit("send data once", "is sent twice"))
			}
			data = b.s.at
			if targets == nil {
				return b.s.skip()
			}
			done = true
			return b.rowsOf(place+".data", targets)
		default: // index
			return b.s.skip()
		}
	})
	if err != nil || done {
		return err
	}
	if data < 0 {
		return at(place+".data", misfit(`send {"columns": [...], "data": [[...]]}`, "is missing"))
	}
	if targets == nil {
		targets = b.inOrder()
	}
	after := b.s.at
	b.s.at = data
	err = b.rowsOf(place+".data", targets)
	b.s.at = after
	return err
}

// targets reads the names of columns: the field that each is for, -1 for none.
func (b *binder) targets(place string) ([]int, *slipway.Error) {
	if b.s.peek() != '[' {
		return nil, at(place, misfit("send an array of names", "is no array"))
	}
	targets := []int{}
	taken := make([]bool, len(b.fields))
	err := b.s.array(func(i int) (err *slipway.Error) {
		var name []byte
		if b.s.peek() == '"' {
			name, err = b.s.text()
		} else {
			var number string
			number, _, err = b.s.number()
			name = []byte(number)
		}
		if err != nil {
			return err
		}
		f := b.find(name, i)
		if f < 0 && b.single() {
			f = i // the columns of one tensor have no names of their own
			if i >= len(taken) {
				taken = append(taken, false)
			}
		}
		if f >= 0 && taken[f] {
			return at(fmt.Sprintf("%s[%d]", place, i), misfit("send each column once", "is sent twice"))
		}
		if f >= 0 {
			taken[f] = true
		}
		targets = append(targets, f)
		return nil
	})
	return targets, err
}

func (b *binder) inOrder() []int {
	targets := make([]int, len(b.fields))
	for i := range targets {
		targets[i] = i
	}
	return targets
}

// rowsOf reads an array of rows, each an array of one value for each target.
func (b *binder) rowsOf(place string, targets []int) *slipway.Error {
	if b.s.peek() != '[' {
		return at(place, misfit("send an array of rows", "is no array"))
	}
	if b.single() && len(b.fields[0].Shape) > 0 {
		return b.tensor(place, 0)
	}
	rows := 0
	err := b.s.array(func(r int) *slipway.Error {
		rows++
		return b.row(place, r, targets)
	})
	if err != nil {
		return err
	}
	shape := []int{rows}
	for _, f := range targets {
		if f >= 0 {
			if err := b.put(f, shape); err != nil {
				return at(place, err)
			}
		}
	}
	return b.setRows(rows)
}

func (b *binder) row(place string, r int, targets []int) *slipway.Error {
	if b.s.peek() != '[' {
		if len(targets) == 1 && targets[0] >= 0 { // rows of one column may come bare
			return at(place+"["+strconv.Itoa(r)+"]", b.cols[targets[0]].value(&b.s))
		}
		return at(place+"["+strconv.Itoa(r)+"]", misfit("send an array of values", "is no row"))
	}
	n := 0
	err := b.s.array(func(i int) *slipway.Error {
		if n++; i >= len(targets) || targets[i] < 0 {
			return b.s.skip()
		}
		if err := b.cols[targets[i]].value(&b.s); err != nil {
			if err.Code != slipway.CodeRequest {
				err.Message = "column " + b.fields[targets[i]].Name + " " + err.Message
			}
			return at(fmt.Sprintf("%s[%d][%d]", place, r, i), err)
		}
		return nil
	})
	if err == nil && n != len(targets) {
		return at(place+"["+strconv.Itoa(r)+"]", misfit("send a value for each column", "has %d values where %d belong", n, len(targets)))
	}
	return err
}

// records reads an array of objects, one for each row.
func (b *binder) records(place string) *slipway.Error {
	if b.s.peek() != '[' {
		return at(place, misfit("send an array of objects", "is no array"))
	}
	rows := 0
	err := b.s.array(func(r int) *slipway.Error {
		rows++
		return b.record(place, r)
	})
	if err != nil {
		return err
	}
	for i := range b.fields {
		b.shapes[i] = rowShape(rows, b.fields[i].Shape, &b.cols[i])
	}
	return b.setRows(rows)
}

// rowShape is the shape of a column whose rows were read one by one.
func rowShape(rows int, declared []int, c *column) []int {
	shape := append([]int{rows}, declared...)
	for i := range shape {
		if shape[i] < 0 { // every row has what the first had
			shape[i] = 1
			if per := product(shape); per > 0 {
				t := Tensor{Type: c.typ, Data: c.data, Strings: c.strings}
				shape[i] = t.Len() / per
			}
		}
	}
	return shape
}

func (b *binder) record(place string, r int) *slipway.Error {
	here := func() string { return place + "[" + strconv.Itoa(r) + "]" }
	if b.s.peek() != '{' {
		return at(here(), misfit("send an object with a value for each column", "is no object"))
	}
	next, have := 0, 0
	err := b.s.object(func(key []byte) *slipway.Error {
		f := b.find(key, next)
		if f < 0 {
			return b.s.skip()
		}
		next = f + 1
		c := &b.cols[f]
		if c.set == r+1 {
			return at(here()+"."+b.fields[f].Name, misfit("send each column once", "is sent twice"))
		}
		c.set = r + 1
		have++
		if len(b.fields[f].Shape) > 0 {
			return b.recordTensor(here()+"."+b.fields[f].Name, f)
		}
		if err := c.value(&b.s); err != nil {
			return at(here()+"."+b.fields[f].Name, err)
		}
		return nil
	})
	if err != nil || have == len(b.fields) {
		return err
	}
	var missing []string
	for i := range b.fields {
		f := &b.fields[i]
		if b.cols[i].set == r+1 {
			continue
		}
		if f.Required || len(f.Shape) > 0 || b.cols[i].missing() != nil {
			missing = append(missing, f.Name)
		}
	}
	if len(missing) > 0 {
		return lacks(here(), missing)
	}
	return nil
}

// recordTensor reads one row of a tensor. The first row fixes lengths that are free.
func (b *binder) recordTensor(place string, f int) *slipway.Error {
	n := nested{s: &b.s, cols: b.cols[f : f+1]}
	if err := n.readAll(place); err != nil {
		return err
	}
	want := b.fields[f].Shape
	if b.shapes[f] != nil {
		want = b.shapes[f]
	}
	if !fits(n.shape, want) {
		return at(place, misfit("see the endpoint's metadata for the shapes", "has the shape %v where %v belongs", n.shape, want))
	}
	b.shapes[f] = n.shape
	return nil
}

// tensor reads the rows of one tensor.
func (b *binder) tensor(place string, f int) *slipway.Error {
	n := nested{s: &b.s, cols: b.cols[f : f+1]}
	if err := n.readAll(place); err != nil {
		return err
	}
	return at(place, b.put(f, n.shape))
}

// instances reads rows as TensorFlow Serving's row format has them: objects, arrays, or
// bare values of the only input.
func (b *binder) instances() *slipway.Error {
	const place = "instances"
	if b.s.peek() != '[' {
		return at(place, misfit("send an array of rows", "is no array"))
	}
	start := b.s.at
	b.s.at++
	first := b.s.peek()
	b.s.at = start
	if first == '{' {
		return b.records(place)
	}
	return b.rowsOf(place, b.inOrder())
}

// columns reads {"name": [values of a column]}, or the rows of one tensor or matrix.
func (b *binder) columns() *slipway.Error {
	const place = "inputs"
	if b.s.peek() != '{' {
		return b.rowsOf(place, b.inOrder())
	}
	next := 0
	return b.s.object(func(key []byte) *slipway.Error {
		f := b.find(key, next)
		if f < 0 {
			return b.s.skip()
		}
		next = f + 1
		here := place + "." + b.fields[f].Name
		if b.shapes[f] != nil {
			return at(here, misfit("send each column once", "is sent twice"))
		}
		return b.tensor(here, f)
	})
}
