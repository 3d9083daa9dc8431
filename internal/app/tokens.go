package app

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
	tokenstore "github.com/slipway-ml/slipway/internal/sqlstore/token"
)

// owner is the principal of the token that the first start makes.
const owner = "owner"

// ensureOwner makes the owner's token: first the file, 0600, then its hash in the store, so
// that a crash between the two is mended by the next start.
func ensureOwner(ctx context.Context, path string, tokens *tokenstore.Store) error {
	token, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b := make([]byte, 32)
		if _, err := rand.Read(b); err != nil {
			return err
		}
		token = []byte("slip_" + base64.RawURLEncoding.EncodeToString(b))
		err = replaceFile(path, append(token, '\n'))
	}
	if err != nil {
		return homeError(err)
	}
	hash := hashToken(strings.TrimSpace(string(token)))
	if _, err := tokens.ByHash(ctx, hash); !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return err
	}
	now := time.Now()
	return tokens.Add(ctx, tokenstore.Token{Hash: hash, Principal: owner, Scope: route.ScopeOwner, Created: now},
		slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: "system", Action: "token.created", Subject: owner,
			Detail: map[string]string{"scope": route.ScopeOwner}})
}

func hashToken(token string) string { return slipway.DigestOf([]byte(token)).Hex() }

// authenticator finds the principals of tokens.
type authenticator struct{ tokens *tokenstore.Store }

// Authenticate answers Unauthorized for a token that is unknown, revoked or expired.
func (a authenticator) Authenticate(ctx context.Context, token string) (slipway.Principal, error) {
	t, err := a.tokens.ByHash(ctx, hashToken(token))
	if err == nil && usable(t, time.Now()) {
		return slipway.Principal{ID: t.Principal, Scope: t.Scope}, nil
	}
	if err != nil && !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return slipway.Principal{}, err
	}
	return slipway.Principal{}, slipway.Errorf(slipway.Unauthorized, slipway.CodeUnauthorized, "send a valid token", "the token is not valid")
}

func usable(t tokenstore.Token, now time.Time) bool {
	return t.Revoked.IsZero() && (t.Expires.IsZero() || now.Before(t.Expires))
}

// grants are the tokens that the gateway honours.
func (a *App) grants(ctx context.Context) ([]route.Grant, error) {
	tokens, err := a.tokens.List(ctx)
	if err != nil {
		return nil, err
	}
	var out []route.Grant
	for _, t := range tokens {
		if usable(t, time.Now()) {
			out = append(out, route.Grant{TokenSHA256: t.Hash, Principal: t.Principal, Scope: t.Scope, Expires: t.Expires})
		}
	}
	return out, nil
}
