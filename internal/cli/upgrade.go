package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway/internal/cli/screen"
)

// Upgrade says what is upgraded.
type Upgrade struct {
	Home   string
	To     string // a program; empty: this one
	Plan   bool   // only say what would be done
	Report func(string)
}

// Upgraded is what an upgrade did.
type Upgraded struct {
	From     string `json:"from"` // versions
	To       string `json:"to"`
	Program  string `json:"program"`
	PID      int    `json:"pid,omitempty"`
	Previous string `json:"previous,omitempty"` // a copy of the program that served before
	Database struct {
		From   int64  `json:"from"` // schemas
		To     int64  `json:"to"`
		Backup string `json:"backup,omitempty"`
	} `json:"database"`
	Changed bool  `json:"changed"`
	TookMS  int64 `json:"took_ms"` // that no server answered; models served on
}

func (s *session) upgradeCmd() *cobra.Command {
	u := Upgrade{Report: func(line string) { s.p.Note("%s", line) }}
	cmd := command("upgrade", "Replace the running server by this program, or by another", "  platform upgrade\n  platform upgrade --plan\n  platform upgrade --to ./platform-older", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return s.upgrade(ctx, u) })
	cmd.Long = "Replace the running server by this program, or by another build. Models serve on: only the\ncontrol plane pauses, for about a second. A SQLite database is copied first, and a copy of the\nprogram that served stays, so that there is a way back.\n\nTo go back, run this program with --to OLDER: it takes the database back to what the older one\nknows, and refuses where something would be lost. If the new server does not come up, the one\nbefore is started again."
	cmd.Flags().StringVar(&u.To, "to", "", "the program that shall serve (default this one)")
	cmd.Flags().BoolVar(&u.Plan, "plan", false, "only say what would be done")
	return cmd
}

func (s *session) upgrade(ctx context.Context, u Upgrade) error {
	home, err := s.homeDir()
	if err != nil {
		return err
	}
	u.Home = home.Home
	done, err := s.env.Upgrade(ctx, u)
	if err != nil {
		return err
	}
	if s.p.Document(done) {
		return nil
	}
	switch {
	case !done.Changed:
		s.p.Say("%s serves already", done.To)
		s.p.Next("platform status")
	case u.Plan:
		s.p.Say("%s (process %d) would be replaced by %s", done.From, done.PID, done.To)
		s.p.Next("platform upgrade%s", given("--to", u.To))
	default:
		s.p.Say("%s %s serves instead of %s  %s", screen.Green("done"), screen.Bold(done.To), done.From,
			screen.Dim(fmt.Sprintf("the control plane paused for %v, models served on", time.Duration(done.TookMS)*time.Millisecond)))
		if done.Database.Backup != "" {
			s.p.Say("  %s", screen.Dim("the database as it was: "+done.Database.Backup))
		}
		s.p.Note("the way back: %s --to %s", "platform upgrade", quoted(done.Previous))
		s.p.Next("platform status")
	}
	return nil
}

// given writes a flag again, if it was given.
func given(flag, value string) string {
	if value == "" {
		return ""
	}
	return " " + flag + " " + quoted(value)
}
