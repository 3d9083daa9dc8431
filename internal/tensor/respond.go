package tensor

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/slipway-ml/slipway"
)

// AppendInferResponse writes an inference response of the Open Inference Protocol, with the
// outputs that are wanted. Head is the length of its JSON if binary data follow, else 0. An
// empty id is left out. A number that is not finite becomes null, as JSON has none. It
// answers Unprocessable for an output that there is not.
func AppendInferResponse(dst []byte, model, version string, w *Wanted, out *Batch) (_ []byte, head int, _ error) {
	start := len(dst)
	dst = append(dst, `{"model_name":`...)
	dst = appendString(dst, model)
	dst = append(dst, `,"model_version":`...)
	dst = appendString(dst, version)
	if w.ID != "" {
		dst = append(dst, `,"id":`...)
		dst = appendString(dst, w.ID)
	}
	dst = append(dst, `,"outputs":[`...)
	binary := false
	for i := range w.count(out) {
		t, raw := w.output(out, i)
		if t == nil {
			return dst[:start], 0, noOutput(i)
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst, binary = t.appendJSON(dst, raw), binary || raw
	}
	dst = append(dst, "]}"...)
	if !binary {
		return dst, 0, nil
	}
	head = len(dst) - start
	for i := range w.count(out) {
		if t, raw := w.output(out, i); raw {
			dst = t.AppendRaw(dst)
		}
	}
	return dst, head, nil
}

// Missing answers Unprocessable for an output that is wanted and not among the declared ones, if
// any are declared.
func (w *Wanted) Missing(declared []Field) error {
	if len(declared) == 0 {
		return nil
	}
	for i := range w.Outputs {
		if !slices.ContainsFunc(declared, func(f Field) bool { return f.Name == w.Outputs[i].Name }) {
			return noOutput(i)
		}
	}
	return nil
}

// Of gives the outputs that are wanted, in their order. It answers Unprocessable for one that
// there is not.
func (w *Wanted) Of(out *Batch) ([]*Tensor, error) {
	all := make([]*Tensor, w.count(out))
	for i := range all {
		if all[i], _ = w.output(out, i); all[i] == nil {
			return nil, noOutput(i)
		}
	}
	return all, nil
}

func noOutput(i int) *slipway.Error {
	return within("outputs", element(i, at(".name", misfit("see the endpoint's metadata for its outputs", "is no output of this model"))))
}

func (w *Wanted) count(out *Batch) int {
	if len(w.Outputs) == 0 {
		return len(out.Tensors)
	}
	return len(w.Outputs)
}

// output gives the output at a place of the answer, nil if there is none, and whether it
// comes as binary data.
func (w *Wanted) output(out *Batch, i int) (*Tensor, bool) {
	if len(w.Outputs) == 0 {
		return &out.Tensors[i], w.Binary
	}
	o := &w.Outputs[i]
	return out.Tensor(o.Name), o.Binary || w.Binary && !o.JSON
}

// AppendInferRequest writes an inference request of the Open Inference Protocol.
func AppendInferRequest(dst []byte, in *Batch) []byte {
	dst = append(dst, `{"inputs":[`...)
	for i := range in.Tensors {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = in.Tensors[i].appendJSON(dst, false)
	}
	return append(dst, "]}"...)
}

// AppendInvocation writes a request of MLflow's scoring protocol: a data frame, or tensors by
// name if some row has more than one element of an input.
func AppendInvocation(dst []byte, in *Batch) []byte {
	if slices.ContainsFunc(in.Tensors, func(t Tensor) bool { return len(t.Shape) > 1 }) {
		for i := range in.Tensors {
			dst = append(dst, []string{`{"inputs":{`, ","}[min(i, 1)]...)
			dst = append(appendString(dst, in.Tensors[i].Name), ':')
			dst, _ = in.Tensors[i].appendArray(dst, 0, 0)
		}
		return append(dst, "}}"...)
	}
	dst = append(dst, `{"dataframe_split":{"columns":[`...)
	for i := range in.Tensors {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, in.Tensors[i].Name)
	}
	dst = append(dst, `],"data":[`...)
	for r := range in.Rows() {
		if r > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '[')
		for i := range in.Tensors {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = in.Tensors[i].appendRow(dst, r)
		}
		dst = append(dst, ']')
	}
	return append(dst, "]}}"...)
}

// appendJSON writes a tensor; raw is one whose data follow the JSON. Elements of BYTES that
// are no text become base64, of which MLServer's clients know.
func (t *Tensor) appendJSON(dst []byte, raw bool) []byte {
	dst = append(dst, `{"name":`...)
	dst = appendString(dst, t.Name)
	dst = append(dst, `,"shape":[`...)
	for j, n := range t.Shape {
		if j > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, int64(n), 10)
	}
	dst = append(append(dst, `],"datatype":"`...), t.Type.String()...)
	if raw {
		dst = append(dst, `","parameters":{"binary_data_size":`...)
		return append(strconv.AppendInt(dst, int64(t.rawSize()), 10), "}}"...)
	}
	encoded := slices.ContainsFunc(t.Strings, func(s string) bool { return !utf8.ValidString(s) })
	if encoded {
		dst = append(dst, `","parameters":{"content_type":"base64"},"data":[`...)
	} else {
		dst = append(dst, `","data":[`...)
	}
	for e := range t.Len() {
		if e > 0 {
			dst = append(dst, ',')
		}
		if encoded {
			dst = appendBase64(dst, t.Strings[e])
		} else {
			dst = t.appendElement(dst, e)
		}
	}
	return append(dst, "]}"...)
}

func appendBase64(dst []byte, s string) []byte {
	dst = append(dst, '"')
	return append(base64.StdEncoding.AppendEncode(dst, []byte(s)), '"')
}

// rawSize is the length of what AppendRaw writes.
func (t *Tensor) rawSize() int {
	n := len(t.Data)
	for _, s := range t.Strings {
		n += 4 + len(s)
	}
	return n
}

// AppendRaw writes the elements as the protocol's binary data: little-endian, those of BYTES
// with their length in 4 bytes before each.
func (t *Tensor) AppendRaw(dst []byte) []byte {
	dst = append(dst, t.Data...)
	for _, s := range t.Strings {
		dst = append(binary.LittleEndian.AppendUint32(dst, uint32(len(s))), s...)
	}
	return dst
}

// AppendPredictions writes an answer of MLflow's scoring protocol, {"predictions": …}: a
// value or an array for each row, which is what a model's predict gives; beside an output
// named predict, others are what only Open Inference shows. Several outputs without that
// name become an object for each row, as MLflow writes a data frame.
func AppendPredictions(dst []byte, out *Batch) []byte {
	dst = append(dst, `{"predictions":[`...)
	only := out.Tensor("predict")
	if len(out.Tensors) == 1 {
		only = &out.Tensors[0]
	}
	for r := range out.Rows() {
		if r > 0 {
			dst = append(dst, ',')
		}
		if only != nil {
			dst = only.appendRow(dst, r)
			continue
		}
		for i := range out.Tensors {
			dst = append(dst, "{,"[min(i, 1)])
			dst = append(appendString(dst, out.Tensors[i].Name), ':')
			dst = out.Tensors[i].appendRow(dst, r)
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}

func (t *Tensor) appendRow(dst []byte, row int) []byte {
	at := row * product(t.Shape[1:])
	dst, _ = t.appendArray(dst, 1, at)
	return dst
}

// appendArray writes the array at a level; at is the next element.
func (t *Tensor) appendArray(dst []byte, level, at int) ([]byte, int) {
	if level == len(t.Shape) {
		return t.appendElement(dst, at), at + 1
	}
	dst = append(dst, '[')
	for i := range t.Shape[level] {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst, at = t.appendArray(dst, level+1, at)
	}
	return append(dst, ']'), at
}

func (t *Tensor) appendElement(dst []byte, i int) []byte {
	switch t.Type {
	case Bytes:
		if !utf8.ValidString(t.Strings[i]) { // as MLflow writes bytes
			return appendBase64(dst, t.Strings[i])
		}
		return appendString(dst, t.Strings[i])
	case Bool:
		return strconv.AppendBool(dst, t.Data[i] != 0)
	case FP16, BF16:
		return appendFloat(dst, t.Float(i), 32)
	case FP32:
		return appendFloat(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))), 32)
	case FP64:
		return appendFloat(dst, math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*i:])), 64)
	case Uint64:
		return strconv.AppendUint(dst, binary.LittleEndian.Uint64(t.Data[8*i:]), 10)
	default:
		return strconv.AppendInt(dst, t.Int(i), 10)
	}
}

// appendFloat writes the shortest text that reads back as the same number.
func appendFloat(dst []byte, v float64, bits int) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	format := byte('f')
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, v, format, -1, bits)
}

// appendString writes a string; what needs no escape goes as it is.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			b, err := json.Marshal(s)
			if err != nil {
				b = []byte(`""`) // a string always marshals
			}
			return append(dst, b...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}
