package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

// pollEvery is how often a view that is watched is read again.
const pollEvery = time.Second

func (s *session) statusCmd() *cobra.Command {
	var watch bool
	cmd := command("status [ENDPOINT]", "Show what runs and how it does", "  platform status\n  platform status fraud --watch", cobra.MaximumNArgs(1),
		func(ctx context.Context, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			show := func(ctx context.Context) (view, error) { return s.fleet(ctx, c) }
			if len(args) == 1 {
				show = func(ctx context.Context) (view, error) { return s.detail(ctx, c, args[0]) }
			}
			if watch {
				return s.watch(ctx, show)
			}
			v, err := show(ctx)
			if err != nil {
				return err
			}
			s.alarm(ctx, c)
			if !s.p.Document(v.document) {
				s.p.Say("%s", v.text)
				if i, err := c.Info(ctx); err == nil && i.Review != "" && len(args) == 0 {
					s.p.Note("%s", i.Review)
				}
			}
			s.alerts(ctx, c)
			s.p.Next("%s", v.next)
			return nil
		})
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again at each change, until Ctrl-C")
	return cmd
}

// alerts says what everybody should know.
func (s *session) alerts(ctx context.Context, c *client.Client) {
	i, err := c.Info(ctx)
	if err != nil {
		return // what was asked for has been answered
	}
	for _, alert := range i.Alerts {
		s.p.Note("%s %s", screen.Red("alert:"), alert)
	}
}

// view is one view of the state: for programs, for people, and what to do next.
type view struct {
	document any
	text     screen.Ready
	next     string
}

// watch shows a view whenever it has changed. On a terminal it stays in its place.
func (s *session) watch(ctx context.Context, show func(context.Context) (view, error)) error {
	var last []byte
	lines := 0
	for {
		v, err := show(ctx)
		if ctx.Err() != nil {
			s.p.Note("")
			return nil
		}
		if err != nil {
			return err
		}
		if now, err := json.Marshal(v.document); err != nil {
			return err
		} else if !bytes.Equal(now, last) {
			last = now
			if !s.p.Line(v.document) {
				s.p.Replace(lines, v.text)
				lines = strings.Count(string(v.text), "\n") + 1
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pollEvery):
		}
	}
}

func (s *session) fleet(ctx context.Context, c *client.Client) (view, error) {
	es, err := c.Endpoints(ctx)
	if err != nil {
		return view{}, err
	}
	if len(es) == 0 {
		return view{document: []api.Endpoint{}, text: "nothing is deployed yet", next: "platform init fraud"}, nil
	}
	return view{document: es, text: s.p.Fleet(es), next: "platform status " + es[0].Name}, nil
}

// endpointDocument is one endpoint for programs: with the deployment that is under way.
type endpointDocument struct {
	api.Endpoint
	Running *api.Deployment `json:"running,omitempty"`
}

func (s *session) detail(ctx context.Context, c *client.Client, key string) (view, error) {
	e, err := c.Endpoint(ctx, key)
	if err != nil {
		return view{}, err
	}
	v := endpointDocument{Endpoint: e}
	if e.Active && e.Deployment != "" {
		d, err := c.Deployment(ctx, e.Deployment)
		if err != nil {
			return view{}, err
		}
		v.Running = &d
	}
	return view{document: v, text: s.p.Endpoint(s.env.Now(), e, v.Running), next: nextOf(v)}, nil
}

// nextOf is the command that follows from an endpoint's state.
func nextOf(v endpointDocument) string {
	switch {
	case v.Running != nil && v.Running.Phase == paused:
		return "platform promote " + v.Name + ", or: platform abort " + v.Name
	case v.Running != nil:
		return "platform status " + v.Name + " --watch"
	case v.State == withdrawn:
		return "platform deployments " + v.Name
	case v.State == provisional:
		return "platform predict " + v.Name
	default:
		return "platform logs " + v.Name
	}
}
