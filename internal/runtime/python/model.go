// Package python runs models of any MLflow flavor in Python processes that only predict:
// N workers, each fed over a Unix socket with whole columnar batches, which requests that
// wait are joined to. A worker that dies loses only the requests it had, and is replaced.
package python

import (
	"encoding/json"
	"slices"

	"github.com/slipway-ml/slipway/internal/mlmodel"
)

// description is what worker.py knows of a model.
type description struct {
	Dir       string   `json:"dir"`
	Code      string   `json:"code,omitempty"`      // directory of the model's own modules, within Dir
	Estimator string   `json:"estimator,omitempty"` // scikit-learn: its file; else MLflow loads the model
	Format    string   `json:"format,omitempty"`    // of that file: pickle, cloudpickle or skops
	Trusted   []string `json:"trusted,omitempty"`   // of skops
	Method    string   `json:"method,omitempty"`    // that predict means
	Inputs    []field  `json:"inputs"`
	Outputs   []field  `json:"outputs,omitempty"`
	Offline   bool     `json:"offline"` // it has no network
	Packages  string   `json:"packages,omitempty"`
}

type field struct {
	Name   string `json:"name"`
	Type   string `json:"type"`             // of a column, as MLflow names it
	Tensor bool   `json:"tensor,omitempty"` // a tensor of a signature of tensors
	Named  bool   `json:"named,omitempty"`
}

func describe(m *mlmodel.Model, dir string) description {
	d := description{Dir: dir}
	if s := m.Sklearn; s != nil && m.Loader == "mlflow.sklearn" && slices.Contains([]string{"pickle", "cloudpickle", "skops"}, s.Serialization) {
		d.Estimator, d.Format, d.Trusted, d.Method, d.Code = s.Data, s.Serialization, s.Trusted, m.PredictFn, m.Code
	}
	if m.Signature != nil {
		d.Inputs = fields(m.Signature.Inputs, "input")
		d.Outputs = fields(m.Signature.Outputs, mlmodel.OutputPredict)
	}
	return d
}

// fields gives every field the name that its tensor has.
func fields(in []mlmodel.Field, unnamed string) []field {
	out := make([]field, len(in))
	for i, f := range in {
		out[i] = field{Name: f.Name, Type: f.Type, Tensor: f.Type == "tensor", Named: f.Name != ""}
		if f.Name == "" {
			out[i].Name = unnamed
		}
	}
	return out
}

func (d description) json() ([]byte, error) { return json.Marshal(d) }
