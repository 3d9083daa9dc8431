package pyenv_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/pyenv"
)

// playBuilder is a process that builds, and is killed.
func playBuilder(dir, how string) int {
	b, err := pyenv.New(pyenv.Options{Dir: dir, UV: os.Args[0], Env: append(os.Environ(), "UV_FAKE="+how), Limit: time.Minute, Now: time.Now})
	if err != nil {
		return 1
	}
	_, err = b.Build(context.Background(), pyenv.Requirements{Lines: []pyenv.Line{{Text: "six", File: "requirements.txt", Number: 1}}}, os.Stdout)
	fmt.Println("built", err)
	select {}
}

// stopHere starts what uv would, says so, and goes on for too long.
func stopHere() int {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		return 1
	}
	fmt.Println("reached", cmd.Process.Pid)
	if err := cmd.Wait(); err != nil {
		return 1
	}
	return 0
}

// TestKill ends a builder in each of its steps. What uv had started goes on and keeps the
// lock; the next build begins when it has ended.
func TestKill(t *testing.T) {
	r := pyenv.Requirements{Lines: []pyenv.Line{{Text: "six", File: "requirements.txt", Number: 1}}}
	digest := r.Digest(runtime.GOOS + "-" + runtime.GOARCH)
	for _, at := range []string{"stop at venv", "stop at compile", "stop at sync", "works"} {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "PYENV_BUILDER="+dir+"|"+at)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		orphan := 0
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if pid, ok := strings.CutPrefix(lines.Text(), "reached "); ok {
				orphan, err = strconv.Atoi(pid)
				break
			}
			if strings.HasPrefix(lines.Text(), "built") {
				break
			}
		}
		if err := errors.Join(err, cmd.Process.Kill()); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		self := builder(t, dir, "works")
		if orphan != 0 {
			if _, err := self.Open(digest); !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
				t.Errorf("%s: half an environment is one: %v", at, err)
			}
			short, err := pyenv.New(pyenv.Options{Dir: dir, UV: os.Args[0], Env: append(os.Environ(), "UV_FAKE=works"), Limit: 200 * time.Millisecond, Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := short.Build(t.Context(), r, &bytes.Buffer{}); !errors.Is(err, &slipway.Error{Code: slipway.CodeEnvironment}) {
				t.Errorf("%s: it is built while the last builder's children still write: %v", at, err)
			}
			if err := unix.Kill(orphan, unix.SIGKILL); err != nil {
				t.Errorf("%s: %v", at, err)
			}
		}
		env, err := self.Build(t.Context(), r, &bytes.Buffer{})
		if err != nil || env.Cached != (orphan == 0) {
			t.Errorf("%s: %+v, %v", at, env, err)
		}
	}
}

// TestSweepMarkerFirst looks at an environment while it is being removed: as soon as a file
// of it is gone, it does not count.
func TestSweepMarkerFirst(t *testing.T) {
	b, r := builder(t, t.TempDir(), "works"), wants(t, "six")
	env, err := b.Build(t.Context(), r, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 4000
	name := func(i int) string { return filepath.Join(env.Dir, fmt.Sprint("module", i)) }
	for i := range n {
		if err := os.WriteFile(name(i), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	swept := make(chan error)
	go func() {
		_, _, err := b.Sweep(func(slipway.Digest) bool { return false }, true)
		swept <- err
	}()
	for i := 0; ; i = (i + 1) % n {
		if _, err := os.Stat(name(i)); err != nil {
			break
		}
	}
	if _, err := b.Open(env.Digest); !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		t.Errorf("half of it is an environment: %v", err)
	}
	if err := <-swept; err != nil {
		t.Error(err)
	}
}
