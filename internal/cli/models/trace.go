package models

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

// Trace is the command platform trace.
func (s Session) Trace() *cobra.Command {
	cmd := command("trace REQUEST", "Go from an answered prediction to revision, version, run, data, and who deployed and approved it", "  platform trace k3jx9q-1a2b\n  platform trace order-4711 --json", cobra.ExactArgs(1), s.trace)
	cmd.Long = cmd.Short + ".\n\nThe id of a request is in the header X-Request-Id of its answer; a client may choose it. The gateway\nremembers the last 50 million answers or so, by a keyed hash of the id."
	return cmd
}

func (s Session) trace(ctx context.Context, args []string) error {
	return s.with(func(c *client.Client) error {
		t, err := c.Trace(ctx, args[0])
		if err != nil || s.P.Document(t) {
			return err
		}
		for i, a := range t.Answers {
			if i > 0 {
				s.P.Say("")
			}
			s.answer(a)
		}
		if t.Dropped > 0 {
			s.P.Note("the gateway could not remember %d answers since it started", t.Dropped)
		}
		if a := t.Answers[0]; a.Version > 0 && a.Missing == "" {
			s.P.Next("platform models show %s %d", a.Model, a.Version)
		} else {
			s.P.Next("platform history %s", a.Endpoint)
		}
		return nil
	})
}

func (s Session) answer(a api.TracedAnswer) {
	look := screen.Green
	if a.Outcome != "answered" {
		look = screen.Yellow
	}
	s.P.Say("%s  %s  %s", when(a.Time), screen.Bold(a.Endpoint), look(a.Outcome))
	var rows [][]screen.Text
	row := func(name, value string) {
		if value != "" {
			rows = append(rows, []screen.Text{screen.Dim("  " + name), screen.Plain(value)})
		}
	}
	row("revision", strings.TrimSpace(a.Revision+"  "+a.Image))
	if a.Model != "" {
		row("version", fmt.Sprintf("%s:%d  %s", a.Model, a.Version, a.Digest))
	}
	row("signature", a.Signature)
	row("registered", byWhom(a.Registered))
	if a.Deployment != "" {
		row(a.Kind, strings.TrimSpace(a.Deployment+" by "+a.DeployedBy+", "+when(a.Deployed)+"  "+a.Reason))
	}
	for _, al := range a.Aliases {
		text := "@" + al.Alias + " since " + when(al.From) + " by " + al.By
		if len(al.Approvers) > 0 {
			text += ", approved by " + strings.Join(al.Approvers, ", ")
		}
		row("alias", text)
	}
	if a.Run != nil {
		row("run", strings.TrimSpace(a.Run.ID+"  "+a.Run.Name))
		row("", a.Run.Missing)
		row("commit", a.Run.Commit)
		for _, u := range a.Run.Datasets {
			row("data", strings.TrimSpace(u.Context+" "+u.Name+" "+u.Digest))
		}
	}
	row("note", a.Missing)
	s.P.Table(rows)
}

func byWhom(name string) string {
	if name == "" {
		return ""
	}
	return "by " + name
}
