package answer

import (
	"net/http"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
)

// StatusOf maps an error's kind to its HTTP status.
func StatusOf(k slipway.Kind) int {
	switch k {
	case slipway.Invalid:
		return http.StatusBadRequest
	case slipway.Unauthorized:
		return http.StatusUnauthorized
	case slipway.Denied:
		return http.StatusForbidden
	case slipway.NotFound:
		return http.StatusNotFound
	case slipway.Conflict:
		return http.StatusConflict
	case slipway.Unprocessable:
		return http.StatusUnprocessableEntity
	case slipway.Exhausted:
		return http.StatusInsufficientStorage
	case slipway.Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// Status is the HTTP status of an error where models answer: a model that failed is a bad
// gateway, and what is exhausted there is no storage.
func Status(e *slipway.Error) int {
	switch {
	case e.Code == slipway.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case e.Code == slipway.CodeModelFailed:
		return http.StatusBadGateway
	case e.Code == slipway.CodeDeadline:
		return http.StatusGatewayTimeout
	case e.Code == slipway.CodeRateLimited:
		return http.StatusTooManyRequests
	case e.Kind == slipway.Exhausted:
		return http.StatusServiceUnavailable
	case e.Kind == slipway.Invalid && (e.Field == typeHeader || e.Field == encodingHeader):
		return http.StatusUnsupportedMediaType
	default:
		return StatusOf(e.Kind)
	}
}

// RetryAfter is the header of that name of an answer with an error: whole seconds (RFC 9110,
// 10.2.3); nil for a status that has none.
func RetryAfter(code int, e *slipway.Error) []string {
	switch {
	case code != http.StatusServiceUnavailable && code != http.StatusTooManyRequests:
		return nil
	case e.Retry <= time.Second:
		return aSecond
	}
	return []string{strconv.FormatInt(int64((e.Retry+time.Second-1)/time.Second), 10)}
}

// aSecond is after what time a client shall try again that is not told otherwise.
var aSecond = []string{"1"}

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
	case http.StatusTooManyRequests:
		return "REQUEST_LIMIT_EXCEEDED"
	case http.StatusGatewayTimeout:
		return "DEADLINE_EXCEEDED"
	default:
		return "INTERNAL_ERROR"
	}
}
