package cli

import (
	"github.com/slipway-ml/slipway/internal/cli/models"
)

// models are the commands about models, apart from this package for its size.
func (s *session) models() models.Session {
	return models.Session{P: s.p, Client: s.client, Now: s.env.Now}
}
