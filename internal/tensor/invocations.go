package tensor

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/slipway-ml/slipway"
)

// ParseInvocations reads a request of MLflow's scoring protocol for a schema: one of
// dataframe_split, dataframe_records, instances and inputs
// (https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/). Columns that the
// model does not take are dropped, as MLflow does, unless the schema refuses them. Errors are
// those of ParseInfer.
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
	form, params := "", false
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
			read = func() *slipway.Error { return b.columns("inputs") }
		case "params":
			if params {
				return at("params", misfit("send it once", "is sent twice"))
			}
			params = true
			return within("params", b.readParams())
		default: // what later versions add
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

// readParams reads the parameters of a prediction. Those that the model does not declare are
// dropped, as MLflow does; it would not get the others, and its answer would be another one.
func (b *binder) readParams() *slipway.Error {
	if b.s.null() {
		return nil
	}
	if b.s.peek() != '{' {
		return misfit("send an object", "is no object")
	}
	return b.s.object(func(key []byte) *slipway.Error {
		if slices.Contains(b.params, string(key)) {
			return at("."+string(key), misfit("leave it out: the model takes the value that it was saved with", "cannot be given here"))
		}
		return b.s.skip()
	})
}

// stranger is the error of a column that the model does not take. It does not repeat its
// name, which is the client's own text.
func (b *binder) stranger(place string) *slipway.Error {
	return at(place, misfit("leave it out: this endpoint refuses columns that the model does not take; see its metadata for those that it does", "is no input of this model"))
}

// split reads {"columns": [names], "data": [[values of a row]]}.
func (b *binder) split() *slipway.Error {
	const place = "dataframe_split"
	if b.s.peek() != '{' {
		return at(place, misfit(`send {"columns": [...], "data": [[...]]}`, "is no object"))
	}
	var targets []int
	var seen uint8
	data, done := -1, false
	err := b.s.object(func(key []byte) (err *slipway.Error) {
		switch string(key) {
		case "columns":
			if err := once(&seen, 1, place+".columns"); err != nil || b.s.null() {
				return err
			}
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
		case "index":
			return b.s.skip()
		default:
			return at(place, misfit("send columns, index and data", "has another member"))
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
		switch b.s.peek() {
		case '"':
			name, err = b.s.text()
		case '[', '{', 't', 'f', 'n':
			return at(fmt.Sprintf("%s[%d]", place, i), misfit("name columns by strings or numbers", "is no name"))
		default:
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
		} else if b.unknown == Refuse {
			return b.stranger(fmt.Sprintf("%s[%d]", place, i))
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
		if f := &b.fields[i]; b.cols[i].set > 0 || f.Required || f.Type.Float() {
			b.shapes[i] = rowShape(rows, f.Shape, &b.cols[i])
		}
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
	next, have, members := 0, 0, 0
	err := b.s.object(func(key []byte) *slipway.Error {
		members++
		f := b.find(key, next)
		if f < 0 && b.unknown == Refuse {
			return b.stranger(fmt.Sprintf("%s member %d", here(), members))
		}
		if f < 0 {
			return b.s.skip()
		}
		next = f + 1
		c := &b.cols[f]
		if c.set == int32(r+1) {
			return at(here()+"."+b.fields[f].Name, misfit("send each column once", "is sent twice"))
		}
		if c.set == 0 && r > 0 && !c.typ.Float() {
			return at(here()+"."+b.fields[f].Name, misfit("send a column in every row or in none", "is not in the rows before"))
		}
		c.set = int32(r + 1)
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
		f, c := &b.fields[i], &b.cols[i]
		switch {
		case c.set == int32(r+1) || !f.Required && c.set == 0 && !c.typ.Float(): // it is here, or may stay away
		case f.Required || len(f.Shape) > 0:
			missing = append(missing, f.Name)
		default:
			if err := b.fill(c, 1); err != nil && err.Code == slipway.CodeTooLarge {
				return at(here(), err)
			} else if err != nil {
				missing = append(missing, f.Name)
			}
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
	if err := n.readAll(); err != nil {
		return within(place, err)
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

// tensor reads the rows of one tensor; a bare value is one row.
func (b *binder) tensor(place string, f int) *slipway.Error {
	n := nested{s: &b.s, cols: b.cols[f : f+1]}
	if err := n.readAll(); err != nil {
		return within(place, err)
	}
	if len(n.shape) == 0 && len(b.fields[f].Shape) == 0 {
		n.shape = append(n.shape, 1)
	}
	return at(place, b.put(f, n.shape))
}

// instances reads rows as TensorFlow Serving's row format has them: objects, arrays, or
// bare values of the only input. MLflow takes columns there, too.
func (b *binder) instances() *slipway.Error {
	const place = "instances"
	switch b.s.peek() {
	case '[':
	case '{':
		return b.columns(place)
	default:
		return at(place, misfit("send an array of rows", "is no array"))
	}
	return b.listed(place)
}

// listed reads an array of rows.
func (b *binder) listed(place string) *slipway.Error {
	start := b.s.at
	b.s.at++
	first := b.s.peek()
	b.s.at = start
	if first == '{' {
		return b.records(place)
	}
	return b.rowsOf(place, b.inOrder())
}

// columns reads {"name": [values of a column]}, or rows.
func (b *binder) columns(place string) *slipway.Error {
	switch b.s.peek() {
	case '{':
	case '[':
		return b.listed(place)
	default:
		return at(place, misfit("send columns by name, or an array of rows", "is no object and no array"))
	}
	next, members := 0, 0
	return b.s.object(func(key []byte) *slipway.Error {
		members++
		f := b.find(key, next)
		if f < 0 && b.unknown == Refuse {
			return b.stranger(fmt.Sprintf("%s member %d", place, members))
		}
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
