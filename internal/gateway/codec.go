package gateway

import (
	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// payload is the codec of a body that came over HTTP.
type payload struct {
	protocol answer.Protocol
	body     []byte
	id       string // the client's name for the request, to be echoed
}

// Bind implements codec.
func (p *payload) Bind(schema *tensor.Schema) (in *tensor.Batch, failed *slipway.Error) {
	in, p.id, failed = p.protocol.Parse(p.body, schema)
	return in, failed
}

func metadataOf(key string, rev *revision) answer.Metadata {
	return answer.MetadataOf(key, rev.version, "slipway_"+rev.Runtime.Kind, &rev.Schema)
}
