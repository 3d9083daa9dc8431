package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/web"
)

func TestEnrolAndSignIn(t *testing.T) {
	s := newSite(t, false, nil)
	b := s.browser()
	b.open("/account").want(200, "/login")
	seed := b.enrol("ada")
	codes := regexp.MustCompile(`<li><code>([a-z2-7-]+)</code>`).FindAllStringSubmatch(b.body, -1)
	if len(codes) != 10 {
		t.Fatalf("%d recovery codes", len(codes))
	}
	b.open("/account").want(200, "/account", "You have no role yet", "this one", "10 recovery codes are left")
	b.fill("/account/everything").want(200, "/login")
	b.open("/account").want(200, "/login")

	other := s.browser()
	other.open("/device?code=BCDF-GHJK").want(200, "/login")
	other.fill("/login", "name", "ada", "password", "wrong words").want(401, "/login", "the name or the password is wrong", "SLIP-E0902")
	other.fill("/login", "name", "ada", "password", words).want(200, "/login/totp")
	half := other.cookie("slipway-dev")
	other.fill("/login/totp", "code", "000000").want(401, "/login/totp", "the code is wrong")
	other.open("/login/totp?next=%2Fdevice%3Fcode%3DBCDF-GHJK").fill("/login/totp", "code", s.code(seed)).want(200, "/device", "BCDF-GHJK")
	if full := other.cookie("slipway-dev"); full == half || full == "" {
		t.Error("the session keeps its id: one that was planted would be signed in")
	}
	s.pass(time.Minute)
	again := s.browser().login("ada", seed).want(200, "/account")
	again.open("/logout").fill("/logout").want(200, "/login")
	again.open("/account").want(200, "/login")
	other.open("/account").want(200, "/account")

	s.pass(time.Minute)
	third := s.browser()
	third.open("/login").fill("/login", "name", "ada", "password", words)
	third.fill("/login/totp", "code", codes[0][1]).want(200, "/account", "9 recovery codes are left")
	third.open("/step-up").want(200, "/step-up").fill("/step-up", "code", s.code(seed)).want(200, "/account")
}

func TestBadEnrolments(t *testing.T) {
	s := newSite(t, false, nil)
	b := s.browser()
	b.open("/enrol").want(200, "/enrol", "Code of your invitation")
	b.open("/enrol?code=slipi_no").want(404, "/enrol", "SLIP-E0904")
	b.open("/enrol/totp").want(401, "/enrol/totp", "open the link of your invitation again")
	code := s.invite("ada")
	b.open("/enrol?code="+code).fill("/enrol", "password", "short", "again", "short").want(422, "/enrol", "is too short")
	b.fill("/enrol", "password", words, "again", words+"!").want(422, "/enrol", "not the same")
	b.fill("/enrol", "password", words, "again", words).want(200, "/enrol/totp")
	b.fill("/enrol/totp", "code", "000000").want(401, "/enrol/totp", "the code is wrong")
	for name, v := range map[string]string{"slipi_": code, "password": words} {
		if strings.Contains(b.body, v) {
			t.Errorf("the %s is on the page", name)
		}
	}
}

// TestForgedForms: a form of another site, or without our token, does nothing.
func TestForgedForms(t *testing.T) {
	s := newSite(t, false, nil)
	b := s.browser()
	b.enrol("ada")
	b.open("/account")
	token := regexp.MustCompile(`name="form" value="([^"]+)"`).FindStringSubmatch(b.body)[1]
	stranger := s.browser().open("/login")
	foreign := regexp.MustCompile(`name="form" value="([^"]+)"`).FindStringSubmatch(stranger.body)[1]
	for name, c := range map[string]struct {
		token  string
		change func(*http.Request)
	}{
		"no token":                 {"", func(*http.Request) {}},
		"a token of another":       {foreign, func(*http.Request) {}},
		"another origin":           {token, func(r *http.Request) { r.Header.Set("Origin", "https://evil.test") }},
		"an origin that is hidden": {token, func(r *http.Request) { r.Header.Set("Origin", "null") }},
		"the same host over TLS":   {token, func(r *http.Request) { r.Header.Set("Origin", strings.Replace(s.url, "http:", "https:", 1)) }},
		"a sibling site":           {token, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }},
		"another site":             {token, func(r *http.Request) { r.Header.Del("Origin"); r.Header.Set("Sec-Fetch-Site", "cross-site") }},
	} {
		b.post("/account/everything", url.Values{"form": {c.token}}, c.change)
		if b.status != 403 || !strings.Contains(b.body, "SLIP-E0906") {
			t.Errorf("%s: %d\n%s", name, b.status, b.body)
		}
	}
	b.open("/account").want(200, "/account")
	b.post("/account/everything", url.Values{"form": {token}}, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") })
	b.want(200, "/login")
	b.open("/logout").want(200, "/login") // a link signs nobody out, and there is nobody
}

// TestStrangersTouchNothing: one's own sessions and tokens are all that the page can end.
func TestStrangersTouchNothing(t *testing.T) {
	s := newSite(t, false, nil)
	ada, eve := s.browser(), s.browser()
	ada.enrol("ada")
	eve.enrol("eve")
	sessions, err := s.signin.Sessions(t.Context(), "ada")
	if err != nil || len(sessions) != 1 {
		t.Fatal(sessions, err)
	}
	eve.open("/account").fill("/account/session", "id", sessions[0].ID).want(404, "/account/session", "no such session")
	eve.open("/account").fill("/account/session", "id", "ses_unknown").want(404, "/account/session")
	ada.open("/account").want(200, "/account")
}

func TestNextStaysHere(t *testing.T) {
	s := newSite(t, false, nil)
	b := s.browser()
	seed := b.enrol("ada")
	for next, want := range map[string]string{
		"/device?code=X":          "/device?code=X",
		"/account":                "/account",
		"":                        "/account",
		"//evil.test":             "/account",
		"//evil.test/device":      "/account",
		`/\evil.test`:             "/account",
		"https://evil.test":       "/account",
		"https:/account":          "/account",
		"javascript:alert(1)":     "/account",
		"/account@evil.test":      "/account",
		"/%2fevil.test":           "/account",
		"/logout":                 "/account",
		"/login":                  "/account",
		"/device?code=X\r\nA: b":  "/account",
		"/device?code=X#fragment": "/device?code=X",
		"http://[::1":             "/account",
	} {
		b.open("/login?next=" + url.QueryEscape(next)) // signed in: goes on at once
		if got := b.at.RequestURI(); got != want || b.at.Host != strings.TrimPrefix(s.url, "http://") {
			t.Errorf("signed in, next=%q leads to %s", next, b.at)
		}
	}
	c := s.browser()
	c.open("/login").fill("/login", "name", "ada", "password", words, "next", "//evil.test").want(200, "/login/totp")
	c.fill("/login/totp", "code", s.code(seed), "next", "https://evil.test").want(200, "/account")
}

func TestHeaders(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := newSite(t, secure, nil)
		b := s.browser()
		for _, path := range []string{"/login", "/enrol", "/nothing", "/signin.css", "/oauth/token"} {
			b.open(path)
			csp := b.header.Get("Content-Security-Policy")
			if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") || b.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %v", path, b.header)
			}
			if got := b.header.Get("Strict-Transport-Security") != ""; got != secure {
				t.Errorf("%s over TLS %v: HSTS %v", path, secure, got)
			}
			if strings.Contains(b.body, "<script") || strings.Contains(b.body, "style=") || strings.Contains(b.body, " on") && regexp.MustCompile(`<[^>]+ on[a-z]+=`).MatchString(b.body) {
				t.Errorf("%s needs what the policy forbids", path)
			}
		}
		b.open("/login")
		for _, c := range b.header["Set-Cookie"] {
			host := strings.HasPrefix(c, "__Host-slipway-form=") && strings.Contains(c, "; Secure")
			if host != secure || !strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Lax") || strings.Contains(c, "Domain") {
				t.Errorf("over TLS %v: %s", secure, c)
			}
		}
	}
}

// TestHost: a name that leads here but is not ours, as in a DNS rebinding, gets no page.
func TestHost(t *testing.T) {
	s := newSite(t, false, nil)
	b := s.browser()
	for host, want := range map[string]int{"localhost:1": 200, "127.0.0.1": 200, "[::1]:80": 200, "evil.test": 421, "127.0.0.1.evil.test": 421, "192.0.2.1:80": 421, "": 200} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/login", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		if b.do(r); b.status != want {
			t.Errorf("%q: %d, want %d", host, b.status, want)
		}
	}
}

// answer is any answer to a command line.
type answer struct {
	codes   api.DeviceCodes
	grant   api.Grant
	problem api.OAuthProblem
}

func (b *browser) oauth(path string, pairs ...string) (out answer) {
	b.t.Helper()
	form := url.Values{"client_id": {"platform"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	b.post(path, form, func(r *http.Request) { r.Header.Del("Origin"); r.Header.Set("User-Agent", "platform/test") })
	for _, v := range []any{&out.codes, &out.grant, &out.problem} {
		if err := json.Unmarshal([]byte(b.body), v); err != nil {
			b.t.Fatalf("%s: %v: %s", path, err, b.body)
		}
	}
	return out
}

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

func TestDeviceGrant(t *testing.T) {
	s := newSite(t, false, nil)
	line, b := s.browser(), s.browser()
	b.enrol("ada")
	codes := line.oauth("/oauth/device").codes
	if line.status != 200 || codes.VerificationURI != s.url+"/device" || codes.Interval != 5 || codes.ExpiresIn != 600 {
		t.Fatalf("%d %+v", line.status, codes)
	}
	if p := line.oauth("/oauth/token", "grant_type", deviceGrant, "device_code", codes.DeviceCode).problem; line.status != 400 || p.Error != "authorization_pending" {
		t.Errorf("%d %+v", line.status, p)
	}
	if p := line.oauth("/oauth/token", "grant_type", deviceGrant, "device_code", codes.DeviceCode).problem; p.Error != "slow_down" {
		t.Errorf("%+v", p)
	}
	b.open("/device?code="+codes.UserCode).want(200, "/device", codes.UserCode)
	b.fill("/device", "code", "XXXX-XXXX").want(404, "/device", "SLIP-E0907")
	b.open("/device").fill("/device", "code", strings.ToLower(codes.UserCode)).want(200, "/device", "platform/test", "ada")
	b.fill("/device", "decision", "allow").want(200, "/device", "signed in")
	g := line.oauth("/oauth/token", "grant_type", deviceGrant, "device_code", codes.DeviceCode).grant
	if line.status != 200 || g.Account != "ada" || g.TokenType != "Bearer" || g.ExpiresIn != 7200 || !g.ExpiresAt.After(s.clock()) {
		t.Fatalf("%d %+v", line.status, g)
	}
	if p, err := s.accounts.Authenticate(t.Context(), g.AccessToken); err != nil || p.ID != "ada" {
		t.Errorf("%+v, %v", p, err)
	}
	next := line.oauth("/oauth/token", "grant_type", "refresh_token", "refresh_token", g.RefreshToken).grant
	if line.status != 200 || next.AccessToken == g.AccessToken {
		t.Fatalf("%d %+v", line.status, next)
	}
	b.open("/account").want(200, "/account", "platform login, platform/test")
	b.fill("/account/token").want(200, "/account")
	if p := line.oauth("/oauth/token", "grant_type", "refresh_token", "refresh_token", g.RefreshToken).problem; line.status != 400 || p.Error != "invalid_grant" {
		t.Errorf("a second use: %d %+v", line.status, p)
	}
	if line.oauth("/oauth/revoke", "token", next.RefreshToken); line.status != 200 {
		t.Errorf("leaving: %d %s", line.status, line.body)
	}
	for what, pairs := range map[string][]string{"unsupported_grant_type": {"grant_type", "password"}, "invalid_client": {"client_id", "other"}, "expired_token": {"grant_type", deviceGrant, "device_code", "slipd_no"}} {
		if p := line.oauth("/oauth/token", pairs...).problem; p.Error != what || p.Description == "" || p.Code == "" {
			t.Errorf("%s: %+v", what, p)
		}
	}
	denied := line.oauth("/oauth/device").codes
	b.open("/device").fill("/device", "code", denied.UserCode).fill("/device", "decision", "deny").want(200, "/device", "turned away")
	if p := line.oauth("/oauth/token", "grant_type", deviceGrant, "device_code", denied.DeviceCode).problem; p.Error != "access_denied" {
		t.Errorf("%+v", p)
	}
}

func FuzzDestination(f *testing.F) {
	for _, next := range []string{"/account", "//evil.test", `/\evil.test`, "/device?code=%zz", "https:///account"} {
		f.Add(next)
	}
	f.Fuzz(func(t *testing.T, next string) {
		u, err := url.Parse("https://slipway.test")
		if err != nil {
			t.Fatal(err)
		}
		got, err := u.Parse(web.Destination(next))
		if err != nil || got.Host != "slipway.test" || got.Scheme != "https" || got.Path != "/account" && got.Path != "/device" && got.Path != "/step-up" {
			t.Errorf("%q leads to %v, %v", next, got, err)
		}
	})
}
