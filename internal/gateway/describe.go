package gateway

import (
	"net/http"

	"github.com/slipway-ml/slipway/internal/answer"
)

func (g *Gateway) describe(w http.ResponseWriter, _ *http.Request, p answer.Path, _ *endpoint, _ *revision) {
	p.Protocol.Fail(w, unknownPath())
}
