package mlflowapi

import (
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity/signin"
)

// enter finds the principal of a request. The request that it answers knows in its context how
// it arrived.
func (f *front) enter(r *http.Request) (*http.Request, slipway.Principal, error) {
	arrival := signin.ArrivalOf(r)
	ctx := signin.WithArrival(r.Context(), arrival)
	token := tokenOf(r.Header)
	var p slipway.Principal
	var err error = slipway.Errorf(slipway.Unauthorized, slipway.CodeUnauthorized, "set MLFLOW_TRACKING_TOKEN", "no token: set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_PASSWORD to a token with any user name")
	if token != "" {
		p, err = f.Auth.Authenticate(ctx, token)
	}
	if p.BreakGlass != "" {
		ctx = slipway.WithBreakGlass(ctx, p.BreakGlass)
	}
	if errors.Is(err, &slipway.Error{Code: slipway.CodeUnauthorized}) {
		f.refused(r, token)
	}
	return r.WithContext(ctx), p, err
}

// tokenOf is the token of a request that has exactly one: as a bearer's, or as the password
// of HTTP Basic, which is also what clients make of https://token@host. Of the user's name
// nothing depends: a token is of one account.
func tokenOf(h http.Header) string {
	v := h["Authorization"]
	if len(v) != 1 {
		return ""
	}
	scheme, value, _ := strings.Cut(v[0], " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return value
	case strings.EqualFold(scheme, "Basic"):
		plain, err := base64.StdEncoding.DecodeString(value)
		user, password, _ := strings.Cut(string(plain), ":")
		if err != nil {
			return ""
		}
		if password == "" {
			return user
		}
		return password
	default:
		return ""
	}
}

// refused tells of somebody without a good token. The gateway, behind which this door is,
// says where he came from.
func (f *front) refused(r *http.Request, token string) {
	if f.Refused == nil {
		return
	}
	source := r.Header.Get("X-Forwarded-For")
	if source == "" {
		source = "this machine"
	}
	if err := f.Refused(r.Context(), token, source); err != nil {
		f.Log.LogAttrs(r.Context(), slog.LevelError, "a refused request was not recorded", slog.String("error", err.Error()))
	}
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
