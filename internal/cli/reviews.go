package cli

import (
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

const aboutReviews = `Each quarter the platform lists every role and long-lived token. The lead of a team attests or
revokes those of his team, an owner the others; nobody answers for himself. What is revoked is
taken away at once, and the platform looks whether it is.`

func (s *session) reviewCmd() *cobra.Command {
	cmd := group("review", "Ask whether people and services still need what they have", "  platform access review show\n  platform access review attest 1 2 3\n  platform access review revoke 4 --reason 'left the team'")
	cmd.Long = cmd.Short + ".\n\n" + aboutReviews
	cmd.AddCommand(s.startReviewCmd(),
		command("list", "List reviews, and when the next one is due", "  platform access review list", cobra.NoArgs, s.listReviews),
		command("show [REVIEW]", "List the grants of a review that you may see", "  platform access review show\n  platform access review show 2026-Q4", cobra.MaximumNArgs(1), s.showReview),
		s.answerReviewCmd(false), s.answerReviewCmd(true), s.closeReviewCmd(),
		command("export [REVIEW]", "Print a review as CSV for an auditor; with --json as JSON", "  platform access review export 2026-Q4 > access-review-2026-Q4.csv", cobra.MaximumNArgs(1), s.exportReview))
	return cmd
}

func day(t time.Time) string { return t.Local().Format("2006-01-02") }

func (s *session) startReviewCmd() *cobra.Command {
	var r api.StartReview
	cmd := command("start", "Begin a review now", "  platform access review start --days 14", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return s.with(func(c *client.Client) error { return s.reviewed(c.StartAccessReview(ctx, r)) })
	})
	cmd.Flags().IntVar(&r.Days, "days", 14, "how long there is to answer")
	return cmd
}

// reviewed prints a review after a change of it.
func (s *session) reviewed(r api.AccessReview, err error) error {
	if err != nil || s.p.Document(r) {
		return err
	}
	s.p.Say("%s  %s, %d of %d grants wait, due %s", screen.Bold(r.Quarter), reviewState(r), r.Waiting, r.Total, day(r.Due))
	for _, i := range r.Items {
		if i.Status == "revoked" && i.Check != "" {
			s.p.Say("  %s of %s: %s", i.Grant, i.Account, i.Check)
		}
	}
	s.p.Next("platform access review show")
	return nil
}

func reviewState(r api.AccessReview) screen.Text {
	switch {
	case r.Overdue:
		return screen.Red("overdue")
	case r.Status == "open":
		return screen.Yellow("open")
	}
	return screen.Plain("closed")
}

func (s *session) listReviews(ctx context.Context, _ []string) error {
	return s.with(func(c *client.Client) error {
		all, err := c.AccessReviews(ctx)
		if err != nil || s.p.Document(all) {
			return err
		}
		var rows [][]screen.Text
		for _, r := range all.Reviews {
			rows = append(rows, []screen.Text{screen.Bold(r.Quarter), reviewState(r), screen.Plain(fmt.Sprintf("%d of %d wait", r.Waiting, r.Total)), screen.Plain("due " + day(r.Due)), screen.Dim("by " + r.By)})
		}
		if len(rows) > 0 {
			s.p.Table(rows)
		}
		s.p.Say("The next begins by itself on %s and is due %s.", day(all.Begins), day(all.Due))
		s.p.Next("platform access review show")
		return nil
	})
}

func named(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	return "open"
}

func (s *session) showReview(ctx context.Context, args []string) error {
	return s.with(func(c *client.Client) error {
		r, err := c.AccessReview(ctx, named(args))
		if err != nil || s.p.Document(r) {
			return err
		}
		s.p.Say("%s  %s, %d of %d grants wait, due %s", screen.Bold(r.Quarter), reviewState(r), r.Waiting, r.Total, day(r.Due))
		var rows [][]screen.Text
		for _, i := range r.Items {
			last := "never used"
			if !i.Used.IsZero() {
				last = "used " + day(i.Used)
			}
			rows = append(rows, []screen.Text{screen.Plain(i.ID), screen.Bold(i.Account), screen.Plain(i.Grant), screen.Dim(last), answerState(i), screen.Dim(strings.Join(slices.DeleteFunc([]string{i.Note, i.Reason, i.Check}, func(s string) bool { return s == "" }), "; "))})
		}
		if len(rows) > 0 {
			s.p.Table(rows)
		}
		s.p.Next("platform access review attest ID…")
		return nil
	})
}

func answerState(i api.ReviewItem) screen.Text {
	by := ""
	if i.By != "" {
		by = " by " + i.By
	}
	switch i.Status {
	case "waiting":
		return screen.Yellow("waits")
	case "attested":
		return screen.Green("attested" + by)
	case "unanswered":
		return screen.Red("unanswered")
	}
	return screen.Plain(i.Status + by)
}

func (s *session) answerReviewCmd(revoke bool) *cobra.Command {
	r := api.AnswerReview{Revoke: revoke}
	use, short, example := "attest ID…", "Say that these grants are needed", "  platform access review attest 1 2 3"
	if revoke {
		use, short, example = "revoke ID…", "Take these grants away, at once", "  platform access review revoke 4 --reason 'left the team'"
	}
	cmd := command(use, short, example, cobra.MinimumNArgs(1), func(ctx context.Context, args []string) error {
		r.Items = args
		return s.with(func(c *client.Client) error { return s.reviewed(c.AnswerAccessReview(ctx, "open", r)) })
	})
	cmd.Flags().StringVar(&r.Reason, "reason", "", "why; it is recorded")
	return cmd
}

func (s *session) closeReviewCmd() *cobra.Command {
	var r api.CloseReview
	cmd := command("close", "End the review, once everything is answered", "  platform access review close", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return s.with(func(c *client.Client) error { return s.reviewed(c.CloseAccessReview(ctx, "open", r)) })
	})
	cmd.Flags().StringVar(&r.Reason, "reason", "", "why grants stay unanswered, which only a review that is overdue may have")
	return cmd
}

func (s *session) exportReview(ctx context.Context, args []string) error {
	return s.with(func(c *client.Client) error {
		r, err := c.AccessReview(ctx, named(args))
		if err != nil || s.p.Document(r) {
			return err
		}
		var b strings.Builder
		w := csv.NewWriter(&b)
		rows := [][]string{{"review", "quarter", "id", "account", "kind", "team", "grant", "clearance", "limit", "expires", "last_used", "status", "by", "at", "reason", "check"}}
		for _, i := range r.Items {
			limit := strings.Join(slices.Concat(i.Limit.Actions, i.Limit.Teams, i.Limit.Endpoints), " ")
			rows = append(rows, []string{r.ID, r.Quarter, i.ID, i.Account, i.Kind, i.Team, i.Grant, i.Clearance, limit, stamp(i.Expires), stamp(i.Used), i.Status, i.By, stamp(i.At), i.Reason, i.Check})
		}
		for _, row := range rows {
			for n := range row {
				row[n] = cell(row[n])
			}
		}
		if err := w.WriteAll(rows); err != nil {
			return err
		}
		s.p.Raw(b.String())
		return nil
	})
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// cell makes a value safe where spreadsheets open it: they take what begins so for a formula.
func cell(v string) string {
	if v != "" && strings.ContainsRune("=+-@\t\r", rune(v[0])) {
		return "'" + v
	}
	return v
}
