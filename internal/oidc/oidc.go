// Package oidc signs people in at an identity provider: OpenID Connect with the code flow,
// PKCE, state and nonce.
package oidc

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity/signin"
)

// Config is what a Provider is made of.
type Config struct {
	Issuer   string
	ClientID string
	Secret   string
	Callback func() string // where browsers come back to
	Groups   string        // the claim with the groups; empty: groups
	MFA      []string      // values of amr or acr that say that a second factor was shown; empty: the usual ones
	Now      func() time.Time
	Client   *http.Client // nil for the usual one
}

// usualMFA are the values of amr (RFC 8176) and the usual one of acr that stand for more
// than a password.
var usualMFA = []string{"mfa", "otp", "hwk", "swk", "sms", "fpt", "face", "http://schemas.openid.net/pape/policies/2007/06/multi-factor"}

const (
	callLimit = 10 * time.Second
	// MaxSkew is how far the clocks of provider and platform may be apart.
	MaxSkew = time.Minute
	// fresh is how old a sign-in may be when it was asked for anew.
	fresh = 5 * time.Minute
)

// Provider is a signin.Provider. It finds out about the provider whenever somebody sets off
// to sign in, so that the platform starts while the provider is down, and people are told
// that it is instead of being sent to nowhere.
type Provider struct {
	c  Config
	mu sync.Mutex
	p  *oidc.Provider
}

// New makes a Provider. It sends nothing.
func New(c Config) *Provider {
	if c.Groups == "" {
		c.Groups = "groups"
	}
	if len(c.MFA) == 0 {
		c.MFA = usualMFA
	}
	if c.Client == nil {
		c.Client = http.DefaultClient
	}
	client := *c.Client
	if client.Transport == nil {
		client.Transport = http.DefaultTransport
	}
	client.Transport = bounded{client.Transport}
	client.Timeout = callLimit
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.Client = &client
	return &Provider{c: c}
}

func down(err error) error {
	return &slipway.Error{Code: slipway.CodeProvider, Kind: slipway.Unavailable, Cause: err,
		Message: "the identity provider does not answer as it should; who is signed in stays so", Next: "try again in a minute; in an emergency, sign in with a password of this platform"}
}

func foreign(message string, cause error) error {
	return &slipway.Error{Code: slipway.CodeForeign, Kind: slipway.Unauthorized, Message: message, Next: "begin again at /login; if it happens again, show it to a platform engineer", Cause: cause}
}

// with finds out about the provider, if that was not done or shall be done anew. The keys
// with which it signs are read again by the library whenever a token names one that is not
// known yet.
func (p *Provider) with(ctx context.Context, anew bool) (context.Context, *oidc.Provider, *oauth2.Config, error) {
	ctx = oidc.ClientContext(ctx, p.c.Client)
	p.mu.Lock()
	found := p.p
	p.mu.Unlock()
	if found == nil || anew {
		// The library keeps the context for later reads of the keys.
		var err error
		if found, err = oidc.NewProvider(context.WithoutCancel(ctx), p.c.Issuer); err != nil {
			return ctx, nil, nil, down(err)
		}
		p.mu.Lock()
		p.p = found
		p.mu.Unlock()
	}
	scopes := []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess}
	if p.c.Groups == "groups" {
		scopes = append(scopes, "groups")
	}
	return ctx, found, &oauth2.Config{ClientID: p.c.ClientID, ClientSecret: p.c.Secret, Endpoint: found.Endpoint(), RedirectURL: p.c.Callback(), Scopes: scopes}, nil
}

func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails, says its documentation
	return base64.RawURLEncoding.EncodeToString(b)
}

// Start implements signin.Provider.
func (p *Provider) Start(ctx context.Context, again bool) (string, signin.Trip, error) {
	_, _, oc, err := p.with(ctx, true)
	if err != nil {
		return "", signin.Trip{}, err
	}
	t := signin.Trip{State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(), Again: again}
	options := []oauth2.AuthCodeOption{oidc.Nonce(t.Nonce), oauth2.S256ChallengeOption(t.Verifier)}
	if again {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	return oc.AuthCodeURL(t.State, options...), t, nil
}

// Finish implements signin.Provider.
func (p *Provider) Finish(ctx context.Context, t signin.Trip, code string) (signin.Known, error) {
	ctx, provider, oc, err := p.with(ctx, false)
	if err != nil {
		return signin.Known{}, err
	}
	tokens, err := oc.Exchange(ctx, code, oauth2.VerifierOption(t.Verifier))
	if err != nil {
		return signin.Known{}, exchangeError(err)
	}
	return p.known(ctx, provider, tokens, t.Nonce, t.Again)
}

// Renew implements signin.Provider.
func (p *Provider) Renew(ctx context.Context, renewal string) (signin.Known, error) {
	ctx, provider, oc, err := p.with(ctx, false)
	if err != nil {
		return signin.Known{}, err
	}
	tokens, err := oc.TokenSource(ctx, &oauth2.Token{RefreshToken: renewal}).Token()
	if err != nil {
		return signin.Known{}, exchangeError(err)
	}
	return p.known(ctx, provider, tokens, "", false)
}

// exchangeError tells a provider that says no from one that does not answer as it should: a
// secret that was changed there must not sign everybody out here.
func exchangeError(err error) error {
	var no *oauth2.RetrieveError
	if errors.As(err, &no) && no.ErrorCode == "invalid_grant" { // RFC 6749, section 5.2
		return foreign("the identity provider does not know this sign-in any more", err)
	}
	return down(err)
}

// claims are what is read of an ID token, and of the user info.
type claims struct {
	Nonce    string   `json:"nonce"`
	AuthTime int64    `json:"auth_time"`
	AMR      []string `json:"amr"`
	ACR      string   `json:"acr"`
	Party    string   `json:"azp"`
	IssuedAt int64    `json:"iat"`
	Before   int64    `json:"nbf"`

	PreferredUsername string `json:"preferred_username"`
	Email             string `json:"email"`
}

// known checks what the provider gave, and reads of it who somebody is. Of a renewal there
// is no nonce, and the second factor was shown before.
func (p *Provider) known(ctx context.Context, provider *oidc.Provider, tokens *oauth2.Token, nonce string, again bool) (signin.Known, error) {
	raw, _ := tokens.Extra("id_token").(string)
	if raw == "" && nonce == "" { // a renewal need not bring one (OpenID Connect Core, section 12.2)
		k := signin.Known{Issuer: p.c.Issuer, Renewal: tokens.RefreshToken}
		return k, p.ask(ctx, provider, tokens, &k, &claims{})
	}
	if raw == "" {
		return signin.Known{}, foreign("the identity provider gave no ID token", nil)
	}
	token, c, groups, err := p.verify(ctx, provider, raw, nonce)
	if err != nil {
		return signin.Known{}, err
	}
	if nonce != "" && !slices.ContainsFunc(append(c.AMR, c.ACR), func(v string) bool { return v != "" && slices.Contains(p.c.MFA, v) }) {
		return signin.Known{}, &slipway.Error{Code: slipway.CodeNoMFA, Kind: slipway.Denied, Message: "you were signed in at the identity provider without a second factor",
			Next: "set one up there, sign out there, and begin again at /login"}
	}
	shown := time.Unix(c.AuthTime, 0)
	if c.AuthTime == 0 {
		shown = token.IssuedAt
	}
	if age := p.c.Now().Sub(shown); again && (c.AuthTime == 0 || age > fresh) {
		return signin.Known{}, foreign("the identity provider did not ask you anew", nil)
	}
	if shown.After(p.c.Now()) {
		shown = p.c.Now() // within the skew
	}
	k := signin.Known{Issuer: token.Issuer, Subject: token.Subject, Name: c.PreferredUsername, Groups: groups, MFA: shown, Renewal: tokens.RefreshToken}
	if err := p.ask(ctx, provider, tokens, &k, &c); err != nil {
		return signin.Known{}, err
	}
	if k.Name == "" {
		k.Name = c.Email
	}
	return k, nil
}

// verify checks an ID token (OpenID Connect Core, section 3.1.3.7).
func (p *Provider) verify(ctx context.Context, provider *oidc.Provider, raw, nonce string) (*oidc.IDToken, claims, []string, error) {
	now := p.c.Now()
	// The library allows no skew for expiry: its clock is set back by as much.
	verifier := provider.VerifierContext(ctx, &oidc.Config{ClientID: p.c.ClientID, SupportedSigningAlgs: algorithms, Now: func() time.Time { return now.Add(-MaxSkew) }})
	token, err := verifier.Verify(ctx, raw)
	if err != nil {
		if strings.Contains(err.Error(), "fetching keys") {
			return nil, claims{}, nil, down(err)
		}
		return nil, claims{}, nil, foreign("the ID token of the identity provider is not accepted", err)
	}
	var c claims
	var all map[string]any
	if err := errors.Join(token.Claims(&c), token.Claims(&all)); err != nil {
		return nil, c, nil, foreign("the ID token of the identity provider cannot be read", err)
	}
	future := now.Add(MaxSkew)
	switch {
	case nonce != "" && c.Nonce != nonce:
		err = foreign("the ID token is of another sign-in", nil)
	case len(token.Audience) > 1 && c.Party != p.c.ClientID, c.Party != "" && c.Party != p.c.ClientID:
		err = foreign("the ID token is for another application", nil)
	case time.Unix(c.IssuedAt, 0).After(future) || time.Unix(c.Before, 0).After(future) || time.Unix(c.AuthTime, 0).After(future):
		err = foreign("the clocks of the identity provider and of this platform are more than a minute apart", nil)
	case token.Subject == "" || len(token.Subject) > maxSubject:
		err = foreign("the ID token names nobody", nil)
	}
	return token, c, listOf(all[p.c.Groups]), err
}

// algorithms are those of signatures that only the provider can make: none and those with a
// shared secret are not among them, whatever a token says.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

// ask reads from the user info what the ID token does not say.
func (p *Provider) ask(ctx context.Context, provider *oidc.Provider, tokens *oauth2.Token, k *signin.Known, c *claims) error {
	if k.Subject != "" && k.Name != "" && k.Groups != nil || provider.UserInfoEndpoint() == "" {
		return nil
	}
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return down(err)
	}
	if k.Subject == "" {
		k.Subject = info.Subject
	}
	if info.Subject != k.Subject { // OpenID Connect Core, section 5.3.2
		return foreign("the identity provider answers for somebody else", nil)
	}
	var more claims
	var all map[string]any
	if err := errors.Join(info.Claims(&more), info.Claims(&all)); err != nil {
		return foreign("the user info of the identity provider cannot be read", err)
	}
	if k.Name == "" {
		k.Name = more.PreferredUsername
	}
	if c.Email == "" {
		c.Email = more.Email
	}
	if k.Groups == nil {
		k.Groups = listOf(all[p.c.Groups])
	}
	return nil
}

// Limits of what is read.
const (
	maxGroups  = 1000
	maxGroup   = 200
	maxSubject = 255 // OpenID Connect Core, section 2
	maxAnswer  = 1 << 20
)

// bounded is a transport whose answers end after maxAnswer bytes.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// listOf reads a claim that is a text or a list of texts.
func listOf(v any) []string {
	var out []string
	switch v := v.(type) {
	case string:
		out = append(out, v)
	case []any:
		for _, g := range v {
			if text, ok := g.(string); ok && len(text) <= maxGroup && len(out) < maxGroups {
				out = append(out, text)
			}
		}
	}
	return out
}
