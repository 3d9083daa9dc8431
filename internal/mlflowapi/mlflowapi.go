// Package mlflowapi is the front door for MLflow's clients: the conventions of its REST API
// (https://mlflow.org/docs/latest/rest-api.html), which are those of its protocol buffers as
// JSON. What is served below it is in its own packages, each a list of routes.
package mlflowapi

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Version is the MLflow version that clients are told. They choose by it what they send, so
// it is the newest one whose API this package has been compared with, and not our own.
const Version = "3.17.2"

// Caller is who makes a request, and for which team.
type Caller struct {
	slipway.Principal
	// Team is the one in which something new is made, and in which the experiment "0" is
	// looked for.
	Team string
	// Named says that the request names the team: then lists show that one's alone.
	Named bool
}

// Route is one endpoint of MLflow's API.
type Route struct {
	Method string
	// Path begins below the prefix: "/mlflow/runs/create". A segment may be a parameter,
	// "{model_id}", and the last one may take all that follows, "{path...}"; handlers get them,
	// unescaped once, from the request's PathValue.
	Path string
	// Major is the API's version: 2 is served below /api/2.0 and /ajax-api/2.0. With 0 the path
	// stands as it is.
	Major int
	// Action is what somebody must be able to do, with something at least, to use the route. It
	// is asked for before the request is read; what it may be done with, the use case asks.
	Action authz.Action
	Serve  func(w http.ResponseWriter, r *http.Request, c Caller) error
}

// In is the route under another version of the API.
func (r Route) In(major int) Route {
	r.Major = major
	return r
}

// Authenticator finds the principal of a token. An unknown, expired or revoked token is
// Unauthorized.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (slipway.Principal, error)
}

// Access decides who may do what.
type Access interface {
	// Enter answers Denied, and records that, unless there may be something that the principal
	// can do the action with; name is empty.
	Enter(ctx context.Context, p slipway.Principal, a authz.Action, name string) error
}

// Config is what the front door is made of.
type Config struct {
	Auth   Authenticator
	Access Access
	// Refused is told when somebody comes without a good token, with its text and the address
	// that he came from; nil: nobody is.
	Refused func(ctx context.Context, token, source string) error
	Routes  []Route
	Log     *slog.Logger
}

// New builds the handler of all that MLflow's clients ask for. It panics on two routes of one
// path and method, and on one without an action: those are mistakes in the program.
func New(c Config) http.Handler {
	f := &front{Config: c}
	for _, r := range c.Routes {
		f.routes.add(r)
	}
	return f
}

type front struct {
	Config
	routes router
}

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, team, named := cutTeam(r.URL.EscapedPath())
	switch path { // harnesses and load balancers poll them without a token; both are constant
	case "/health":
		plain(w, "OK")
		return
	case "/version":
		plain(w, Version)
		return
	}
	defer drain(r)
	if err := f.serve(w, r, path, team, named); err != nil {
		Fail(w, r, err, f.Log)
	}
}

func (f *front) serve(w http.ResponseWriter, r *http.Request, path, team string, named bool) error {
	r, p, err := f.enter(r)
	if err != nil {
		return err
	}
	route, methods := f.routes.find(r, path)
	switch {
	case route == nil && len(methods) > 0:
		w.Header().Set("Allow", strings.Join(methods, ", "))
		return slipway.Errorf(slipway.NotFound, slipway.CodeNoEndpoint, "use "+strings.Join(methods, " or "), "the method %.10s is not allowed here", r.Method)
	case route == nil:
		if err := f.Access.Enter(r.Context(), p, authz.ServerRead, ""); err != nil {
			return err
		}
		return slipway.Errorf(slipway.NotFound, slipway.CodeNoEndpoint, "docs/MLFLOW.md lists what is served", "this server has no %s %.200s of MLflow's API", r.Method, slipway.OneLine(path, 200))
	}
	if err := f.Access.Enter(r.Context(), p, route.Action, ""); err != nil {
		return err
	}
	c, err := callerOf(r.Header, p, team, named)
	if err != nil {
		return err
	}
	return route.Serve(w, r, c)
}

func plain(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text) // a client that left
}
