package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

const aboutWebhooks = `A webhook is an address that is told of events of a team's models and endpoints: it gets a POST with
JSON, at least once, in order, and again until it answers with a status of 2xx. docs/WEBHOOKS.md has
what is sent, and receivers that verify the signature.`

func (s *session) webhooksCmd() *cobra.Command {
	cmd := group("webhooks", "Tell other systems what happens", "  openssl rand -hex 32 > hook.secret\n  platform webhooks create slack --team risk --url https://hooks.example.com/T0 --events alias.moved,deployment.rolled_back --secret-file hook.secret\n  platform webhooks deliveries slack")
	cmd.Long = cmd.Short + ".\n\n" + aboutWebhooks
	cmd.AddCommand(s.createWebhookCmd(), s.listWebhooksCmd(), s.showWebhookCmd(), s.updateWebhookCmd(), s.deleteWebhookCmd(), s.testWebhookCmd(), s.deliveriesCmd(), s.redeliverCmd())
	return cmd
}

// hookFlags are what both create and update take.
type hookFlags struct {
	url, description, secretFile string
	events                       []string
	unsigned                     bool
}

func (f *hookFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.url, "url", "", "the receiver's address, https://…")
	cmd.Flags().StringVar(&f.description, "description", "", "what it is for")
	cmd.Flags().StringSliceVar(&f.events, "events", nil, "what it is told of, separated by commas")
	cmd.Flags().StringVar(&f.secretFile, "secret-file", "", "a file with the secret that signs deliveries; - for stdin")
	cmd.Flags().BoolVar(&f.unsigned, "unsigned", false, "do not sign: the receiver cannot know who sends")
}

// hookSecret reads the secret of a hook. It is never an argument, which everybody on the machine
// could read.
func (s *session) hookSecret(file string) (string, error) {
	if file == "-" {
		return s.secretValue()
	}
	secret, err := small(absolute(s.env.Dir, file))
	if err != nil {
		return "", unreadable(file, err, "openssl rand -hex 32 > "+file)
	}
	return secret, nil
}

func (s *session) createWebhookCmd() *cobra.Command {
	var team string
	var all bool
	var f hookFlags
	cmd := command("create NAME", "Have an address told of events", "  platform webhooks create slack --team risk --url https://hooks.example.com/T0 --events alias.moved,deployment.rolled_back --secret-file hook.secret", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			r := api.CreateWebhook{AllTeams: all, Name: args[0], URL: f.url, Description: f.description, Events: f.events}
			var err error
			switch {
			case len(f.events) == 0:
				return misuse("platform webhooks create --help", "--events is missing: what shall it be told of?")
			case (f.secretFile == "") != f.unsigned:
				return misuse("openssl rand -hex 32 > hook.secret, then --secret-file hook.secret", "give the secret that signs with --secret-file, or --unsigned")
			case f.secretFile != "":
				r.Secret, err = s.hookSecret(f.secretFile)
			}
			if err == nil && !all {
				r.Team, err = s.teamOf(team)
			}
			if err != nil {
				return err
			}
			return s.with(func(c *client.Client) error {
				h, err := c.CreateWebhook(ctx, r)
				if err == nil {
					s.webhook(h)
					s.p.Next("platform webhooks test %s", h.ID)
				}
				return err
			})
		})
	cmd.Long = cmd.Short + ".\n\n" + aboutWebhooks + "\n\nEvents that MLflow has too:\n" + lines(api.WebhookEvents[:14]) + "\nThe platform's own:\n" + lines(api.WebhookEvents[14:])
	f.add(cmd)
	cmd.Flags().StringVar(&team, "team", "", "whose events it is told (default the owner in the platform.yaml here)")
	cmd.Flags().BoolVar(&all, "all-teams", false, "tell it of the events of every team")
	cmd.MarkFlagsMutuallyExclusive("team", "all-teams")
	return cmd
}

// lines prints names, a few in each line.
func lines(names []string) string {
	const width = 90
	var b strings.Builder
	at := 0
	for _, n := range names {
		if at+len(n) > width {
			b.WriteString("\n")
			at = 0
		}
		b.WriteString("  " + n)
		at += 2 + len(n)
	}
	return b.String() + "\n"
}

func (s *session) webhook(h api.Webhook) {
	if s.p.Document(h) {
		return
	}
	rows := [][]screen.Text{{screen.Dim("webhook"), screen.Bold(h.Name)}, {screen.Dim("id"), screen.Plain(h.ID)}, {screen.Dim("team"), screen.Plain(teamName(h))}, {screen.Dim("url"), screen.Plain(h.URL)}}
	if h.Description != "" {
		rows = append(rows, []screen.Text{screen.Dim("about"), screen.Plain(h.Description)})
	}
	signed := "with its secret"
	if !h.Signed {
		signed = "not at all"
	}
	rows = append(rows, []screen.Text{screen.Dim("events"), screen.Plain(strings.Join(h.Events, ", "))}, []screen.Text{screen.Dim("signed"), screen.Plain(signed)},
		[]screen.Text{screen.Dim("status"), hookStatus(h)}, []screen.Text{screen.Dim("made"), screen.Plain(h.Created.Local().Format("2006-01-02 15:04") + " by " + h.By)})
	if h.Waiting > 0 {
		rows = append(rows, []screen.Text{screen.Dim("waiting"), screen.Plain(strconv.Itoa(h.Waiting))})
	}
	s.p.Table(rows)
}

func teamName(h api.Webhook) string {
	if h.Team == "" {
		return "(all teams)"
	}
	return h.Team
}

func hookStatus(h api.Webhook) screen.Text {
	switch {
	case h.Because != "":
		return screen.Red("disabled: " + h.Because)
	case h.Status != "active":
		return screen.Dim(h.Status)
	case !h.Failing.IsZero():
		return screen.Yellow(fmt.Sprintf("failing since %s: %s", h.Failing.Local().Format("2006-01-02 15:04"), h.Trouble))
	}
	return screen.Green("active")
}

// hookID finds a hook by its id, or by a name that only one has of those that one may see.
func (s *session) hookID(ctx context.Context, c *client.Client, name string) (string, error) {
	if strings.HasPrefix(name, "whk_") {
		return name, nil
	}
	found := ""
	for cursor := ""; ; {
		page, err := c.Webhooks(ctx, "", cursor, 0)
		if err != nil {
			return "", err
		}
		for _, h := range page.Items {
			if h.Name != name {
				continue
			}
			if found != "" {
				return "", misuse("platform webhooks list", "more than one webhook is called %s: give its id", name)
			}
			found = h.ID
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if found == "" {
		return "", slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform webhooks list", "no webhook that you may see is called %.63s", name)
	}
	return found, nil
}

// withHook does something with a hook that is given by id or name.
func (s *session) withHook(ctx context.Context, name string, do func(c *client.Client, id string) error) error {
	return s.with(func(c *client.Client) error {
		id, err := s.hookID(ctx, c, name)
		if err != nil {
			return err
		}
		return do(c, id)
	})
}

func (s *session) listWebhooksCmd() *cobra.Command {
	var team string
	cmd := command("list", "List webhooks, newest first, and how they do", "  platform webhooks list --team risk", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return s.with(func(c *client.Client) error {
			all := []api.Webhook{}
			for cursor := ""; ; {
				page, err := c.Webhooks(ctx, team, cursor, 0)
				if err != nil {
					return err
				}
				all = append(all, page.Items...)
				if cursor = page.Next; cursor == "" {
					break
				}
			}
			if !s.p.Document(all) {
				var rows [][]screen.Text
				for _, h := range all {
					rows = append(rows, []screen.Text{screen.Bold(h.Name), screen.Plain(h.ID), screen.Plain(teamName(h)), hookStatus(h), screen.Dim(strings.Join(h.Events, " "))})
				}
				s.p.Table(rows)
			}
			s.p.Next("platform webhooks show ID")
			return nil
		})
	})
	cmd.Flags().StringVar(&team, "team", "", "only those of this team")
	return cmd
}

func (s *session) showWebhookCmd() *cobra.Command {
	return command("show ID", "Show a webhook, but for its secret", "  platform webhooks show slack", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return s.withHook(ctx, args[0], func(c *client.Client, id string) error {
			h, err := c.Webhook(ctx, id)
			if err == nil {
				s.webhook(h)
				s.p.Next("platform webhooks deliveries %s", h.ID)
			}
			return err
		})
	})
}

func (s *session) updateWebhookCmd() *cobra.Command {
	var name string
	var enable, disable bool
	var f hookFlags
	cmd := command("update ID", "Change a webhook, or enable it again", "  platform webhooks update slack --events alias.moved\n  platform webhooks update slack --enable", cobra.ExactArgs(1), nil)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r := api.ChangeWebhook{Events: f.events}
		for flag, at := range map[string]struct {
			to   **string
			from *string
		}{"name": {&r.Name, &name}, "url": {&r.URL, &f.url}, "description": {&r.Description, &f.description}} {
			if cmd.Flags().Changed(flag) {
				*at.to = at.from
			}
		}
		switch {
		case f.secretFile != "":
			secret, err := s.hookSecret(f.secretFile)
			if err != nil {
				return err
			}
			r.Secret = &secret
		case f.unsigned:
			r.Secret = new(string)
		}
		switch {
		case enable:
			r.Status = "active"
		case disable:
			r.Status = "disabled"
		}
		return s.withHook(cmd.Context(), args[0], func(c *client.Client, id string) error {
			h, err := c.ChangeWebhook(cmd.Context(), id, r)
			if err == nil {
				s.webhook(h)
				s.p.Next("platform webhooks test %s", h.ID)
			}
			return err
		})
	}
	f.add(cmd)
	cmd.Flags().StringVar(&name, "name", "", "another name")
	cmd.Flags().BoolVar(&enable, "enable", false, "tell it of events from now on")
	cmd.Flags().BoolVar(&disable, "disable", false, "tell it of nothing; what waits has failed then, and can be sent again later")
	cmd.MarkFlagsMutuallyExclusive("enable", "disable")
	cmd.MarkFlagsMutuallyExclusive("secret-file", "unsigned")
	return cmd
}

func (s *session) deleteWebhookCmd() *cobra.Command {
	return command("delete ID", "Delete a webhook with its deliveries", "  platform webhooks delete slack", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return s.withHook(ctx, args[0], func(c *client.Client, id string) error {
			if err := c.DeleteWebhook(ctx, id); err != nil {
				return err
			}
			if !s.p.Document(map[string]any{"id": id, "deleted": true}) {
				s.p.Say("%s is deleted", id)
			}
			s.p.Next("platform webhooks list")
			return nil
		})
	})
}

func (s *session) testWebhookCmd() *cobra.Command {
	var event string
	cmd := command("test ID", "Send an example of an event now, once", "  platform webhooks test slack --event alias.moved", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return s.withHook(ctx, args[0], func(c *client.Client, id string) error {
			t, err := c.TestWebhook(ctx, id, event)
			if err != nil {
				return err
			}
			if !s.p.Document(t) {
				s.p.Say("%s after %.0f ms", attemptText(t.WebhookAttempt, t.Arrived), t.Took)
				if t.Said != "" {
					s.p.Note("it says: %s", slipway.OneLine(t.Said, 300))
				}
			}
			if !t.Arrived {
				return slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "correct the receiver, or: platform webhooks update "+id+" --url …", "the example has not arrived")
			}
			s.p.Next("platform webhooks deliveries %s", id)
			return nil
		})
	})
	cmd.Flags().StringVar(&event, "event", "", "of this event (default the first that it is told of)")
	return cmd
}

func attemptText(a api.WebhookAttempt, arrived bool) screen.Text {
	text := a.Error
	if text == "" {
		text = fmt.Sprintf("status %d", a.Status)
	}
	if arrived {
		return screen.Green(text)
	}
	return screen.Red(text)
}

func (s *session) deliveriesCmd() *cobra.Command {
	var state string
	var limit int
	cmd := command("deliveries ID", "List what a webhook was sent, newest first", "  platform webhooks deliveries slack\n  platform webhooks deliveries slack --state failed", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return s.withHook(ctx, args[0], func(c *client.Client, id string) error {
			page, err := c.WebhookDeliveries(ctx, id, state, "", limit)
			if err != nil {
				return err
			}
			if !s.p.Document(append([]api.WebhookDelivery{}, page.Items...)) {
				var rows [][]screen.Text
				for _, d := range page.Items {
					rows = append(rows, deliveryRow(d))
				}
				s.p.Table(rows)
				if page.Next != "" {
					s.p.Note("there are more: --limit shows them")
				}
			}
			s.p.Next("platform webhooks redeliver %s DELIVERY", id)
			return nil
		})
	})
	cmd.Flags().StringVar(&state, "state", "", "only those that are waiting, delivered or failed")
	cmd.Flags().IntVar(&limit, "limit", 30, "how many, up to 500")
	return cmd
}

func deliveryRow(d api.WebhookDelivery) []screen.Text {
	state := map[string]screen.Text{"delivered": screen.Green(d.State), "failed": screen.Red(d.State), "waiting": screen.Yellow(d.State)}[d.State]
	last, tries := screen.Dim("not sent yet"), ""
	if n := len(d.Attempts); n > 0 {
		a := d.Attempts[n-1]
		last, tries = attemptText(a, d.State == "delivered"), fmt.Sprintf("attempt %d, %.0f ms", n, a.Took)
	}
	return []screen.Text{screen.Dim(d.Created.Local().Format("2006-01-02 15:04:05")), screen.Plain(d.ID), screen.Bold(d.Event), state, last, screen.Dim(tries)}
}

func (s *session) redeliverCmd() *cobra.Command {
	var failed bool
	cmd := command("redeliver ID [DELIVERY…]", "Send deliveries again, with the same id", "  platform webhooks redeliver slack 019ab0c2-6f3e-7d61-9c0a-2b1f6c1f7a10\n  platform webhooks redeliver slack --failed", cobra.MinimumNArgs(1), func(ctx context.Context, args []string) error {
		if failed == (len(args) > 1) {
			return misuse("platform webhooks deliveries "+args[0], "name deliveries, or give --failed for all that have failed")
		}
		return s.withHook(ctx, args[0], func(c *client.Client, id string) error {
			done, err := c.Redeliver(ctx, id, api.Redeliver{Deliveries: args[1:], Failed: failed})
			if err != nil {
				return err
			}
			if !s.p.Document(done) {
				s.p.Say("%d wait to be sent again", done.Deliveries)
			}
			s.p.Next("platform webhooks deliveries %s", id)
			return nil
		})
	})
	cmd.Flags().BoolVar(&failed, "failed", false, "all that have failed")
	return cmd
}
