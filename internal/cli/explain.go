package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
	"github.com/slipway-ml/slipway/internal/explain"
)

func (s *session) explainCmd() *cobra.Command {
	cmd := command("explain [CODE|DEPLOYMENT|ENDPOINT]", "Say why something is as it is, who can change it, and how",
		"  platform explain fraud\n  platform explain dep_018f…\n  platform explain SLIP-E0301\n  platform explain", cobra.MaximumNArgs(1),
		func(ctx context.Context, args []string) error {
			switch {
			case len(args) == 0:
				return s.listCodes()
			case isCode(args[0]):
				return s.explainCode(args[0])
			default:
				return s.explainThing(ctx, args[0])
			}
		})
	cmd.Long = "Say what an error code means; or why a deployment waits, or has ended as it did; or why an\nendpoint is as it is: with who can change it, and the exact commands. Without an argument the\ncodes are listed."
	return cmd
}

// isCode tells a code from a name: SLIP-E0301, e0301 or 0301.
func isCode(arg string) bool {
	digits := strings.TrimPrefix(strings.TrimPrefix(strings.ToUpper(arg), "SLIP-"), "E")
	return len(digits) == 4 && strings.Trim(digits, "0123456789") == ""
}

func (s *session) explainCode(name string) error {
	c, ok := explain.Find(name)
	if !ok {
		return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform explain", "there is no error code %.60q", name)
	}
	if !s.p.Document(c) {
		s.p.Say("%s %s\n\n%s\n\n%s", screen.Bold(c.Code), screen.Bold(c.Title), c.Meaning, c.Do)
	}
	s.p.Next("%s", c.Next)
	return nil
}

func (s *session) listCodes() error {
	all := explain.Codes()
	if !s.p.Document(all) {
		var rows [][]screen.Text
		for _, c := range all {
			rows = append(rows, []screen.Text{screen.Bold(c.Code), screen.Plain(c.Title)})
		}
		s.p.Table(rows)
	}
	s.p.Next("platform explain %s", all[0].Code)
	return nil
}

// explainThing explains a deployment or an endpoint.
func (s *session) explainThing(ctx context.Context, name string) error {
	if _, _, err := slipway.ParseEndpoint(name); err != nil && !isDeployment(name) {
		return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform explain", "%.60q is no error code, and cannot be a deployment or an endpoint", name)
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	a, err := s.account(ctx, c, name)
	if err != nil {
		return err
	}
	if s.p.Document(a) {
		return nil
	}
	s.p.Say("%s  %s", screen.Bold(a.Subject), a.State)
	for _, why := range a.Why {
		s.p.Say("  %s", why)
	}
	if a.Code != nil {
		s.p.Say("\n%s %s\n%s", screen.Bold(a.Code.Code), a.Code.Title, a.Code.Do)
	}
	s.p.Say("\n%s %s", screen.Dim("who can act:"), a.Who)
	for i, do := range a.Do {
		if i > 0 {
			s.p.Say("%s %s", screen.Dim("or:"), do)
		} else {
			s.p.Say("%s %s", screen.Dim("do:"), do)
		}
	}
	if len(a.Do) > 0 {
		s.p.Next("%s", a.Do[0])
	}
	return nil
}

func (s *session) account(ctx context.Context, c *client.Client, name string) (explain.Account, error) {
	if isDeployment(name) {
		d, err := c.Deployment(ctx, name)
		if err != nil {
			return explain.Account{}, err
		}
		e, err := c.Endpoint(ctx, d.Endpoint)
		if err != nil {
			return explain.Account{}, err
		}
		return explain.Deployment(d, e, judgement(d, e), s.env.Now()), nil
	}
	e, err := c.Endpoint(ctx, name)
	if err != nil {
		return explain.Account{}, err
	}
	last, err := c.Deployments(ctx, name, 0, 1)
	if err != nil || len(last) == 0 {
		return explain.Endpoint(e, nil, nil, s.env.Now()), err
	}
	d, err := c.Deployment(ctx, last[0].ID) // with its stages and its judgement
	return explain.Endpoint(e, &d, judgement(d, e), s.env.Now()), err
}

// judgement is the evidence of a deployment's rollout: its own once it has ended, else what
// the gateway has now.
func judgement(d api.Deployment, e api.Endpoint) []string {
	if len(d.Judgement) == 0 && e.Active && e.Deployment == d.ID {
		return screen.Judgement(e.Judgement)
	}
	return screen.Judgement(d.Judgement)
}
