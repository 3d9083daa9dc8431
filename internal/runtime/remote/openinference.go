package remote

import (
	"cmp"
	"context"
	"net/http"
	"net/url"

	"github.com/slipway-ml/slipway/internal/tensor"
)

// OpenInference asks a server that speaks the Open Inference Protocol, version 2, as JSON:
//
//	GET  /v2/health/ready          200 when it can answer
//	POST /v2/models/{model}/infer  one batch
type OpenInference struct {
	s             server
	infer, health string
}

// NewOpenInference makes a client for one model of a server.
func NewOpenInference(o Options, model string) *OpenInference {
	return &OpenInference{s: newServer(o), infer: "/v2/models/" + url.PathEscape(model) + "/infer", health: cmp.Or(o.Health, "/v2/health/ready")}
}

// Close gives the connections back.
func (o *OpenInference) Close() { o.s.client.CloseIdleConnections() }

// Ready asks the server for its health, unless it has shown it of late.
func (o *OpenInference) Ready(ctx context.Context) error { return o.s.ready(ctx, o.health) }

// Predict sends the batch as one inference request and reads the answer.
func (o *OpenInference) Predict(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
	answer, err := o.s.post(ctx, o.infer, tensor.AppendInferRequest(nil, in))
	if err != nil {
		return nil, err
	}
	out, err := tensor.ParseInferResponse(answer)
	if err != nil {
		return nil, failed(o.s.what+"'s answer is no Open Inference response", err)
	}
	return out, nil
}

// Metadata asks what the model takes and gives, by name and element type. Shapes include
// the rows.
func (o *OpenInference) Metadata(ctx context.Context) ([]byte, error) {
	return o.s.get(ctx, o.infer[:len(o.infer)-len("/infer")], http.StatusOK)
}
