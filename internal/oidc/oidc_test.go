package oidc_test

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity/signin"
	"github.com/slipway-ml/slipway/internal/oidc"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// issuer says whatever a test wants.
type issuer struct {
	*httptest.Server
	key     *rsa.PrivateKey
	mu      sync.Mutex
	token   string // ID token that is given
	status  int
	problem string
	info    map[string]any
	asked   url.Values // the last question at the token endpoint
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key, status: http.StatusOK}
	mux := http.NewServeMux()
	write := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		// What a provider offers is not what is accepted of it.
		write(w, 200, map[string]any{"issuer": i.URL, "authorization_endpoint": i.URL + "/auth", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys", "userinfo_endpoint": i.URL + "/info",
			"id_token_signing_alg_values_supported": []string{"none", "HS256", "RS256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		write(w, 200, map[string]any{"keys": []any{map[string]string{"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256",
			"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes())}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		i.mu.Lock()
		defer i.mu.Unlock()
		i.asked = r.PostForm
		out := map[string]any{"access_token": "a", "token_type": "Bearer", "refresh_token": "next"}
		if i.status != http.StatusOK {
			out = map[string]any{"error": i.problem}
		}
		if i.token != "" {
			out["id_token"] = i.token
		}
		write(w, i.status, out)
	})
	mux.HandleFunc("/info", func(w http.ResponseWriter, _ *http.Request) { write(w, 200, i.info) })
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

// signed is a token with the provider's key, or another one.
func signed(t *testing.T, key *rsa.PrivateKey, header, claims map[string]any) string {
	t.Helper()
	text := encode(header) + "." + encode(claims)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func (i *issuer) provider() *oidc.Provider {
	return oidc.New(oidc.Config{Issuer: i.URL, ClientID: "slipway", Secret: "s", Callback: func() string { return "https://slipway.test/sso/callback" }, Now: func() time.Time { return now }})
}

// good are the claims of a token that is accepted.
func (i *issuer) good(nonce string) map[string]any {
	return map[string]any{"iss": i.URL, "sub": "4711", "aud": "slipway", "nonce": nonce, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "auth_time": now.Unix(),
		"amr": []string{"pwd", "otp"}, "preferred_username": "ada", "groups": []string{"risk"}}
}

var rs256 = map[string]any{"alg": "RS256", "kid": "1", "typ": "JWT"}

func changed(claims map[string]any, pairs ...any) map[string]any {
	out := maps.Clone(claims)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == nil {
			delete(out, pairs[i].(string))
		} else {
			out[pairs[i].(string)] = pairs[i+1]
		}
	}
	return out
}

func TestTokens(t *testing.T) {
	i := newIssuer(t)
	p := i.provider()
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&i.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	address, trip, err := p.Start(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil || u.Query().Get("code_challenge_method") != "S256" || u.Query().Get("nonce") != trip.Nonce || u.Query().Get("state") != trip.State || u.Query().Get("redirect_uri") != "https://slipway.test/sso/callback" {
		t.Fatal(address, err)
	}
	good := i.good(trip.Nonce)
	for name, c := range map[string]struct {
		token string
		code  string // empty: accepted
	}{
		"good":                              {signed(t, i.key, rs256, good), ""},
		"expired within the skew":           {signed(t, i.key, rs256, changed(good, "exp", now.Add(-30*time.Second).Unix())), ""},
		"an acr instead of amr":             {signed(t, i.key, rs256, changed(good, "amr", nil, "acr", "mfa")), ""},
		"two audiences and our party":       {signed(t, i.key, rs256, changed(good, "aud", []string{"other", "slipway"}, "azp", "slipway")), ""},
		"no signature":                      {encode(map[string]any{"alg": "none"}) + "." + encode(good) + ".", slipway.CodeForeign},
		"no signature, spelled otherwise":   {encode(map[string]any{"alg": "NoNe"}) + "." + encode(good) + ".", slipway.CodeForeign},
		"the public key as a shared secret": {hs256(public, good), slipway.CodeForeign},
		"the client's secret as the key":    {hs256([]byte("s"), good), slipway.CodeForeign},
		"another key":                       {signed(t, other, rs256, good), slipway.CodeForeign},
		"another key by another name":       {signed(t, other, map[string]any{"alg": "RS256", "kid": "2"}, good), slipway.CodeForeign},
		"a key that it brings itself":       {signed(t, other, map[string]any{"alg": "RS256", "jwk": map[string]string{"kty": "RSA", "n": base64.RawURLEncoding.EncodeToString(other.N.Bytes()), "e": "AQAB"}}, good), slipway.CodeForeign},
		"changed after signing":             {strings.Replace(signed(t, i.key, rs256, good), encode(good), encode(changed(good, "sub", "1")), 1), slipway.CodeForeign},
		"another audience":                  {signed(t, i.key, rs256, changed(good, "aud", "other")), slipway.CodeForeign},
		"two audiences and no party":        {signed(t, i.key, rs256, changed(good, "aud", []string{"other", "slipway"})), slipway.CodeForeign},
		"another party":                     {signed(t, i.key, rs256, changed(good, "azp", "other")), slipway.CodeForeign},
		"another issuer":                    {signed(t, i.key, rs256, changed(good, "iss", "https://evil.test")), slipway.CodeForeign},
		"another nonce":                     {signed(t, i.key, rs256, changed(good, "nonce", "other")), slipway.CodeForeign},
		"no nonce":                          {signed(t, i.key, rs256, changed(good, "nonce", nil)), slipway.CodeForeign},
		"expired":                           {signed(t, i.key, rs256, changed(good, "exp", now.Add(-2*time.Minute).Unix())), slipway.CodeForeign},
		"no end":                            {signed(t, i.key, rs256, changed(good, "exp", nil)), slipway.CodeForeign},
		"from the future":                   {signed(t, i.key, rs256, changed(good, "iat", now.Add(2*time.Minute).Unix())), slipway.CodeForeign},
		"not yet good":                      {signed(t, i.key, rs256, changed(good, "nbf", now.Add(2*time.Minute).Unix())), slipway.CodeForeign},
		"signed in in the future":           {signed(t, i.key, rs256, changed(good, "auth_time", now.Add(2*time.Minute).Unix())), slipway.CodeForeign},
		"nobody":                            {signed(t, i.key, rs256, changed(good, "sub", "")), slipway.CodeForeign},
		"a subject without end":             {signed(t, i.key, rs256, changed(good, "sub", strings.Repeat("x", 300))), slipway.CodeForeign},
		"no second factor":                  {signed(t, i.key, rs256, changed(good, "amr", []string{"pwd"})), slipway.CodeNoMFA},
		"neither amr nor acr":               {signed(t, i.key, rs256, changed(good, "amr", nil)), slipway.CodeNoMFA},
		"no token at all":                   {"", slipway.CodeForeign},
		"no token but words":                {"a.b.c", slipway.CodeForeign},
	} {
		t.Run(name, func(t *testing.T) {
			i.mu.Lock()
			i.token = c.token
			i.mu.Unlock()
			k, err := p.Finish(t.Context(), trip, "code")
			if c.code != "" {
				if !errors.Is(err, &slipway.Error{Code: c.code}) {
					t.Errorf("%+v, %v", k, err)
				}
				return
			}
			if err != nil || k.Subject != "4711" || k.Issuer != i.URL || k.Name != "ada" || !slices.Equal(k.Groups, []string{"risk"}) || !k.MFA.Equal(now) || k.Renewal != "next" {
				t.Errorf("%+v, %v, %v", k, err, errors.Unwrap(err))
			}
		})
	}
	if i.asked.Get("code_verifier") != trip.Verifier || len(trip.Verifier) < 43 {
		t.Errorf("the code is exchanged without its verifier: %v", i.asked)
	}
}

func hs256(secret []byte, claims map[string]any) string {
	text := encode(map[string]any{"alg": "HS256", "kid": "1"}) + "." + encode(claims)
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func TestAnew(t *testing.T) {
	i := newIssuer(t)
	p := i.provider()
	address, trip, err := p.Start(t.Context(), true)
	if err != nil || !strings.Contains(address, "prompt=login") || !strings.Contains(address, "max_age=0") {
		t.Fatal(address, err)
	}
	for name, c := range map[string]struct {
		when any
		code string
	}{
		"just now":     {now.Add(-time.Minute).Unix(), ""},
		"an hour ago":  {now.Add(-time.Hour).Unix(), slipway.CodeForeign},
		"nobody knows": {nil, slipway.CodeForeign},
	} {
		i.token = signed(t, i.key, rs256, changed(i.good(trip.Nonce), "auth_time", c.when))
		_, err := p.Finish(t.Context(), trip, "code")
		if (err == nil) != (c.code == "") || err != nil && !errors.Is(err, &slipway.Error{Code: c.code}) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRenew(t *testing.T) {
	i := newIssuer(t)
	p := i.provider()
	ctx := t.Context()
	i.token = signed(t, i.key, rs256, changed(i.good(""), "nonce", nil, "amr", nil))
	if k, err := p.Renew(ctx, "renewal"); err != nil || k.Subject != "4711" || k.Renewal != "next" || i.asked.Get("refresh_token") != "renewal" {
		t.Errorf("%+v, %v", k, err)
	}
	i.token, i.info = "", map[string]any{"sub": "4711", "preferred_username": "ada", "groups": "risk"}
	if k, err := p.Renew(ctx, "renewal"); err != nil || k.Subject != "4711" || !slices.Equal(k.Groups, []string{"risk"}) {
		t.Errorf("without an ID token: %+v, %v", k, err)
	}
	for name, c := range map[string]struct {
		status        int
		problem, code string
	}{
		"no longer known":     {400, "invalid_grant", slipway.CodeForeign},
		"our secret is wrong": {401, "invalid_client", slipway.CodeProvider},
		"too often":           {429, "", slipway.CodeProvider},
		"broken":              {500, "", slipway.CodeProvider},
	} {
		i.status, i.problem = c.status, c.problem
		if _, err := p.Renew(ctx, "renewal"); !errors.Is(err, &slipway.Error{Code: c.code}) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUserInfoOfAnother(t *testing.T) {
	i := newIssuer(t)
	p := i.provider()
	i.token = signed(t, i.key, rs256, changed(i.good("n"), "groups", nil))
	i.info = map[string]any{"sub": "4712", "groups": []string{"platform"}}
	if k, err := p.Finish(t.Context(), signin.Trip{Nonce: "n", Verifier: "v"}, "code"); !errors.Is(err, &slipway.Error{Code: slipway.CodeForeign}) {
		t.Errorf("%+v, %v", k, err)
	}
}

// TestProviderElsewhere: a provider that sends elsewhere, says too much or nothing is down.
func TestProviderElsewhere(t *testing.T) {
	touched := false
	secret := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { touched = true }))
	defer secret.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"redirects":      func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, secret.URL, http.StatusFound) },
		"says nothing":   func(http.ResponseWriter, *http.Request) {},
		"another issuer": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"issuer":"https://evil.test"}`)) },
		"too much": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(strings.Repeat(" ", 2<<20) + "{}"))
		},
	} {
		server := httptest.NewServer(answer)
		p := oidc.New(oidc.Config{Issuer: server.URL, ClientID: "slipway", Callback: func() string { return "" }, Now: func() time.Time { return now }})
		if _, _, err := p.Start(t.Context(), false); !errors.Is(err, &slipway.Error{Code: slipway.CodeProvider}) {
			t.Errorf("%s: %v", name, err)
		}
		server.Close()
	}
	if touched {
		t.Error("a redirect was followed")
	}
}
