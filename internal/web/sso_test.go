package web_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	zitadel "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/identity/signin"
	"github.com/slipway-ml/slipway/internal/oidc"
)

// idp is a real identity provider in this process, whose people are in groups and whose key
// changes when the test says so.
type idp struct {
	*storage.Storage
	server *httptest.Server
	mu     sync.Mutex
	groups map[string][]string
	serial int
	key    *rsa.PrivateKey
}

func newIDP(t *testing.T, callback string) *idp {
	t.Helper()
	p := &idp{groups: map[string][]string{}}
	p.rotate(t)
	var handler http.Handler
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(p.server.Close)
	p.Storage = storage.NewStorageWithClients(storage.NewUserStore(p.server.URL), map[string]*storage.Client{"slipway": storage.WebClient("slipway", "secret of a test", callback)})
	handler = exampleop.SetupServer(p.server.URL, p, slog.New(slog.DiscardHandler), false)
	return p
}

func (p *idp) rotate(t *testing.T) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key, p.serial = key, p.serial+1
}

func (p *idp) put(subject string, groups ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.groups[subject] = groups
}

// SetUserinfoFromToken adds the groups.
func (p *idp) SetUserinfoFromToken(ctx context.Context, info *zitadel.UserInfo, token, subject, origin string) error {
	err := p.Storage.SetUserinfoFromToken(ctx, info, token, subject, origin)
	p.mu.Lock()
	defer p.mu.Unlock()
	info.AppendClaims("groups", p.groups[subject])
	return err
}

type signingKey struct {
	id  string
	key *rsa.PrivateKey
}

func (k signingKey) ID() string                                  { return k.id }
func (k signingKey) Key() any                                    { return k.key }
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }

type publicKey struct{ signingKey }

func (k publicKey) Key() any                           { return &k.key.PublicKey }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }

func (p *idp) current() signingKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	return signingKey{"key" + strconv.Itoa(p.serial), p.key}
}

func (p *idp) SigningKey(context.Context) (op.SigningKey, error) { return p.current(), nil }
func (p *idp) KeySet(context.Context) ([]op.Key, error)          { return []op.Key{publicKey{p.current()}}, nil }

// newSSO is a site whose people sign in at an identity provider, which counts these values
// as a second factor.
func newSSO(t *testing.T, mfa ...string) (*site, *idp) {
	var p *idp
	s := newSite(t, false, func(address string, now func() time.Time) signin.Provider {
		p = newIDP(t, address+"/sso/callback")
		return oidc.New(oidc.Config{Issuer: p.server.URL, ClientID: "slipway", Secret: "secret of a test", Callback: func() string { return address + "/sso/callback" }, MFA: mfa, Now: now})
	})
	err := s.signin.Map(t.Context(), "owner", signin.Rule{Group: "risk-engineers", Role: slipway.Role{Name: slipway.RoleEngineer, Team: "risk"}}, false)
	if err == nil {
		err = s.signin.Map(t.Context(), "owner", signin.Rule{Group: "platform", Role: slipway.Role{Name: slipway.RolePlatformEngineer}}, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s, p
}

var requestRE = regexp.MustCompile(`name="id" value="([^"]+)"`)

// there signs in at the identity provider, where the browser is, and comes back.
func (b *browser) there(user string) *browser {
	b.t.Helper()
	id := requestRE.FindStringSubmatch(b.body)
	if id == nil {
		b.t.Fatalf("%d at %s:\n%s", b.status, b.at, b.body)
	}
	form := url.Values{"id": {id[1]}, "username": {user}, "password": {"verysecure"}}
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.at.Scheme+"://"+b.at.Host+"/login/username", strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	b.do(r)
	return b
}

const (
	first  = "test-user@127.0.0.1" // subject id1
	second = "test-user2"          // subject id2
)

func (s *site) roles(account string) string {
	s.t.Helper()
	a, err := s.accounts.Account(s.t.Context(), account)
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, r := range a.Roles {
		out = append(out, strings.TrimSuffix(r.Name+" "+r.Team, " "))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func TestSSO(t *testing.T) {
	s, p := newSSO(t, "pwd")
	p.put("id1", "risk-engineers", "everybody")
	b := s.browser()
	b.open("/login?next=/device").want(200, "/login", "Continue with single sign-on")
	b.open("/sso/start?next=/device").there(first).want(200, "/device")
	b.open("/account").want(200, "/account", "engineer of risk")
	if got := s.roles("test-user"); got != "engineer risk" {
		t.Errorf("roles %q", got)
	}
	if _, err := s.accounts.Grant(t.Context(), "owner", "test-user", slipway.Role{Name: slipway.RoleBreakGlass}, "on call"); err != nil {
		t.Fatal(err)
	}
	p.put("id1", "platform")
	away := s.browser().open("/sso/start")
	s.browser().open("/sso/start").there(second).want(200, "/account") // now the platform knows the key
	p.rotate(t)                                                        // while a browser is there
	away.there(first).want(200, "/account")
	if got := s.roles("test-user"); got != "break-glass, platform-engineer" {
		t.Errorf("after other groups, roles %q", got)
	}
	before := b.cookie("slipway-dev")
	b.open("/step-up").there(first).want(200, "/account")
	if b.cookie("slipway-dev") == before {
		t.Error("stepping up keeps the session's secret")
	}
	b.open("/step-up").there(second).want(403, "/sso/callback", "somebody else was signed in")
	b.open("/account").want(200, "/account", "test-user")
}

func TestSSODevice(t *testing.T) {
	s, p := newSSO(t, "pwd")
	p.put("id1", "risk-engineers")
	b, line := s.browser(), s.browser()
	codes := line.oauth("/oauth/device").codes
	b.open("/sso/start?next="+url.QueryEscape("/device?code="+codes.UserCode)).there(first).want(200, "/device", codes.UserCode)
	b.fill("/device", "code", codes.UserCode).fill("/device", "decision", "allow").want(200, "/device", "signed in")
	g := line.oauth("/oauth/token", "grant_type", deviceGrant, "device_code", codes.DeviceCode).grant
	if line.status != 200 || g.Account != "test-user" {
		t.Fatalf("%d %s", line.status, line.body)
	}
	p.put("id1", "platform")
	g = line.oauth("/oauth/token", "grant_type", "refresh_token", "refresh_token", g.RefreshToken).grant
	if line.status != 200 || s.roles("test-user") != "platform-engineer" {
		t.Errorf("%d %s, roles %q", line.status, line.body, s.roles("test-user"))
	}
	p.server.CloseClientConnections()
	if err := p.Storage.TerminateSession(t.Context(), "id1", "slipway"); err != nil { // the person has left
		t.Fatal(err)
	}
	if problem := line.oauth("/oauth/token", "grant_type", "refresh_token", "refresh_token", g.RefreshToken).problem; line.status != 400 || problem.Code != slipway.CodeForeign {
		t.Errorf("%d %s", line.status, line.body)
	}
	if _, err := s.accounts.Authenticate(t.Context(), g.AccessToken); err == nil {
		t.Error("the token of somebody whom the provider knows no longer is good")
	}
}

func TestSSOProviderIsDown(t *testing.T) {
	s, p := newSSO(t, "pwd")
	local := s.browser()
	seed := local.enrol("grace") // who is there for emergencies
	b, line := s.browser(), s.browser()
	codes := line.oauth("/oauth/device").codes
	b.open("/sso/start").there(first).want(200, "/account")
	b.open("/device").fill("/device", "code", codes.UserCode).fill("/device", "decision", "allow")
	g := line.oauth("/oauth/token", "grant_type", deviceGrant, "device_code", codes.DeviceCode).grant
	away := s.browser().open("/sso/start")
	p.server.Close()
	b.open("/account").want(200, "/account")
	if line.oauth("/oauth/token", "grant_type", "refresh_token", "refresh_token", g.RefreshToken); line.status != 200 {
		t.Errorf("a command line that was in is out: %d %s", line.status, line.body)
	}
	s.browser().open("/sso/start").want(503, "/sso/start", "SLIP-E0908", "does not answer")
	away.open("/sso/callback?state=x&code=y").want(401, "/sso/callback", "SLIP-E0909")
	s.browser().login("grace", seed).want(200, "/account")
}

func TestSSORefuses(t *testing.T) {
	t.Run("without a second factor", func(t *testing.T) {
		s, _ := newSSO(t)
		s.browser().open("/sso/start").there(first).want(403, "/sso/callback", "SLIP-E0910", "without a second factor")
		if _, err := s.accounts.Account(t.Context(), "test-user"); err == nil {
			t.Error("an account was made")
		}
	})
	t.Run("a name that is taken", func(t *testing.T) {
		s, _ := newSSO(t, "pwd")
		if _, err := s.accounts.Create(t.Context(), "owner", identity.Account{Name: "test-user", Kind: slipway.Person}); err != nil {
			t.Fatal(err)
		}
		b := s.browser()
		b.open("/sso/start").there(first).want(409, "/sso/callback", "SLIP-E0911")
		b.open("/account").want(200, "/login")
	})
	t.Run("an answer that this browser did not ask for", func(t *testing.T) {
		s, _ := newSSO(t, "pwd")
		victim, eve := s.browser(), s.browser()
		eve.open("/sso/start")
		eve.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Path == "/sso/callback" {
				return http.ErrUseLastResponse
			}
			return nil
		}
		eve.there(first)
		stolen := eve.header.Get("Location")
		if !strings.Contains(stolen, "/sso/callback?") {
			t.Fatal(stolen)
		}
		victim.open(stolen).want(401, "/sso/callback", "SLIP-E0909")
		victim.open("/sso/start")
		victim.open(stolen).want(401, "/sso/callback", "SLIP-E0909") // another state
		victim.open("/account").want(200, "/login")
	})
	t.Run("a disabled account", func(t *testing.T) {
		s, _ := newSSO(t, "pwd")
		b := s.browser()
		b.open("/sso/start").there(first).want(200, "/account")
		if _, err := s.accounts.Disable(t.Context(), "owner", "test-user", "has left"); err != nil {
			t.Fatal(err)
		}
		b.open("/account").want(200, "/login")
		b.open("/sso/start").there(first).want(409, "/sso/callback", "is disabled")
	})
}

// TestSSOBrowser signs in at the identity provider with a real browser.
func TestSSOBrowser(t *testing.T) {
	ctx := chromium(t)
	s, p := newSSO(t, "pwd")
	p.put("id1", "risk-engineers")
	play(ctx, t, chromedp.Navigate(s.url+"/login"), chromedp.WaitVisible("a.button"), picture("sso"), chromedp.Click("a.button"),
		chromedp.WaitVisible("#username"), chromedp.SendKeys("#username", first), chromedp.SendKeys("#password", "verysecure"), chromedp.Click("button"), chromedp.WaitVisible(".rows"))
	if got := text(ctx, t, "main"); !strings.Contains(got, "engineer of risk") {
		t.Error(got)
	}
}
