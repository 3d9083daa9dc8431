package mlmodel

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/mlmodel/onnxfile"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// ONNX is MLflow's flavor onnx.
type ONNX struct {
	Data      string          // name of the model file
	Version   string          // of the library that wrote it
	Providers []string        // where it prefers to run, best first; may be empty
	Options   bool            // it was saved with options of a session
	Graph     *onnxfile.Graph // nil unless OpenONNX has read it
}

// Feed says which inputs of a schema become an input of a graph: one, or several that are the
// columns of a matrix.
type Feed struct {
	Input  onnxfile.Value
	Fields []int
	Matrix bool
}

const (
	onnxSignature = FileName + ":signature.inputs"
	signONNX      = "save the model with signature=infer_signature(...) of the arrays or the data frame that its graph takes"
	noZipMap      = "convert the model without the operator: to_onnx(..., options={\"zipmap\": False})"
)

// OpenONNX reads a model directory and the graph in it, and holds that all its files lie in
// the directory. It answers Invalid: CodeModelFormat for what Python alone can serve, else
// CodeModelDir.
func OpenONNX(dir fs.FS) (*Model, error) {
	m, err := Read(dir)
	if err != nil {
		return nil, err
	}
	if m.ONNX == nil {
		return nil, dirError(FileName+":flavors", byCommand, "none of the flavors %.200q is of ONNX", m.Flavors)
	}
	if strings.EqualFold(path.Ext(m.ONNX.Data), ".ort") { // by its name the library would read another format than is checked here
		return nil, dirError(m.ONNX.Data, "save the model as ONNX: mlflow.onnx.save_model", "a model in ONNX Runtime's own format is not taken")
	}
	f, err := dir.Open(m.ONNX.Data)
	if err != nil {
		return nil, fileError(m.ONNX.Data, err)
	}
	defer f.Close()
	if m.ONNX.Graph, err = onnxfile.Read(f); err != nil {
		if !errors.Is(err, onnxfile.ErrFormat) && !errors.Is(err, onnxfile.ErrLimit) {
			return nil, fileError(m.ONNX.Data, err)
		}
		return nil, dirError(m.ONNX.Data, "save the model again with mlflow.onnx.save_model", "%s", err.Error())
	}
	for _, name := range m.ONNX.Graph.External {
		if err := m.ONNX.beside(dir, name); err != nil {
			return nil, err
		}
	}
	_, _, err = m.onnx()
	return m, err
}

// beside holds that a file of weights lies in the directory of the model.
func (o *ONNX) beside(dir fs.FS, name string) error {
	const next = "save the model again with mlflow.onnx.save_model, which puts all its files into one directory"
	place := path.Join(path.Dir(o.Data), name)
	if name == "" || path.IsAbs(name) || !fs.ValidPath(place) || strings.Contains(name, `\`) || place != path.Join(path.Dir(o.Data), path.Clean("/" + name)[1:]) {
		return dirError(o.Data, next, "its weights are said to lie outside of the model directory")
	}
	f, err := dir.Open(place)
	if err != nil {
		return fileError(place, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return dirError(place, next, "is no file")
	}
	return nil
}

// Ignored is what the model was saved with that changes nothing here; empty if that is
// nothing.
func (o *ONNX) Ignored() string {
	var parts []string
	other := slices.DeleteFunc(slices.Clone(o.Providers), func(p string) bool { return p == "CPUExecutionProvider" || p == "CUDAExecutionProvider" })
	if len(other) > 0 { // MLflow writes those two unasked
		parts = append(parts, fmt.Sprintf("its execution providers (%.200s)", strings.Join(other, ", ")))
	}
	if o.Options {
		parts = append(parts, "its session options")
	}
	return strings.Join(parts, " and ")
}

// Feeds says how the graph is given what the schema takes. The graph has been read.
func (m *Model) Feeds() ([]Feed, error) {
	_, feeds, err := m.onnx()
	return feeds, err
}

// onnx joins the signature with the graph: inputs are the signature's if there is one,
// outputs are always the graph's, as MLflow's predict names them.
func (m *Model) onnx() (tensor.Schema, []Feed, error) {
	g := m.ONNX.Graph
	var s tensor.Schema
	columns := false
	if m.Signature != nil && len(m.Signature.Inputs) > 0 {
		s.Inputs, s.Params = m.Signature.inputs(), m.Signature.Params
		columns = m.Signature.Inputs[0].Type != "tensor"
	} else {
		for _, v := range g.Inputs {
			f, err := m.graphField(v)
			if err != nil {
				return s, nil, err
			}
			s.Inputs = append(s.Inputs, f)
		}
	}
	feeds, err := feedsOf(g, s.Inputs, columns)
	if err != nil {
		return s, nil, err
	}
	for _, v := range g.Outputs {
		f, err := m.graphField(v)
		if err != nil {
			return s, nil, err
		}
		if columns && len(f.Shape) == 1 && f.Shape[0] == 1 {
			f.Shape = nil // a column of the answer, as MLflow gives to a data frame
		}
		s.Outputs = append(s.Outputs, f)
	}
	if len(s.Inputs) == 0 || len(s.Outputs) == 0 {
		return s, nil, dirError(m.ONNX.Data, "give a model that takes and answers something", "the graph has no inputs or no outputs")
	}
	return s, feeds, nil
}

// graphField describes a value of the graph by what one row of it is. A first dimension that
// is fixed at more than one stands for no rows: such a value belongs to a row as a whole.
func (m *Model) graphField(v onnxfile.Value) (tensor.Field, error) {
	f := tensor.Field{Name: v.Name, Type: v.Type, Required: true}
	switch {
	case v.Type == tensor.Invalid:
		next := byCommand
		if !strings.HasPrefix(v.Spelt, "tensor") {
			next = noZipMap
		}
		return f, m.unfit(next, "%.80q is %s, which cannot be carried", v.Name, v.Spelt)
	case !v.Ranked:
		return f, m.unfit("run onnx.shape_inference.infer_shapes over the model, and save it again", "%.80q does not say how many dimensions it has", v.Name)
	}
	from := 1
	if len(v.Shape) == 0 || v.Shape[0].Size > 1 {
		from = 0
	}
	for _, d := range v.Shape[from:] {
		f.Shape = append(f.Shape, int(d.Size))
	}
	return f, nil
}

// unfit is the error of a graph that is sound, but cannot be served without Python.
func (m *Model) unfit(next, format string, args ...any) error {
	e := slipway.Errorf(slipway.Invalid, slipway.CodeModelFormat, next, format, args...)
	e.Field = m.ONNX.Data
	return e
}

// feedsOf finds for each input of the graph what it is given.
func feedsOf(g *onnxfile.Graph, fields []tensor.Field, columns bool) ([]Feed, error) {
	if columns && len(g.Inputs) == 1 && len(fields) > 0 && (len(fields) > 1 || len(g.Inputs[0].Shape) != 1) {
		f := Feed{Input: g.Inputs[0], Matrix: true}
		for i := range fields {
			f.Fields = append(f.Fields, i)
		}
		return []Feed{f}, f.check(fields)
	}
	var out []Feed
	for _, in := range g.Inputs {
		at := slices.IndexFunc(fields, func(f tensor.Field) bool { return f.Name == in.Name })
		if at < 0 && len(fields) == 1 && len(g.Inputs) == 1 {
			at = 0 // the only one may have any name
		}
		if at < 0 {
			return nil, dirError(onnxSignature, signONNX, "the graph takes %.80q, which the signature does not have", in.Name)
		}
		f := Feed{Input: in, Fields: []int{at}}
		if err := f.check(fields); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// check holds that the fields can become the input of the graph.
func (f Feed) check(fields []tensor.Field) error {
	shape := f.Input.Shape
	for _, i := range f.Fields {
		if !Becomes(fields[i].Type, f.Input.Type) {
			return dirError(fmt.Sprintf("%s[%d]", onnxSignature, i), signONNX, "the type %s of %.80q cannot become the %s that the graph takes as %.80q",
				fields[i].Type, fields[i].Name, f.Input.Spelt, f.Input.Name)
		}
	}
	if !f.Input.Ranked {
		return nil
	}
	if f.Matrix {
		if len(shape) != 2 || shape[1].Size >= 0 && shape[1].Size != int64(len(f.Fields)) {
			return dirError(onnxSignature, signONNX, "%d columns make no input of the shape %s", len(f.Fields), spell(shape))
		}
		return nil
	}
	row := fields[f.Fields[0]].Shape
	switch len(shape) - len(row) {
	case 1: // rows first
		shape = shape[1:]
	case 0: // each row is the whole input
	case 2: // a column, for a matrix of one
		if len(row) > 0 || shape[1].Size > 1 {
			return dirError(onnxSignature, signONNX, "%.80q does not have the shape %s", f.Input.Name, spell(shape))
		}
		shape = nil
	default:
		return dirError(onnxSignature, signONNX, "%.80q does not have the shape %s", f.Input.Name, spell(shape))
	}
	for i, d := range shape {
		if d.Size >= 0 && row[i] >= 0 && d.Size != int64(row[i]) {
			return dirError(onnxSignature, signONNX, "%.80q does not have the shape %s", f.Input.Name, spell(f.Input.Shape))
		}
	}
	return nil
}

// Becomes says whether elements of one type may be made those of another for a graph:
// numbers become floats, and whole numbers each other if they fit.
func Becomes(from, to tensor.Type) bool {
	switch {
	case from == to:
		return from != tensor.Invalid
	case from == tensor.Bytes || to == tensor.Bytes || to == tensor.Bool || from == tensor.Invalid || to == tensor.Invalid:
		return false
	case to.Float():
		return to == tensor.FP32 || to == tensor.FP64
	default:
		return !from.Float()
	}
}

func spell(shape []onnxfile.Dim) string {
	parts := make([]string, len(shape))
	for i, d := range shape {
		switch {
		case d.Size >= 0:
			parts[i] = fmt.Sprint(d.Size)
		case d.Name != "":
			parts[i] = fmt.Sprintf("%.40s", d.Name)
		default:
			parts[i] = "?"
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
