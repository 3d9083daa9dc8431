package pyenv

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/runtime/child"
)

// run is one build by uv.
type run struct {
	uv   string
	env  []string
	held *os.File // the lock; whatever uv starts holds it too
	out  *bounded
}

// build makes an environment: the interpreter, the versions that go together, and their
// wheels. Nothing is compiled, for that would run what a package wants to run.
func (u *run) build(ctx context.Context, r Requirements, dir string) error {
	venv := []string{"venv", "--no-project", "--no-config"}
	if r.Python != "" {
		venv = append(venv, "--python", r.Python)
	}
	if err := u.step(ctx, append(venv, dir)...); err != nil {
		return err
	}
	constraints, lock, python := filepath.Join(dir, constraintsFile), filepath.Join(dir, lockFile), filepath.Join(dir, "bin", "python")
	in := filepath.Join(dir, inputFile)
	if err := errors.Join(os.WriteFile(in, []byte(input(r.Lines)), 0o600), os.WriteFile(constraints, []byte(input(r.Constraints)), 0o600)); err != nil {
		return err
	}
	if err := u.step(ctx, "pip", "compile", "--generate-hashes", "--no-header", "--no-annotate", "--only-binary", ":all:", "--quiet",
		"--python", python, "--constraints", constraints, "--output-file", lock, in); err != nil {
		return err
	}
	text, err := os.ReadFile(lock)
	if err != nil {
		return err
	}
	pinned, err := r.pin(string(text))
	if err != nil {
		return err
	}
	if err := os.WriteFile(lock, []byte(pinned), 0o600); err != nil {
		return err
	}
	return u.install(ctx, python, lock)
}

// installTries bounds how often the wheels of a lock are asked for. The lock says that they
// are there; but an index of several mirrors may answer from one that has not got them yet.
const installTries = 3

func (u *run) install(ctx context.Context, python, lock string) (err error) {
	for range installTries {
		err = u.step(ctx, "pip", "sync", "--require-hashes", "--only-binary", ":all:", "--allow-empty-requirements", "--python", python, lock)
		if err == nil || ctx.Err() != nil || diskFull(err) {
			break
		}
	}
	return err
}

// uvError is what uv said before it failed.
type uvError struct {
	step string
	said string
	err  error
}

func (e *uvError) Error() string { return e.err.Error() }

// step runs the program and all that it starts, until ctx ends or this process does. The
// kernel then kills uv, but not what uv has started: that keeps the lock until it ends, so
// that a successor does not meet one that still writes.
func (u *run) step(ctx context.Context, args ...string) error {
	cmd := exec.Command(u.uv, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = u.env, u.out, u.out, []*os.File{u.held}
	u.out.tail = nil
	p, err := child.Start(cmd)
	if err != nil {
		return slipway.Errorf(slipway.Unprocessable, slipway.CodeBuilder, "install it again: pip install uv", "%s cannot be started", u.uv)
	}
	stop := context.AfterFunc(ctx, p.Kill)
	<-p.Ended
	stop()
	if state := p.State(); state != "exit status 0" {
		return &uvError{args[0], string(u.out.tail), errors.New(args[0] + ": " + state)}
	}
	return nil
}

// Bounds of what a build may say.
const (
	maxOutput = 1 << 20
	maxTail   = 64 << 10
)

// bounded passes on the beginning of a build's output, and remembers the end of the last
// step, where its error is.
type bounded struct {
	out  io.Writer
	left int
	tail []byte
}

func newBounded(out io.Writer) *bounded { return &bounded{out: out, left: maxOutput} }

// Write never fails, for that would stop the build.
func (b *bounded) Write(p []byte) (int, error) {
	b.tail = append(b.tail, p...)
	if over := len(b.tail) - maxTail; over > 0 {
		b.tail = bytes.Clone(b.tail[over:])
	}
	if b.left > 0 {
		n := min(len(p), b.left)
		b.left -= n
		_, _ = b.out.Write(p[:n])
		if b.left == 0 {
			_, _ = io.WriteString(b.out, "\n… the rest is not shown\n")
		}
	}
	return len(p), nil
}
