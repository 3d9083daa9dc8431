package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
)

const (
	maxTail    = 10000 // lines that the server gives at once
	followTail = 2000
)

// logOptions are the flags of logs.
type logOptions struct {
	follow   bool
	revision string
	since    time.Duration
	lines    int
}

func (s *session) logsCmd() *cobra.Command {
	var o logOptions
	cmd := command("logs [ENDPOINT]", "Show what replicas log", "  platform logs fraud -n 50\n  platform logs fraud -f --since 10m", cobra.MaximumNArgs(1),
		func(ctx context.Context, args []string) error { return s.logs(ctx, args, o) })
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on with new lines, until Ctrl-C")
	cmd.Flags().StringVar(&o.revision, "revision", "", "of this revision only")
	cmd.Flags().DurationVar(&o.since, "since", 0, "not older than this, such as 10m")
	cmd.Flags().IntVarP(&o.lines, "lines", "n", 100, "the newest lines to begin with, at most 10000")
	return cmd
}

func (s *session) logs(ctx context.Context, args []string, o logOptions) error {
	if o.lines < 1 || o.lines > maxTail || o.since < 0 {
		return misuse("give -n from 1 to 10000 and a positive --since", "there is no such range of lines")
	}
	key, err := s.endpoint(args)
	if err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	lines, err := c.Logs(ctx, key, o.revision, o.lines)
	if err != nil {
		return err
	}
	for _, l := range lines {
		if o.since == 0 || s.env.Now().Sub(l.Time) <= o.since {
			s.logLine(l)
		}
	}
	if !o.follow {
		s.p.Next("platform status %s", key)
		return nil
	}
	return s.followLogs(ctx, c, key, o.revision, lines)
}

// followLogs prints what each reading has more than the one before.
func (s *session) followLogs(ctx context.Context, c *client.Client, key, revision string, last []api.LogLine) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pollEvery):
		}
		lines, err := c.Logs(ctx, key, revision, followTail)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && slipway.AsError(err).Kind == slipway.Unavailable:
			s.p.Progress("%s; trying again", slipway.AsError(err).Message)
			continue
		case err != nil:
			return err
		}
		fresh := newLines(last, lines)
		if len(last) > 0 && len(fresh) == followTail {
			s.p.Note("some lines came too fast to be shown")
		}
		for _, l := range fresh {
			s.logLine(l)
		}
		last = lines
	}
}

// newLines are the lines of a reading that the one before did not have. A line older than
// all of those has only come into view again.
func newLines(before, now []api.LogLine) []api.LogLine {
	type identity struct {
		at                                        int64
		level, replica, revision, stream, message string
	}
	of := func(l api.LogLine) identity {
		return identity{l.Time.UnixNano(), l.Level, l.Replica, l.Revision, l.Stream, l.Message}
	}
	seen := map[identity]int{}
	for _, l := range before {
		seen[of(l)]++
	}
	var out []api.LogLine
	for _, l := range now {
		switch {
		case seen[of(l)] > 0:
			seen[of(l)]--
		case len(before) == 0 || !l.Time.Before(before[0].Time):
			out = append(out, l)
		}
	}
	return out
}

func (s *session) logLine(l api.LogLine) {
	if !s.p.Line(l) {
		s.p.LogLine(l)
	}
}
