package tensor

import (
	"fmt"
	"strings"

	"github.com/slipway-ml/slipway"
)

// binder collects a request's columns under the fields of a schema.
type binder struct {
	s       scanner
	fields  []Field
	unknown string   // what becomes of unknown inputs, see Schema.Unknown
	params  []string // that the model declares
	raw     []byte   // the data after the JSON that no tensor has taken yet
	wanted  *Wanted  // where what is wanted of the answer is written to
	cols    []column
	shapes  [][]int // of each tensor that has come; nil otherwise
	rows    int     // -1 before the first column
	room    int     // bytes that values may still take that did not come
	byName  map[string]int
}

func newBinder(body []byte, schema *Schema) *binder {
	b := &binder{s: scanner{b: body}, fields: schema.Inputs, unknown: schema.Unknown, params: schema.Params, cols: make([]column, len(schema.Inputs)),
		shapes: make([][]int, len(schema.Inputs)), rows: -1, room: room(len(body))}
	width := 0
	for i := range b.fields {
		f := &b.fields[i]
		b.cols[i].typ, b.cols[i].spare = f.Type, !f.Required && len(f.Shape) == 0 && !f.Type.Float()
		if b.fields[i].declares() {
			b.cols[i].rules = &b.fields[i]
		}
		width += b.fields[i].rowSize()
	}
	// One row is the usual request: its columns share one piece of memory.
	one := make([]byte, width)
	for i := range b.cols {
		n := b.fields[i].rowSize()
		b.cols[i].data, one = one[:0:n], one[n:]
	}
	return b
}

// rowSize is the memory that one row of a field takes, if it is known and little.
func (f *Field) rowSize() int {
	n := f.Type.Size()
	for _, d := range f.Shape {
		if d < 0 || d > maxRow/max(n, 1) {
			return 0
		}
		n *= d
	}
	return n
}

// maxRow is what rowSize gives at most, in bytes.
const maxRow = 4 << 10

// A short request can leave out much: what is filled in takes at most so many bytes, and
// beyond that so many times as many as the request has.
const (
	freeRoom  = 1 << 20
	roomRatio = 4
)

func room(size int) int { return max(freeRoom, roomRatio*size) }

// fill puts n missing values into a column in which one can be missing.
func (b *binder) fill(c *column, n int) *slipway.Error {
	size := max(1, c.typ.Size())
	if n > b.room/size {
		return slipway.Errorf(slipway.Invalid, slipway.CodeTooLarge, "send fewer rows at once, or the inputs that are left out as well", "leaves out more values than can be filled in")
	}
	b.room -= n * size
	for range n {
		if err := c.missing(); err != nil {
			return err
		}
	}
	return nil
}

const fewFields = 64

// find gives the index of the field of a name, or -1. Hint is where it is if the client
// keeps the order of the schema.
func (b *binder) find(name []byte, hint int) int {
	if hint < len(b.fields) && b.fields[hint].Name == string(name) {
		return hint
	}
	if len(b.fields) <= fewFields { // a map costs more than it saves
		for i := range b.fields {
			if b.fields[i].Name == string(name) {
				return i
			}
		}
		return -1
	}
	if b.byName == nil {
		b.byName = make(map[string]int, len(b.fields))
		for i := range b.fields {
			b.byName[b.fields[i].Name] = i
		}
	}
	if i, ok := b.byName[string(name)]; ok {
		return i
	}
	return -1
}

// single tells whether the model takes one tensor, whatever its name.
func (b *binder) single() bool {
	return len(b.fields) == 1 && (b.fields[0].Name == "" || len(b.fields[0].Shape) > 0)
}

// scalars tells whether every field is a scalar column.
func (b *binder) scalars() bool {
	for i := range b.fields {
		if len(b.fields[i].Shape) > 0 {
			return false
		}
	}
	return true
}

func (b *binder) setRows(n int) *slipway.Error {
	if b.rows >= 0 && n != b.rows {
		return misfit("send as many rows for every input", "has %d rows where the inputs before it have %d", n, b.rows)
	}
	b.rows = n
	return nil
}

// put takes a tensor of the given shape, whose elements are in its column already.
func (b *binder) put(i int, shape []int) *slipway.Error {
	f := &b.fields[i]
	switch {
	case b.shapes[i] != nil:
		return misfit("send each input once", "is sent twice")
	case len(shape) == 0:
		return misfit("send an array with one element for each row", "is no array")
	case hollow(shape):
		return misfit("send rows that have elements", "has %d rows without elements", shape[0])
	case !fits(shape[1:], f.Shape):
		return misfit("see the endpoint's metadata for the shapes", "has the shape %v where %v belongs", shape, rowsOf(f.Shape))
	}
	if len(f.Shape) == 0 {
		shape = shape[:1]
	}
	b.shapes[i] = shape
	return b.setRows(shape[0])
}

// matrix takes rows of one value for each field.
func (b *binder) matrix(rows int) *slipway.Error {
	shape := []int{rows}
	for i := range b.fields {
		if err := b.put(i, shape); err != nil {
			return err
		}
	}
	return nil
}

// Needed tells whether requests must have the input. Of one that may be missing a number is
// filled in; another one stays away.
func (f *Field) Needed() bool { return f.Required || f.Missing == Refuse }

// absent answers for needed columns that did not come, and fills in the others.
func (b *binder) absent(place string) *slipway.Error {
	var missing []string
	for i := range b.fields {
		f := &b.fields[i]
		switch {
		case b.shapes[i] != nil:
		case f.Needed():
			missing = append(missing, f.Name)
		case len(f.Shape) == 0 && f.Type.Float():
			if err := b.fill(&b.cols[i], b.rows); err != nil {
				return at(place, err)
			}
			b.shapes[i] = []int{b.rows}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return lacks(place, missing)
}

// maxNamed bounds how many columns an error names.
const maxNamed = 20

func lacks(place string, missing []string) *slipway.Error {
	rest := ""
	if n := len(missing) - maxNamed; n > 0 {
		missing, rest = missing[:maxNamed], fmt.Sprintf(" and %d more", n)
	}
	return at(place, misfit("send every required input; null stands for a missing number", "lacks %s%s", strings.Join(missing, ", "), rest))
}

// batch is the finished request.
func (b *binder) batch(place string) (*Batch, *slipway.Error) {
	if b.rows <= 0 {
		return nil, at(place, misfit("send at least one row", "has no rows"))
	}
	if err := b.absent(place); err != nil {
		return nil, err
	}
	out := &Batch{Tensors: make([]Tensor, 0, len(b.fields))}
	for i := range b.fields {
		if c := &b.cols[i]; c.nulled && len(c.data)+len(c.strings) > 0 {
			return nil, at(place, misfit("send a value in every row or in none", "has rows in which %s is missing, which %s cannot be", b.fields[i].Name, c.typ))
		} else if b.shapes[i] == nil || c.nulled { // optional
			continue
		}
		out.Tensors = append(out.Tensors, Tensor{Name: b.fields[i].Name, Type: b.fields[i].Type, Shape: b.shapes[i],
			Data: b.cols[i].data, Strings: b.cols[i].strings})
		if b.cols[i].coerced {
			out.Coerced++
		}
	}
	return out, nil
}

// target is the place of a tensor in the schema: one field, all of them for a matrix with a
// column for each, or none.
type target struct {
	field  int
	matrix bool
	drop   bool
}

// target finds the field that a tensor is for; index is its place among those of the request.
func (b *binder) target(index int, name []byte, announced Type, shape []int) (target, *slipway.Error) {
	i := b.find(name, index)
	to := target{field: i}
	matrix := len(shape) == 2 && shape[1] == len(b.fields) && b.scalars()
	switch {
	case i >= 0 && (!matrix || len(b.fields) == 1):
	case b.single():
		to.field = 0
	case matrix:
		to.field, to.matrix = 0, true
	case b.unknown == Drop:
		return target{drop: true}, nil
	default:
		return to, at(".name", misfit("see the endpoint's metadata for its inputs, or send one matrix with a column for each", "is no input of this model"))
	}
	cols := b.columnsOf(to)
	for j := range cols {
		if !carries(announced, cols[j].typ) {
			return to, at(".datatype", misfit("send the type of the endpoint's metadata", "is %s where %s belongs", announced, cols[j].typ))
		}
		if b.shapes[to.field+j] != nil {
			return to, misfit("send each input once", "is sent twice")
		}
		cols[j].coerced = announced != cols[j].typ
	}
	return to, nil
}

func (b *binder) columnsOf(to target) []column {
	if to.matrix {
		return b.cols
	}
	return b.cols[to.field : to.field+1]
}

// taken notes a tensor whose elements are in its columns.
func (b *binder) taken(to target, shape []int) *slipway.Error {
	if to.matrix {
		return b.matrix(shape[0])
	}
	return at(".shape", b.put(to.field, shape))
}
