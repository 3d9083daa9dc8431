package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

func (s *session) doctorCmd() *cobra.Command {
	var fix bool
	cmd := command("doctor", "Look for what is wrong, and mend it", "  platform doctor\n  platform doctor --fix\n  platform doctor --json", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return s.doctor(ctx, fix) })
	cmd.Long = "Look for what is wrong with the installation: rights, room, isolation, database, Python, the\ngateway, endpoints, and what nothing needs any more. With --fix it mends what can be mended\nwithout asking anybody: it takes rights from others, and removes environments and\nimages that nothing serves and no rollback would choose, and uploads older than a day that no version\nor deployment names. The exit code is 3 if something is wrong."
	cmd.Flags().BoolVar(&fix, "fix", false, "mend what can be mended")
	return cmd
}

func (s *session) doctor(ctx context.Context, fix bool) error {
	found, err := s.examine(ctx, fix)
	if err != nil {
		return err
	}
	wrong, next := 0, ""
	var rows [][]screen.Text
	for _, f := range found {
		if f.Verdict != "pass" && (next == "" || f.Fixable) {
			next = f.Next
		}
		if f.Verdict == "fail" {
			wrong++
		}
		rows = append(rows, []screen.Text{screen.Verdict(f.Verdict, f.Verdict), screen.Bold(f.Check), screen.Plain(f.Message)})
		if f.Next != "" {
			rows = append(rows, []screen.Text{screen.Plain(""), screen.Plain(""), screen.Dim(f.Next)})
		}
	}
	if !s.p.Document(found) {
		s.p.Table(rows)
	}
	if wrong > 0 {
		return unsuccessful{&slipway.Error{Code: slipway.CodeUnavailable, Kind: slipway.Unavailable, Message: "something is wrong with this installation", Next: next}}
	}
	if next == "" {
		next = "platform status"
	}
	s.p.Next("%s", next)
	return nil
}

// examine asks the server, and looks at the machine alone if there is none here.
func (s *session) examine(ctx context.Context, fix bool) ([]api.Finding, error) {
	c, err := s.client()
	if err == nil {
		var found []api.Finding
		if found, err = c.Examine(ctx, fix); err == nil {
			return append([]api.Finding{s.versions(ctx, c)}, found...), nil
		}
	}
	e := slipway.AsError(err)
	if e.Code != slipway.CodeNoServer || s.server != "" || s.env.Getenv("SLIPWAY_SERVER") != "" {
		return nil, err
	}
	home, err := s.homeDir()
	if err != nil {
		return nil, err
	}
	down := api.Finding{Check: "server", Verdict: "warn", Message: e.Message, Next: "platform up"}
	return append([]api.Finding{down}, s.env.Examine(ctx, home.Home, fix)...), nil
}

// versions compares the server with this program.
func (s *session) versions(ctx context.Context, c *client.Client) api.Finding {
	i, err := c.Info(ctx)
	switch {
	case err != nil:
		return api.Finding{Check: "server", Verdict: "fail", Message: slipway.AsError(err).Message, Next: "platform up"}
	case i.Version != s.env.Version:
		return api.Finding{Check: "server", Verdict: "warn", Message: "it is " + i.Version + ", and this program " + s.env.Version, Next: "platform upgrade"}
	default:
		return api.Finding{Check: "server", Verdict: "pass", Message: "it answers, and is " + i.Version}
	}
}
