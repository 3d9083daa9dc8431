package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway/internal/cli/screen"
	"github.com/slipway-ml/slipway/internal/spec"
)

func (s *session) validateCmd() *cobra.Command {
	file := projectFile
	cmd := command("validate", "Check platform.yaml and the files it names", "  platform validate\n  platform validate -f fraud/platform.yaml --json", cobra.NoArgs,
		func(context.Context, []string) error { return s.validate(file) })
	fileFlag(cmd, &file)
	return cmd
}

func fileFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "file", "f", projectFile, "the project's file")
}

func (s *session) validate(file string) error {
	p, err := s.project(file)
	if err == nil {
		err = p.checkFiles()
	}
	var mistakes *spec.Errors
	if errors.As(err, &mistakes) {
		s.p.Document(map[string]any{"valid": false, "file": file, "problems": mistakes.Problems, "omitted": mistakes.Omitted})
	}
	if err != nil {
		return err
	}
	if !s.p.Document(map[string]any{"valid": true, "file": file, "endpoint": p.spec.Name, "tier": p.spec.Tier, "origin": p.spec.Origin}) {
		s.p.Say("%s is valid", file)
		s.p.Table(summary(p.spec))
	}
	next := "platform deploy --watch"
	if file != projectFile {
		next = "platform deploy -f " + quoted(file) + " --watch"
	}
	s.p.Next("%s", next)
	return nil
}

// summary says what a project will do, and what of that comes from its tier.
func summary(sp *spec.Spec) [][]screen.Text {
	row := func(name, path, text string) []screen.Text {
		origin := ""
		if o := sp.Origin[path]; o != "" && o != "file" {
			origin = "(" + o + ")"
		}
		return []screen.Text{screen.Dim("  " + name), screen.Plain(text), screen.Dim(origin)}
	}
	rows := [][]screen.Text{
		row("endpoint", "name", fmt.Sprintf("%s, tier %d, owner %s", sp.Name, sp.Tier, sp.Owner.Team)),
		row("model", "", sp.Model.Name+" from "+sp.Model.Source.String()),
	}
	if g := sp.Validation.Golden; g != nil {
		rows = append(rows, row("golden", "validation.golden.tolerance", fmt.Sprintf("%s within %g", g.File, g.Tolerance)))
	}
	if d := sp.Validation.Dataset; d != nil {
		for _, m := range sp.Validation.Metrics {
			sign := "at most"
			if m.HigherIsBetter {
				sign = "at least"
			}
			rows = append(rows, row("metric", "", fmt.Sprintf("%s %s %g on %s", m.Name, sign, m.Bound, d.File)))
		}
	}
	var steps []string
	for _, st := range sp.Rollout.Steps {
		text := fmt.Sprintf("%g %%", st.Weight)
		if st.Hold > 0 {
			text += " for " + screen.Duration(st.Hold)
		}
		if st.MinRequests > 0 {
			text += fmt.Sprintf(" and %d requests", st.MinRequests)
		}
		steps = append(steps, text)
	}
	memory := screen.Size(sp.Resources.MemoryBytes)
	if python := sp.InPython().Resources.MemoryBytes; python != sp.Resources.MemoryBytes {
		memory += ", or " + screen.Size(python) + " if it runs in Python,"
	}
	return append(rows,
		row("rollout", "rollout.steps", strings.Join(steps, ", ")),
		row("warm", "rollout.keep_previous_warm", "previous revision for "+screen.Duration(sp.Rollout.KeepPreviousWarm)),
		row("replicas", "scaling.replicas", fmt.Sprintf("%d with %g cores and %s each", sp.Replicas, float64(sp.Resources.MilliCPU)/1000, memory)),
		row("limits", "", limitsOf(sp)))
}

// limitsOf says what callers may ask.
func limitsOf(sp *spec.Spec) string {
	l := sp.Limits
	var parts []string
	for _, r := range []struct {
		of   string
		rate spec.Rate
	}{{"", l.Rate}, {" of each caller", l.CallerRate}} {
		if r.rate.PerSecond > 0 {
			parts = append(parts, fmt.Sprintf("%g requests/s%s, %d at once", r.rate.PerSecond, r.of, r.rate.Burst))
		}
	}
	answered := "as many as go well are answered at once"
	if l.Concurrency > 0 {
		answered = fmt.Sprintf("%d are answered at once", l.Concurrency)
	}
	parts = append(parts, answered, fmt.Sprintf("%d wait", l.Queue.Length), "bodies to "+screen.Size(l.Body))
	return strings.Join(parts, "; ")
}

func (s *session) schemaCmd() *cobra.Command {
	return command("schema", "Print the JSON Schema of platform.yaml", "  platform schema > platform.schema.json", cobra.NoArgs,
		func(context.Context, []string) error {
			if !s.p.Document(json.RawMessage(spec.Schema())) {
				s.p.Say("%s", strings.TrimRight(string(spec.Schema()), "\n"))
			}
			s.p.Next("platform validate")
			return nil
		})
}
