package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

func (s *session) accountsCmd() *cobra.Command {
	cmd := group("accounts", "People and services, and what they may do", "  platform accounts list\n  platform accounts create ada\n  platform accounts grant ada engineer --team risk")
	cmd.AddCommand(
		command("list [NAME]", "List accounts with their roles", "  platform accounts list", cobra.MaximumNArgs(1), s.listAccounts),
		s.createAccountCmd(), s.roleCmd(false), s.roleCmd(true), s.clearCmd(), s.disableCmd(), s.inviteCmd())
	return cmd
}

// with runs something with a client.
func (s *session) with(run func(c *client.Client) error) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	return run(c)
}

func (s *session) listAccounts(ctx context.Context, args []string) error {
	return s.with(func(c *client.Client) error {
		all, err := c.Accounts(ctx)
		if err != nil {
			return err
		}
		if len(args) == 1 {
			all = slices.DeleteFunc(all, func(a api.Account) bool { return a.Name != args[0] })
			if len(all) == 0 {
				return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform accounts list", "there is no account %.64q that you may see", args[0])
			}
		}
		if s.p.Document(append([]api.Account{}, all...)) {
			return nil
		}
		var rows [][]screen.Text
		for _, a := range all {
			state := ""
			if !a.Disabled.IsZero() {
				state = "disabled"
			}
			rows = append(rows, []screen.Text{screen.Bold(a.Name), screen.Plain(kindOf(a)), screen.Plain(rolesOf(a)), screen.Dim(a.Clearance), screen.Red(state)})
		}
		s.p.Table(rows)
		s.p.Next("platform accounts grant NAME engineer --team TEAM")
		return nil
	})
}

func kindOf(a api.Account) string {
	if a.Team != "" {
		return a.Kind + " of " + a.Team
	}
	return a.Kind
}

func rolesOf(a api.Account) string {
	var out []string
	for _, r := range a.Roles {
		out = append(out, roleText(r))
	}
	if len(out) == 0 {
		return "no role"
	}
	return strings.Join(out, ", ")
}

func roleText(r api.Role) string {
	text := r.Role
	if r.Team != "" {
		text += " of " + r.Team
	}
	if !r.Until.IsZero() {
		text += " until " + r.Until.Local().Format("2006-01-02 15:04")
	}
	return text
}

// shown prints an account after a change of it.
func (s *session) shown(a api.Account, err error, next string) error {
	if err != nil {
		return err
	}
	if !s.p.Document(a) {
		s.p.Say("%s  %s, %s", screen.Bold(a.Name), kindOf(a), rolesOf(a))
	}
	s.p.Next("%s", next)
	return nil
}

func (s *session) createAccountCmd() *cobra.Command {
	var team string
	cmd := command("create NAME", "Make an account for a person, or with --team for a service of a team", "  platform accounts create ada\n  platform accounts create checkout --team risk", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			r := api.CreateAccount{Name: args[0], Kind: slipway.Person, Team: team}
			next := "platform accounts grant " + args[0] + " engineer --team TEAM"
			if team != "" {
				r.Kind, next = slipway.Service, "platform accounts grant "+args[0]+" caller --team "+team
			}
			return s.with(func(c *client.Client) error {
				a, err := c.CreateAccount(ctx, r)
				return s.shown(a, err, next)
			})
		})
	cmd.Flags().StringVar(&team, "team", "", "the account is a service of this team")
	return cmd
}

const roleNames = "Roles are owner, platform-engineer and auditor of the whole platform, and team-lead, engineer and\ncaller of one team. An auditor is one until a time."

func (s *session) roleCmd(withdraw bool) *cobra.Command {
	var team, until, reason string
	use, short, example := "grant NAME ROLE", "Give an account a role", "  platform accounts grant ada engineer --team risk\n  platform accounts grant grace auditor --until 2026-12-31T00:00:00Z"
	if withdraw {
		use, short, example = "withdraw NAME ROLE", "Take a role away, at once", "  platform accounts withdraw ada engineer --team risk --reason 'left the team'"
	}
	cmd := command(use, short, example, cobra.ExactArgs(2), func(ctx context.Context, args []string) error {
		r := api.ChangeRole{Role: api.Role{Role: args[1], Team: team}, Withdraw: withdraw, Reason: reason}
		if until != "" {
			at, err := time.Parse(time.RFC3339, until)
			if err != nil {
				return misuse("give a time such as 2026-12-31T00:00:00Z", "--until is no time")
			}
			r.Until = at
		}
		return s.with(func(c *client.Client) error {
			a, err := c.ChangeRole(ctx, args[0], r)
			next := "platform tokens create " + args[0]
			if withdraw {
				next = "platform accounts list " + args[0]
			} else if a.Kind == slipway.Person {
				next = "platform accounts invite " + args[0]
			}
			return s.shown(a, err, next)
		})
	})
	cmd.Long = short + ".\n\n" + roleNames
	cmd.Flags().StringVar(&team, "team", "", "the team that the role is of")
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is recorded")
	if !withdraw {
		cmd.Flags().StringVar(&until, "until", "", "when it ends by itself")
	}
	return cmd
}

func (s *session) clearCmd() *cobra.Command {
	var reason string
	cmd := command("clear NAME CLASSIFICATION", "Set the highest classification of data that an account may see", "  platform accounts clear ada restricted --reason 'trained in March'", cobra.ExactArgs(2),
		func(ctx context.Context, args []string) error {
			return s.with(func(c *client.Client) error {
				a, err := c.ChangeAccount(ctx, args[0], api.ChangeAccount{Clearance: args[1], Reason: reason})
				return s.shown(a, err, "platform accounts list "+args[0])
			})
		})
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is recorded")
	return cmd
}

func (s *session) disableCmd() *cobra.Command {
	var reason string
	cmd := command("disable NAME", "End an account and all its tokens, for ever", "  platform accounts disable ada --reason 'has left'", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			return s.with(func(c *client.Client) error {
				a, err := c.ChangeAccount(ctx, args[0], api.ChangeAccount{Disable: true, Reason: reason})
				return s.shown(a, err, "platform accounts list")
			})
		})
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is recorded")
	return cmd
}
