package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
)

func (s *session) diffCmd() *cobra.Command {
	cmd := command("diff FROM [TO]", "Show what differs between two revisions", "  platform diff fraud-3 fraud-4\n  platform diff fraud-3\n  platform diff fraud.staging fraud", cobra.RangeArgs(1, 2),
		func(ctx context.Context, args []string) error { return s.diff(ctx, args) })
	cmd.Long = "Show what differs between two revisions: version, schema, metrics, and every value of\nplatform.yaml. Each is a revision, a deployment, or an endpoint, which stands for what serves\nthere. Without TO, the revision is compared with what serves on its endpoint."
	return cmd
}

func (s *session) diff(ctx context.Context, args []string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	from := args[0]
	to := from
	switch {
	case len(args) == 2:
		to = args[1]
	case isDeployment(from):
		d, err := c.Deployment(ctx, from)
		if err != nil {
			return err
		}
		to = d.Endpoint
	default:
		if at := strings.LastIndexByte(from, '-'); at > 0 {
			to = from[:at]
		}
	}
	out, err := c.Diff(ctx, from, to)
	if err != nil {
		return err
	}
	if !s.p.Document(out) {
		s.p.Say("%s", strings.TrimRight(out.Text, "\n"))
	}
	s.p.Next("platform history %s", out.Endpoint)
	return nil
}
