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
	maxTail = 10000 // lines that the server gives at once
	logWait = 15    // seconds that it may wait for the next
)

// logOptions are the flags of logs.
type logOptions struct {
	want         api.LogQuery
	follow       bool
	since, until string
}

func (s *session) logsCmd() *cobra.Command {
	var o logOptions
	cmd := command("logs [ENDPOINT]", "Show what replicas log",
		"  platform logs fraud -n 50\n  platform logs fraud -f --since 10m --level warn\n  platform logs fraud --request 5f3c-1a", cobra.MaximumNArgs(1),
		func(ctx context.Context, args []string) error { return s.logs(ctx, args, o) })
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on with new lines, until Ctrl-C")
	cmd.Flags().StringVar(&o.want.Revision, "revision", "", "of this revision only")
	cmd.Flags().StringVar(&o.want.Replica, "replica", "", "of this replica only: its id, or the end of it, such as r1")
	cmd.Flags().StringVar(&o.want.Request, "request", "", "of the request with this id, which each answer has as X-Request-Id")
	cmd.Flags().StringVar(&o.want.Level, "level", "", "this and worse: debug, info, warn or error")
	cmd.Flags().StringVar(&o.since, "since", "", "not older than this: an age such as 10m, or a time such as 2026-03-01T12:00:00Z")
	cmd.Flags().StringVar(&o.until, "until", "", "not newer than this")
	cmd.Flags().IntVarP(&o.want.Tail, "lines", "n", 100, "the newest lines to begin with, at most 10000")
	completingFlag(cmd, "level", "debug", "info", "warn", "error")
	return cmd
}

func (s *session) logs(ctx context.Context, args []string, o logOptions) (err error) {
	if o.want.Tail < 1 || o.want.Tail > maxTail {
		return misuse("give -n from 1 to 10000", "there is no such number of lines")
	}
	if o.want.Since, err = s.moment("--since", o.since); err != nil {
		return err
	}
	if o.want.Until, err = s.moment("--until", o.until); err != nil {
		return err
	}
	key, err := s.endpoint(args)
	if err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	out, err := c.Logs(ctx, key, o.want)
	if err != nil {
		return err
	}
	s.logLines(out)
	if o.follow {
		o.want.After = out.Cursor
		return s.followLogs(ctx, c, key, o.want)
	}
	if len(out.Lines) == 0 {
		s.p.Note("there are no such lines")
	}
	s.p.Next("platform status %s", key)
	return nil
}

// moment reads a time, or an age before now; the empty text is no time.
func (s *session) moment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if age, err := time.ParseDuration(text); err == nil && age >= 0 {
		return s.env.Now().Add(-age), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	return time.Time{}, misuse("give an age such as 10m or 2h, or a time such as 2026-03-01T12:00:00Z", "%s is no time: %.40q", flag, text)
}

// followLogs prints what comes behind a cursor, which holds across restarts of the server.
func (s *session) followLogs(ctx context.Context, c *client.Client, key string, want api.LogQuery) error {
	want.Tail, want.Wait = 0, logWait
	for {
		out, err := c.Logs(ctx, key, want)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && slipway.AsError(err).Kind == slipway.Unavailable:
			s.p.Progress("%s; trying again", slipway.AsError(err).Message)
		case err != nil:
			return err
		default:
			s.logLines(out)
			want.After = out.Cursor
		}
		if len(out.Lines) > 0 {
			continue
		}
		select { // a server that is ending does not wait
		case <-ctx.Done():
			return nil
		case <-time.After(pollEvery):
		}
	}
}

func (s *session) logLines(out api.Logs) {
	if out.Missed {
		s.p.Note("some lines came too fast to be shown")
	}
	for _, l := range out.Lines {
		if !s.p.Line(l) {
			s.p.LogLine(l)
		}
	}
}
