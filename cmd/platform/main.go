// Command platform is every process of Slipway: the command line, the server, the gateway
// of a machine and the runtimes behind it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/app"
	"github.com/slipway-ml/slipway/internal/app/audit"
	"github.com/slipway-ml/slipway/internal/app/backup"
	"github.com/slipway-ml/slipway/internal/app/dev"
	"github.com/slipway-ml/slipway/internal/app/doctor"
	"github.com/slipway-ml/slipway/internal/app/upgrade"
	"github.com/slipway-ml/slipway/internal/cli"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/demo"
	"github.com/slipway-ml/slipway/internal/mlflowimport"
	"github.com/slipway-ml/slipway/internal/oci"
	"github.com/slipway-ml/slipway/internal/runtime"
)

// version is set by the build.
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
	if len(os.Args) > 1 && os.Args[1] == "runtime" { // many of them: nothing but what they need
		if len(os.Args) == 3 && os.Args[2] == "serve" {
			return runtime.ServeImage(version, os.Getenv, os.Stdout)
		}
		return runtime.Main(os.Args[2:], os.Stderr, nil)
	}
	exe, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.Getwd()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT)
	defer stop()
	width, terminal := screen()
	return cli.Run(ctx, cli.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Dir: dir, Version: version, Now: time.Now,
		Terminal: terminal, Width: width,
		Up: func(ctx context.Context, c config.Config, ready func(cli.Ready), standby func(who string)) error {
			return app.Up(ctx, c, version, exe, func(r app.Ready) { ready(cli.Ready(r)) }, standby)
		},
		Down:  app.Down,
		About: upgrade.Self(version),
		Upgrade: func(ctx context.Context, u cli.Upgrade) (out cli.Upgraded, err error) {
			done, err := upgrade.Run(ctx, upgrade.Options{Home: u.Home, Program: exe, Version: version, To: u.To, Plan: u.Plan, Report: u.Report})
			out = cli.Upgraded{From: done.From, To: done.To, Program: done.Program, PID: done.PID, Previous: done.Previous, Changed: done.Changed, TookMS: done.TookMS}
			out.Database.From, out.Database.To, out.Database.Backup = done.Database.From, done.Database.To, done.Database.Backup
			return out, err
		},
		Prepare: prepare,
		Dev:     func(ctx context.Context, d cli.Dev) error { return serveProject(ctx, exe, d) },
		Examine: func(ctx context.Context, home string, fix bool) []api.Finding {
			return doctor.Machine(ctx, config.Config{Home: home}, fix)
		},
		Demo: func(ctx context.Context, out io.Writer, o cli.DemoOptions) error {
			return demo.Run(ctx, demo.Options{Exe: exe, Out: out, JSON: o.JSON, Keep: o.Keep, Env: os.Environ(), Now: time.Now})
		},
		Push: func(ctx context.Context, p cli.Push) (string, error) {
			return oci.Push(ctx, p.Dir, slipway.Digest(p.Image), p.Model, p.Reference, oci.Remote{PlainHTTP: p.Plain, Progress: p.Progress})
		},
		Import: func(ctx context.Context, to *client.Client, i cli.Import) (api.ImportReport, error) {
			source, err := mlflowimport.NewSource(mlflowimport.SourceConfig{URL: i.URL, Username: i.Username, Password: i.Password, Token: i.Token, CA: i.CA, Agent: i.Agent})
			if err != nil {
				return api.ImportReport{}, err
			}
			return mlflowimport.Run(ctx, source, to, mlflowimport.Options{Team: i.Team, Experiments: i.Experiments, Models: i.Models, NoArtifacts: i.NoArtifacts,
				Full: i.Full, Parallel: i.Parallel, Now: time.Now, Progress: i.Progress})
		},
		BackupKey:   backup.NewKey,
		SealRootKey: backup.SealRootKey,
		Verify: func(ctx context.Context, r cli.Restore) (cli.Restored, error) {
			found, err := backup.Verify(ctx, restore(r))
			return cli.Restored(found), err
		},
		Restore: func(ctx context.Context, r cli.Restore) (cli.Restored, error) {
			found, err := backup.Run(ctx, restore(r))
			return cli.Restored(found), err
		},
		Audit:  cli.Audit{Bundle: audit.VerifyBundle, Proof: audit.VerifyProof},
		Hidden: []*cobra.Command{gatewayCmd(exe), demoServerCmd()},
	}, os.Args[1:])
}

func restore(r cli.Restore) backup.Restore {
	return backup.Restore{Config: r.Config, Target: r.Target, ID: r.ID, Key: r.Key, Passphrase: r.Passphrase, RootPassphrase: r.RootPassphrase, Getenv: os.Getenv, Now: time.Now, Progress: r.Progress}
}

// serveProject runs dev.Run for the command line.
func serveProject(ctx context.Context, exe string, d cli.Dev) error {
	return dev.Run(ctx, dev.Options{File: d.File, Environment: d.Environment, Port: d.Port, Once: d.Once, Watch: d.Watch, Home: d.Home, Exe: exe, Version: version,
		Env: os.Environ(), Out: d.Out, Log: slog.New(slog.NewTextHandler(d.Out, &slog.HandlerOptions{ReplaceAttr: brief})), Event: func(e dev.Event) {
			out := cli.DevEvent{Event: e.Event, Name: e.Name, Runtime: e.Runtime, URL: e.URL, TookMS: e.TookMS, First: e.First, FirstMS: e.FirstMS}
			for _, c := range e.Checks {
				out.Checks = append(out.Checks, api.Result{Check: c.Check, Verdict: c.Verdict.String(), Message: c.Message, Next: c.Next})
			}
			if e.Problem != nil {
				out.Problem, out.Next = e.Problem.What(), e.Problem.Next
			}
			d.Event(out)
		}})
}

// brief leaves out of a record what an engineer who looks on knows.
func brief(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == slog.LevelKey && a.Value.String() == "INFO" {
		return slog.Attr{}
	}
	return a
}

// prepare runs upgrade.Prepare for a build that JSON describes.
func prepare(ctx context.Context, c config.Config, build string) (json.RawMessage, error) {
	var target upgrade.About
	if err := json.Unmarshal([]byte(build), &target); err != nil {
		return nil, err
	}
	done, err := upgrade.Prepare(ctx, c, target)
	if err != nil {
		return nil, err
	}
	return json.Marshal(done)
}

// screen is the width of the terminal, if a person watches both streams.
func screen() (width int, terminal bool) {
	if _, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS); err != nil {
		return 0, false
	}
	w, err := unix.IoctlGetWinsize(int(os.Stdout.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, false
	}
	return int(w.Col), true
}

func gatewayCmd(exe string) *cobra.Command {
	o := app.GatewayOptions{Version: version, Exe: exe}
	cmd := &cobra.Command{Use: "gateway", Short: "Run the gateway process (the server starts it)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := config.Resolve(cmd.Flag("home").Value.String(), os.Getenv)
			if err != nil {
				return err
			}
			o.Config.Home = home
			return app.RunGateway(cmd.Context(), o)
		}}
	flags := cmd.Flags()
	flags.StringVar(&o.Config.Listen, "listen", config.DefaultListen, "host:port")
	flags.StringVar(&o.Config.TLSCert, "tls-cert", "", "PEM file with the certificate")
	flags.StringVar(&o.Config.TLSKey, "tls-key", "", "PEM file with its key")
	flags.StringVar(&o.Config.AllowExternal, "allow-external", "", "networks that are open although they are closed")
	flags.IntVar(&o.ListenFD, "listen-fd", 0, "an inherited listening socket")
	flags.BoolVar(&o.Take, "take", false, "take over from the gateway that serves this home")
	return cmd
}

func demoServerCmd() *cobra.Command {
	var socket string
	cmd := &cobra.Command{Use: "demo-server", Short: "Serve the model in the working directory, and fail on large amounts", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return demo.Serve(cmd.Context(), socket, ".") }}
	cmd.Flags().StringVar(&socket, "socket", "", "the Unix socket to listen on")
	return cmd
}
