package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

func (s *session) breakGlassCmd() *cobra.Command {
	var r api.BreakGlass
	var length string
	cmd := command("break-glass", "Become an owner for a while, in an emergency", "  platform access break-glass --reason 'checkout is down, INC-4711'\n  platform access break-glass --reason 'nobody else is awake' --for 30m --alone", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			d, err := parseAge(length)
			if err != nil {
				return err
			}
			if r.Seconds = int64(d / time.Second); r.Reason == "" {
				return misuse("add --reason WHY", "breaking glass needs a reason; it is recorded, and read by others")
			}
			return s.with(func(c *client.Client) error {
				e, err := c.BreakGlass(ctx, r)
				return s.emergency(e, err)
			})
		})
	cmd.Long = "Become an owner for a while, in an emergency. Who has the role break-glass may. A second person\nconfirms it; with --alone it begins at once, with an alert. Everything done in it is marked in the\nrecord, and it ends by itself."
	cmd.Flags().StringVar(&r.Reason, "reason", "", "why; it is recorded")
	cmd.Flags().StringVar(&length, "for", "1h", "how long, at most 4h")
	cmd.Flags().BoolVar(&r.Alone, "alone", false, "at once, without a second person, with an alert")
	return cmd
}

// emergency prints one that begins, or waits.
func (s *session) emergency(e api.Emergency, err error) error {
	if err != nil || s.p.Document(e) {
		return err
	}
	if e.Until.IsZero() {
		s.p.Say("%s waits for a second person, for an hour", screen.Bold(e.ID))
		s.p.Next("let another run: platform access confirm %s", e.ID)
		return nil
	}
	s.p.Say("%s is an %s until %s; everything done by %s is marked %s", screen.Bold(e.Account), screen.Red("owner"), e.Until.Local().Format("15:04"), e.Account, e.ID)
	s.p.Next("platform access end %s", e.ID)
	return nil
}

func (s *session) emergencyCmds() []*cobra.Command {
	return []*cobra.Command{
		s.breakGlassCmd(),
		command("confirm EMERGENCY", "Let another become an owner for a while", "  platform access confirm bgl_018f…", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
			return s.with(func(c *client.Client) error {
				e, err := c.ConfirmEmergency(ctx, args[0])
				return s.emergency(e, err)
			})
		}),
		command("end EMERGENCY", "End an emergency before its time", "  platform access end bgl_018f…", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
			return s.with(func(c *client.Client) error {
				e, err := c.EndEmergency(ctx, args[0])
				if err != nil || s.p.Document(e) {
					return err
				}
				s.p.Say("%s of %s has ended", e.ID, screen.Bold(e.Account))
				s.p.Next("platform access emergencies")
				return nil
			})
		}),
		command("emergencies", "List emergencies: those that go on, and those that wait to be confirmed", "  platform access emergencies", cobra.NoArgs, func(ctx context.Context, _ []string) error {
			return s.with(func(c *client.Client) error {
				all, err := c.Emergencies(ctx)
				if err != nil || s.p.Document(all) {
					return err
				}
				var rows [][]screen.Text
				for _, e := range all {
					state := screen.Yellow("waits to be confirmed")
					if !e.Until.IsZero() {
						state = screen.Red("an owner until " + e.Until.Local().Format("15:04"))
					}
					rows = append(rows, []screen.Text{screen.Plain(e.ID), screen.Bold(e.Account), state, screen.Dim(e.Reason)})
				}
				s.p.Table(rows)
				if len(all) == 0 {
					s.p.Say("there is none")
				}
				s.p.Next("platform access confirm EMERGENCY")
				return nil
			})
		}),
	}
}

// alarm says above a view that glass is broken. Who may not know, or an older server, says
// nothing.
func (s *session) alarm(ctx context.Context, c *client.Client) {
	all, err := c.Emergencies(ctx)
	if err != nil {
		return
	}
	for _, e := range all {
		if !e.Until.IsZero() {
			s.p.Note("%s %s is an owner by break-glass until %s (%s)", screen.Red("emergency:"), e.Account, e.Until.Local().Format("15:04"), e.ID)
		}
	}
}

func (s *session) ssoCmd() *cobra.Command {
	cmd := group("sso", "Which group of the identity provider has which role", "  platform sso rules\n  platform sso map risk-engineers engineer risk")
	change := func(remove bool) func(context.Context, []string) error {
		return func(ctx context.Context, args []string) error {
			r := api.ChangeRule{Rule: api.Rule{Group: args[0], Role: args[1]}, Remove: remove}
			if len(args) == 3 {
				r.Team = args[2]
			}
			return s.with(func(c *client.Client) error {
				rule, err := c.ChangeRule(ctx, r)
				if err != nil || s.p.Document(rule) {
					return err
				}
				verb := "has"
				if remove {
					verb = "no longer has"
				}
				s.p.Say("%s %s the role %s, from the next time that somebody signs in", screen.Bold(rule.Group), verb, roleText(api.Role{Role: rule.Role, Team: rule.Team}))
				s.p.Next("platform sso rules")
				return nil
			})
		}
	}
	cmd.AddCommand(
		command("map GROUP ROLE [TEAM]", "Give a role to whoever is in a group", "  platform sso map risk-engineers engineer risk\n  platform sso map platform-team platform-engineer", cobra.RangeArgs(2, 3), change(false)),
		command("unmap GROUP ROLE [TEAM]", "Take a role away from a group", "  platform sso unmap risk-engineers engineer risk", cobra.RangeArgs(2, 3), change(true)),
		command("rules", "List which group has which role", "  platform sso rules", cobra.NoArgs, func(ctx context.Context, _ []string) error {
			return s.with(func(c *client.Client) error {
				all, err := c.Rules(ctx)
				if err != nil || s.p.Document(all) {
					return err
				}
				var rows [][]screen.Text
				for _, r := range all {
					rows = append(rows, []screen.Text{screen.Bold(r.Group), screen.Plain(roleText(api.Role{Role: r.Role, Team: r.Team}))})
				}
				s.p.Table(rows)
				s.p.Next("platform sso map GROUP ROLE [TEAM]")
				return nil
			})
		}))
	return cmd
}
