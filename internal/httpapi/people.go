package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/identity/signin"
)

// People are how accounts come in.
type People interface {
	Who(ctx context.Context, p slipway.Principal) (api.Who, error)
	Browsers
	Emergencies
	Rules
}

// Browsers are invitations and the sessions that come of them.
type Browsers interface {
	Invite(ctx context.Context, p slipway.Principal, account string, r api.Invite) (api.Invitation, error)
	// Sessions gives those of an account, or of all that the principal may see.
	Sessions(ctx context.Context, p slipway.Principal, account string) ([]api.Session, error)
	EndSession(ctx context.Context, p slipway.Principal, id string, r api.EndSession) (api.Session, error)
}

// Emergencies make owners of people for hours.
type Emergencies interface {
	// Emergencies gives those that have begun, and those that wait to be confirmed.
	Emergencies(ctx context.Context, p slipway.Principal) ([]api.Emergency, error)
	BreakGlass(ctx context.Context, p slipway.Principal, r api.BreakGlass) (api.Emergency, error)
	Confirm(ctx context.Context, p slipway.Principal, id string) (api.Emergency, error)
	EndEmergency(ctx context.Context, p slipway.Principal, id string) (api.Emergency, error)
}

// Rules are which group of the identity provider has which role.
type Rules interface {
	Rules(ctx context.Context, p slipway.Principal) ([]api.Rule, error)
	ChangeRule(ctx context.Context, p slipway.Principal, r api.ChangeRule) (api.Rule, error)
}

// Sessions finds the principal of a browser's session. One that has ended is Unauthorized.
type Sessions interface {
	Principal(ctx context.Context, secret string) (slipway.Principal, error)
}

// requestHeader is what a page's own script sends with a request that changes something: no
// page of another origin can.
const requestHeader = "X-Slipway-Request"

// who finds the principal of a request: by its token, or by a browser's session. A request
// of the latter that changes something must come from one of our own pages.
func (c Config) who(ctx context.Context, r *http.Request, a signin.Arrival) (slipway.Principal, error) {
	token, none := bearer(r.Header)
	switch {
	case none == nil:
		return c.Auth.Authenticate(ctx, token)
	case len(r.Header["Authorization"]) > 0:
		return slipway.Principal{}, none
	}
	cookie, err := r.Cookie(a.Cookie())
	if err != nil || c.Sessions == nil {
		return slipway.Principal{}, none
	}
	own, said := a.OwnPage(r.Header)
	changes := r.Method != http.MethodGet && r.Method != http.MethodHead
	if said && !own || changes && !own && r.Header.Get(requestHeader) == "" {
		return slipway.Principal{}, slipway.Errorf(slipway.Denied, slipway.CodeForged, "send a token, or "+requestHeader+": 1 from a page of this platform", "a session's cookie is good for requests of our own pages only")
	}
	return c.Sessions.Principal(ctx, cookie.Value)
}

func registerPeople(h huma.API, c Config) {
	handle(h, c, c.operation(authz.ServerRead, "whoami", http.MethodGet, "/v1/whoami", "Who makes this request"),
		func(ctx context.Context, _ *struct{}) (api.Who, error) { return c.People.Who(ctx, principal(ctx)) })
	type inviteInput struct {
		AccountPath
		Body api.Invite
	}
	handle(h, c, c.operation(authz.AccountInvite, "invite", http.MethodPost, "/v1/accounts/{account}/invite", "Let a person set a password and a second factor; the code is given this once"),
		func(ctx context.Context, in *inviteInput) (api.Invitation, error) {
			return c.People.Invite(ctx, principal(ctx), in.Account, in.Body)
		})
	type listInput struct {
		Account string `query:"account" maxLength:"63"`
	}
	handle(h, c, c.operation(authz.AccountRead, "list-sessions", http.MethodGet, "/v1/sessions", "Browsers that are signed in"),
		func(ctx context.Context, in *listInput) ([]api.Session, error) {
			return c.People.Sessions(ctx, principal(ctx), in.Account)
		})
	type endInput struct {
		Session string `path:"session" maxLength:"64"`
		Body    api.EndSession
	}
	handle(h, c, c.operation(authz.TokenRevoke, "end-session", http.MethodPost, "/v1/sessions/{session}/end", "Sign a browser out, at once"),
		func(ctx context.Context, in *endInput) (api.Session, error) {
			return c.People.EndSession(ctx, principal(ctx), in.Session, in.Body)
		})
	registerEmergencies(h, c)
}

func registerEmergencies(h huma.API, c Config) {
	handle(h, c, c.operation(authz.ServerRead, "list-emergencies", http.MethodGet, "/v1/emergencies", "Emergencies that have begun, and those that wait to be confirmed"),
		func(ctx context.Context, _ *struct{}) ([]api.Emergency, error) {
			return c.People.Emergencies(ctx, principal(ctx))
		})
	handle(h, c, c.operation(authz.BreakGlass, "break-glass", http.MethodPost, "/v1/emergencies", "Become an owner for a while, in an emergency"),
		func(ctx context.Context, in *struct{ Body api.BreakGlass }) (api.Emergency, error) {
			return c.People.BreakGlass(ctx, principal(ctx), in.Body)
		})
	type path struct {
		Emergency string `path:"emergency" maxLength:"64"`
	}
	handle(h, c, c.operation(authz.Confirm, "confirm-emergency", http.MethodPost, "/v1/emergencies/{emergency}/confirm", "Let another become an owner for a while"),
		func(ctx context.Context, in *path) (api.Emergency, error) {
			return c.People.Confirm(ctx, principal(ctx), in.Emergency)
		})
	handle(h, c, c.operation(authz.ServerRead, "end-emergency", http.MethodPost, "/v1/emergencies/{emergency}/end", "End an emergency before its time; one's own, or another's"),
		func(ctx context.Context, in *path) (api.Emergency, error) {
			return c.People.EndEmergency(ctx, principal(ctx), in.Emergency)
		})
	handle(h, c, c.operation(authz.ProviderRead, "list-rules", http.MethodGet, "/v1/sso/rules", "Which group of the identity provider has which role"),
		func(ctx context.Context, _ *struct{}) ([]api.Rule, error) { return c.People.Rules(ctx, principal(ctx)) })
	handle(h, c, c.operation(authz.ProviderMap, "change-rule", http.MethodPost, "/v1/sso/rules", "Give a role to a group, or take it away"),
		func(ctx context.Context, in *struct{ Body api.ChangeRule }) (api.Rule, error) {
			return c.People.ChangeRule(ctx, principal(ctx), in.Body)
		})
}
