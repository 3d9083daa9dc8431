package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/cli/screen"
	"github.com/slipway-ml/slipway/internal/spec"
)

// The exit codes. Scripts depend on them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitInvalid     = 2 // wrong input or usage
	exitRefused     = 3 // a check failed, or the deployment did not succeed
	exitNotFound    = 4
	exitUnreachable = 5
	exitDenied      = 6
)

// unsuccessful is a deployment that ended otherwise than well.
type unsuccessful struct{ cause *slipway.Error }

func (u unsuccessful) Error() string { return u.cause.Error() }
func (u unsuccessful) Unwrap() error { return u.cause }

// exitCode maps an error; the one place that does.
func exitCode(err error) int {
	var bad unsuccessful
	e := slipway.AsError(err)
	switch {
	case errors.As(err, &bad):
		return exitRefused
	case e.Code == slipway.CodeGate, e.Code == slipway.CodeGateUnknown, e.Code == slipway.CodeRefused, e.Code == slipway.CodeRolledBack:
		return exitRefused
	}
	switch e.Kind {
	case slipway.Invalid, slipway.Unprocessable:
		return exitInvalid
	case slipway.NotFound:
		return exitNotFound
	case slipway.Unavailable:
		return exitUnreachable
	case slipway.Denied, slipway.Unauthorized:
		return exitDenied
	default:
		return exitFailed
	}
}

// fail prints an error on stderr: as problem JSON for programs, else what happened, what
// to do, and where to read more.
func (s *session) fail(ctx context.Context, err error) {
	p := s.p
	e := told(ctx, err)
	if p.JSON {
		code := answer.StatusOf(e.Kind)
		b, err := json.Marshal(api.Problem{Type: "about:blank", Title: http.StatusText(code), Status: code,
			Detail: e.Message, Code: e.Code, Next: e.Next, Field: e.Field})
		if err == nil {
			_, _ = io.WriteString(p.Err, string(b)+"\n")
		}
		return
	}
	message := e.Message
	if e.Field != "" {
		message = e.Field + " " + message
	}
	var many *spec.Errors
	if errors.As(err, &many) {
		message = strings.TrimRight(many.Error(), "\n")
	}
	p.Note("%s %s", screen.Red("error:"), message)
	if e.Next != "" && many == nil {
		p.Next("%s", e.Next)
	} else if many != nil {
		p.Next("platform validate -f %s", many.File)
	}
	p.Note("%s platform explain %s", screen.Dim("more:"), e.Code)
}

// told is an error as it is told to a person. What nobody classified keeps its text: it is
// about this machine, whose owner reads it.
func told(ctx context.Context, err error) *slipway.Error {
	var e *slipway.Error
	switch {
	case errors.As(err, &e):
		out := *e
		if out.Kind == slipway.Internal && out.Cause != nil && out.Code == slipway.CodeInternal {
			out.Message = fmt.Sprintf("%s: %v", out.Message, out.Cause)
		}
		return &out
	case ctx.Err() != nil:
		return &slipway.Error{Code: slipway.CodeInternal, Message: "interrupted", Next: "platform status"}
	default:
		return &slipway.Error{Code: slipway.CodeInternal, Message: err.Error(), Next: "platform explain " + slipway.CodeInternal}
	}
}

// misuse is a wrong command line.
func misuse(next, format string, args ...any) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, next, format, args...)
}

// usage explains what the command line's parser refused.
func usage(cmd *cobra.Command, err error) error {
	var e *slipway.Error
	if errors.As(err, &e) {
		return err
	}
	var typed string
	if n, _ := fmt.Sscanf(err.Error(), "unknown command %q for", &typed); n == 1 {
		if !cmd.HasSubCommands() {
			return misuse(cmd.CommandPath()+" --help", "%s takes no argument %.60q", cmd.CommandPath(), typed)
		}
		next := "platform --help"
		if near := cmd.SuggestionsFor(typed); len(near) > 0 {
			next = cmd.CommandPath() + " " + near[0]
		}
		return misuse(next, "there is no command %.60q", typed)
	}
	return misuse(cmd.CommandPath()+" --help", "%s", err.Error())
}

// flagError explains a wrong flag, and names the one that may have been meant. The
// command's own measure of likeness serves for flags too.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return misuse(cmd.CommandPath()+" --help", "%s", err.Error())
	}
	flags := &cobra.Command{SuggestionsMinimumDistance: 2}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		flags.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	name := unknown.GetSpecifiedName()
	next := cmd.CommandPath() + " --help"
	if near := flags.SuggestionsFor(name); len(near) > 0 && len(name) > 1 {
		next = "did you mean --" + near[0] + "? See: " + next
	}
	return misuse(next, "%s", err.Error())
}
