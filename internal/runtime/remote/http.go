package remote

import (
	"cmp"
	"context"

	"github.com/slipway-ml/slipway/internal/tensor"
)

// HTTP is a server of a protocol that is not known here. It is asked for its health alone;
// requests to it are passed through beside.
type HTTP struct {
	s      server
	health string
}

// NewHTTP makes a client that asks for health.
func NewHTTP(o Options) *HTTP { return &HTTP{newServer(o), cmp.Or(o.Health, "/health")} }

// Close gives the connections back.
func (h *HTTP) Close() { h.s.client.CloseIdleConnections() }

// Ready asks the server for its health.
func (h *HTTP) Ready(ctx context.Context) error { return h.s.ready(ctx, h.health) }

// Predict fails.
func (h *HTTP) Predict(context.Context, *tensor.Batch) (*tensor.Batch, error) {
	return nil, failed(h.s.what+" does not speak a protocol of predictions", nil)
}
