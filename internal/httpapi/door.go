package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Authenticator finds the principal of a bearer token. An unknown, expired or revoked
// token is Unauthorized.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (slipway.Principal, error)
}

// Access decides who may do what.
type Access interface {
	// Enter answers Denied, and records that, unless the principal may do the action with
	// what a path names: an endpoint, a deployment, a model, an account or a token. With an
	// empty name it answers whether there may be anything that the principal can do it with;
	// the use case then decides.
	Enter(ctx context.Context, p slipway.Principal, a authz.Action, name string) error
}

type principalKey struct{}

func principal(ctx context.Context) slipway.Principal {
	p, _ := ctx.Value(principalKey{}).(slipway.Principal)
	return p
}

// guard lets nobody in without a valid token, whatever the path.
func guard(next http.Handler, auth Authenticator) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || token == "" {
			writeProblem(w, slipway.Errorf(slipway.Unauthorized, slipway.CodeUnauthorized, "send Authorization: Bearer TOKEN", "no token"))
			return
		}
		p, err := auth.Authenticate(r.Context(), token)
		if err != nil {
			writeProblem(w, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), principalKey{}, p)))
	})
}

// actionKey is what an operation's description calls its action.
const actionKey = "x-slipway-action"

// operation describes one route, and what one must be allowed to do to use it. That is
// decided before the request is read.
func (c Config) operation(a authz.Action, id, method, path, summary string) huma.Operation {
	enter := func(ctx huma.Context, next func(huma.Context)) {
		if err := c.Access.Enter(ctx.Context(), principal(ctx.Context()), a, named(ctx, a)); err != nil {
			p := ProblemOf(err)
			ctx.SetHeader("Content-Type", "application/problem+json")
			ctx.SetStatus(p.Status)
			_ = json.NewEncoder(ctx.BodyWriter()).Encode(p) // a client that left
			return
		}
		next(ctx)
	}
	return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary,
		Extensions: map[string]any{actionKey: string(a)}, Middlewares: huma.Middlewares{enter}}
}

// parameters are the parts of paths that name a resource, by its kind.
var parameters = map[string][]string{
	authz.KindEndpoint: {"endpoint", "id"},
	authz.KindModel:    {"model"},
	authz.KindAccount:  {"account", "token"},
	authz.KindSecret:   {"team"},
}

// named is what the path of a request names.
func named(ctx huma.Context, a authz.Action) string {
	for _, parameter := range parameters[authz.Actions[a].Kind] {
		if name := ctx.Param(parameter); name != "" {
			return name
		}
	}
	return ""
}
