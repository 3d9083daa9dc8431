package gateway

import (
	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// bind reads the request for a revision's schema. What does not fit is Unprocessable, with
// the path of the field.
func (c *call) bind(rev *revision) (in *tensor.Batch, failed *slipway.Error) {
	in, c.id, failed = c.protocol.Parse(c.body, &rev.Schema)
	return in, failed
}

func metadataOf(key string, rev *revision) answer.Metadata {
	return answer.MetadataOf(key, rev.version, "slipway_"+rev.Runtime.Kind, &rev.Schema)
}
