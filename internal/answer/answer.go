// Package answer writes what clients of models get over HTTP: predictions, failures and
// metadata in the protocols that they speak, with the status of an error.
package answer

import (
	"encoding/json"
	"net/http"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Protocol is how a client talks.
type Protocol uint8

// The protocols. MLflowScoring is that of MLflow's /invocations.
const (
	OpenInference Protocol = iota // Open Inference Protocol, REST
	MLflowScoring
)

// failure is an error's body: what Open Inference and MLflow each define, and beside it
// what all our errors have.
type failure struct {
	Error     string `json:"error,omitempty"`
	ErrorCode string `json:"error_code,omitempty"`
	Message   string `json:"message,omitempty"`
	Code      string `json:"code"`
	Field     string `json:"field,omitempty"`
	Next      string `json:"next,omitempty"`
}

// Fail answers with an error.
func (p Protocol) Fail(w http.ResponseWriter, e *slipway.Error) { p.fail(w, Status(e), e) }

func (p Protocol) fail(w http.ResponseWriter, code int, e *slipway.Error) {
	f := failure{Code: e.Code, Field: e.Field, Next: e.Next}
	if p == MLflowScoring {
		f.ErrorCode, f.Message = mlflowCode(code), e.What()
	} else {
		f.Error = e.What()
	}
	if after := RetryAfter(code, e); after != nil {
		w.Header()["Retry-After"] = after
	}
	Write(w, code, f)
}

// Allow checks the method of a request, and answers if it is another.
func (p Protocol) Allow(w http.ResponseWriter, r *http.Request, method string) bool {
	if r.Method == method || method == http.MethodGet && r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", method)
	p.fail(w, http.StatusMethodNotAllowed, &slipway.Error{Code: slipway.CodeRequest, Message: "the method is not allowed here", Next: "use " + method})
	return false
}

// TooLarge is the error of a body beyond a limit, in bytes.
func TooLarge(limit int64) *slipway.Error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeTooLarge, "send fewer rows at once", "the body is larger than %d bytes", limit)
}

// Server is a server's metadata (Open Inference Protocol, REST).
type Server struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

// ServerMetadata describes this program, whose version is that of the protocol.
func ServerMetadata() Server { return Server{"slipway", "2", []string{"binary_tensor_data", "model_repository"}} }

// Metadata is a model's metadata (Open Inference Protocol, REST).
type Metadata struct {
	Name     string   `json:"name"`
	Versions []string `json:"versions"`
	Platform string   `json:"platform"`
	Inputs   []Tensor `json:"inputs"`
	Outputs  []Tensor `json:"outputs"`
}

// Tensor is an input or an output of a model.
type Tensor struct {
	Name     string      `json:"name"`
	Datatype tensor.Type `json:"datatype"`
	Shape    []int       `json:"shape"` // -1 for any; rows first
}

// MetadataOf describes a model that a kind of runtime answers for.
func MetadataOf(name string, versions []string, platform string, schema *tensor.Schema) Metadata {
	return Metadata{Name: name, Versions: versions, Platform: platform, Inputs: tensors(schema.Inputs), Outputs: tensors(schema.Outputs)}
}

func tensors(fields []tensor.Field) []Tensor {
	out := make([]Tensor, len(fields))
	for i, f := range fields {
		out[i] = Tensor{f.Name, f.Type, append([]int{-1}, f.Shape...)}
	}
	return out
}

// readiness is the body of an answer to whether something is ready. The protocol's paper names
// it live, its clients read ready.
type readiness struct {
	Name  string `json:"name,omitempty"`
	Ready bool   `json:"ready"`
	Live  bool   `json:"live"`
}

// Ready answers whether a model is ready or, without a name, the server.
func Ready(w http.ResponseWriter, name string, ok bool) {
	code := http.StatusOK
	if !ok {
		code = http.StatusServiceUnavailable
	}
	Write(w, code, readiness{name, ok, ok})
}

// Write answers with JSON.
func Write(w http.ResponseWriter, code int, body any) {
	w.Header()[typeHeader] = JSON
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // a client that left
}
