package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

// follow watches a deployment to its end and prints what happens: a line for each stage,
// step and result.
func (s *session) follow(ctx context.Context, c *client.Client, d api.Deployment) error {
	if !s.p.JSON {
		s.p.Say("%s  %s:%d to %s", screen.Bold(d.ID), d.Model, d.Version, d.Endpoint)
	}
	f := screen.NewFollower(s.p, s.env.Now)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	states := make(chan state)
	go watch(watching, c, d.ID, states)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.Tick()
		case now, more := <-states:
			if !more {
				if now.err = ctx.Err(); now.err == nil {
					return s.ended(ctx, c, d)
				}
			}
			if now.err != nil {
				s.p.Note("the deployment goes on without being watched: platform status %s --watch", d.Endpoint)
				return now.err
			}
			d = now.d
			if !s.p.Line(d) {
				f.Show(d)
			}
		}
	}
}

// state is what WatchDeployment gives.
type state struct {
	d   api.Deployment
	err error
}

// watch sends the states of a deployment until its end, or that of ctx.
func watch(ctx context.Context, c *client.Client, id string, states chan<- state) {
	defer close(states)
	for d, err := range c.WatchDeployment(ctx, id) {
		select {
		case states <- state{d, err}:
		case <-ctx.Done():
			return
		}
	}
}

// ended tells the result.
func (s *session) ended(ctx context.Context, c *client.Client, d api.Deployment) error {
	if d.Status != succeeded {
		return notSucceeded(d)
	}
	if s.p.JSON {
		return nil
	}
	s.p.Say("%s %s serves %s:%d", screen.Green("done"), d.Endpoint, d.Model, d.Version)
	// It has succeeded, whether or not the endpoint can be asked now.
	if e, err := c.Endpoint(ctx, d.Endpoint); err == nil && e.State == provisional {
		s.p.Say("%s", screen.Provisional(e))
	}
	s.p.Next("platform predict %s", d.Endpoint)
	return nil
}

// The states of the API that commands tell apart.
const (
	succeeded   = "succeeded"
	rolledBack  = "rolled back"
	provisional = "provisional"
	withdrawn   = "withdrawn"
	paused      = "paused" // a phase
)

// notSucceeded is the error of a deployment that ended otherwise.
func notSucceeded(d api.Deployment) error {
	e := &slipway.Error{Code: d.Code, Kind: slipway.Unprocessable, Message: fmt.Sprintf("%s: %s", d.ID, d.Status) + screen.Because(d.Message), Next: d.Next}
	if e.Code == "" {
		e.Code = slipway.CodeConflict
		if d.Status == rolledBack {
			e.Code = slipway.CodeRolledBack
		}
	}
	if e.Next == "" {
		e.Next = "platform deployments " + d.ID
	}
	return unsuccessful{e}
}
