package mlflowimport

import (
	"context"
	"time"
)

// Inside is the check of paths, for the fuzz test.
var Inside = inside

// Quick has a source wait for nothing, and gives up on silence soon.
func (s *Source) Quick(idle time.Duration) *Source {
	s.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	s.idle = idle
	return s
}

// Page is what is read of a server, for the fuzz test.
type Page struct {
	Runs     []run             `json:"runs"`
	Models   []loggedModel     `json:"models"`
	Named    []registeredModel `json:"registered_models"`
	Versions []version         `json:"model_versions"`
	Metrics  []metric          `json:"metrics"`
	Files    []file            `json:"files"`
}
