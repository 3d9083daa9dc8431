// Package httpapi is the front door of the control plane: REST described by OpenAPI 3.1,
// problem+json errors with a stable code and a next step, events over SSE.
package httpapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Config is what the front door is made of.
type Config struct {
	Version  string
	Auth     Authenticator
	Sessions Sessions // nil: no browsers
	Access   Access
	// Refused is told when somebody comes without a good token, with its text and the
	// address that he came from; nil: nobody is.
	Refused     func(ctx context.Context, token, source string) error
	Accounts    Accounts
	People      People
	Policies    Policies
	Reviews     Reviews
	Models      Models
	Layers      Layers
	Imports     Imports
	Blobs       Blobs
	Deployments Deployments
	Plans       Plans
	Fleet       Fleet
	Doctor      Doctor
	Audit       Audit
	Keys        Keys
	Secrets     Secrets
	Backups     Backups
	Governance  Governance
	Webhooks    Webhooks
	Log         *slog.Logger
}

// New builds the handler of the whole control API.
func New(c Config) http.Handler {
	mux := http.NewServeMux()
	h := newAPI(mux, c)
	register(h, c)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if err := c.Access.Enter(r.Context(), principal(r.Context()), authz.ServerRead, ""); err != nil {
			writeProblem(w, err)
			return
		}
		writeProblem(w, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "see /openapi.yaml for the routes", "no route %s %.100q", r.Method, r.URL.Path))
	})
	return c.guard(mux)
}

// register adds every route.
func register(h huma.API, c Config) {
	registerModels(h, c)
	registerImports(h, c)
	registerDeployments(h, c)
	registerFleet(h, c)
	registerAccounts(h, c)
	registerPolicies(h, c)
	registerReviews(h, c)
	registerPeople(h, c)
	registerKeys(h, c)
	registerSecrets(h, c)
	registerBackups(h, c)
	registerWebhooks(h, c)
	registerAudit(h, c)
	registerGovernance(h, c)
}

// OpenAPI prints the document that describes the API, for `make generate` and the clients.
func OpenAPI(version string) ([]byte, error) {
	c := Config{Version: version}
	h := newAPI(http.NewServeMux(), c)
	register(h, c)
	return h.OpenAPI().YAML()
}

func newAPI(mux *http.ServeMux, c Config) huma.API {
	hc := huma.DefaultConfig("Slipway", c.Version)
	hc.CreateHooks = nil // no $schema links in answers: the wire types are the contract
	hc.DocsPath = ""     // the renderer loads scripts from another host
	hc.SchemasPath = ""
	hc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	hc.Security = []map[string][]string{{"token": {}}}
	hc.Transformers = []huma.Transformer{problemOfModel}
	return humago.New(mux, hc)
}

// problem is api.Problem as the framework wants its errors.
type problem struct{ api.Problem }

func (p *problem) GetStatus() int            { return p.Status }
func (p *problem) Error() string             { return p.Detail }
func (p *problem) ContentType(string) string { return "application/problem+json" }

// ProblemOf is the wire form of an error.
func ProblemOf(err error) api.Problem {
	e := slipway.AsError(err)
	status := answer.StatusOf(e.Kind)
	return api.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status,
		Detail: e.Message, Code: e.Code, Next: e.Next, Field: e.Field}
}

func writeProblem(w http.ResponseWriter, err error) {
	p := ProblemOf(err)
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="slipway"`)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a client that left
}

// problemOfModel gives the framework's own validation errors our form.
func problemOfModel(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := api.Problem{Type: "about:blank", Title: m.Title, Status: m.Status, Detail: m.Detail, Code: slipway.CodeInvalid,
		Next: "see /openapi.yaml for what the request takes"}
	if len(m.Errors) > 0 {
		p.Detail, p.Field = m.Errors[0].Message, m.Errors[0].Location // without the value: it may be anything
	}
	return p, nil
}

// fail logs the cause of an error that is ours, and gives it its wire form.
func (c Config) fail(ctx context.Context, err error) error {
	if e := slipway.AsError(err); e.Kind == slipway.Internal || e.Cause != nil {
		c.Log.LogAttrs(ctx, slog.LevelError, "request failed", slog.String("code", e.Code), slog.String("error", err.Error()), slog.Any("cause", e.Cause))
	}
	return &problem{ProblemOf(err)}
}

// body wraps an answer.
type body[T any] struct{ Body T }

// handle registers a route whose use case takes the decoded input and gives a value or
// an error.
func handle[I, O any](h huma.API, c Config, op huma.Operation, use func(context.Context, *I) (O, error)) {
	huma.Register(h, op, func(ctx context.Context, in *I) (*body[O], error) {
		out, err := use(ctx, in)
		if err != nil {
			return nil, c.fail(ctx, err)
		}
		return &body[O]{Body: out}, nil
	})
}
