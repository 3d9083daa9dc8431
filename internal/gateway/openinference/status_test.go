package openinference

import (
	"net/http/httptest"
	"testing"

	"github.com/slipway-ml/slipway"
)

func TestRefuse(t *testing.T) {
	w := httptest.NewRecorder()
	Refuse(w, &slipway.Error{Code: slipway.CodeUnauthorized, Kind: slipway.Unauthorized, Message: "100 % wrong, é", Next: "x"})
	h := w.Header()
	if w.Code != 200 || h.Get("Grpc-Status") != "16" || h.Get("Grpc-Message") != "100 %25 wrong, %C3%A9; x" || h.Get("Grpc-Status-Details-Bin") == "" {
		t.Errorf("%d %v", w.Code, h)
	}
}
