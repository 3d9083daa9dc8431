package python

import (
	"fmt"
	"slices"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// fits says whether b's rows can follow a's: the same tensors, of the same shape of a row.
func fits(a, b *tensor.Batch) bool {
	return slices.EqualFunc(a.Tensors, b.Tensors, func(x, y tensor.Tensor) bool {
		return x.Name == y.Name && x.Type == y.Type && slices.Equal(x.Shape[1:], y.Shape[1:])
	})
}

// maxRequests is how many bytes of ids a frame takes.
const maxRequests = 255

// requests are the ids of the requests of a group, with commas between; as many as fit.
func requests(group []*job) string {
	out := slipway.RequestOf(group[0].ctx)
	for _, j := range group[1:] {
		id := slipway.RequestOf(j.ctx)
		if len(out)+1+len(id) > maxRequests {
			break
		}
		out += "," + id
	}
	return out
}

// join makes one batch of several that fit. One alone is not copied.
func join(parts []*tensor.Batch) *tensor.Batch {
	if len(parts) == 1 {
		return parts[0]
	}
	out := &tensor.Batch{Tensors: make([]tensor.Tensor, len(parts[0].Tensors))}
	for i, first := range parts[0].Tensors {
		t := tensor.Tensor{Name: first.Name, Type: first.Type, Shape: slices.Clone(first.Shape)}
		bytes, texts, rows := 0, 0, 0
		for _, p := range parts {
			bytes, texts, rows = bytes+len(p.Tensors[i].Data), texts+len(p.Tensors[i].Strings), rows+p.Rows()
		}
		t.Shape[0] = rows
		t.Data, t.Strings = make([]byte, 0, bytes), make([]string, 0, texts)
		for _, p := range parts {
			t.Data, t.Strings = append(t.Data, p.Tensors[i].Data...), append(t.Strings, p.Tensors[i].Strings...)
		}
		out.Tensors[i] = t
	}
	return out
}

// split gives each of the joined batches its rows of the answer.
func split(answer *tensor.Batch, parts []*tensor.Batch) ([]*tensor.Batch, error) {
	total := 0
	for _, p := range parts {
		total += p.Rows()
	}
	for i := range answer.Tensors {
		if n := answer.Tensors[i].Shape[0]; n != total {
			return nil, fmt.Errorf("the model answered %d rows for %d", n, total)
		}
	}
	out := make([]*tensor.Batch, len(parts))
	from := 0
	for i, p := range parts {
		out[i] = slice(answer, from, from+p.Rows(), total)
		from += p.Rows()
	}
	return out, nil
}

// slice gives the rows from … to of a batch of total rows. It shares their memory.
func slice(b *tensor.Batch, from, to, total int) *tensor.Batch {
	out := &tensor.Batch{Tensors: slices.Clone(b.Tensors)}
	for i := range out.Tensors {
		t := &out.Tensors[i]
		t.Shape = append([]int{to - from}, t.Shape[1:]...)
		width, texts := len(t.Data)/total, len(t.Strings)/total
		t.Data = t.Data[from*width : to*width : to*width]
		t.Strings = t.Strings[from*texts : to*texts : to*texts]
	}
	return out
}
