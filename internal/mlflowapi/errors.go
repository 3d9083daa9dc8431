package mlflowapi

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
)

// failure is an error as MLflow's clients read it. They branch on the code.
type failure struct {
	ErrorCode string `json:"error_code"`
	Message   string `json:"message"`
}

// word is a code of MLflow's errors with its status.
type word struct {
	status int
	code   string
}

// byKind are MLflow's words for our kinds of errors (mlflow/protos/databricks.proto). Its
// clients repeat what is answered with 429, 500, 502, 503 or 504 for minutes: nothing that
// lasts may be one of those.
var byKind = map[slipway.Kind]word{
	slipway.Internal:      {http.StatusInternalServerError, "INTERNAL_ERROR"},
	slipway.Invalid:       {http.StatusBadRequest, "INVALID_PARAMETER_VALUE"},
	slipway.Unprocessable: {http.StatusBadRequest, "INVALID_PARAMETER_VALUE"},
	slipway.NotFound:      {http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST"},
	slipway.Conflict:      {http.StatusConflict, "RESOURCE_CONFLICT"},
	slipway.Denied:        {http.StatusForbidden, "PERMISSION_DENIED"},
	slipway.Unauthorized:  {http.StatusUnauthorized, "UNAUTHENTICATED"},
	slipway.Exhausted:     {http.StatusTooManyRequests, "REQUEST_LIMIT_EXCEEDED"},
	slipway.Unavailable:   {http.StatusServiceUnavailable, "TEMPORARILY_UNAVAILABLE"},
}

// byCode are MLflow's words for what it tells apart and our kinds do not.
var byCode = map[string]word{
	slipway.CodeExists:     {http.StatusBadRequest, "RESOURCE_ALREADY_EXISTS"},
	slipway.CodeNoEndpoint: {http.StatusNotFound, "ENDPOINT_NOT_FOUND"},
	slipway.CodeNotServed:  {http.StatusNotImplemented, "NOT_IMPLEMENTED"},
}

func wordOf(e *slipway.Error) word {
	if w, ok := byCode[e.Code]; ok {
		return w
	}
	return byKind[e.Kind]
}

// Fail answers with an error as MLflow's clients read it, and logs the cause of one that is
// ours.
func Fail(w http.ResponseWriter, r *http.Request, err error, log *slog.Logger) {
	var answered *Answered
	if errors.As(err, &answered) {
		log.LogAttrs(r.Context(), slog.LevelWarn, "an answer to an MLflow client was cut off", slog.String("error", err.Error()))
		panic(http.ErrAbortHandler) // the client must not take half a file for a whole one
	}
	e := slipway.AsError(err)
	if e.Kind == slipway.Internal || e.Cause != nil {
		log.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.String("code", e.Code), slog.String("error", err.Error()), slog.Any("cause", e.Cause))
	}
	what := wordOf(e)
	h := w.Header()
	switch what.status {
	case http.StatusUnauthorized:
		h["Www-Authenticate"] = []string{`Bearer realm="slipway"`, `Basic realm="slipway"`}
	case http.StatusServiceUnavailable:
		h["Retry-After"] = answer.RetryAfter(what.status, e)
	case http.StatusNotFound:
		if h.Get("Allow") != "" {
			what.status = http.StatusMethodNotAllowed
		}
	}
	body, _ := json.Marshal(failure{what.code, e.What()}, lenient) // strings alone
	h.Set("Content-Type", "application/json")
	w.WriteHeader(what.status)
	_, _ = w.Write(body) // a client that left
}

// Answered wraps an error that was met after a part of the answer was sent: the connection is
// cut, so that nobody takes that part for the whole.
type Answered struct{ Err error }

// Error gives the wrapped error's text.
func (a *Answered) Error() string { return a.Err.Error() }

// Unwrap gives the wrapped error.
func (a *Answered) Unwrap() error { return a.Err }
