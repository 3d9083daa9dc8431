package tensor

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
)

// AppendInferResponse writes an inference response of the Open Inference Protocol. An
// empty id is left out. A number that is not finite becomes null, as JSON has none.
func AppendInferResponse(dst []byte, model, version, id string, out *Batch) []byte {
	dst = append(dst, `{"model_name":`...)
	dst = appendString(dst, model)
	dst = append(dst, `,"model_version":`...)
	dst = appendString(dst, version)
	if id != "" {
		dst = append(dst, `,"id":`...)
		dst = appendString(dst, id)
	}
	dst = append(dst, `,"outputs":[`...)
	return append(appendTensors(dst, out), "]}"...)
}

// AppendInferRequest writes an inference request of the Open Inference Protocol.
func AppendInferRequest(dst []byte, in *Batch) []byte {
	dst = append(dst, `{"inputs":[`...)
	return append(appendTensors(dst, in), "]}"...)
}

func appendTensors(dst []byte, b *Batch) []byte {
	for i := range b.Tensors {
		t := &b.Tensors[i]
		if i > 0 {
			dst = append(dst, ',')
		}
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
		dst = append(dst, `","data":[`...)
		for e := range t.Len() {
			if e > 0 {
				dst = append(dst, ',')
			}
			dst = t.appendElement(dst, e)
		}
		dst = append(dst, "]}"...)
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
		return appendString(dst, t.Strings[i])
	case Bool:
		return strconv.AppendBool(dst, t.Data[i] != 0)
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
