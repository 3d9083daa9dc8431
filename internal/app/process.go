package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/gateway"
	"github.com/slipway-ml/slipway/internal/runtime/logfile"
)

const stopLimit = 30 * time.Second

// Up runs a server until ctx ends, which stops everything, or until SIGTERM, which stops
// the control plane alone: models serve on, and the next server takes them over. Standby is
// told who leads while this one waits.
func Up(ctx context.Context, c config.Config, version, exe string, ready func(Ready), standby func(who string)) error {
	if err := c.Check(); err != nil {
		return err
	}
	if err := os.MkdirAll(c.Logs(), 0o700); err != nil {
		return homeError(err)
	}
	out, err := logfile.Open(filepath.Join(c.Logs(), "server.log"), nil)
	if err != nil {
		return homeError(err)
	}
	defer out.Close()
	log := slog.New(slog.NewJSONHandler(out, nil)).With("process", "server", "pid", os.Getpid())
	staying, leave := signal.NotifyContext(ctx, unix.SIGTERM)
	defer leave()
	for {
		again, err := lead(ctx, staying, Options{Config: c, Version: version, Exe: exe, Log: log, Standby: standby}, ready)
		if !again {
			return err
		}
	}
}

// lead is a server's time as the leader, and before that as the standby. It answers whether
// it shall stand by again, since another server has taken over.
func lead(ctx, staying context.Context, o Options, ready func(Ready)) (again bool, err error) {
	a, err := New(staying, o)
	if staying.Err() != nil && a == nil { // told to go while it stood by
		return false, nil
	}
	if err != nil {
		return false, err
	}
	r, err := a.Start(ctx)
	if err != nil {
		return false, errors.Join(err, a.Stop(context.WithoutCancel(ctx), false))
	}
	o.Log.Info("serving", "url", r.URL, "adopted", r.Adopted, "took", r.Took.String())
	ready(r)
	select {
	case <-staying.Done():
	case <-a.lost:
		again = true
	}
	everything := ctx.Err() != nil
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	err = a.Stop(end, everything)
	o.Log.Info("stopped", "everything", everything, "standby", again, "error", err)
	return again, err
}

// Down stops the server of a home, and with it the gateway and all replicas; if there is no
// server any more, it stops those alone.
func Down(ctx context.Context, home string, report func(string)) error {
	c := config.Config{Home: home}
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	pid, running := ServerOf(c)
	if running {
		report("stopping the server, process " + strconv.Itoa(pid))
		if err := unix.Kill(pid, unix.SIGINT); err != nil {
			return fmt.Errorf("stop the server: %w", err)
		}
		for running {
			select {
			case <-ctx.Done():
				return slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, "see "+filepath.Join(c.Logs(), "server.log"), "the server does not stop")
			case <-time.After(20 * time.Millisecond):
			}
			_, running = ServerOf(c)
		}
	}
	runDir, err := c.RunDir()
	if err != nil {
		return homeError(err)
	}
	admin := gateway.NewAdminClient(socketPath(runDir, adminSocket))
	if _, err := admin.Observe(ctx); err != nil {
		if pid == 0 && !running {
			return nothingRuns(home)
		}
		return nil // the server stopped it
	}
	report("stopping the gateway and all models")
	return admin.Stop(ctx, true)
}

func nothingRuns(home string) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNoServer, "platform up", "nothing runs in %s", home)
}

// ServerOf finds the server of a home by the lock that it holds.
func ServerOf(c config.Config) (pid int, running bool) {
	f, err := os.Open(c.Lock())
	if err != nil {
		return 0, false
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil {
		return 0, false // nobody holds it
	}
	b, err := os.ReadFile(c.Lock())
	if err != nil {
		return 0, false
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
	return pid, err == nil && pid > 1
}
