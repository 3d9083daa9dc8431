package gateway

import (
	"encoding/json"
	"net/http"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// protocol is how a client talks.
type protocol uint8

const (
	openInference protocol = iota // Open Inference Protocol, REST
	mlflowScoring                 // the scoring protocol of MLflow: /invocations
)

// bind reads the request for a revision's schema. What does not fit is Unprocessable, with
// the path of the field.
func (c *call) bind(rev *revision) (*tensor.Batch, *slipway.Error) {
	var in *tensor.Batch
	var err error
	if c.protocol == mlflowScoring {
		in, err = tensor.ParseInvocations(c.body, &rev.Schema)
	} else {
		in, c.id, err = tensor.ParseInfer(c.body, &rev.Schema)
	}
	if err != nil {
		return nil, slipway.AsError(err)
	}
	return in, nil
}

// append writes a prediction.
func (p protocol) append(dst []byte, key string, rev *revision, id string, out *tensor.Batch) []byte {
	if p == mlflowScoring {
		return tensor.AppendPredictions(dst, out)
	}
	return tensor.AppendInferResponse(dst, key, rev.version[0], id, out)
}

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

func (p protocol) fail(w http.ResponseWriter, e *slipway.Error) { p.write(w, status(e), e) }

func (p protocol) write(w http.ResponseWriter, code int, e *slipway.Error) {
	f := failure{Code: e.Code, Field: e.Field, Next: e.Next}
	message := e.Message
	if e.Field != "" {
		message = e.Field + ": " + message
	}
	if p == mlflowScoring {
		f.ErrorCode, f.Message = mlflowCode(code), message
	} else {
		f.Error = message
	}
	b, err := json.Marshal(f)
	if err != nil {
		b = []byte(`{}`)
	}
	h := w.Header()
	h["Content-Type"] = jsonType
	if code == http.StatusServiceUnavailable {
		h["Retry-After"] = retryAfter
	}
	w.WriteHeader(code)
	_, _ = w.Write(b) // a client that left
}

// mlflowCode is the name of an error in MLflow's REST answers.
func mlflowCode(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound:
		return "RESOURCE_DOES_NOT_EXIST"
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return "BAD_REQUEST"
	case http.StatusUnprocessableEntity:
		return "INVALID_PARAMETER_VALUE"
	case http.StatusServiceUnavailable:
		return "TEMPORARILY_UNAVAILABLE"
	case http.StatusGatewayTimeout:
		return "DEADLINE_EXCEEDED"
	default:
		return "INTERNAL_ERROR"
	}
}

// metadata is a model's metadata (Open Inference Protocol, REST).
type metadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions"`
	Platform string           `json:"platform"`
	Inputs   []metadataTensor `json:"inputs"`
	Outputs  []metadataTensor `json:"outputs"`
}

type metadataTensor struct {
	Name     string      `json:"name"`
	Datatype tensor.Type `json:"datatype"`
	Shape    []int       `json:"shape"` // -1 for any; rows first
}

func metadataOf(key string, rev *revision) metadata {
	return metadata{Name: key, Versions: rev.version, Platform: "slipway_" + rev.Runtime.Kind,
		Inputs: metadataTensors(rev.Schema.Inputs), Outputs: metadataTensors(rev.Schema.Outputs)}
}

func metadataTensors(fields []tensor.Field) []metadataTensor {
	out := make([]metadataTensor, len(fields))
	for i, f := range fields {
		out[i] = metadataTensor{f.Name, f.Type, append([]int{-1}, f.Shape...)}
	}
	return out
}
