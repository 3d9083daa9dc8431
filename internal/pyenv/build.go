package pyenv

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
)

// Options are what a Builder is made of.
type Options struct {
	Dir   string        // of the environments, made with mode 0700
	UV    string        // the program; empty: there is none
	Env   []string      // this process's environment, of which uv sees a part
	Limit time.Duration // of one build
	Now   func() time.Time
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

	constraintsFile = "constraints.in"
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
	started := b.o.Now()
	digest := r.Digest(platform())
	if env, err := b.Open(digest); !missing(err) {
		return env, err
	}
	if b.o.UV == "" {
		return Env{}, slipway.Errorf(slipway.Unprocessable, slipway.CodeBuilder, "pip install uv, where the server finds it; then: platform doctor",
			"the model runs in Python, and uv, which builds its environment, is not on the server's PATH")
	}
	limited, cancel := context.WithTimeoutCause(ctx, b.o.Limit, errLimit)
	defer cancel()
	held, err := hold(limited, b.path(digest)+".flock")
	if err != nil {
		return Env{}, b.failure(limited, r, err)
	}
	defer held.Close()
	if env, err := b.Open(digest); !missing(err) { // built by whom we waited for
		return env, err
	}
	dir := b.path(digest)
	if err := remove(dir); err != nil { // what a crash left
		return Env{}, ioError(err)
	}
	u := &run{uv: b.o.UV, env: b.env, held: held, out: newBounded(out)}
	err = u.build(limited, r, dir)
	if err == nil {
		err = finish(dir, r)
	}
	if err != nil {
		if e := remove(dir); e != nil {
			fmt.Fprintln(out, "the half-made environment stays:", e)
		}
		return Env{}, b.failure(limited, r, err)
	}
	env, err := b.Open(digest)
	if err != nil {
		return Env{}, err
	}
	env.Cached, env.Took = false, b.o.Now().Sub(started)
	return env, nil
}

// Open finds an environment that was built and whose interpreter is still there. It answers
// NotFound without one.
func (b *Builder) Open(digest slipway.Digest) (Env, error) {
	dir := b.path(digest)
	lock, err := os.ReadFile(filepath.Join(dir, lockFile))
	for _, name := range []string{markerFile, filepath.Join("bin", "python")} { // the interpreter is the host's, and may go
		if err == nil {
			_, err = os.Stat(filepath.Join(dir, name))
		}
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

// diskFull tells whether a step failed for want of space.
func diskFull(err error) bool {
	var u *uvError
	return disk.Full(err) ||
		errors.As(err, &u) && (strings.Contains(u.said, "No space left on device") || strings.Contains(u.said, "os error 28"))
}

// failure classifies what went wrong.
func (b *Builder) failure(ctx context.Context, r Requirements, err error) error {
	var u *uvError
	errors.As(err, &u)
	switch {
	case diskFull(err):
		return &slipway.Error{Code: slipway.CodeDiskFull, Kind: slipway.Exhausted, Cause: err,
			Message: "the disk is full: the environment was not built", Next: "free space on the disk of the home directory"}
	case errors.Is(context.Cause(ctx), errLimit):
		return slipway.Errorf(slipway.Unprocessable, slipway.CodeEnvironment, "see what the stage logged: platform deployments DEPLOYMENT --log; is the index reachable?",
			"the environment was not built within %v", b.o.Limit)
	case ctx.Err() != nil:
		return ctx.Err()
	case u == nil:
		if e := (*slipway.Error)(nil); errors.As(err, &e) {
			return e
		}
		return ioError(err)
	case u.step == "venv" && !slices.Contains(b.pythons(ctx), r.Python):
		return slipway.Errorf(slipway.Unprocessable, slipway.CodeBuilder, "install it, or set model.python to one of those",
			"the model asks for Python %s, and this machine has %s", cmp.Or(r.Python, "of any version"), cmp.Or(strings.Join(b.pythons(ctx), ", "), "none that uv finds"))
	default:
		return r.explain(u.said)
	}
}

// Tools says what environments are built with: the version of uv, and the minor versions of
// Python that it finds. It answers CodeBuilder without uv.
func (b *Builder) Tools(ctx context.Context) (uv string, pythons []string, err error) {
	if b.o.UV == "" {
		return "", nil, slipway.Errorf(slipway.Unprocessable, slipway.CodeBuilder, "pip install uv, where the server finds it", "uv, which builds the environments of Python models, is not on the server's PATH")
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.o.UV, "--version")
	cmd.Env, cmd.WaitDelay = b.env, time.Second
	text, err := cmd.Output()
	if err != nil {
		return "", nil, slipway.Errorf(slipway.Unprocessable, slipway.CodeBuilder, "install it again: pip install uv", "%s cannot be started", b.o.UV)
	}
	return slipway.OneLine(string(text), 80), b.pythons(ctx), nil
}

// pythons lists the minor versions of the interpreters that uv finds. Why uv refuses one is
// not read from its words: they depend on what else of that name is on the PATH.
func (b *Builder) pythons(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.o.UV, "python", "list", "--only-installed", "--output-format", "json")
	cmd.Env, cmd.WaitDelay = b.env, time.Second
	text, err := cmd.Output()
	var found []struct {
		Version string `json:"version"`
	}
	if err != nil || json.Unmarshal(text, &found) != nil {
		return nil
	}
	var minors []string
	for _, p := range found {
		if m := minorRE.FindString(p.Version); m != "" && !slices.Contains(minors, m) {
			minors = append(minors, m)
		}
	}
	return minors
}

var minorRE = regexp.MustCompile(`^\d+\.\d+`)

// errLimit is why a build ends that takes too long.
var errLimit = errors.New("the limit of a build")

// missing tells that there is no environment. Any other error is no reason to remove one.
func missing(err error) bool {
	return errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound})
}

// remove removes an environment, its marker first: a crash in between leaves one that does
// not count.
func remove(dir string) error {
	err := os.Remove(filepath.Join(dir, markerFile))
	if err == nil {
		var d *os.File
		if d, err = os.Open(dir); err == nil {
			err = errors.Join(d.Sync(), d.Close())
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(dir)
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

// Sweep finds the environments that keep does not want, and gives their number and bytes;
// with take it removes them. One that is being built is left.
func (b *Builder) Sweep(keep func(slipway.Digest) bool, take bool) (found int, size int64, err error) {
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
		found, size = found+1, size+disk.Size(b.path(digest)) // what uv has linked from its cache counts, although it is freed only with that
		if take {
			err = remove(b.path(digest))
		}
		if err = errors.Join(err, held.Close()); err != nil {
			return found, size, ioError(err)
		}
	}
	return found, size, nil
}

func ioError(err error) error {
	e := &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Internal, Cause: err,
		Message: "the directory of environments cannot be used", Next: "check its permissions"}
	if disk.Full(err) {
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeDiskFull, slipway.Exhausted, "the disk is full", "free space on the disk of the home directory"
	}
	return e
}
