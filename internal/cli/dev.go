package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

// Dev says what is served on this machine.
type Dev struct {
	File        string // absolute
	Environment string
	Home        string
	Port        int // 0 for any
	Once, Watch bool
	Out         io.Writer // what the model and builds of environments print
	Event       func(DevEvent)
}

// DevEvent is what happened: serving, reloaded, refused or stopped.
type DevEvent struct {
	Event   string                     `json:"event"`
	Name    string                     `json:"name"`
	Runtime string                     `json:"runtime,omitempty"`
	URL     string                     `json:"url,omitempty"`
	TookMS  float64                    `json:"took_ms,omitempty"`
	Checks  []api.Result               `json:"checks,omitempty"`
	First   map[string]json.RawMessage `json:"first,omitempty"` // what the model answers to its own example
	FirstMS float64                    `json:"first_ms,omitempty"`
	Problem string                     `json:"problem,omitempty"`
	Next    string                     `json:"next,omitempty"`
}

func (s *session) devCmd() *cobra.Command {
	d := Dev{Environment: slipway.Production}
	keep := false
	cmd := command("dev [DIRECTORY|FILE]", "Serve a project on this machine, and load it again when it changes", "  platform dev\n  platform dev fraud --port 9000\n  platform dev --once",
		cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
			d.Watch = !keep
			return s.dev(ctx, cmp.Or(strings.Join(args, ""), "."), d)
		})
	cmd.Long = "Serve a project on this machine, without a platform: with the protocols, the checks and the errors\nthat it will have there, and with a page to try it. It is loaded again whenever platform.yaml, the\nmodel or the golden rows change; a state that cannot be loaded leaves the one before serving."
	cmd.Flags().IntVar(&d.Port, "port", 8000, "the port on 127.0.0.1; 0 picks a free one")
	cmd.Flags().StringVar(&d.Environment, "env", slipway.Production, "the environment whose settings hold")
	cmd.Flags().BoolVar(&d.Once, "once", false, "make the first prediction and end; the exit code is 3 if a check failed")
	cmd.Flags().BoolVar(&keep, "no-reload", false, "do not look for changes")
	return cmd
}

func (s *session) dev(ctx context.Context, where string, d Dev) error {
	if d.Port < 0 || d.Port > 65535 {
		return misuse("platform dev --port 0", "%d is no port", d.Port)
	}
	d.File = where
	if !filepath.IsAbs(where) {
		d.File = filepath.Join(s.env.Dir, where)
	}
	if info, err := os.Stat(d.File); err == nil && info.IsDir() {
		d.File = filepath.Join(d.File, projectFile)
	}
	home, err := s.homeDir()
	if err != nil {
		return err
	}
	d.Home, d.Out, d.Event = home.Home, s.env.Stderr, func(e DevEvent) { s.devEvent(e, d.Once) }
	return s.env.Dev(ctx, d)
}

// devEvent prints what happened.
func (s *session) devEvent(e DevEvent, once bool) {
	if s.p.Line(e) {
		return
	}
	switch e.Event {
	case "serving":
		if e.URL != "" {
			s.p.Say("%s  %s", screen.Bold(e.URL), screen.Dim(e.Name+", runtime "+e.Runtime))
		} else {
			s.p.Say("%s  %s", screen.Bold(e.Name), screen.Dim("runtime "+e.Runtime))
		}
	case "reloaded":
		s.p.Say("%s %s", screen.Green("reloaded"), e.Name)
	default:
		s.p.Say("%s %s: %s", screen.Red(e.Event), e.Name, e.Problem)
		if e.Event == "refused" {
			s.p.Note("the state before goes on serving")
		}
	}
	for _, c := range e.Checks {
		s.p.Say("  %s %s: %s", screen.Verdict(c.Verdict, c.Verdict), c.Check, c.Message)
	}
	if e.First != nil {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(e.First)) {
			parts = append(parts, name+" "+string(e.First[name]))
		}
		s.p.Say("  first prediction after %.3g ms: %s", e.FirstMS, strings.Join(parts, "  "))
	} else if e.Problem != "" && e.Event != "refused" && e.Event != "stopped" {
		s.p.Say("  %s its example: %s", screen.Red("fail"), e.Problem)
	}
	switch {
	case e.Event == "refused" || e.Event == "stopped":
		s.p.Next("%s", e.Next)
	case once:
		s.p.Next("platform dev")
	case e.URL != "":
		s.p.Note("Ctrl-C ends it. Try it in a browser, or change the model and save.")
		s.p.Next("curl %s/v2/models/%s", e.URL, e.Name)
	}
}
