package gateway

import (
	"github.com/slipway-ml/slipway/internal/answer"
)

func metadataOf(key string, rev *revision) answer.Metadata {
	return answer.MetadataOf(key, rev.version, "slipway_"+rev.Runtime.Kind, &rev.Schema)
}
