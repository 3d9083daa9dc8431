package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/identity/signin"
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

// guard lets nobody in without a valid token or session, whatever the path. What describes
// the API is for those who may know of the server.
func (c Config) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer drain(r)
		arrival := signin.ArrivalOf(r)
		ctx := signin.WithArrival(r.Context(), arrival)
		p, err := c.who(ctx, r, arrival)
		if p.BreakGlass != "" {
			ctx = slipway.WithBreakGlass(ctx, p.BreakGlass)
		}
		ctx = context.WithValue(ctx, principalKey{}, p)
		switch {
		case errors.Is(err, &slipway.Error{Code: slipway.CodeUnauthorized}), errors.Is(err, &slipway.Error{Code: slipway.CodeForged}):
			c.refused(r)
		case err == nil && strings.HasPrefix(r.URL.Path, "/openapi"):
			err = c.Access.Enter(ctx, p, authz.ServerRead, "")
		}
		if err != nil {
			writeProblem(w, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// maxDrained bounds what is read of a body that nobody wants.
const maxDrained = 64 << 10

// drain reads the rest of a small body before the answer is sent: else the connection is
// closed while the gateway still writes, and the answer may be lost.
func drain(r *http.Request) {
	if r.ContentLength > 0 && r.ContentLength <= maxDrained {
		_, _ = io.Copy(io.Discard, r.Body) // a client that left
	}
}

// bearer is the token of a request that has exactly one: of two, this door and the gateway
// before it might each believe another.
func bearer(h http.Header) (string, error) {
	v := h["Authorization"]
	const scheme = "Bearer "
	if len(v) != 1 || len(v[0]) <= len(scheme) || !strings.EqualFold(v[0][:len(scheme)], scheme) {
		return "", slipway.Errorf(slipway.Unauthorized, slipway.CodeUnauthorized, "send Authorization: Bearer TOKEN", "no token")
	}
	return v[0][len(scheme):], nil
}

// refused tells of somebody without a good token. The gateway, behind which this door is,
// says where he came from.
func (c Config) refused(r *http.Request) {
	if c.Refused == nil {
		return
	}
	token, _ := bearer(r.Header)
	source := r.Header.Get("X-Forwarded-For")
	if source == "" {
		source = "this machine"
	}
	if err := c.Refused(r.Context(), token, source); err != nil {
		c.Log.LogAttrs(r.Context(), slog.LevelError, "a refused request was not recorded", slog.String("error", err.Error()))
	}
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
	authz.KindAccount:  {"account", "token", "session"},
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
