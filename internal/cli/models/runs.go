package models

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

const aboutRuns = `Runs are logged by MLflow's clients, with MLFLOW_TRACKING_URI set to the address of this platform.`

// Runs is the command platform runs.
func (s Session) Runs() *cobra.Command {
	cmd := &cobra.Command{Use: "runs", Short: "Runs of experiments: what was measured, with which parameters and data", Args: cobra.ArbitraryArgs,
		Example: "  platform runs list --experiment fraud --filter 'metrics.auc > 0.9' --order 'metrics.auc DESC'\n  platform runs show RUN\n  platform runs compare RUN RUN",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return misuse("platform runs --help", "there is no command runs %.40q", args[0])
			}
			return cmd.Help()
		}}
	cmd.Long = cmd.Short + ".\n\n" + aboutRuns
	cmd.AddCommand(s.listRunsCmd(),
		command("show RUN", "Show one run with all that was logged in it", "  platform runs show 0c1f…", cobra.ExactArgs(1), s.showRun),
		command("compare RUN RUN", "Say what differs between two runs", "  platform runs compare 0c1f… 9ab2…", cobra.ExactArgs(2), s.compareRuns))
	return cmd
}

func (s Session) listRunsCmd() *cobra.Command {
	var q api.RunQuery
	var limit int
	cmd := command("list", "List runs, the last started first", "  platform runs list --experiment fraud\n  platform runs list --filter 'metrics.auc > 0.9 and tags.author = \"ada\"' --order 'metrics.auc DESC'", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return s.with(func(c *client.Client) error {
			all, more, err := pages(limit, func(cursor string, n int) (api.Page[api.Run], error) {
				q.Cursor, q.Limit = cursor, n
				return c.Runs(ctx, q)
			})
			if err != nil || s.P.Document(all) {
				return err
			}
			rows := [][]screen.Text{}
			for _, r := range all {
				rows = append(rows, []screen.Text{screen.Bold(r.ID), screen.Plain(r.Name), statusOf(r), screen.Dim(when(r.Started) + " by " + screen.OrDash(r.User)), screen.Plain(figures(r.Metrics))})
			}
			s.table(rows, more, "there are no such runs that you may see")
			if len(all) > 0 {
				s.P.Next("platform runs show %s", all[0].ID)
			} else {
				s.P.Next("platform runs --help")
			}
			return nil
		})
	})
	f := cmd.Flags()
	f.StringVar(&q.Experiment, "experiment", "", "only of this one, by name or id")
	f.StringVar(&q.Team, "team", "", "only of experiments of this team")
	f.StringVar(&q.Filter, "filter", "", "only those that fit, in MLflow's grammar")
	f.StringVar(&q.Order, "order", "", "by what, such as 'metrics.auc DESC'")
	f.IntVarP(&limit, "lines", "n", 50, "how many, at most 10000")
	return cmd
}

func statusOf(r api.Run) screen.Text {
	text := strings.ToLower(r.Status)
	switch {
	case r.Deleted:
		return screen.Dim("deleted")
	case r.Status == "FINISHED":
		return screen.Green(text)
	case r.Status == "FAILED", r.Status == "KILLED":
		return screen.Red(text)
	}
	return screen.Yellow(text)
}

// maxFigures is how many metrics a line shows.
const maxFigures = 4

func figures(metrics map[string]any) string {
	names := slices.Sorted(maps.Keys(metrics))
	var out []string
	for _, k := range names[:min(len(names), maxFigures)] {
		out = append(out, k+"="+figure(metrics[k]))
	}
	if more := len(names) - maxFigures; more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, " ")
}

func figure(v any) string {
	if x, ok := v.(float64); ok {
		return fmt.Sprintf("%.6g", x)
	}
	return fmt.Sprint(v)
}

func (s Session) showRun(ctx context.Context, args []string) error {
	return s.with(func(c *client.Client) error {
		r, err := c.Run(ctx, args[0])
		if err != nil || s.P.Document(r) {
			return err
		}
		s.P.Say("%s  %s  %s", screen.Bold(r.ID), r.Name, statusOf(r))
		var rows [][]screen.Text
		row := func(name, value string) { rows = append(rows, []screen.Text{screen.Dim(name), screen.Plain(value)}) }
		row("team", r.Team)
		row("experiment", r.ExperimentID)
		row("user", screen.OrDash(r.User))
		row("started", when(r.Started))
		if !r.Ended.IsZero() {
			row("took", screen.Duration(r.Ended.Sub(r.Started).Round(time.Millisecond)))
		}
		for _, u := range r.Datasets {
			row("data", strings.TrimSpace(u.Context+" "+u.Name+" "+u.Digest))
		}
		for _, m := range r.Models {
			row("model", m)
		}
		for _, k := range slices.Sorted(maps.Keys(r.Metrics)) {
			row("metric "+k, figure(r.Metrics[k]))
		}
		for _, k := range slices.Sorted(maps.Keys(r.Params)) {
			row("param "+k, r.Params[k])
		}
		for _, k := range slices.Sorted(maps.Keys(r.Tags)) {
			if !strings.HasPrefix(k, "mlflow.log-model") { // a document, for programs
				row("tag "+k, r.Tags[k])
			}
		}
		s.P.Table(rows)
		s.P.Next("platform runs list --experiment %s", r.ExperimentID)
		return nil
	})
}

func (s Session) compareRuns(ctx context.Context, args []string) error {
	return s.with(func(c *client.Client) error {
		d, err := c.CompareRuns(ctx, args[0], args[1])
		if err != nil || s.P.Document(d) {
			return err
		}
		s.P.Say("%s", screen.Bold(d.From+" and "+d.To))
		s.changes("Metrics", d.Metrics)
		s.changes("Params", d.Params)
		s.changes("Data", d.Datasets)
		s.changes("Tags", d.Tags)
		if len(d.Metrics)+len(d.Params)+len(d.Datasets)+len(d.Tags) == 0 {
			s.P.Say("no difference")
		}
		s.P.Next("platform runs show %s", d.To)
		return nil
	})
}
