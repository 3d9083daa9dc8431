package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

// Audit verifies what a server gave, without one. Keys that are empty are not compared.
type Audit struct {
	Bundle func(r io.Reader, key string, witnesses []string, progress func(done, of uint64)) ([]api.AuditFinding, error)
	Proof  func(p api.AuditProof, key string) error
}

func (s *session) auditCmd() *cobra.Command {
	cmd := group("audit", "Search the record of all that was done, and prove that it is whole", "  platform audit search --actor ada --since 7d\n  platform audit verify")
	cmd.AddCommand(s.auditSearchCmd(), s.auditProveCmd(), s.auditExportCmd(), s.auditVerifyCmd(), s.auditRetainCmd(),
		command("status", "Show how the audit log and its anchors do, and its public key", "  platform audit status", cobra.NoArgs, s.auditStatus))
	return cmd
}

// period is --since and --until.
type period struct{ since, until string }

func (p *period) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.since, "since", "", "not older: an age such as 8h or 30d, or a time such as 2026-11-01 or 2026-11-01T12:00:00Z")
	cmd.Flags().StringVar(&p.until, "until", "", "older than this, in the same form")
}

func (s *session) between(p period) (since, until time.Time, err error) {
	if since, err = s.instant(p.since); err == nil {
		until, err = s.instant(p.until)
	}
	return since, until, err
}

// instant reads an age, a day or a time; days are in UTC.
func (s *session) instant(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, form := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil {
			return t, nil
		}
	}
	d, err := parseAge(text)
	if err != nil {
		return time.Time{}, misuse("give an age such as 8h or 30d, or a time such as 2026-11-01", "%.40q is no moment", text)
	}
	return s.env.Now().Add(-d), nil
}

func (s *session) auditSearchCmd() *cobra.Command {
	var q api.AuditQuery
	var p period
	cmd := command("search", "Search the record, newest first", "  platform audit search --actor ada --since 7d\n  platform audit search --subject fraud\n  platform audit search --action access.denied --text endpoint:deploy", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			var err error
			if q.Since, q.Until, err = s.between(p); err != nil {
				return err
			}
			if q.Limit < 1 || q.Limit > 1000 || q.Before < 0 {
				return misuse("give -n from 1 to 1000", "there is no such range of events")
			}
			return s.with(func(c *client.Client) error { return s.auditSearch(ctx, c, q) })
		})
	cmd.Flags().StringVar(&q.Actor, "actor", "", "who did it")
	cmd.Flags().StringVar(&q.Action, "action", "", "what was done, such as deployment.created")
	cmd.Flags().StringVar(&q.Subject, "subject", "", "what it was done to: an endpoint, a deployment, an account")
	cmd.Flags().StringVar(&q.Text, "text", "", "words in the subject or in a detail")
	cmd.Flags().IntVarP(&q.Limit, "lines", "n", 50, "how many events, at most 1000")
	cmd.Flags().Int64Var(&q.Before, "before", 0, "only those before this number")
	p.flags(cmd)
	return cmd
}

func (s *session) auditSearch(ctx context.Context, c *client.Client, q api.AuditQuery) error {
	events, err := c.SearchAudit(ctx, q)
	if err != nil || s.p.Document(append([]api.Event{}, events...)) {
		return err
	}
	var rows [][]screen.Text
	for _, e := range events {
		rows = append(rows, []screen.Text{screen.Dim(strconv.FormatInt(e.Seq, 10)), screen.Dim(e.Time.Local().Format("2006-01-02 15:04:05")), screen.Bold(e.Actor), screen.Plain(e.Action),
			screen.Plain(e.Subject), screen.Dim(e.Detail["reason"])})
	}
	if len(rows) == 0 {
		s.p.Note("there are no such events")
		s.p.Next("platform audit search")
		return nil
	}
	s.p.Table(rows)
	if len(events) == q.Limit {
		s.p.Next("the same with --before %d, or: platform audit prove %d", events[len(events)-1].Seq, events[0].Seq)
		return nil
	}
	s.p.Next("platform audit prove %d", events[0].Seq)
	return nil
}

func (s *session) auditProveCmd() *cobra.Command {
	var key string
	cmd := command("prove EVENT", "Prove that an event is in the signed log; it is verified here", "  platform audit prove 42\n  platform audit prove evt_018f… --json >proof.json", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			return s.with(func(c *client.Client) error {
				proof, err := c.ProveEvent(ctx, args[0])
				if err == nil {
					err = s.env.Audit.Proof(proof, key)
				}
				if err != nil || s.p.Document(proof) {
					return err
				}
				e := proof.Event
				s.p.Say("%s  event %d: %s did %s on %s, %s", screen.Green("in the log"), e.Seq, screen.Bold(e.Actor), e.Action, e.Subject, e.Time.UTC().Format("2006-01-02 15:04:05Z"))
				s.p.Say("  %s", screen.Dim(proof.Leaf))
				s.p.Say("  %d hashes lead to the root that %s signed", len(proof.Hashes), proof.Key)
				s.p.Next("platform audit verify")
				return nil
			})
		})
	cmd.Flags().StringVar(&key, "key", "", "the public key of the log, as you know it")
	return cmd
}

func (s *session) auditStatus(ctx context.Context, _ []string) error {
	return s.with(func(c *client.Client) error {
		st, err := c.AuditStatus(ctx)
		if err != nil || s.p.Document(st) {
			return err
		}
		next := "platform audit verify"
		s.p.Say("%d of %d events are signed", int64(st.Signed), st.Events)
		s.p.Say("  key %s", st.Key)
		for _, dir := range st.Cold {
			s.p.Say("  parts of it lie in %s", dir)
		}
		if st.Problem != "" {
			s.p.Say("%s %s", screen.Red("it takes no events:"), st.Problem)
			next = st.Next
		}
		if len(st.Anchors) == 0 {
			s.p.Say("%s who runs this machine could write it anew", screen.Yellow("anchored nowhere:"))
		}
		for _, a := range st.Anchors {
			if a.Problem != "" {
				s.p.Say("%s %s", screen.Red("anchor "+a.Anchor+":"), a.Problem)
				continue
			}
			s.p.Say("anchor %s knows %d events, %s", a.Anchor, a.Size, screen.Dim("looked at "+a.Seen.Local().Format("2006-01-02 15:04:05")))
		}
		if st.Development {
			s.p.Say("%s the owner's token of its own machine was used", screen.Yellow("a development instance:"))
		}
		s.p.Next("%s", next)
		return nil
	})
}

func (s *session) auditExportCmd() *cobra.Command {
	var out string
	var p period
	cmd := command("export", "Write a bundle of events that is verified without the platform", "  platform audit export --out audit-2026.bundle\n  platform audit export --out november.bundle --since 2026-11-01 --until 2026-12-01", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			if out == "" {
				return misuse("platform audit export --out FILE", "a file to write is missing")
			}
			since, until, err := s.between(p)
			if err != nil {
				return err
			}
			return s.with(func(c *client.Client) error {
				return s.auditExport(ctx, c, api.AuditRange{Since: since, Until: until}, out)
			})
		})
	cmd.Flags().StringVar(&out, "out", "", "the file to write")
	p.flags(cmd)
	return cmd
}

// auditExport writes a bundle beside its place and verifies it: one that was cut off never
// has its name.
func (s *session) auditExport(ctx context.Context, c *client.Client, r api.AuditRange, out string) error {
	if !filepath.IsAbs(out) {
		out = filepath.Join(s.env.Dir, out)
	}
	f, err := os.CreateTemp(filepath.Dir(out), ".audit-bundle-*")
	if err != nil {
		return unwritable(out, err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	w := bufio.NewWriter(&counter{w: f, each: func(n int64) { s.p.Progress("%.1f MiB", float64(n)/(1<<20)) }})
	if err := c.ExportAudit(ctx, r, w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return unwritable(out, err)
	}
	found, err := s.bundleFindings(f.Name(), "", nil)
	if err == nil {
		err = errors.Join(f.Sync(), os.Rename(f.Name(), out))
	}
	if err != nil {
		return err
	}
	if s.p.Document(map[string]any{"file": out, "findings": found}) {
		return nil
	}
	s.showFindings(found)
	s.p.Say("wrote %s", out)
	s.p.Next("platform audit verify --bundle %s", out)
	return nil
}

func unwritable(path string, err error) error {
	return &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Invalid, Message: path + " cannot be written", Next: "choose another place with --out", Cause: err}
}

// counter tells how much was written.
type counter struct {
	w    io.Writer
	n    int64
	each func(n int64)
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	c.each(c.n)
	return n, err
}

func (s *session) auditVerifyCmd() *cobra.Command {
	var bundle, key string
	var witnesses []string
	cmd := command("verify", "Verify the log of the server, or a bundle without any server", "  platform audit verify\n  platform audit verify --bundle november.bundle --key 'slipway-1a2b3c4d+…'", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			if bundle == "" && (key != "" || len(witnesses) > 0) {
				return misuse("platform audit verify --bundle FILE --key KEY", "keys are compared with those of a bundle")
			}
			found, err := s.findings(ctx, bundle, key, witnesses)
			if err != nil {
				return err
			}
			if !s.p.Document(append([]api.AuditFinding{}, found...)) {
				s.showFindings(found)
			}
			for _, f := range found {
				if f.Verdict == "fail" {
					return unsuccessful{&slipway.Error{Code: slipway.CodeAuditFailed, Kind: slipway.Conflict, Message: "the audit log does not hold what it promises", Next: "platform explain " + slipway.CodeAuditFailed}}
				}
			}
			s.p.Next("platform audit search")
			return nil
		})
	cmd.Long = "Verify the log of the server against its database, its files and its anchors; or, with --bundle,\na file that was exported, without any server. Every event is looked at: that it is in the log that\nwas signed, in its place and unchanged, that none is missing, and that each revision that ran has\nthe event of its release. The exit code is 3 if something is wrong."
	cmd.Flags().StringVar(&bundle, "bundle", "", "a file that platform audit export has written")
	cmd.Flags().StringVar(&key, "key", "", "the public key of the log, as you know it")
	cmd.Flags().StringArrayVar(&witnesses, "witness", nil, "the public key of a witness, as you know it; may be given again")
	return cmd
}

func (s *session) findings(ctx context.Context, bundle, key string, witnesses []string) (found []api.AuditFinding, err error) {
	if bundle != "" {
		if !filepath.IsAbs(bundle) {
			bundle = filepath.Join(s.env.Dir, bundle)
		}
		return s.bundleFindings(bundle, key, witnesses)
	}
	err = s.with(func(c *client.Client) error {
		found, err = c.VerifyAudit(ctx, s.verified)
		return err
	})
	return found, err
}

func (s *session) bundleFindings(path, key string, witnesses []string) ([]api.AuditFinding, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err, "name a file that platform audit export has written")
	}
	defer f.Close()
	found, err := s.env.Audit.Bundle(f, key, witnesses, s.verified)
	s.p.Clear()
	return found, err
}

func (s *session) verified(done, of uint64) {
	if of > 0 {
		s.p.Progress("verified %d of %d events", done, of)
	}
}

func (s *session) showFindings(found []api.AuditFinding) {
	var rows [][]screen.Text
	for _, f := range found {
		message := f.Message
		if f.Seq > 0 && !strings.Contains(message, strconv.FormatInt(f.Seq, 10)) {
			message = fmt.Sprintf("event %d: %s", f.Seq, message)
		}
		rows = append(rows, []screen.Text{screen.Verdict(f.Verdict, f.Verdict), screen.Bold(f.Check), screen.Plain(message)})
		if f.Next != "" {
			rows = append(rows, []screen.Text{screen.Plain(""), screen.Plain(""), screen.Dim(f.Next)})
		}
	}
	s.p.Table(rows)
}

func (s *session) auditRetainCmd() *cobra.Command {
	var before, to string
	cmd := command("retain", "Move the oldest whole parts of the log to another directory of the server", "  platform audit retain --before 400d --to /mnt/archive/audit", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			t, err := s.instant(before)
			if err != nil {
				return err
			}
			if t.IsZero() || to == "" {
				return misuse("platform audit retain --before DATE --to DIRECTORY", "which parts, and where to, is missing")
			}
			return s.with(func(c *client.Client) error {
				done, err := c.RetainAudit(ctx, api.AuditRetain{Before: t, To: to})
				if err != nil || s.p.Document(done) {
					return err
				}
				s.p.Say("the first %d events lie in %s; what stays is proved without them", done.Events, done.To)
				s.p.Next("platform audit verify")
				return nil
			})
		})
	cmd.Long = "Move the oldest whole parts of the log, of 256 events each, to another directory of the server.\nWhat stays is proved and verified without them; they are looked for there when they are needed.\nThe events stay in the database, where they are searched. The act itself is an event."
	cmd.Flags().StringVar(&before, "before", "", "only events older than this: an age such as 400d, or a day such as 2026-01-01")
	cmd.Flags().StringVar(&to, "to", "", "an absolute path on the server's machine")
	return cmd
}
