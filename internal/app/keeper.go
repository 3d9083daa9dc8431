package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/gateway"
	"github.com/slipway-ml/slipway/internal/gateway/handover"
	"github.com/slipway-ml/slipway/internal/process"
)

// keeper sees to it that a gateway serves. It holds a duplicate of the listening socket,
// so that clients wait instead of being refused while a gateway that died is replaced.
type keeper struct {
	o       Options
	runDir  string
	admin   *gateway.AdminClient
	spawned func()   // is told when a new gateway answers
	spare   *os.File // the listening socket
	adopted bool

	mu     sync.Mutex
	child  *exec.Cmd // nil for a gateway that another server started
	exited chan struct{}
	ending bool
}

const (
	gatewayStart = 10 * time.Second // until a new gateway answers
	gatewayPoll  = 10 * time.Millisecond
	gatewayWatch = 500 * time.Millisecond
)

// ensure finds the gateway of this home or starts one. One of another build is replaced
// by a hand-over: no request is lost.
func (k *keeper) ensure(ctx context.Context) error {
	spare, err := handover.Duplicate(socketPath(k.runDir, handoverSocket))
	if err == nil {
		k.spare, k.adopted = spare, true
		if err := k.sameAddress(); err != nil {
			return err
		}
		if old, err := os.ReadFile(buildFile(k.o.Config)); err == nil && string(old) == build(k.o.Version, k.o.Config) {
			return k.answers(ctx, nil)
		}
		k.o.Log.Info("replacing the gateway of another build")
		return k.spawn(ctx, "--take")
	}
	ln, err := net.Listen("tcp", k.o.Config.Listen)
	if err != nil {
		return listenError(k.o.Config.Listen, err)
	}
	defer ln.Close() // the duplicate stays
	if k.spare, err = ln.(*net.TCPListener).File(); err != nil {
		return homeError(err)
	}
	return k.spawn(ctx, "--listen-fd=3")
}

// sameAddress refuses to run on an address that clients of this home do not know.
func (k *keeper) sameAddress() error {
	want := k.o.Config.Listen
	if strings.HasSuffix(want, ":0") {
		return nil
	}
	addr, err := net.ResolveTCPAddr("tcp", want)
	if err == nil && addr.String() == k.address().String() {
		return nil
	}
	return slipway.Errorf(slipway.Conflict, slipway.CodeListen, "platform down, then up again; or: platform up --listen "+k.address().String(),
		"the gateway of this home serves on %s, not on %s", k.address(), want)
}

func (k *keeper) address() net.Addr {
	ln, err := net.FileListener(k.spare)
	if err != nil {
		return &net.TCPAddr{}
	}
	defer ln.Close()
	return ln.Addr()
}

func (k *keeper) url() string {
	scheme := "http"
	if k.o.Config.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + k.address().String()
}

// spawn starts a gateway in a session of its own, so that it outlives this server, and
// waits until it answers.
func (k *keeper) spawn(ctx context.Context, how string) error {
	c := k.o.Config
	args := []string{"gateway", "--home", c.Home, "--listen", c.Listen, how}
	if c.TLSCert != "" {
		args = append(args, "--tls-cert", c.TLSCert, "--tls-key", c.TLSKey)
	}
	if c.AllowExternal != "" {
		args = append(args, "--allow-external", c.AllowExternal)
	}
	early, err := os.OpenFile(filepath.Join(c.Logs(), "gateway.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return homeError(err)
	}
	defer early.Close()
	cmd := exec.Command(k.o.Exe, args...)
	cmd.Env = replicaEnv(os.Environ()) // it needs no database, nor its password
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = early, early, []*os.File{k.spare}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	exited := make(chan struct{})
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ending {
		return nil
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the gateway: %w", err)
	}
	go func() { _ = cmd.Wait(); close(exited) }()
	k.child, k.exited = cmd, exited
	err = k.answers(ctx, exited)
	k.spawned()
	return err
}

// answers waits until the gateway of this build answers.
func (k *keeper) answers(ctx context.Context, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, gatewayStart)
	defer cancel()
	for {
		b, _ := os.ReadFile(buildFile(k.o.Config)) // written by the new one before it serves
		if _, err := k.admin.Observe(ctx); err == nil && string(b) == build(k.o.Version, k.o.Config) {
			return nil
		}
		select {
		case <-time.After(gatewayPoll):
		case <-exited:
			return k.notServing("it ended as soon as it was started")
		case <-ctx.Done():
			return k.notServing("it does not answer")
		}
	}
}

func (k *keeper) notServing(why string) error {
	return slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, "read "+filepath.Join(k.o.Config.Logs(), "gateway.log"), "the gateway does not serve: %s", why)
}

// watch replaces a gateway that ended, at once the first time and then ever slower.
func (k *keeper) watch(ctx context.Context) {
	for failures := 0; ; {
		k.mu.Lock()
		exited := k.exited
		k.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-exited: // never, for a gateway that is not our child
		case <-time.After(gatewayWatch):
		}
		if k.alive() {
			failures = 0
			continue
		}
		if failures > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(process.Backoff(failures - 1)):
			}
		}
		failures++
		k.o.Log.Warn("the gateway ended; starting it again", "failures", failures)
		if err := k.spawn(ctx, "--listen-fd=3"); err != nil && ctx.Err() == nil {
			k.o.Log.Error("the gateway was not started again", "error", err.Error())
		}
	}
}

// alive asks the kernel whether somebody listens; a gateway that is busy is not dead.
func (k *keeper) alive() bool {
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(context.Background(), "unix", socketPath(k.runDir, adminSocket))
	if err != nil {
		return !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, os.ErrNotExist)
	}
	c.Close()
	return true
}

// stop ends the gateway and its replicas.
func (k *keeper) stop(ctx context.Context) error {
	k.mu.Lock()
	k.ending = true
	exited := k.exited
	k.mu.Unlock()
	err := k.admin.Stop(ctx, true)
	if err != nil && !k.alive() {
		err = nil
	}
	if exited != nil && err == nil {
		select {
		case <-exited:
		case <-ctx.Done():
		}
	}
	if k.spare != nil {
		err = errors.Join(err, k.spare.Close())
	}
	return err
}
