// Package models has the commands about models, their versions and aliases, the runs that
// made them, and the answers that they gave.
package models

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

// Session is one run of the command line.
type Session struct {
	P      *screen.Printer
	Client func() (*client.Client, error)
	Now    func() time.Time
}

// with runs something with a client of the server.
func (s Session) with(run func(c *client.Client) error) error {
	c, err := s.Client()
	if err != nil {
		return err
	}
	return run(c)
}

func command(use, short, example string, args cobra.PositionalArgs, run func(ctx context.Context, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Example: example, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), args) }}
}

func misuse(next, format string, args ...any) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, next, format, args...)
}

const about = `A version is named by its number, by @ALIAS, or latest. It never changes; aliases move, and every
move is kept with who, when, why and by whose approval.`

// Models is the command platform models.
func (s Session) Models() *cobra.Command {
	cmd := &cobra.Command{Use: "models", Short: "Models: versions, where they run, and who moved which alias by whose approval", Args: cobra.ArbitraryArgs,
		Example: "  platform models list\n  platform models show fraud @champion\n  platform models compare fraud 6 7\n  platform models alias fraud champion 7 --reason 'better on new merchants'\n  platform models at fraud champion 2026-03-03",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return misuse("platform models --help", "there is no command models %.40q", args[0])
			}
			return cmd.Help()
		}}
	cmd.Long = cmd.Short + ".\n\n" + about
	cmd.AddCommand(s.listCmd(), s.versionsCmd(),
		command("show MODEL [VERSION]", "Show all that is known of a version: files, run, data, signature, and where it runs", "  platform models show fraud\n  platform models show fraud 7\n  platform models show fraud @champion", cobra.RangeArgs(1, 2), s.show),
		command("compare MODEL FROM [TO]", "Say what differs between two versions: files, signature, requirements, metrics, params, data", "  platform models compare fraud 6 7\n  platform models compare fraud @champion", cobra.RangeArgs(2, 3), s.compare),
		s.cardCmd(), s.aliasCmd(), s.atCmd(), s.protectCmd(), s.unprotectCmd(), s.requestCmd(), s.requestsCmd(), s.decideCmd(true), s.decideCmd(false),
		command("sign MODEL VERSION", "Sign a version that was registered before versions were signed", "  platform models sign fraud 3", cobra.ExactArgs(2), s.sign),
		s.verifyCmd(), s.keysCmd(), s.deleteCmd())
	return cmd
}

func (s Session) listCmd() *cobra.Command {
	var limit int
	cmd := command("list", "List models", "  platform models list\n  platform models list -n 500 --json", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return s.with(func(c *client.Client) error {
			all, more, err := pages(limit, func(cursor string, n int) (api.Page[api.Model], error) { return c.Models(ctx, cursor, n) })
			if err != nil || s.P.Document(all) {
				return err
			}
			rows := [][]screen.Text{}
			for _, m := range all {
				rows = append(rows, []screen.Text{screen.Bold(m.Name), screen.Plain(plural(m.Latest, "version")), screen.Dim(screen.OrDash(m.Team))})
			}
			s.table(rows, more, "there are no models that you may see")
			if len(all) > 0 {
				s.P.Next("platform models show %s", all[0].Name)
			} else {
				s.P.Next("platform deploy")
			}
			return nil
		})
	})
	cmd.Flags().IntVarP(&limit, "lines", "n", 100, "how many, at most 10000")
	return cmd
}

func (s Session) versionsCmd() *cobra.Command {
	var limit int
	cmd := command("versions MODEL", "List versions of a model, newest first", "  platform models versions fraud\n  platform models versions fraud -n 500", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return s.with(func(c *client.Client) error {
			all, more, err := pages(limit, func(cursor string, n int) (api.Page[api.Version], error) {
				return c.Versions(ctx, args[0], cursor, n)
			})
			if err != nil || s.P.Document(all) {
				return err
			}
			rows := [][]screen.Text{}
			for _, v := range all {
				rows = append(rows, []screen.Text{screen.Bold(strconv.Itoa(v.Number)), screen.Plain(short(v.Digest)), screen.Dim(when(v.Created) + " by " + v.By), screen.Plain(v.Source)})
			}
			s.table(rows, more, "it has no versions")
			s.P.Next("platform models show %s", args[0])
			return nil
		})
	})
	cmd.Flags().IntVarP(&limit, "lines", "n", 100, "how many, at most 10000")
	return cmd
}

// Bounds of lists.
const (
	pageSize = 500
	maxLines = 10_000
)

// pages reads pages until there are enough, and says whether there are more.
func pages[T any](limit int, read func(cursor string, n int) (api.Page[T], error)) (all []T, more bool, err error) {
	if limit < 1 || limit > maxLines {
		return nil, false, misuse("give -n from 1 to 10000", "so many cannot be listed")
	}
	all = []T{}
	for cursor := ""; len(all) < limit; {
		page, err := read(cursor, min(pageSize, limit-len(all)))
		if err != nil {
			return nil, false, err
		}
		all = append(all, page.Items...)
		if cursor, more = page.Next, page.Next != ""; !more {
			break
		}
	}
	return all, more, nil
}

// table prints rows, or a sentence when there are none.
func (s Session) table(rows [][]screen.Text, more bool, none string) {
	if len(rows) == 0 {
		s.P.Say("%s", none)
		return
	}
	s.P.Table(rows)
	if more {
		s.P.Note("there are more: give a larger -n")
	}
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}

func short(digest string) string {
	if digest == "" {
		return "elsewhere"
	}
	return slipway.Digest(digest).Short()
}

// when is a time as people read it, in their zone.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}
