// Package cli is the command line of the platform. It talks to a server through the
// public client alone; what starts and stops servers is lent by the composition root.
//
// Data go to stdout, the narrative to stderr. Every success ends with the exact next
// command, and so does every error.
package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/config"
)

// Env is the world as the commands see it.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Dir            string // working directory, absolute
	Terminal       bool   // a person watches stdout and stderr
	Width          int    // of the terminal in characters, 0 if unknown
	Version        string
	Now            func() time.Time
	HTTPClient     *http.Client // nil for the usual one

	// Up runs a server until ctx ends, and calls ready once it answers. While another server
	// leads it stands by, and says who that is.
	Up func(ctx context.Context, c config.Config, ready func(Ready), standby func(who string)) error
	// Down stops the server of a home and all it started, and reports what it does.
	Down func(ctx context.Context, home string, report func(string)) error
	// Upgrade replaces the server of a home by another build.
	Upgrade func(ctx context.Context, u Upgrade) (Upgraded, error)
	// Prepare makes the database that a server would use fit for another build, which the
	// argument describes as JSON, and says what it did as JSON. No server may run.
	Prepare func(ctx context.Context, c config.Config, build string) (json.RawMessage, error)
	// Dev serves a project on this machine until ctx ends.
	Dev func(ctx context.Context, d Dev) error
	// Examine looks at a home and its machine without a server.
	Examine func(ctx context.Context, home string, fix bool) []api.Finding
	// About is what this build says of itself, beside its version.
	About any
	// Demo plays the demonstration.
	Demo func(ctx context.Context, out io.Writer, o DemoOptions) error
	// Push copies an image of the layout at dir to a registry and gives its name there, with
	// the digest.
	Push func(ctx context.Context, p Push) (string, error)
	// Import copies what an MLflow server has; the report is of what was done, whatever the
	// error.
	Import func(ctx context.Context, to *client.Client, i Import) (api.ImportReport, error)
	// BackupKey makes a recovery key, sealed by a passphrase unless that is empty, the half
	// that a server has of it, and a name for both.
	BackupKey func(passphrase string) (recovery, seal []byte, id string, err error)
	// SealRootKey seals the root key of the key service by a passphrase.
	SealRootKey func(key []byte, passphrase string) (string, error)
	// Verify reads all of a backup.
	Verify func(ctx context.Context, r Restore) (Restored, error)
	// Restore brings a backup back into an empty home.
	Restore func(ctx context.Context, r Restore) (Restored, error)
	// Audit verifies without a server.
	Audit Audit
	// Hidden are commands for the platform's own processes.
	Hidden []*cobra.Command
}

// Ready is what a server that has started says.
type Ready struct {
	URL       string        `json:"url"`
	Home      string        `json:"home"`
	TokenFile string        `json:"token_file"`
	CA        string        `json:"ca,omitempty"` // the file that clients need of an authority of its own
	Adopted   bool          `json:"adopted"`      // a gateway that was already serving was taken over
	Took      time.Duration `json:"-"`
}

// DemoOptions are the flags of the demonstration.
type DemoOptions struct {
	JSON bool // write JSON lines
	Keep bool // leave everything running in the end
}

// New makes the command tree.
func New(env Env) *cobra.Command { return newSession(env).root() }

// Run executes a command line without the program's name and gives the exit code.
func Run(ctx context.Context, env Env, args []string) int {
	s := newSession(env)
	root := s.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	s.p.Clear()
	if err != nil {
		s.preferJSON(args)
		if !s.started {
			err = usage(cmd, err)
		}
		s.fail(ctx, err)
		return exitCode(err)
	}
	if s.p.Broken() != nil {
		return exitFailed // nobody has read what was printed
	}
	return exitOK
}
