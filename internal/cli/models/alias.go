package models

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

func (s Session) aliasCmd() *cobra.Command {
	var reason string
	var history bool
	cmd := command("alias MODEL [ALIAS [VERSION]]", "Point an alias at a version, or say what an alias was, and when", "  platform models alias fraud champion 7 --reason 'better on new merchants'\n  platform models alias fraud champion\n  platform models alias fraud --history", cobra.RangeArgs(1, 3),
		func(ctx context.Context, args []string) error {
			return s.with(func(c *client.Client) error {
				switch {
				case len(args) == 3 && history:
					return misuse("leave one of them out", "an alias is moved, or its history is listed")
				case len(args) == 3:
					return s.move(ctx, c, args, reason)
				case len(args) == 2:
					return s.spans(ctx, c, api.SpanQuery{Model: args[0], Alias: args[1]})
				}
				return s.moves(ctx, c, args[0])
			})
		})
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is recorded")
	cmd.Flags().BoolVar(&history, "history", false, "list every move of the model's aliases, newest first")
	return cmd
}

func number(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, misuse("give a number, as platform models versions MODEL lists them", "%.20q is no number of a version", text)
	}
	return n, nil
}

func (s Session) move(ctx context.Context, c *client.Client, args []string, reason string) error {
	n, err := number(args[2])
	if err != nil {
		return err
	}
	if reason == "" {
		return misuse("add --reason WHY", "a move is recorded with its reason")
	}
	done, err := c.SetAlias(ctx, args[0], args[1], api.SetAlias{Version: n, Reason: reason})
	if err != nil || s.P.Document(done) {
		return err
	}
	s.P.Say("%s of %s points at version %d", screen.Bold(args[1]), args[0], n)
	s.P.Next("platform models alias %s %s", args[0], args[1])
	return nil
}

// moves lists every move of a model's aliases.
func (s Session) moves(ctx context.Context, c *client.Client, model string) error {
	all, err := c.AliasHistory(ctx, model)
	if err != nil || s.P.Document(append([]api.AliasChange{}, all...)) {
		return err
	}
	rows := [][]screen.Text{}
	for _, m := range all {
		rows = append(rows, []screen.Text{screen.Dim(when(m.Time)), screen.Bold(m.Alias), screen.Plain(version(m.From) + " → " + version(m.To)), screen.Plain("by " + m.By), screen.Plain(m.Reason)})
	}
	s.table(rows, false, "it has had no aliases")
	if len(all) > 0 {
		s.P.Next("platform models at %s %s %s", model, all[0].Alias, s.Now().Format(time.DateOnly))
	} else {
		s.P.Next("platform models alias %s champion 1 --reason WHY", model)
	}
	return nil
}

func version(n int) string {
	if n == 0 {
		return "none"
	}
	return strconv.Itoa(n)
}

// spanPage is how many spans are asked for at once, and maxSpans how many are shown.
const (
	spanPage = 500
	maxSpans = 10_000
)

// spans says what an alias was in a time.
func (s Session) spans(ctx context.Context, c *client.Client, q api.SpanQuery) error {
	all := []api.AliasSpan{}
	for q.Limit = spanPage; len(all) < maxSpans; {
		page, err := c.AliasSpans(ctx, q)
		if err != nil {
			return err
		}
		all = append(all, page.Items...)
		if q.Cursor = page.Next; page.Next == "" {
			break
		}
	}
	if s.P.Document(all) {
		return nil
	}
	rows := [][]screen.Text{}
	for _, v := range all {
		to := "now"
		if !v.To.IsZero() {
			to = when(v.To)
		}
		who := "by " + v.By
		if len(v.Approvers) > 0 {
			who += ", approved by " + strings.Join(v.Approvers, ", ")
		}
		rows = append(rows, []screen.Text{screen.Bold(version(v.Version)), screen.Plain(shortOf(v)), screen.Plain(when(v.From) + " to " + to), screen.Plain(who), screen.Plain(v.Reason)})
	}
	s.table(rows, false, fmt.Sprintf("%s pointed at nothing then", q.Alias))
	if len(all) > 0 && all[0].Version > 0 {
		s.P.Next("platform models show %s %d", q.Model, all[0].Version)
	} else {
		s.P.Next("platform models alias %s --history", q.Model)
	}
	return nil
}

func shortOf(v api.AliasSpan) string {
	if v.Version == 0 || v.Digest == "" {
		return "-"
	}
	return short(v.Digest)
}

func (s Session) atCmd() *cobra.Command {
	return command("at MODEL ALIAS WHEN", "Say what an alias was on a day, or at a time", "  platform models at fraud production 2026-03-03\n  platform models at fraud production 2026-03-03T14:05:00Z", cobra.ExactArgs(3),
		func(ctx context.Context, args []string) error {
			from, until, err := moment(args[2])
			if err != nil {
				return err
			}
			return s.with(func(c *client.Client) error {
				return s.spans(ctx, c, api.SpanQuery{Model: args[0], Alias: args[1], From: from, Until: until})
			})
		})
}

// moment reads a day in the zone of whoever asks, or a time: then until is the next moment
// that is told apart.
func moment(text string) (from, until time.Time, err error) {
	if day, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return day, day.AddDate(0, 0, 1), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, t.Add(time.Microsecond), nil
	}
	return from, until, misuse("write 2026-03-03 or 2026-03-03T14:05:00Z", "%.40q is no day and no time", text)
}

func (s Session) protectCmd() *cobra.Command {
	var r api.ProtectAlias
	var valid time.Duration
	var lifted bool
	cmd := command("protect [MODEL] [ALIAS]", "Say who may move an alias, and with whose approval; or list the rules", "  platform models protect fraud champion --approvals 1 --reason 'four eyes before customers see it'\n  platform models protect --team risk 'prod*' --approvals 2 --approvers team-lead,owner --reason 'tier 1'\n  platform models protect fraud", cobra.MaximumNArgs(2),
		func(ctx context.Context, args []string) error {
			alias := ""
			switch {
			case r.Team != "" && len(args) == 2:
				return misuse("leave one of them out", "a rule is of a model or of a team")
			case r.Team != "" && len(args) == 1:
				alias = args[0]
			case len(args) > 0:
				r.Model = args[0]
				if len(args) == 2 {
					alias = args[1]
				}
			}
			return s.with(func(c *client.Client) error {
				if alias == "" {
					return s.rules(ctx, c, r.Model, r.Team, lifted)
				}
				r.Alias, r.ValidSeconds = alias, valid.Seconds()
				out, err := c.ProtectAlias(ctx, r)
				if err != nil || s.P.Document(out) {
					return err
				}
				s.P.Say("%s is in force: %s", screen.Bold(out.ID), rule(out))
				s.P.Next("platform models protect %s", out.Model)
				return nil
			})
		})
	f := cmd.Flags()
	f.StringVar(&r.Team, "team", "", "all models of this team, in place of MODEL")
	f.IntVar(&r.Approvals, "approvals", 0, "how many others have to approve a move, at most 5")
	f.StringSliceVar(&r.Approvers, "approvers", nil, "roles, of which each of them has one (default team-lead,owner)")
	f.StringSliceVar(&r.Movers, "movers", nil, "roles, of which whoever moves the alias has one (default everybody who may)")
	f.DurationVar(&valid, "valid", 72*time.Hour, "how long a request is good")
	f.StringVar(&r.Reason, "reason", "", "why; it is recorded")
	f.BoolVar(&lifted, "lifted", false, "list rules that are in force no more, too")
	return cmd
}

// rule is a rule in words.
func rule(r api.AliasRule) string {
	about := r.Model
	if r.Team != "" {
		about = "team " + r.Team
	}
	text := "@" + r.Alias + " of " + about
	if len(r.Movers) > 0 {
		text += " is moved by " + strings.Join(r.Movers, " or ")
	}
	if r.Approvals > 0 {
		text += fmt.Sprintf(" needs %s by %s", plural(r.Approvals, "approval"), strings.Join(r.Approvers, " or "))
	}
	return text
}

func (s Session) rules(ctx context.Context, c *client.Client, model, team string, lifted bool) error {
	all, err := c.AliasRules(ctx, model, team, lifted)
	if err != nil || s.P.Document(append([]api.AliasRule{}, all...)) {
		return err
	}
	rows := [][]screen.Text{}
	for _, r := range all {
		state := screen.Green("in force")
		if !r.Lifted.IsZero() {
			state = screen.Dim("lifted " + when(r.Lifted) + " by " + r.LiftedBy)
		}
		rows = append(rows, []screen.Text{screen.Bold(r.ID), state, screen.Plain(rule(r)), screen.Dim("by " + r.By), screen.Plain(r.Reason)})
	}
	s.table(rows, false, "no alias is protected")
	s.P.Next("platform models protect MODEL ALIAS --approvals 1 --reason WHY")
	return nil
}

func (s Session) unprotectCmd() *cobra.Command {
	var reason string
	cmd := command("unprotect RULE", "Take a rule away; one that asks for approvals is taken away by approval", "  platform models unprotect rul_0198… --reason 'the model is retired'", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return s.with(func(c *client.Client) error {
			out, err := c.LiftRule(ctx, args[0], api.LiftRule{Reason: reason})
			if err != nil || s.P.Document(out) {
				return err
			}
			if out.Request == nil {
				s.P.Say("%s is in force no more", args[0])
				s.P.Next("platform models protect")
				return nil
			}
			s.P.Say("%s asks for it: it needs %s", screen.Bold(out.Request.ID), plural(out.Request.Missing, "approval"))
			s.P.Next("platform models approve %s, by another person", out.Request.ID)
			return nil
		})
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is recorded")
	return cmd
}

func (s Session) requestCmd() *cobra.Command {
	var reason string
	cmd := command("request MODEL ALIAS VERSION", "Ask for approval of a move of a protected alias; version 0 removes it", "  platform models request fraud champion 7 --reason 'better on new merchants'", cobra.ExactArgs(3), func(ctx context.Context, args []string) error {
		n, err := strconv.Atoi(args[2])
		if err != nil || n < 0 {
			return misuse("give a number, as platform models versions MODEL lists them", "%.20q is no number of a version", args[2])
		}
		return s.with(func(c *client.Client) error {
			r, err := c.AskAlias(ctx, args[0], api.AskAlias{Alias: args[1], Version: n, Reason: reason})
			if err != nil || s.P.Document(r) {
				return err
			}
			s.P.Say("%s waits for %s until %s", screen.Bold(r.ID), plural(r.Missing, "approval"), when(r.Expires))
			s.P.Next("platform models approve %s, by another person", r.ID)
			return nil
		})
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is recorded")
	return cmd
}

func (s Session) requestsCmd() *cobra.Command {
	var model string
	var all bool
	var limit int
	cmd := command("requests [REQUEST]", "List requests that wait, or show one", "  platform models requests\n  platform models requests --all --model fraud\n  platform models requests req_0198…", cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		return s.with(func(c *client.Client) error {
			if len(args) == 1 {
				r, err := c.AliasRequest(ctx, args[0])
				return s.told(r, err)
			}
			found, more, err := pages(limit, func(cursor string, n int) (api.Page[api.AliasRequest], error) {
				return c.AliasRequests(ctx, model, !all, cursor, n)
			})
			if err != nil || s.P.Document(found) {
				return err
			}
			rows := [][]screen.Text{}
			for _, r := range found {
				rows = append(rows, []screen.Text{screen.Bold(r.ID), state(r), screen.Plain(wish(r)), screen.Dim("by " + r.By), screen.Plain(r.Reason)})
			}
			s.table(rows, more, "no request waits")
			if len(found) > 0 {
				s.P.Next("platform models requests %s", found[0].ID)
			} else {
				s.P.Next("platform models protect")
			}
			return nil
		})
	})
	cmd.Flags().StringVar(&model, "model", "", "only those of this model")
	cmd.Flags().BoolVar(&all, "all", false, "those that are done, rejected or expired, too")
	cmd.Flags().IntVarP(&limit, "lines", "n", 100, "how many, at most 10000")
	return cmd
}

func state(r api.AliasRequest) screen.Text {
	switch r.Status {
	case "done":
		return screen.Green("done")
	case "waiting":
		return screen.Yellow(fmt.Sprintf("waits for %s", plural(r.Missing, "approval")))
	case "approved":
		return screen.Green("approved")
	}
	return screen.Red(r.Status)
}

// wish is what a request asks for.
func wish(r api.AliasRequest) string {
	about := r.Model
	if about == "" {
		about = "team " + r.Team
	}
	if r.Lift != "" {
		return "lift " + r.Lift + " of @" + r.Alias + " of " + about
	}
	return "@" + r.Alias + " of " + about + " → " + version(r.Version) + " " + slipway.Digest(r.Digest).Short()
}

// told prints a request.
func (s Session) told(r api.AliasRequest, err error) error {
	if err != nil || s.P.Document(r) {
		return err
	}
	s.P.Say("%s  %s  %s", screen.Bold(r.ID), state(r), wish(r))
	s.P.Say("  asked by %s, %s: %s", r.By, when(r.Created), r.Reason)
	for _, a := range r.Approvals {
		s.P.Say("  approved by %s as %s, %s %s", a.By, strings.Join(a.Roles, ", "), when(a.Time), a.Reason)
	}
	if r.Why != "" {
		s.P.Say("  rejected by %s: %s", r.EndedBy, r.Why)
	}
	switch r.Status {
	case "waiting":
		s.P.Next("platform models approve %s, by another person, or: platform models reject %s --reason WHY", r.ID, r.ID)
	case "approved":
		s.P.Next("platform models alias %s %s %d --reason WHY", r.Model, r.Alias, r.Version)
	case "done":
		s.P.Next("platform models alias %s %s", r.Model, r.Alias)
	default:
		s.P.Next("platform models requests")
	}
	return nil
}

func (s Session) decideCmd(approve bool) *cobra.Command {
	d := api.DecideAlias{Approve: approve}
	use, text, example := "approve REQUEST", "Approve a request; the last approval that is needed moves the alias", "  platform models approve req_0198…"
	if !approve {
		use, text, example = "reject REQUEST", "Reject a request, also one's own", "  platform models reject req_0198… --reason 'not before the audit'"
	}
	cmd := command(use, text, example, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return s.with(func(c *client.Client) error {
			r, err := c.DecideAlias(ctx, args[0], d)
			return s.told(r, err)
		})
	})
	cmd.Flags().StringVar(&d.Reason, "reason", "", "why; it is recorded")
	return cmd
}
