package upgrade

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/app"
	"github.com/slipway-ml/slipway/internal/config"
)

const (
	stopLimit  = 40 * time.Second
	startLimit = 60 * time.Second
	startPoll  = 20 * time.Millisecond
)

// Options say what is upgraded, and by what.
type Options struct {
	Home    string
	Program string       // this program's own file
	Version string       // and version
	To      string       // the program that shall serve; empty: this one
	Plan    bool         // only say what would be done
	Report  func(string) // is told each step
}

// Result is what an upgrade did.
type Result struct {
	From     string   `json:"from"` // versions
	To       string   `json:"to"`
	Program  string   `json:"program"` // that serves now
	PID      int      `json:"pid,omitempty"`
	Previous string   `json:"previous,omitempty"` // a copy of the program that served before
	Database Prepared `json:"database"`
	Changed  bool     `json:"changed"`
	TookMS   int64    `json:"took_ms"` // that no server answered; models served on
}

// Run replaces the server of a home by another build. Only the control plane pauses: the
// gateway and the models serve on, and the new server takes them over. If the new server
// does not come up, the one before is started again, and the error says why.
func Run(ctx context.Context, o Options) (Result, error) {
	c := config.Config{Home: o.Home}
	pid, running := app.ServerOf(c)
	if !running {
		return Result{}, slipway.Errorf(slipway.NotFound, slipway.CodeNoServer, "platform up", "no server runs in %s; one that is started brings it up to date by itself", o.Home)
	}
	if o.To == "" {
		o.To = o.Program
	}
	program, err := filepath.Abs(o.To)
	if err != nil {
		return Result{}, err
	}
	target, err := ask(ctx, program)
	if err != nil {
		return Result{}, err
	}
	u := &upgrade{o: o, c: c, target: target, program: program}
	if u.old, err = describe(pid); err != nil {
		return Result{}, err
	}
	if unit := u.old.unit(); unit != "" {
		return Result{}, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "replace the program that "+unit+" names, then: systemctl restart "+unit,
			"the server is kept running by systemd, as %s", unit)
	}
	u.from, err = u.info(ctx, askLimit)
	if err != nil {
		return Result{}, err
	}
	u.result = Result{From: u.from.Version, To: target.Version, Program: program, PID: pid}
	if same(pid, program) {
		return u.result, nil
	}
	u.result.Changed = true
	if o.Plan {
		return u.result, nil
	}
	return u.run(ctx)
}

// same says whether a process runs this very file.
func same(pid int, program string) bool {
	a, err := os.Stat(proc(pid, "exe"))
	b, err2 := os.Stat(program)
	return err == nil && err2 == nil && os.SameFile(a, b)
}

// upgrade is one of them under way.
type upgrade struct {
	o       Options
	c       config.Config
	old     server
	from    api.Info
	target  About
	program string
	result  Result
}

func (u *upgrade) run(ctx context.Context) (Result, error) {
	var err error
	if u.result.Previous, err = u.old.keep(u.c, u.from.Version); err != nil {
		return u.result, fmt.Errorf("keep a copy of the program that serves: %w", err)
	}
	u.o.Report("stopping the server " + u.from.Version + ", process " + fmt.Sprint(u.old.pid) + "; models serve on")
	// From here on an interruption would leave nobody in charge: it is carried through, also
	// when nobody reads any more what is reported.
	ctx = context.WithoutCancel(ctx)
	signal.Ignore(unix.SIGPIPE, unix.SIGHUP, unix.SIGTERM)
	began := time.Now()
	if err := u.old.stop(ctx, stopLimit); err != nil {
		return u.result, err
	}
	if u.result.Database, err = u.prepare(ctx); err != nil {
		return u.result, u.back(ctx, err)
	}
	if p := u.result.Database; p.From != p.To {
		u.o.Report(fmt.Sprintf("took the database back from schema %d to %d", p.From, p.To))
	}
	u.o.Report("starting " + u.target.Version)
	if u.result.PID, err = u.start(ctx, u.program); err != nil {
		return u.result, u.back(ctx, err)
	}
	u.result.TookMS = time.Since(began).Milliseconds()
	return u.result, nil
}

// back starts the server that was there before, and gives why.
func (u *upgrade) back(ctx context.Context, cause error) error {
	u.o.Report("going back to " + u.from.Version)
	if _, err := u.start(ctx, u.result.Previous); err != nil {
		return slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, u.result.Previous+" up --home "+u.c.Home,
			"%s, and %s did not come back either: %s; models serve on", cause.Error(), u.from.Version, err.Error())
	}
	e := slipway.AsError(cause)
	return &slipway.Error{Code: e.Code, Kind: e.Kind, Field: e.Field, Message: e.Message + "; " + u.from.Version + " serves again", Next: e.Next, Cause: e.Cause}
}

// prepare runs Prepare with the settings of the server that was stopped, which its
// arguments and its environment have.
func (u *upgrade) prepare(ctx context.Context) (p Prepared, err error) {
	about, err := json.Marshal(u.target)
	if err != nil {
		return p, err
	}
	cmd := exec.CommandContext(ctx, u.o.Program, append(u.old.args, "--json", "--prepare", string(about))...)
	cmd.Env, cmd.Dir = u.old.env, u.old.dir
	var out, failed limited
	cmd.Stdout, cmd.Stderr = &out, &failed
	if err := cmd.Run(); err != nil {
		var said api.Problem
		if json.Unmarshal(failed.Bytes(), &said) == nil && said.Code != "" {
			return p, slipway.Errorf(slipway.Conflict, said.Code, said.Next, "%s", said.Detail)
		}
		return p, fmt.Errorf("prepare the database: %w: %s", err, slipway.OneLine(failed.String(), 500))
	}
	return p, json.Unmarshal(out.Bytes(), &p)
}

// start starts a program as the server, and waits until it answers.
func (u *upgrade) start(ctx context.Context, program string) (int, error) {
	pid, ended, err := u.old.start(u.c, program)
	if err != nil {
		return 0, slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, "check that it is executable", "%s cannot be started: %s", program, err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		if i, err := u.info(ctx, time.Second); err == nil && i.PID == pid {
			return pid, nil
		}
		select {
		case <-ended:
			return 0, u.failed("ended as soon as it was started")
		case <-ctx.Done():
			s := server{pid: pid}
			return 0, errors.Join(u.failed("does not answer"), s.stop(context.WithoutCancel(ctx), stopLimit))
		case <-time.After(startPoll):
		}
	}
}

func (u *upgrade) failed(how string) error {
	b, _ := os.ReadFile(filepath.Join(u.c.Logs(), "up.log"))
	return &slipway.Error{Code: slipway.CodeUnavailable, Kind: slipway.Unavailable, Next: "see " + u.c.Logs(),
		Message: u.target.Version + " " + how + ": " + slipway.OneLine(string(b), 300)}
}

// info asks the server of the home what it is.
func (u *upgrade) info(ctx context.Context, limit time.Duration) (api.Info, error) {
	dir, err := u.c.RunDir()
	if err != nil {
		return api.Info{}, err
	}
	token, err := os.ReadFile(u.c.OwnerToken())
	if err != nil {
		return api.Info{}, slipway.Errorf(slipway.Unauthorized, slipway.CodeNotLoggedIn, "run upgrade as the user that runs the server", "the owner's token cannot be read")
	}
	socket := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, app.ServerSocket))
	}}
	s, err := client.New(client.Config{BaseURL: "http://localhost", Token: string(bytes.TrimSpace(token)), HTTPClient: &http.Client{Transport: socket}})
	if err != nil {
		return api.Info{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return s.Info(ctx)
}
