package answer_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
)

// TestStatus: what fails where models answer has a status of its own; the rest has that of
// its kind.
func TestStatus(t *testing.T) {
	for _, tt := range []struct {
		e    slipway.Error
		want int
	}{
		{slipway.Error{Code: slipway.CodeTooLarge, Kind: slipway.Invalid}, http.StatusRequestEntityTooLarge},
		{slipway.Error{Code: slipway.CodeModelFailed, Kind: slipway.Internal}, http.StatusBadGateway},
		{slipway.Error{Code: slipway.CodeDeadline, Kind: slipway.Unavailable}, http.StatusGatewayTimeout},
		{slipway.Error{Kind: slipway.Exhausted}, http.StatusServiceUnavailable},
		{slipway.Error{Kind: slipway.Invalid, Field: "Content-Type"}, http.StatusUnsupportedMediaType},
		{slipway.Error{Kind: slipway.Invalid, Field: "inputs[0]"}, http.StatusBadRequest},
		{slipway.Error{Kind: slipway.Unauthorized}, http.StatusUnauthorized},
		{slipway.Error{Kind: slipway.Denied}, http.StatusForbidden},
		{slipway.Error{Kind: slipway.NotFound}, http.StatusNotFound},
		{slipway.Error{Kind: slipway.Conflict}, http.StatusConflict},
		{slipway.Error{Kind: slipway.Unprocessable}, http.StatusUnprocessableEntity},
		{slipway.Error{Kind: slipway.Unavailable}, http.StatusServiceUnavailable},
		{slipway.Error{Kind: slipway.Internal}, http.StatusInternalServerError},
	} {
		if got := answer.Status(&tt.e); got != tt.want {
			t.Errorf("%+v: %d, want %d", tt.e, got, tt.want)
		}
	}
	if got := answer.StatusOf(slipway.Exhausted); got != http.StatusInsufficientStorage {
		t.Errorf("the control plane answers a full disk with %d", got)
	}
}

// TestFail: each protocol has its own fields, and ours beside them.
func TestFail(t *testing.T) {
	e := &slipway.Error{Code: slipway.CodeRequest, Kind: slipway.Unprocessable, Field: "inputs[0]", Message: "is no tensor", Next: "send one"}
	for p, want := range map[answer.Protocol]string{
		answer.OpenInference: `{"error":"inputs[0]: is no tensor","code":"SLIP-E0502","field":"inputs[0]","next":"send one"}`,
		answer.MLflowScoring: `{"error_code":"INVALID_PARAMETER_VALUE","message":"inputs[0]: is no tensor","code":"SLIP-E0502","field":"inputs[0]","next":"send one"}`,
	} {
		w := httptest.NewRecorder()
		p.Fail(w, e)
		if got := strings.TrimSpace(w.Body.String()); got != want || w.Code != http.StatusUnprocessableEntity || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%d %v %s", w.Code, w.Header(), got)
		}
	}
	w := httptest.NewRecorder()
	answer.OpenInference.Fail(w, &slipway.Error{Kind: slipway.Unavailable})
	if w.Header().Get("Retry-After") != "1" {
		t.Errorf("%v", w.Header())
	}
}
