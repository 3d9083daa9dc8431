package client

import (
	"context"
	"net/http"

	"github.com/slipway-ml/slipway"
)

// Metadata says what a model takes and gives (Open Inference Protocol, REST).
type Metadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions"`
	Platform string           `json:"platform"`
	Inputs   []TensorMetadata `json:"inputs"`
	Outputs  []TensorMetadata `json:"outputs"`
}

// TensorMetadata is the name, type and shape of a tensor; rows come first, and -1 stands
// for any length.
type TensorMetadata struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"`
}

// Metadata gives what the model of an endpoint takes and gives.
func (c *Client) Metadata(ctx context.Context, endpoint string) (Metadata, error) {
	return get[Metadata](ctx, c, nil, "v2", "models", endpoint)
}

// named says by which id a prediction shall be traced: that of slipway.WithRequest, if any.
func named(ctx context.Context) http.Header {
	if id := slipway.RequestOf(ctx); id != "" {
		return http.Header{"X-Request-Id": {id}}
	}
	return nil
}

// Infer predicts: request and answer are JSON of the Open Inference Protocol. It is not
// repeated once it was sent.
func (c *Client) Infer(ctx context.Context, endpoint string, body []byte) ([]byte, error) {
	return c.do(ctx, request{method: http.MethodPost, path: path("v2", "models", endpoint, "infer"), header: named(ctx), body: body})
}

// Invocations predicts: request and answer are JSON of MLflow's scoring protocol. It is
// not repeated once it was sent.
func (c *Client) Invocations(ctx context.Context, endpoint string, body []byte) ([]byte, error) {
	return c.do(ctx, request{method: http.MethodPost, path: path("endpoints", endpoint, "invocations"), header: named(ctx), body: body})
}
