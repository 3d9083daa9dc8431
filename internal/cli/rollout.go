package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

func (s *session) rollbackCmd() *cobra.Command {
	var reason string
	cmd := command("rollback [ENDPOINT]", "Take an endpoint back to the revision before, at once", "  platform rollback fraud --reason 'scores are off'", cobra.MaximumNArgs(1),
		func(ctx context.Context, args []string) error { return s.rollback(ctx, args, reason) })
	reasonFlag(cmd, &reason)
	return cmd
}

func reasonFlag(cmd *cobra.Command, reason *string) {
	cmd.Flags().StringVar(reason, "reason", "", "why, for the record")
}

func (s *session) rollback(ctx context.Context, args []string, reason string) error {
	key, err := s.endpoint(args)
	if err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	out, err := c.Rollback(ctx, key, reason)
	if err != nil {
		return err
	}
	next := "platform status " + key
	if out.Deployment != "" {
		next += " --watch"
	}
	if !s.p.Document(out) {
		switch {
		case out.Deployment != "":
			s.p.Say("%s takes %s back", screen.Bold(out.Deployment), key)
		default:
			s.p.Say("%s is back on %s, away from %s, after %.3g ms", screen.Bold(key), out.ToRevision, out.FromRevision, out.TookMS)
		}
	}
	s.p.Next("%s", next)
	return nil
}

func (s *session) promoteCmd() *cobra.Command {
	return s.commandCmd("promote", "Let a paused deployment go on", "  platform promote fraud", "goes on")
}

func (s *session) abortCmd() *cobra.Command {
	return s.commandCmd("abort", "Give a running deployment up", "  platform abort fraud --reason 'wrong version'", "is being aborted")
}

// commandCmd makes a command that tells a running deployment what to do.
func (s *session) commandCmd(verb, short, example, done string) *cobra.Command {
	var reason string
	cmd := command(verb+" [DEPLOYMENT|ENDPOINT]", short, example, cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		id, err := s.active(ctx, c, args)
		if err != nil {
			return err
		}
		d, err := c.CommandDeployment(ctx, id, api.Command{Command: verb, Reason: reason})
		if err != nil {
			return err
		}
		if !s.p.Document(d) {
			s.p.Say("%s %s", screen.Bold(d.ID), done)
		}
		s.p.Next("platform status %s --watch", d.Endpoint)
		return nil
	})
	reasonFlag(cmd, &reason)
	return cmd
}

// isDeployment tells a deployment's id from an endpoint's name, which has no underscore.
func isDeployment(s string) bool { return strings.HasPrefix(s, "dep_") }

// active is the deployment that is named, or that is under way on the endpoint.
func (s *session) active(ctx context.Context, c *client.Client, args []string) (string, error) {
	if len(args) > 0 && isDeployment(args[0]) {
		return args[0], nil
	}
	key, err := s.endpoint(args)
	if err != nil {
		return "", err
	}
	e, err := c.Endpoint(ctx, key)
	if err != nil {
		return "", err
	}
	if !e.Active {
		return "", slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform deployments "+key, "no deployment of %s is under way", key)
	}
	return e.Deployment, nil
}

func (s *session) deploymentsCmd() *cobra.Command {
	var (
		before, limit int
		log           bool
	)
	cmd := command("deployments [ENDPOINT|DEPLOYMENT]", "List deployments, newest first, or show one", "  platform deployments fraud\n  platform deployments dep_018f… --log", cobra.MaximumNArgs(1),
		func(ctx context.Context, args []string) error {
			if limit < 1 || limit > 200 || before < 0 {
				return misuse("give -n from 1 to 200", "there is no such range of deployments")
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			key := strings.Join(args, "")
			if isDeployment(key) {
				return s.showDeployment(ctx, c, key, log)
			}
			return s.listDeployments(ctx, c, key, before, limit)
		})
	cmd.Flags().IntVarP(&limit, "lines", "n", 20, "how many, at most 200")
	cmd.Flags().IntVar(&before, "before", 0, "only numbers below this one")
	cmd.Flags().BoolVar(&log, "log", false, "show what each stage of the deployment logged")
	return cmd
}

func (s *session) listDeployments(ctx context.Context, c *client.Client, key string, before, limit int) error {
	ds, err := c.Deployments(ctx, key, before, limit)
	if err != nil {
		return err
	}
	next := "platform deploy --watch"
	if len(ds) > 0 {
		next = "platform deployments " + ds[0].ID
	}
	if !s.p.Document(append([]api.Deployment{}, ds...)) {
		s.p.Say("%s", s.p.Deployments(s.env.Now(), ds))
	}
	s.p.Next("%s", next)
	return nil
}

func (s *session) showDeployment(ctx context.Context, c *client.Client, id string, log bool) error {
	d, err := c.Deployment(ctx, id)
	if err != nil {
		return err
	}
	if !s.p.Document(d) {
		s.p.Say("%s  %s  %s:%d to %s by %s%s", screen.Bold(d.ID), screen.StatusOf(d), d.Model, d.Version, d.Endpoint, d.By, screen.Because(d.Reason))
		f := screen.NewFollower(s.p, s.env.Now)
		f.Log = log
		f.Show(d)
		if d.Message != "" {
			s.p.Say("%s %s", d.Code, d.Message)
		}
	}
	s.p.Next("platform status %s", d.Endpoint)
	return nil
}
