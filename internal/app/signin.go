package app

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
	"github.com/slipway-ml/slipway/internal/identity/signin"
	"github.com/slipway-ml/slipway/internal/identity/signin/password"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/oidc"
	"github.com/slipway-ml/slipway/internal/route"
	signinstore "github.com/slipway-ml/slipway/internal/sqlstore/signin"
	"github.com/slipway-ml/slipway/internal/web"
)

// passwordsAtOnce bounds the memory of signing in: each takes 64 MiB for a moment.
const passwordsAtOnce = 2

// kindSignIn is of what the installation's own keys seal of how people sign in.
const kindSignIn = "sign-in"

// vault is a signin.Sealer.
type vault struct{ ring *keys.Ring }

func labelOf(aad string) keys.Label { return keys.Label{Object: aad, Kind: kindSignIn, Version: 1} }

// Seal implements signin.Sealer.
func (v vault) Seal(ctx context.Context, aad string, plaintext []byte) ([]byte, error) {
	return v.ring.Seal(ctx, keys.Platform, labelOf(aad), plaintext)
}

// Open implements signin.Sealer.
func (v vault) Open(ctx context.Context, aad string, sealed []byte) ([]byte, error) {
	return v.ring.Open(ctx, keys.Platform, labelOf(aad), sealed)
}

// resealer is a keys.Resealer: there are few people, all are done at once.
type resealer struct{ people *signin.Service }

// Reseal implements keys.Resealer.
func (r resealer) Reseal(ctx context.Context, s keys.Space, below int) (left int, err error) {
	if s != keys.Platform {
		return 0, nil
	}
	return 0, r.people.Reseal(ctx, func(sealed []byte) bool {
		version, ok := keys.VersionOf(sealed)
		return ok && version < below
	})
}

// newSignIn joins what lets people in.
func (a *App) newSignIn() error {
	c := a.o.Config
	var provider signin.Provider
	if c.OIDC.Issuer != "" {
		secret, err := os.ReadFile(c.OIDC.SecretFile)
		if err != nil {
			return &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Invalid, Message: "the client secret of the identity provider cannot be read", Next: "check --oidc-client-secret-file", Cause: err}
		}
		provider = oidc.New(oidc.Config{Issuer: c.OIDC.Issuer, ClientID: c.OIDC.ClientID, Secret: strings.TrimSpace(string(secret)),
			Callback: func() string { return a.publicURL() + "/sso/callback" }, Groups: c.OIDC.Groups, MFA: c.OIDC.MFA, Now: time.Now})
	}
	a.access.SignIn = signin.New(signin.Config{Records: signinstore.New(a.db), Accounts: a.access.Identity, Sealer: vault{a.safe.Ring}, Hasher: password.NewHasher(password.Usual, passwordsAtOnce),
		Provider: provider, Title: "Slipway", Changed: a.access.Changed, Now: time.Now})
	a.safe.Ring.Register(kindSignIn, resealer{a.access.SignIn})
	return nil
}

// publicURL is the address by which people know the platform.
func (a *App) publicURL() string {
	if a.o.Config.Public != "" {
		return strings.TrimRight(a.o.Config.Public, "/")
	}
	return a.keeper.url()
}

// withPages puts the pages on which people sign in before the API.
func (a *App) withPages(api http.Handler) http.Handler {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails, says its documentation
	pages := web.New(web.Config{SignIn: a.access.SignIn, Tokens: a.access.Identity, Changed: a.access.Changed, Public: a.o.Config.Public, Development: a.o.Config.Development(), Key: key, Log: a.o.Log})
	mux := http.NewServeMux()
	mux.Handle("/", api)
	for _, path := range route.Pages {
		mux.Handle(path, pages)
	}
	if !strings.HasPrefix(a.o.Config.Public, "https://") {
		return mux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // a proxy ends TLS, or the gateway
		r.Header.Set("X-Forwarded-Proto", "https")
		mux.ServeHTTP(w, r)
	})
}

// announce records what kind of installation has started, and tells the command line where
// the owner's token is good.
func (a *App) announce(ctx context.Context) error {
	development, mark := a.o.Config.Development(), a.o.Config.SocketOnly()
	var err error
	if development {
		if err = os.Remove(mark); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	} else {
		err = disk.Replace(mark, []byte("the owner's token is good at the server's socket only\n"), true)
	}
	if err != nil {
		return homeError(err)
	}
	now := time.Now()
	return a.events.Append(ctx, slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: system, Action: "server.started", Subject: a.publicURL(),
		Detail: map[string]string{"version": a.o.Version, "development": strconv.FormatBool(development), "sso": strconv.FormatBool(a.access.SignIn.HasProvider())}})
}
