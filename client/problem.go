package client

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
)

const maxProblem = 1 << 20

// wireError is an error as the control plane (problem+json), Open Inference (error) and MLflow
// (message) write it.
type wireError struct {
	api.Problem
	Error   string `json:"error"`
	Message string `json:"message"`
}

// refusal reads an answer that is no success.
func refusal(resp *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblem)) // half an error is better than none
	e := errorOf(resp.StatusCode, raw)
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return &failure{err: e, after: retryAfter(resp.Header)}
	}
	return e
}

func errorOf(status int, raw []byte) *slipway.Error {
	var b wireError
	_ = json.Unmarshal(raw, &b) // an error page of a proxy has no fields, and that is what it gives
	e := &slipway.Error{Code: b.Code, Kind: kindOf(status, b.Code), Next: b.Next, Field: b.Field}
	e.Message = cmp.Or(b.Detail, b.Message, b.Error)
	if e.Field != "" {
		e.Message = strings.TrimPrefix(e.Message, e.Field+": ")
	}
	if e.Code == "" {
		e.Code, e.Message = codeOf(e.Kind), fmt.Sprintf("the server answered %d %s", status, http.StatusText(status))
		e.Next = "check the server's address, and what is in front of it"
	}
	return e
}

// kindOf is the kind behind an HTTP status.
func kindOf(status int, code string) slipway.Kind {
	switch status {
	case http.StatusUnprocessableEntity:
		return slipway.Unprocessable
	case http.StatusUnauthorized:
		return slipway.Unauthorized
	case http.StatusForbidden:
		return slipway.Denied
	case http.StatusNotFound:
		return slipway.NotFound
	case http.StatusConflict:
		return slipway.Conflict
	case http.StatusTooManyRequests, http.StatusInsufficientStorage:
		return slipway.Exhausted
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if code == slipway.CodeModelFailed {
			return slipway.Internal
		}
		return slipway.Unavailable
	}
	if status >= 400 && status < 500 {
		return slipway.Invalid
	}
	return slipway.Internal
}

// codeOf is the code of an error that came without one.
func codeOf(k slipway.Kind) string {
	switch k {
	case slipway.Invalid, slipway.Unprocessable:
		return slipway.CodeInvalid
	case slipway.Unauthorized:
		return slipway.CodeUnauthorized
	case slipway.Denied:
		return slipway.CodeDenied
	case slipway.NotFound:
		return slipway.CodeNotFound
	case slipway.Conflict:
		return slipway.CodeConflict
	case slipway.Unavailable, slipway.Exhausted:
		return slipway.CodeUnavailable
	default:
		return slipway.CodeInternal
	}
}
