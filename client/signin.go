package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
)

// WhoAmI says who makes this request.
func (c *Client) WhoAmI(ctx context.Context) (api.Who, error) {
	return get[api.Who](ctx, c, nil, "v1", "whoami")
}

// Invite lets a person set a password and a second factor. The code is given this once.
func (c *Client) Invite(ctx context.Context, account string, r api.Invite) (api.Invitation, error) {
	return call[api.Invitation](ctx, c, request{method: http.MethodPost, path: path("v1", "accounts", account, "invite")}, r)
}

// Sessions lists the browsers that are signed in: of an account, or of all that one may see.
func (c *Client) Sessions(ctx context.Context, account string) ([]api.Session, error) {
	q := url.Values{}
	if account != "" {
		q.Set("account", account)
	}
	return get[[]api.Session](ctx, c, q, "v1", "sessions")
}

// EndSession signs a browser out, at once.
func (c *Client) EndSession(ctx context.Context, id string, r api.EndSession) (api.Session, error) {
	return call[api.Session](ctx, c, request{method: http.MethodPost, path: path("v1", "sessions", id, "end")}, r)
}

// Emergencies lists those that have begun, and those that wait to be confirmed.
func (c *Client) Emergencies(ctx context.Context) ([]api.Emergency, error) {
	return get[[]api.Emergency](ctx, c, nil, "v1", "emergencies")
}

// BreakGlass asks to be an owner for a while.
func (c *Client) BreakGlass(ctx context.Context, r api.BreakGlass) (api.Emergency, error) {
	return call[api.Emergency](ctx, c, request{method: http.MethodPost, path: path("v1", "emergencies")}, r)
}

// ConfirmEmergency lets another become an owner for a while.
func (c *Client) ConfirmEmergency(ctx context.Context, id string) (api.Emergency, error) {
	return call[api.Emergency](ctx, c, request{method: http.MethodPost, path: path("v1", "emergencies", id, "confirm")}, nil)
}

// EndEmergency ends an emergency before its time, or a wish for one.
func (c *Client) EndEmergency(ctx context.Context, id string) (api.Emergency, error) {
	return call[api.Emergency](ctx, c, request{method: http.MethodPost, path: path("v1", "emergencies", id, "end")}, nil)
}

// Rules lists which group of the identity provider has which role.
func (c *Client) Rules(ctx context.Context) ([]api.Rule, error) {
	return get[[]api.Rule](ctx, c, nil, "v1", "sso", "rules")
}

// ChangeRule gives a role to a group, or takes it away.
func (c *Client) ChangeRule(ctx context.Context, r api.ChangeRule) (api.Rule, error) {
	return call[api.Rule](ctx, c, request{method: http.MethodPost, path: path("v1", "sso", "rules")}, r)
}

const clientID = "platform"

// StartDevice begins signing in: a person types the user's code on a page of the platform,
// and the device's code is then good for a grant (RFC 8628).
func (c *Client) StartDevice(ctx context.Context) (api.DeviceCodes, error) {
	return oauth[api.DeviceCodes](ctx, c, "device", url.Values{})
}

// FetchGrant asks whether the person has decided. It answers CodePending until then, and
// CodeSlowDown when it was asked too often.
func (c *Client) FetchGrant(ctx context.Context, device string) (api.Grant, error) {
	return oauth[api.Grant](ctx, c, "token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {device}})
}

// RefreshGrant gives the next grant for a refresh token, which is good once. It is never
// repeated by itself: a second use ends all that came of the sign-in.
func (c *Client) RefreshGrant(ctx context.Context, refresh string) (api.Grant, error) {
	return oauth[api.Grant](ctx, c, "token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
}

// EndGrant ends a grant and all that came of the same sign-in.
func (c *Client) EndGrant(ctx context.Context, refresh string) error {
	_, err := oauth[struct{}](ctx, c, "revoke", url.Values{"token": {refresh}})
	return err
}

// oauth posts a form with a secret.
func oauth[T any](ctx context.Context, c *Client, what string, form url.Values) (T, error) {
	var out T
	if u, err := url.Parse(c.base); err != nil || u.Scheme == "http" && !loopback(u.Hostname()) {
		return out, slipway.Errorf(slipway.Invalid, slipway.CodeNeedTLS, "use https", "secrets would cross the network in the clear to %s", c.base)
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	form.Set("client_id", clientID)
	text := form.Encode()
	r := request{method: http.MethodPost, path: path("oauth", what), header: http.Header{typeHeader: {"application/x-www-form-urlencoded"}}}
	resp, err := c.open(ctx, r, strings.NewReader(text), int64(len(text)))
	if err != nil {
		return out, final(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxProblem)).Decode(&out); err != nil {
		return out, &slipway.Error{Code: slipway.CodeNoServer, Kind: slipway.Unavailable, Cause: err, Message: "what answers at " + c.base + " is not this platform", Next: "check the server's address"}
	}
	return out, nil
}
