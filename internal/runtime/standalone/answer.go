package standalone

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
)

func (s *Server) metadata() answer.Metadata {
	return answer.MetadataOf(s.model.Name, []string{s.model.Version}, s.model.Platform, &s.model.Schema)
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
