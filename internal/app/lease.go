package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// The pace of the lease. A server that is not heard of for leaseTTL is followed by another.
const (
	leaseTTL   = 5 * time.Second
	leasePause = time.Second // between two signs of life, and two looks of a standby
)

// lead makes this process the one server of the installation: by the lock on its home, and
// with PostgreSQL by the lease before that, for which it waits.
func (a *App) lead(ctx context.Context) (err error) {
	c := a.o.Config
	if c.PostgreSQL == "" {
		a.lock, err = lockHome(c.Lock())
		return err
	}
	if a.db, err = sqlstore.Open(ctx, sqlstore.Options{URL: c.PostgreSQL, Plain: c.PostgreSQLUnverified, Now: time.Now, Log: a.o.Log}); err != nil {
		return err
	}
	bound, err := a.db.Claim(ctx, c.Home)
	if err != nil {
		return err
	}
	if bound != c.Home { // the records name files of that home
		return slipway.Errorf(slipway.Conflict, slipway.CodeDatabase, "start with --home "+bound+", or give another database",
			"the database belongs to the home directory %s", bound)
	}
	if err := a.awaitLease(ctx); err != nil {
		return err
	}
	a.lock, err = replaceLock(c.Lock())
	return err
}

// replaceLock takes the lock of a home from a predecessor that may still have it: one that
// is paused does not let go. The lease has decided, and the lock tells others who leads.
func replaceLock(path string) (*os.File, error) {
	young := path + ".new"
	if err := os.Remove(young); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, homeError(err)
	}
	f, err := lockHome(young)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(young, path); err != nil {
		f.Close()
		return nil, homeError(err)
	}
	return f, nil
}

// awaitLease stands by until the lease is ours.
func (a *App) awaitLease(ctx context.Context) error {
	told, dead := "", ""
	for {
		by, err := a.db.Acquire(ctx, a.holder(), dead, leaseTTL)
		if err == nil && by != "" && by != dead && a.died(by) {
			dead = by
			continue
		}
		switch {
		case err == nil && by == "":
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			a.o.Log.Warn("the lease cannot be asked for", "error", err.Error())
		case by != told:
			told = by
			a.o.Log.Info("standing by", "leader", by)
			a.o.Standby(by)
		}
		if err := pause(ctx, leasePause); err != nil {
			return err
		}
	}
}

// died tells whether a holder was a process of this machine and is dead: the kernel has let
// go of its lock on the home. One that is paused has it still.
func (a *App) died(holder string) bool {
	if !strings.HasPrefix(holder, host()+", process ") {
		return false
	}
	f, err := os.Open(a.o.Config.Lock())
	if err != nil {
		return false
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil
}

func host() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown host"
	}
	return name
}

// holder names this process among all that may use the database.
func (a *App) holder() string {
	return fmt.Sprintf("%s, process %d of %s, started %s", host(), os.Getpid(), a.o.Config.Home, a.started.UTC().Format(time.RFC3339Nano))
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// keepLease gives signs of life until ctx ends or another server has taken over. While the
// database does not answer nobody can take over, and nothing can be written either.
func (a *App) keepLease(ctx context.Context) {
	for pause(ctx, leasePause) == nil {
		err := a.db.Renew(ctx, leaseTTL)
		switch {
		case errors.Is(err, &slipway.Error{Code: slipway.CodeNotLeader}):
			a.o.Log.Warn("another server has taken over")
			close(a.lost)
			return
		case err != nil && ctx.Err() == nil:
			a.o.Log.Warn("the lease cannot be renewed", "error", err.Error())
		}
	}
}

// release lets the next server lead at once.
func (a *App) release() error {
	ctx, cancel := context.WithTimeout(context.Background(), leasePause)
	defer cancel()
	if err := a.db.Release(ctx); err != nil {
		a.o.Log.Warn("the lease was not released", "error", err.Error()) // it ends by itself
	}
	return nil
}
