package pyenv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/runtime/child"
)

// Options are what a Builder is made of.
type Options struct {
	Dir   string        // of the environments, made with mode 0700
	UV    string        // the program; empty: there is none
	Env   []string      // this process's environment, of which uv sees a part
	Limit time.Duration // of one build
}

// Builder builds environments and keeps them. It is safe for concurrent use, by several
// processes too.
type Builder struct {
	o   Options
	env []string
}

// Env is a finished environment.
type Env struct {
	Digest slipway.Digest // of the requirements
	Dir    string
	Python string // the interpreter
	Lock   []byte // every package with its version and hashes
	Cached bool   // it was there already
	Took   time.Duration
}

// The files of an environment that are ours. The marker is written last: without it the
// rest is half-made.
const (
	markerFile = "slipway.json"
	lockFile   = "requirements.lock"
	inputFile  = "requirements.in"
)

// New makes the directory.
func New(o Options) (*Builder, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, ioError(err)
	}
	return &Builder{o: o, env: uvEnv(o.Env)}, nil
}

// platform is what wheels are chosen by, besides Python.
func platform() string { return runtime.GOOS + "-" + runtime.GOARCH }

// Build gives the environment of the requirements, and builds it if it is not there; out
// gets what the builder says. One process builds an environment at a time, others wait. It
// answers Unprocessable with CodeEnvironment, and the line as the field, for requirements
// that cannot be met; CodeBuilder when uv or the Python is missing; CodeDiskFull.
func (b *Builder) Build(ctx context.Context, r Requirements, out io.Writer) (Env, error) {
	started := time.Now()
	digest := r.Digest(platform())
	if env, err := b.Open(digest); err == nil {
		return env, nil
	}
	if b.o.UV == "" {
		return Env{}, slipway.Errorf(slipway.Unprocessable, slipway.CodeBuilder, "install uv where the server finds it: pip install uv",
			"the model runs in Python, and uv, which builds its environment, is not on the server's PATH")
	}
	ctx, cancel := context.WithTimeout(ctx, b.o.Limit)
	defer cancel()
	held, err := hold(ctx, b.path(digest)+".flock")
	if err != nil {
		return Env{}, err
	}
	defer held.Close()
	if env, err := b.Open(digest); err == nil { // built by whom we waited for
		return env, nil
	}
	dir := b.path(digest)
	if err := os.RemoveAll(dir); err != nil { // what a crash left
		return Env{}, ioError(err)
	}
	err = b.make(ctx, r, dir, newBounded(out))
	if err == nil {
		err = finish(dir, r)
	}
	if err != nil {
		if e := os.RemoveAll(dir); e != nil {
			fmt.Fprintln(out, "the half-made environment stays:", e)
		}
		return Env{}, b.failure(ctx, r, err)
	}
	env, err := b.Open(digest)
	env.Cached, env.Took = false, time.Since(started)
	return env, err
}

// Open finds an environment that was built. It answers NotFound without one.
func (b *Builder) Open(digest slipway.Digest) (Env, error) {
	dir := b.path(digest)
	lock, err := os.ReadFile(filepath.Join(dir, lockFile))
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, markerFile))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Env{}, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "deploy the model again", "the environment %s is not there", digest.Short())
	}
	if err != nil {
		return Env{}, ioError(err)
	}
	return Env{Digest: digest, Dir: dir, Python: filepath.Join(dir, "bin", "python"), Lock: lock, Cached: true}, nil
}

func (b *Builder) path(digest slipway.Digest) string { return filepath.Join(b.o.Dir, digest.Hex()) }

// make builds an environment: the interpreter, the versions that go together, and their
// wheels. Nothing is compiled, for that would run what a package wants to run.
func (b *Builder) make(ctx context.Context, r Requirements, dir string, out *bounded) error {
	venv := []string{"venv", "--no-project", "--no-config"}
	if r.Python != "" {
		venv = append(venv, "--python", r.Python)
	}
	if err := b.uv(ctx, out, append(venv, dir)...); err != nil {
		return err
	}
	var text strings.Builder
	for _, l := range r.Lines {
		text.WriteString(l.Text + "\n")
	}
	input, lock, python := filepath.Join(dir, inputFile), filepath.Join(dir, lockFile), filepath.Join(dir, "bin", "python")
	if err := os.WriteFile(input, []byte(text.String()), 0o600); err != nil {
		return err
	}
	if err := b.uv(ctx, out, "pip", "compile", "--generate-hashes", "--no-header", "--no-annotate", "--only-binary", ":all:", "--quiet",
		"--python", python, "--output-file", lock, input); err != nil {
		return err
	}
	return b.uv(ctx, out, "pip", "sync", "--compile-bytecode", "--require-hashes", "--only-binary", ":all:", "--allow-empty-requirements", "--python", python, lock)
}

// uvError is what uv said before it failed.
type uvError struct {
	said string
	err  error
}

func (e *uvError) Error() string { return e.err.Error() }

// uv runs the program and all that it starts, until ctx ends or this process does: a
// successor must not meet one that still writes.
func (b *Builder) uv(ctx context.Context, out *bounded, args ...string) error {
	cmd := exec.Command(b.o.UV, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = b.env, out, out
	out.tail.Reset()
	p, err := child.Start(cmd)
	if err != nil {
		return slipway.Errorf(slipway.Unprocessable, slipway.CodeBuilder, "install it again: pip install uv", "%s cannot be started", b.o.UV)
	}
	stop := context.AfterFunc(ctx, p.Kill)
	<-p.Ended
	stop()
	if state := p.State(); state != "exit status 0" {
		return &uvError{out.tail.String(), errors.New(args[0] + ": " + state)}
	}
	return nil
}

// finish makes the environment durable, and then complete.
func finish(dir string, r Requirements) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return err
	}
	marker, err := json.Marshal(map[string]any{"python": r.Python, "platform": platform(), "requirements": len(r.Lines)})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, markerFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(marker)
	return errors.Join(err, f.Sync(), f.Close(), d.Sync())
}

// failure classifies what went wrong.
func (b *Builder) failure(ctx context.Context, r Requirements, err error) error {
	var u *uvError
	full := errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
	if errors.As(err, &u) {
		full = full || strings.Contains(u.said, "No space left on device") || strings.Contains(u.said, "os error 28")
	}
	switch {
	case full:
		return &slipway.Error{Code: slipway.CodeDiskFull, Kind: slipway.Exhausted, Cause: err,
			Message: "the disk is full: the environment was not built", Next: "free space on the disk of the home directory"}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return slipway.Errorf(slipway.Unprocessable, slipway.CodeEnvironment, "see the log of the stage environment; is the index reachable?",
			"the environment was not built within %v", b.o.Limit)
	case ctx.Err() != nil:
		return ctx.Err()
	case u == nil:
		if e := (*slipway.Error)(nil); errors.As(err, &e) {
			return e
		}
		return ioError(err)
	case strings.Contains(u.said, "No interpreter found"):
		return slipway.Errorf(slipway.Unprocessable, slipway.CodeBuilder, "install it, or set model.python to one of those",
			"the model asks for Python %s, and this machine has %s", r.Python, b.pythons(context.WithoutCancel(ctx)))
	default:
		return r.explain(u.said)
	}
}

// pythons names the interpreters that uv finds.
func (b *Builder) pythons(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.o.UV, "python", "list", "--only-installed", "--output-format", "json")
	cmd.Env = b.env
	text, err := cmd.Output()
	var found []struct {
		Version string `json:"version"`
	}
	if err != nil || json.Unmarshal(text, &found) != nil || len(found) == 0 {
		return "none that uv finds"
	}
	names := make([]string, len(found))
	for i, p := range found {
		names[i] = p.Version
	}
	return strings.Join(names, ", ")
}

// hold takes a lock that other builders wait for. The kernel lets it go when the process
// ends.
func hold(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, ioError(err)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, ioError(err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Sweep removes the environments that keep does not want, and gives their number and bytes.
// One that is being built is left.
func (b *Builder) Sweep(keep func(slipway.Digest) bool) (removed int, freed int64, err error) {
	entries, err := os.ReadDir(b.o.Dir)
	if err != nil {
		return 0, 0, ioError(err)
	}
	for _, e := range entries {
		digest, err := slipway.ParseDigest("sha256:" + e.Name())
		if err != nil || !e.IsDir() || keep(digest) {
			continue
		}
		now, cancel := context.WithCancel(context.Background())
		cancel() // it is held by somebody, or not
		held, err := hold(now, b.path(digest)+".flock")
		if err != nil {
			continue
		}
		size := sizeOf(b.path(digest))
		err = errors.Join(os.RemoveAll(b.path(digest)), held.Close())
		if err != nil {
			return removed, freed, ioError(err)
		}
		removed, freed = removed+1, freed+size
	}
	return removed, freed, nil
}

// sizeOf is the bytes of the files below a directory; those that uv has linked from its
// cache count, although they are freed only with it.
func sizeOf(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil // what cannot be seen has no size
	})
	return n
}

func ioError(err error) error {
	e := &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Internal, Cause: err,
		Message: "the directory of environments cannot be used", Next: "check its permissions"}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeDiskFull, slipway.Exhausted, "the disk is full", "free space on the disk of the home directory"
	}
	return e
}

// Bounds of what a build may say.
const (
	maxOutput = 1 << 20
	maxTail   = 64 << 10
)

// bounded passes on the beginning of a build's output, and remembers that of the last step.
type bounded struct {
	out  io.Writer
	left int
	tail bytes.Buffer
}

func newBounded(out io.Writer) *bounded { return &bounded{out: out, left: maxOutput} }

// Write never fails, for that would stop the build.
func (b *bounded) Write(p []byte) (int, error) {
	if room := maxTail - b.tail.Len(); room > 0 {
		b.tail.Write(p[:min(len(p), room)])
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
