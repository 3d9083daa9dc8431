package cli

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/cli/screen"
	"github.com/slipway-ml/slipway/internal/config"
)

func (s *session) upCmd() *cobra.Command {
	var c config.Config
	var file, phrase, prepare string
	cmd := command("up", "Start the platform on this machine", "  platform up\n  platform up --listen 127.0.0.1:9000\n  platform up --database postgres://slipway@db.example.com/slipway", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return s.up(ctx, c, upFiles{file, phrase, prepare}) })
	cmd.Long = "Start the platform on this machine. Ctrl-C stops it and all models. A server that was\nkilled is started again with the same command, and models serve on in between.\n\nState is kept in the home directory, or in PostgreSQL: then a second server of the same home\nstands by, and goes on within seconds when the first one ends."
	cmd.Flags().StringVar(&c.PostgreSQL, "database", "", "a PostgreSQL database, postgres://USER@HOST/DATABASE (default $SLIPWAY_DATABASE, else SQLite)")
	cmd.Flags().StringVar(&c.PythonBase, "python-base", "", "the container image that those of Python models build on, registry.example.com/python:3.11-slim@sha256:…")
	cmd.Flags().StringVar(&file, "database-file", "", "a file with the address of the database, which may hold the password")
	cmd.Flags().BoolVar(&c.PostgreSQLUnverified, "database-unverified", false, "allow a database beyond this machine whose certificate is not checked")
	cmd.Flags().StringVar(&c.Listen, "listen", config.DefaultListen, "host:port to listen on; port 0 picks a free one")
	cmd.Flags().StringVar(&c.TLSCert, "tls-cert", "", "PEM file with the certificate; needed beyond this machine")
	cmd.Flags().StringVar(&c.TLSKey, "tls-key", "", "PEM file with its key")
	cmd.Flags().StringVar(&c.AllowExternal, "allow-external", "", "networks where models that run elsewhere may be, although they are closed: loopback, link-local")
	cmd.Flags().StringVar(&c.WebhookNetworks, "webhook-networks", "", "networks where receivers of webhooks may be, although they are private")
	signInFlags(cmd, &c)
	keyFlags(cmd, &c, &phrase)
	cmd.Flags().BoolVar(&c.TLSOwn, "tls-self-signed", false, "make the certificate by an authority of its own, for development")
	cmd.Flags().StringVar(&c.Backup.To, "backup-to", "", "where backups go: a directory, or s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION")
	cmd.Flags().DurationVar(&c.Backup.Every, "backup-every", 0, "how often one is made by itself, 24h (default only when asked)")
	cmd.Flags().IntVar(&c.Backup.Keep, "backup-keep", 0, "how many are kept there (default all)")
	cmd.Flags().StringVar(&c.Artifacts, "artifacts", "", "the bucket that artifacts and model files are kept in, encrypted, and which backups do not copy:\ns3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION (default the home)")
	cmd.Flags().StringVar(&c.AuditKey, "audit-key", "", "a file with the key that signs the audit log, made if it is not there (default audit/audit.key in the home)")
	cmd.Flags().StringArrayVar(&c.AuditAnchors, "audit-anchor", nil, "where checkpoints of the audit log are kept by somebody else: s3://BUCKET/PREFIX?endpoint=…, git+URL or witness+URL?token-file=…; may be given again")
	cmd.Flags().StringVar(&prepare, "prepare", "", "instead, make the database fit for the build that this JSON describes")
	_ = cmd.Flags().MarkHidden("prepare") // upgrade gives it
	return cmd
}

// upFiles are the flags of up that name something to be read.
type upFiles struct{ database, passphrase, prepare string }

func (s *session) up(ctx context.Context, c config.Config, f upFiles) error {
	home, err := s.homeDir()
	if err != nil {
		return err
	}
	c.Home = home.Home
	if c.PostgreSQL, err = s.database(c.PostgreSQL, f.database); err != nil {
		return err
	}
	if err := s.keyService(&c, f.passphrase); err != nil {
		return err
	}
	if c.TLSOwn {
		if c.TLSCert != "" || c.TLSKey != "" {
			return misuse("platform up --tls-cert FILE --tls-key FILE", "--tls-self-signed makes the certificate: give no other")
		}
		c.TLSCert, c.TLSKey = filepath.Join(c.TLS(), "cert.pem"), filepath.Join(c.TLS(), "key.pem")
	}
	if c.Backup.To != "" {
		c.Backup.To = absolute(s.env.Dir, c.Backup.To)
	}
	if err := c.Check(); err != nil {
		return err
	}
	if f.prepare != "" {
		done, err := s.env.Prepare(ctx, c, f.prepare)
		if err == nil {
			s.p.Document(done)
		}
		return err
	}
	err = s.env.Up(ctx, c, s.ready, func(who string) {
		if !s.p.Line(map[string]string{"standby": who}) {
			s.p.Note("standing by: %s leads", who)
		}
	})
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		s.p.Note("stopped")
		s.p.Next("platform up")
		return nil
	}
	return err
}

// database is the address of PostgreSQL, empty for SQLite. A password on the command line
// would be seen by everybody on the machine.
func (s *session) database(flag, file string) (string, error) {
	address := flag
	switch {
	case flag != "" && file != "":
		return "", misuse("platform up --database-file FILE", "give --database or --database-file, not both")
	case file != "":
		text, err := small(file)
		if err != nil {
			return "", unreadable(file, err, "name a file with one line, postgres://USER:PASSWORD@HOST/DATABASE")
		}
		address = text
	case flag == "":
		address = s.env.Getenv("SLIPWAY_DATABASE")
	default:
		if u, err := url.Parse(flag); err == nil && u.User != nil {
			if _, given := u.User.Password(); given {
				return "", slipway.Errorf(slipway.Invalid, slipway.CodeDatabase, "put the address into a file and give --database-file FILE, or use PGPASSWORD or ~/.pgpass",
					"a password on the command line can be read by everybody on this machine")
			}
		}
	}
	if address != "" && !strings.HasPrefix(address, "postgres://") && !strings.HasPrefix(address, "postgresql://") {
		return "", slipway.Errorf(slipway.Invalid, slipway.CodeDatabase, "write postgres://USER@HOST:5432/DATABASE", "this is no address of a PostgreSQL database")
	}
	return address, nil
}

func (s *session) ready(r Ready) {
	if s.p.Line(r) {
		return
	}
	verb := "started"
	if r.Adopted {
		verb = "took over what was serving"
	}
	s.p.Say("%s  %s", screen.Bold(r.URL), screen.Dim(verb+" in "+r.Took.Round(time.Millisecond).String()))
	rows := [][]screen.Text{{screen.Dim("  token"), screen.Plain(r.TokenFile)}, {screen.Dim("  home"), screen.Plain(r.Home)}}
	if r.CA != "" {
		rows = append(rows, []screen.Text{screen.Dim("  ca"), screen.Plain(r.CA + ", which clients elsewhere need: SLIPWAY_CA")})
	}
	s.p.Table(rows)
	s.p.Note("Ctrl-C stops the platform and all models. In another terminal:")
	s.p.Next("platform init fraud")
}

func (s *session) downCmd() *cobra.Command {
	return command("down", "Stop the platform and all models", "  platform down", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		c, err := s.homeDir()
		if err != nil {
			return err
		}
		if err := s.env.Down(ctx, c.Home, func(line string) { s.p.Note("%s", line) }); err != nil {
			return err
		}
		if !s.p.Document(map[string]any{"home": c.Home, "stopped": true}) {
			s.p.Say("stopped")
		}
		s.p.Next("platform up")
		return nil
	})
}

func (s *session) demoCmd() *cobra.Command {
	var keep bool
	cmd := command("demo", "Watch a broken model being caught and rolled back", "  platform demo\n  platform demo --keep", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			err := s.env.Demo(ctx, s.env.Stdout, DemoOptions{JSON: s.p.JSON, Keep: keep})
			if err == nil {
				s.p.Next("platform up")
			}
			return err
		})
	cmd.Flags().BoolVar(&keep, "keep", false, "leave everything running in the end")
	return cmd
}

func (s *session) versionCmd() *cobra.Command {
	return command("version", "Print the version", "  platform version --json", cobra.NoArgs, func(context.Context, []string) error {
		if !s.p.Document(s.env.About) {
			s.p.Say("platform %s", s.env.Version)
		}
		s.p.Next("platform up")
		return nil
	})
}

// needsReason refuses a flag that is recorded without saying why.
func needsReason(given bool, flag, reason string) error {
	if given && reason == "" {
		return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "add --reason WHY", "%s needs a reason; it is recorded", flag)
	}
	return nil
}
