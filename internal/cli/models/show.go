package models

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

// ref is the version that arguments name after the model.
func ref(args []string) string {
	if len(args) > 1 {
		return args[1]
	}
	return "latest"
}

func (s Session) show(ctx context.Context, args []string) error {
	return s.with(func(c *client.Client) error {
		d, err := c.Dossier(ctx, args[0], ref(args))
		if err != nil || s.P.Document(d) {
			return err
		}
		s.P.Say("%s  %s", screen.Bold(fmt.Sprintf("%s:%d", d.Model, d.Version)), screen.Dim(strings.TrimSpace(d.Team+" "+strings.Join(aliases(d.Aliases), " "))))
		s.facts(d)
		s.P.Say("\n%s", screen.Bold("Where it is"))
		s.placements(d)
		s.lineage(d.Run)
		s.schema("Takes", d.Inputs)
		s.schema("Gives", d.Outputs)
		if d.Card != nil {
			s.P.Next("platform models card %s %d", d.Model, d.Version)
			return nil
		}
		if d.Version == 1 {
			s.P.Next("platform models verify %s 1", d.Model)
			return nil
		}
		s.P.Next("platform models compare %s %d %d", d.Model, d.Version-1, d.Version)
		return nil
	})
}

func aliases(names []string) (out []string) {
	for _, n := range names {
		out = append(out, "@"+n)
	}
	return out
}

func (s Session) facts(d api.VersionDossier) {
	var rows [][]screen.Text
	row := func(name string, value screen.Text) { rows = append(rows, []screen.Text{screen.Dim(name), value}) }
	row("registered", screen.Plain(when(d.Created)+" by "+d.By))
	row("digest", screen.Plain(screen.OrDash(d.Digest)))
	row("files", screen.Plain(fmt.Sprintf("%d, %s", len(d.Files), screen.Size(d.Bytes))))
	row("source", screen.Plain(screen.OrDash(d.Source)))
	if len(d.Flavors) > 0 {
		row("flavors", screen.Plain(strings.Join(d.Flavors, ", ")))
	}
	if d.Stage != "" && d.Stage != "None" {
		row("stage", screen.Plain(d.Stage))
	}
	row("signature", verdictOf(d.Signature))
	if d.Description != "" {
		row("description", screen.Plain(d.Description))
	}
	for _, k := range slices.Sorted(maps.Keys(d.Tags)) {
		row("tag "+k, screen.Plain(d.Tags[k]))
	}
	s.P.Table(rows)
}

func verdictOf(sig api.Signatures) screen.Text {
	text := sig.State + ": " + sig.Message
	switch sig.State {
	case "valid":
		return screen.Green(text)
	case "missing":
		return screen.Yellow(text)
	}
	return screen.Red(text)
}

func (s Session) placements(d api.VersionDossier) {
	if len(d.Where) == 0 {
		s.P.Say("  nowhere: it was never deployed, as far as you may see")
		return
	}
	var rows [][]screen.Text
	for _, w := range d.Where {
		state := screen.Dim(w.State)
		switch w.State {
		case "serving", "warm", "candidate":
			state = screen.Green(fmt.Sprintf("%s, %.3g %%", w.State, w.Share))
		case "taken back":
			state = screen.Red(w.State)
		}
		since := "since " + when(w.Since)
		if !w.Until.IsZero() {
			since = when(w.Since) + " to " + when(w.Until)
		}
		if w.Since.IsZero() {
			since = ""
		}
		rows = append(rows, []screen.Text{screen.Bold("  " + w.Endpoint), screen.Plain(screen.OrDash(w.Revision)), state, screen.Plain(since), screen.Dim(w.Deployment + " by " + w.By + " " + w.Reason), screen.Plain(w.Message)})
	}
	s.P.Table(rows)
	if d.More {
		s.P.Note("older placements are not listed: platform deployments")
	}
}

func (s Session) lineage(r *api.RunLineage) {
	if r == nil {
		return
	}
	s.P.Say("\n%s %s", screen.Bold("Made by run"), r.ID)
	if r.Missing != "" {
		s.P.Say("  %s", r.Missing)
		return
	}
	var rows [][]screen.Text
	row := func(name, value string) {
		if value != "" {
			rows = append(rows, []screen.Text{screen.Dim("  " + name), screen.Plain(value)})
		}
	}
	row("name", r.Name)
	row("experiment", r.Experiment)
	row("user", r.User)
	if !r.Started.IsZero() {
		row("started", when(r.Started))
	}
	row("commit", r.Commit)
	for _, u := range r.Datasets {
		row("data", strings.TrimSpace(u.Context+" "+u.Name+" "+u.Digest))
	}
	for _, k := range slices.Sorted(maps.Keys(r.Metrics)) {
		row("metric "+k, fmt.Sprint(r.Metrics[k]))
	}
	for _, k := range slices.Sorted(maps.Keys(r.Params)) {
		row("param "+k, r.Params[k])
	}
	if len(rows) > 0 {
		s.P.Table(rows)
	}
}

// maxFields is how many columns of a signature are shown.
const maxFields = 30

func (s Session) schema(title string, all []api.SchemaField) {
	if len(all) == 0 {
		return
	}
	s.P.Say("\n%s", screen.Bold(title))
	var rows [][]screen.Text
	for _, f := range all[:min(len(all), maxFields)] {
		need := ""
		if !f.Required {
			need = "optional"
		}
		rows = append(rows, []screen.Text{screen.Plain("  " + screen.OrDash(f.Name)), screen.Dim(f.Type), screen.Dim(need)})
	}
	s.P.Table(rows)
	if more := len(all) - maxFields; more > 0 {
		s.P.Say("  and %d more; --json lists them", more)
	}
}

func (s Session) compare(ctx context.Context, args []string) error {
	to := "latest"
	if len(args) == 3 {
		to = args[2]
	}
	return s.with(func(c *client.Client) error {
		d, err := c.CompareVersions(ctx, args[0], args[1], to)
		if err != nil || s.P.Document(d) {
			return err
		}
		s.P.Say("%s", screen.Bold(fmt.Sprintf("%s:%d and %s:%d", d.Model, d.From, d.Model, d.To)))
		if d.Same {
			s.P.Say("the same files")
		}
		for _, part := range []struct {
			name string
			list []api.Change
		}{{"Takes", d.Inputs}, {"Gives", d.Outputs}, {"Metrics", d.Metrics}, {"Params", d.Params}, {"Data", d.Datasets}, {"Requirements", d.Requirements}, {"Flavors", d.Flavors}, {"Files", d.Files}} {
			s.changes(part.name, part.list)
		}
		for _, n := range d.Notes {
			s.P.Note("%s", n)
		}
		s.P.Next("platform models show %s %d", d.Model, d.To)
		return nil
	})
}

func (s Session) changes(name string, all []api.Change) {
	if len(all) == 0 {
		return
	}
	s.P.Say("\n%s", screen.Bold(name))
	var rows [][]screen.Text
	for _, c := range all {
		rows = append(rows, []screen.Text{screen.Plain("  " + c.Name), screen.Red(screen.OrDash(c.From)), screen.Dim("→"), screen.Green(screen.OrDash(c.To))})
	}
	s.P.Table(rows)
}

// maxCard bounds a file with a card.
const maxCard = 256 << 10

func (s Session) cardCmd() *cobra.Command {
	var file, reason string
	var history bool
	cmd := command("card MODEL [VERSION]", "Print a version's card in Markdown, or give it a new text; those before stay", "  platform models card fraud 7\n  platform models card fraud 7 --set CARD.md --reason 'limits of the data'\n  platform models card fraud 7 --history", cobra.RangeArgs(1, 2),
		func(ctx context.Context, args []string) error {
			return s.with(func(c *client.Client) error {
				switch {
				case history && file != "":
					return misuse("give one of them", "--set and --history do not go together")
				case history:
					return s.cards(ctx, c, args)
				case file != "":
					return s.writeCard(ctx, c, args, file, reason)
				}
				card, err := c.Card(ctx, args[0], ref(args))
				if err != nil || s.P.Document(card) {
					return err
				}
				s.P.Say("%s", strings.TrimRight(card.Text, "\n"))
				s.P.Next("platform models card %s %d --set FILE", card.Model, card.Version)
				return nil
			})
		})
	cmd.Flags().StringVar(&file, "set", "", "the file with the new text")
	cmd.Flags().StringVar(&reason, "reason", "", "why it changes")
	cmd.Flags().BoolVar(&history, "history", false, "list the texts that it has had")
	return cmd
}

func (s Session) cards(ctx context.Context, c *client.Client, args []string) error {
	all, err := c.Cards(ctx, args[0], ref(args))
	if err != nil || s.P.Document(all) {
		return err
	}
	var rows [][]screen.Text
	for _, v := range all {
		rows = append(rows, []screen.Text{screen.Bold(strconv.Itoa(v.Number)), screen.Dim(when(v.Created) + " by " + v.By), screen.Plain(plural(strings.Count(v.Text, "\n")+1, "line")), screen.Plain(v.Reason)})
	}
	s.table(rows, false, "nobody has written one: what is printed is made of what is known")
	s.P.Next("platform models card %s --json --history", strings.Join(args, " "))
	return nil
}

func (s Session) writeCard(ctx context.Context, c *client.Client, args []string, file, reason string) error {
	info, err := os.Stat(file)
	switch {
	case err != nil || !info.Mode().IsRegular():
		return misuse("give a file in Markdown", "%s cannot be read", file)
	case info.Size() > maxCard:
		return misuse("shorten it", "%s is larger than %d bytes", file, maxCard)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return misuse("give a file in Markdown", "%s cannot be read", file)
	}
	card, err := c.WriteCard(ctx, args[0], ref(args), api.WriteCard{Text: string(b), Reason: reason})
	if err != nil || s.P.Document(card) {
		return err
	}
	s.P.Say("the card of %s:%d is text %d now", card.Model, card.Version, card.Number)
	s.P.Next("platform models card %s %d", card.Model, card.Version)
	return nil
}

func (s Session) deleteCmd() *cobra.Command {
	var reason string
	var try bool
	cmd := command("delete MODEL VERSION", "Delete a version that nothing needs, and free its bytes", "  platform models delete fraud 3 --try\n  platform models delete fraud 3 --reason 'trained on data that must go'", cobra.ExactArgs(2),
		func(ctx context.Context, args []string) error {
			if reason == "" && !try {
				return misuse("add --reason WHY", "a deletion is recorded with its reason")
			}
			return s.with(func(c *client.Client) error {
				d, err := c.DeleteVersion(ctx, args[0], args[1], reason, try)
				if err != nil || s.P.Document(d) {
					return err
				}
				switch {
				case d.Deleted:
					s.P.Say("%s:%d is deleted: %s freed, %s", d.Model, d.Version, screen.Size(d.Freed), plural(d.Files, "file"))
					if d.Kept > 0 {
						s.P.Note("%s of its files stay: something else needs them, or somebody has asked for them within 30 seconds; platform doctor --fix frees the latter", screen.Size(d.Kept))
					}
					s.P.Next("platform models versions %s", d.Model)
				case len(d.Held) > 0:
					s.P.Say("%s:%d would not be deleted:", d.Model, d.Version)
					for _, h := range d.Held {
						s.P.Say("  %s", h)
					}
					s.P.Next("platform models show %s %d", d.Model, d.Version)
				default:
					s.P.Say("nothing needs %s:%d; its files have %s", d.Model, d.Version, screen.Size(d.Kept))
					s.P.Next("platform models delete %s %d --reason WHY", d.Model, d.Version)
				}
				return nil
			})
		})
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is recorded")
	cmd.Flags().BoolVar(&try, "try", false, "only say what needs it")
	return cmd
}
