// Package upgrade replaces the server of a home by another build of the program, forwards
// or back, while models serve on.
package upgrade

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/runtime/onnx/find"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// About is what a build says of itself, with `platform version --json`.
type About struct {
	Version   string   `json:"version"`
	Schema    int64    `json:"schema"`    // the newest of a database that it knows
	Runtimes  []string `json:"runtimes"`  // kinds of runtimes
	Databases []string `json:"databases"` // sqlite, postgresql
}

const (
	sqlite     = "sqlite"
	postgresql = "postgresql"
)

// Self is what this program is.
func Self(version string) About {
	return About{Version: version, Schema: sqlstore.Schema(), Databases: []string{sqlite, postgresql},
		Runtimes: []string{route.RuntimeTree, route.RuntimeCommand, route.RuntimePython, route.RuntimeRemote, route.RuntimeONNX}}
}

const (
	askLimit = 10 * time.Second
	maxAbout = 64 << 10
)

// ask runs a program to find out what it is. The first release says nothing but its
// version, so what is not said is what that one had.
func ask(ctx context.Context, file string) (About, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return About{}, err
	}
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return About{}, notAProgram(file, err)
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, file, "version", "--json")
	cmd.Env = []string{}
	cmd.WaitDelay = time.Second
	var out limited
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		return About{}, notAProgram(file, err)
	}
	a := About{Schema: 1, Runtimes: []string{route.RuntimeTree, route.RuntimeCommand}, Databases: []string{sqlite}}
	if err := json.Unmarshal(out.Bytes(), &a); err != nil || a.Version == "" || strings.ContainsFunc(a.Version, unprintable) {
		return About{}, notAProgram(file, errors.New("it does not say its version"))
	}
	if _, err := find.Program(file); err != nil { // a second program, which must lie beside it
		a.Runtimes = slices.DeleteFunc(a.Runtimes, func(kind string) bool { return kind == route.RuntimeONNX })
	}
	return a, nil
}

func unprintable(r rune) bool { return r <= ' ' || r > '~' || r == '/' }

// limited keeps the beginning of what is written.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	_, _ = l.Buffer.Write(p[:max(0, min(len(p), maxAbout-l.Len()))])
	return len(p), nil
}

func notAProgram(file string, cause error) error {
	return &slipway.Error{Code: slipway.CodeInvalid, Kind: slipway.Invalid, Cause: cause,
		Message: file + " is no program of this platform", Next: "name another build: platform upgrade --to FILE"}
}

// runs says whether a build has a runtime.
func (a About) runs(kind string) bool { return slices.Contains(a.Runtimes, kind) }
