package cli

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

func (s *session) tokensCmd() *cobra.Command {
	cmd := group("tokens", "What accounts act with", "  platform tokens create ada\n  platform tokens list")
	cmd.AddCommand(command("list [ACCOUNT]", "List tokens: what for, until when, last used", "  platform tokens list\n  platform tokens list checkout", cobra.MaximumNArgs(1), s.listTokens),
		s.createTokenCmd(), s.rotateTokenCmd(), s.revokeTokenCmd())
	return cmd
}

func (s *session) listTokens(ctx context.Context, args []string) error {
	return s.with(func(c *client.Client) error {
		all, err := c.Tokens(ctx, strings.Join(args, ""))
		if err != nil || s.p.Document(append([]api.Token{}, all...)) {
			return err
		}
		now := s.env.Now()
		var rows [][]screen.Text
		for _, t := range all {
			rows = append(rows, []screen.Text{screen.Plain(t.ID), screen.Bold(t.Account), tokenState(t, now), screen.Dim(used(t)), screen.Dim(limitOf(t)), screen.Dim(t.Note)})
		}
		s.p.Table(rows)
		s.p.Next("platform tokens revoke TOKEN")
		return nil
	})
}

func tokenState(t api.Token, now time.Time) screen.Text {
	switch {
	case !t.Revoked.IsZero():
		return screen.Red("revoked")
	case t.Expires.IsZero():
		return screen.Yellow("never ends")
	case !now.Before(t.Expires):
		return screen.Dim("expired")
	}
	return screen.Plain("until " + t.Expires.Local().Format("2006-01-02 15:04"))
}

func used(t api.Token) string {
	if t.Used.IsZero() {
		return "never used"
	}
	return "used " + t.Used.Local().Format("2006-01-02 15:04")
}

func limitOf(t api.Token) string {
	var out []string
	for _, words := range [][]string{t.Limit.Actions, t.Limit.Teams, t.Limit.Endpoints} {
		out = append(out, words...)
	}
	return strings.Join(out, " ")
}

// secret prints a new token: its text alone on the output, so that a script can take it.
func (s *session) secret(t api.Token, err error) error {
	if err != nil || s.p.Document(t) {
		return err
	}
	s.p.Say("%s", t.Text)
	s.p.Note("%s of %s, until %s; its text is kept nowhere", t.ID, t.Account, t.Expires.Local().Format("2006-01-02 15:04"))
	s.p.Next("export SLIPWAY_TOKEN=…; platform status")
	return nil
}

func (s *session) createTokenCmd() *cobra.Command {
	var r api.IssueToken
	var lifetime string
	cmd := command("create ACCOUNT", "Make a token of an account, and print it", "  platform tokens create ada\n  platform tokens create checkout --lifetime 90d --endpoint fraud\n  platform tokens create ci-risk --action endpoint:deploy --action model:register --action blob:upload",
		cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
			d, err := parseAge(lifetime)
			if err != nil {
				return err
			}
			r.LifetimeSeconds = int64(d / time.Second)
			return s.with(func(c *client.Client) error { return s.secret(c.IssueToken(ctx, args[0], r)) })
		})
	cmd.Flags().StringVar(&lifetime, "lifetime", "", "how long it is good, such as 8h or 30d")
	cmd.Flags().StringArrayVar(&r.Limit.Actions, "action", nil, "only for this; may be given again")
	cmd.Flags().StringArrayVar(&r.Limit.Teams, "team", nil, "only with what belongs to this team; may be given again")
	cmd.Flags().StringArrayVar(&r.Limit.Endpoints, "endpoint", nil, "only with this endpoint; may be given again")
	cmd.Flags().StringVar(&r.Note, "note", "", "what it is for")
	return cmd
}

func (s *session) rotateTokenCmd() *cobra.Command {
	var overlap string
	cmd := command("rotate TOKEN", "Make a token like this one, which stays good for a while", "  platform tokens rotate tok_018f… --overlap 24h", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			d, err := parseAge(overlap)
			if err != nil {
				return err
			}
			return s.with(func(c *client.Client) error {
				return s.secret(c.RotateToken(ctx, args[0], api.RotateToken{OverlapSeconds: int64(d / time.Second)}))
			})
		})
	cmd.Flags().StringVar(&overlap, "overlap", "1h", "how long the old one stays good, at most 7d")
	return cmd
}

func (s *session) revokeTokenCmd() *cobra.Command {
	var r api.RevokeToken
	cmd := command("revoke TOKEN", "End a token, at once", "  platform tokens revoke tok_018f… --reason 'was in a log'", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return s.with(func(c *client.Client) error {
			t, err := c.RevokeToken(ctx, args[0], r)
			if err != nil || s.p.Document(t) {
				return err
			}
			s.p.Say("%s of %s is %s", t.ID, screen.Bold(t.Account), screen.Red("revoked"))
			if len(t.Made) > 0 {
				s.p.Say("tokens that were made with it are good still: %s", strings.Join(t.Made, " "))
				s.p.Next("platform tokens revoke %s", t.Made[0])
				return nil
			}
			s.p.Next("platform tokens list %s", t.Account)
			return nil
		})
	})
	cmd.Flags().StringVar(&r.Reason, "reason", "", "why; it is recorded")
	return cmd
}

// parseAge reads a duration in Go's form, or a number of days.
func parseAge(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 366 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, misuse("give a time such as 90m, 8h or 30d", "%.20q is no length of time", s)
	}
	return d, nil
}

func (s *session) accessCmd() *cobra.Command {
	cmd := group("access", "Who may do what, and why", "  platform access explain ada endpoint:rollback endpoint/fraud")
	cmd.AddCommand(command("explain WHO ACTION WHAT", "Say whether an account may do something, and by which policy and line",
		"  platform access explain ada endpoint:rollback endpoint/fraud\n  platform access explain ada audit:read server", cobra.ExactArgs(3), s.explainAccess), s.reviewCmd())
	cmd.AddCommand(s.emergencyCmds()...)
	return cmd
}

func (s *session) explainAccess(ctx context.Context, args []string) error {
	return s.with(func(c *client.Client) error {
		a, err := c.ExplainAccess(ctx, args[0], args[1], args[2])
		if err != nil || s.p.Document(a) {
			return err
		}
		verb, why := screen.Red("may not"), "no policy permits it"
		if a.Allowed {
			verb = screen.Green("may")
		}
		s.p.Say("%s %s do %s on %s", screen.Bold(a.Account), verb, a.Action, a.Resource)
		for _, r := range a.Policies {
			why = r.Policy
			switch {
			case r.Version > 0:
				why += ", line " + strconv.Itoa(r.Line) + " of version " + strconv.Itoa(r.Version) + " of this installation's policies"
			case r.Line > 0:
				why += ", line " + strconv.Itoa(r.Line) + " of the policies that the platform brings"
			}
			s.p.Say("  by %s", why)
		}
		if len(a.Policies) == 0 {
			s.p.Say("  %s", why)
		}
		if len(a.Who) > 0 {
			s.p.Say("  these may: %s", strings.Join(a.Who, ", "))
		}
		s.p.Next("platform accounts list %s", a.Account)
		return nil
	})
}
