package standalone

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tensor"
)

const jsonType = "application/json"

// protocol is how a client talks.
type protocol uint8

const (
	openInference protocol = iota // Open Inference Protocol, REST
	mlflowScoring                 // the scoring protocol of MLflow: /invocations
)

// parse reads a request for a schema, and the client's name for it.
func (p protocol) parse(body []byte, schema *tensor.Schema) (in *tensor.Batch, id string, failed *slipway.Error) {
	var err error
	if p == mlflowScoring {
		in, err = tensor.ParseInvocations(body, schema)
	} else {
		in, id, err = tensor.ParseInfer(body, schema)
	}
	if err != nil {
		return nil, "", slipway.AsError(err)
	}
	return in, id, nil
}

// append writes a prediction.
func (p protocol) append(dst []byte, model, version, id string, out *tensor.Batch) []byte {
	if p == mlflowScoring {
		return tensor.AppendPredictions(dst, out)
	}
	return tensor.AppendInferResponse(dst, model, version, id, out)
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
	if p == mlflowScoring {
		f.ErrorCode, f.Message = mlflowCode(code), e.What()
	} else {
		f.Error = e.What()
	}
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, code, f)
}

// mlflowCode is the name of an error in MLflow's REST answers.
func mlflowCode(status int) string {
	switch status {
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

// status is an error's HTTP status.
func status(e *slipway.Error) int {
	switch e.Code {
	case slipway.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case slipway.CodeModelFailed:
		return http.StatusBadGateway
	case slipway.CodeDeadline:
		return http.StatusGatewayTimeout
	}
	switch e.Kind {
	case slipway.Invalid:
		if e.Field == typeHeader || e.Field == encodingHeader {
			return http.StatusUnsupportedMediaType
		}
		return http.StatusBadRequest
	case slipway.NotFound:
		return http.StatusNotFound
	case slipway.Unprocessable:
		return http.StatusUnprocessableEntity
	case slipway.Unavailable, slipway.Exhausted:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
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

func (s *Server) metadata() metadata {
	return metadata{Name: s.model.Name, Versions: []string{s.model.Version}, Platform: s.model.Platform,
		Inputs: metadataTensors(s.model.Schema.Inputs), Outputs: metadataTensors(s.model.Schema.Outputs)}
}

func metadataTensors(fields []tensor.Field) []metadataTensor {
	out := make([]metadataTensor, len(fields))
	for i, f := range fields {
		out[i] = metadataTensor{f.Name, f.Type, append([]int{-1}, f.Shape...)}
	}
	return out
}

// allow checks the method, and answers if it is another.
func allow(w http.ResponseWriter, r *http.Request, p protocol, method string) bool {
	if r.Method == method || method == http.MethodGet && r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", method)
	p.write(w, http.StatusMethodNotAllowed, &slipway.Error{Code: slipway.CodeRequest, Message: "the method is not allowed here", Next: "use " + method})
	return false
}

func writeReady(w http.ResponseWriter, ok bool, body any) {
	code := http.StatusOK
	if !ok {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, body)
}

func writeJSON(w http.ResponseWriter, code int, body any) {
	w.Header().Set(typeHeader, jsonType)
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // a client that left
}

// requestID gives the client's id of a request if it is harmless, else a new one.
func (s *Server) requestID(r *http.Request) string {
	id := r.Header.Get(requestIDHeader)
	mean := func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')
	}
	if id != "" && len(id) <= slipway.MaxRequestID && id[0] != '.' && !strings.ContainsFunc(id, mean) {
		return id
	}
	return s.nonce + "-" + strconv.FormatUint(s.serial.Add(1), 36)
}

func (s *Server) unknownModel() *slipway.Error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "use /v2/models/"+s.model.Name, "this server has version %s of %s, and nothing else", s.model.Version, s.model.Name)
}

func (s *Server) unknownPath() *slipway.Error {
	return &slipway.Error{Code: slipway.CodeNotFound, Kind: slipway.NotFound, Message: "no such path",
		Next: "POST to /v2/models/" + s.model.Name + "/infer or /invocations"}
}

func unsupported(header, next string) *slipway.Error {
	return &slipway.Error{Code: slipway.CodeRequest, Kind: slipway.Invalid, Field: header, Message: "is not supported", Next: next}
}

func tooLarge(limit int64) *slipway.Error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeTooLarge, "send fewer rows at once", "the body is larger than %d bytes", limit)
}

func overloaded() *slipway.Error {
	return &slipway.Error{Code: slipway.CodeNoReplica, Kind: slipway.Exhausted,
		Message: "the server has too many requests at once", Next: "try again later, or add replicas"}
}

func late(cause error) *slipway.Error {
	return &slipway.Error{Code: slipway.CodeDeadline, Kind: slipway.Unavailable,
		Message: "the model did not answer before the deadline", Next: "try again, or allow more time", Cause: cause}
}

func modelFailed(cause error) *slipway.Error {
	return &slipway.Error{Code: slipway.CodeModelFailed, Kind: slipway.Internal,
		Message: "the model failed", Next: "see the log of the server", Cause: cause}
}
