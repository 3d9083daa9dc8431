package cli

import (
	"cmp"
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

func (s *session) historyCmd() *cobra.Command {
	var before int64
	var limit int
	cmd := command("history [ENDPOINT]", "Show who changed what on an endpoint, newest first", "  platform history fraud\n  platform history fraud -n 200 --json", cobra.MaximumNArgs(1),
		func(ctx context.Context, args []string) error { return s.history(ctx, args, before, limit) })
	cmd.Flags().IntVarP(&limit, "lines", "n", 50, "how many changes, at most 1000")
	cmd.Flags().Int64Var(&before, "before", 0, "only those before this number")
	return cmd
}

func (s *session) history(ctx context.Context, args []string, before int64, limit int) error {
	if limit < 1 || limit > 1000 || before < 0 {
		return misuse("give -n from 1 to 1000", "there is no such range of changes")
	}
	key, err := s.endpoint(args)
	if err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	events, err := c.History(ctx, key, before, limit)
	if err != nil {
		return err
	}
	if s.p.Document(append([]api.Event{}, events...)) {
		return nil
	}
	var rows [][]screen.Text
	for _, e := range events {
		if e.Action == "deployment.stage" && (e.Detail["verdict"] == "unknown" || e.Detail["verdict"] == "pass") {
			continue // a stage begins, or is over; programs get it
		}
		rows = append(rows, []screen.Text{screen.Dim(e.Time.Local().Format("2006-01-02 15:04:05")), screen.Plain(e.Actor), screen.Plain(change(e)), screen.Dim(e.Subject)})
	}
	s.p.Table(rows)
	if len(events) == limit {
		s.p.Next("platform history %s --before %d", key, events[len(events)-1].Seq)
		return nil
	}
	s.p.Next("platform explain %s", key)
	return nil
}

// change is an event for people.
func change(e api.Event) string {
	d := e.Detail
	reason := ""
	if why := cmp.Or(d["reason"], d["message"]); why != "" {
		reason = ": " + why
	}
	switch e.Action {
	case "deployment.created":
		return "deploys " + d["model"] + ":" + d["version"] + reason
	case "deployment.stage":
		return d["stage"] + " " + d["verdict"]
	case "deployment.released":
		return "released as " + d["revision"]
	case "deployment.commanded":
		return "tells it to " + d["command"] + reason
	case "deployment.failed":
		return "did not pass" + reason
	case "deployment.aborted", "rollout.aborted":
		return reason[min(2, len(reason)):]
	case "rollout.checking":
		return d["revision"] + " is checked on the live path"
	case "rollout.stepping":
		return d["revision"] + " has " + d["weight"] + " % of the requests"
	case "rollout.promoting", "rollout.done":
		return d["revision"] + " " + map[string]string{"promoting": "is being promoted", "done": "serves"}[strings.TrimPrefix(e.Action, "rollout.")]
	case "rollout.vetoed":
		return "took " + d["revision"] + " back" + reason
	case "version.registered":
		return "registers version " + d["number"] + " of the model"
	case "endpoint.confirmed":
		return "the first revision has proved itself"
	default:
		return strings.NewReplacer(".", " ", "-", " ").Replace(e.Action) + reason
	}
}
