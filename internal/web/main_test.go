package web_test

import (
	"context"
	"errors"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/identity/signin"
	"github.com/slipway-ml/slipway/internal/identity/signin/password"
	"github.com/slipway-ml/slipway/internal/identity/signin/totp"
	identitystore "github.com/slipway-ml/slipway/internal/sqlstore/identity"
	signinstore "github.com/slipway-ml/slipway/internal/sqlstore/signin"
	"github.com/slipway-ml/slipway/internal/storetest"
	"github.com/slipway-ml/slipway/internal/web"
)

// sealer binds to the aad; what it gives is bytes that are no text, as those of a real one.
type sealer struct{}

func flip(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = ^b[i]
	}
	return out
}

func (sealer) Seal(_ context.Context, aad string, b []byte) ([]byte, error) {
	return flip([]byte(aad + " " + string(b))), nil
}

func (sealer) Open(_ context.Context, aad string, b []byte) ([]byte, error) {
	plain, ok := strings.CutPrefix(string(flip(b)), aad+" ")
	if !ok {
		return nil, errors.New("not sealed for this")
	}
	return []byte(plain), nil
}

// site is the pages behind what stands for a gateway.
type site struct {
	t        *testing.T
	url      string
	signin   *signin.Service
	accounts *identity.Service
	mu       sync.Mutex
	now      time.Time
}

const words = "tidal copper lamp seven"

// newSite serves the pages. The provider, if there is one, is made once the address is known.
func newSite(t *testing.T, secure bool, provider func(url string, now func() time.Time) signin.Provider) *site {
	s := &site{t: t, now: time.Now().UTC()}
	var pages http.Handler
	gateway := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Forwarded-For", "192.0.2.7")
		r.Header.Set("X-Forwarded-Proto", map[bool]string{true: "https", false: "http"}[secure])
		pages.ServeHTTP(w, r)
	})
	server := httptest.NewServer(gateway)
	t.Cleanup(server.Close)
	s.url = server.URL
	db := storetest.SQLite(t)
	s.accounts = identity.New(identitystore.New(db), s.clock)
	c := signin.Config{Records: signinstore.New(db), Accounts: s.accounts, Sealer: sealer{}, Hasher: password.NewHasher(password.Params{Memory: 64, Passes: 1, Lanes: 1}, 2),
		Title: "Slipway", Changed: func() {}, Now: s.clock}
	if provider != nil {
		c.Provider = provider(s.url, s.clock)
	}
	s.signin = signin.New(c)
	pages = web.New(web.Config{SignIn: s.signin, Tokens: s.accounts, Changed: func() {}, Development: true, Key: []byte("a key of this test"), Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	return s
}

func (s *site) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *site) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func (s *site) invite(name string) string {
	s.t.Helper()
	if _, err := s.accounts.Account(s.t.Context(), name); err != nil {
		if _, err := s.accounts.Create(s.t.Context(), "owner", identity.Account{Name: name, Kind: slipway.Person}); err != nil {
			s.t.Fatal(err)
		}
	}
	code, _, err := s.signin.Invite(s.t.Context(), "owner", name, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return code
}

func (s *site) code(seed string) string {
	s.t.Helper()
	c, err := totp.Code(seed, s.clock())
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// browser is one without scripts, as the pages need none.
type browser struct {
	*site
	client http.Client
	at     *url.URL
	status int
	header http.Header
	body   string
}

func (s *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{site: s, client: http.Client{Jar: jar, Timeout: 20 * time.Second}}
}

func (b *browser) do(r *http.Request) {
	b.t.Helper()
	resp, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.at, b.status, b.header, b.body = resp.Request.URL, resp.StatusCode, resp.Header, string(raw)
}

// open goes to a page.
func (b *browser) open(path string) *browser {
	b.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.url + path
	}
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.do(r)
	return b
}

var (
	formRE  = regexp.MustCompile(`(?s)<form method="post" action="([^"]+)".*?</form>`)
	inputRE = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)
)

// fill fills in the page's form of an action and sends it.
func (b *browser) fill(action string, pairs ...string) *browser {
	b.t.Helper()
	form := url.Values{}
	found := false
	for _, m := range formRE.FindAllStringSubmatch(b.body, -1) {
		if m[1] != action || found {
			continue
		}
		found = true
		for _, in := range inputRE.FindAllStringSubmatch(m[0], -1) {
			form.Set(in[1], html.UnescapeString(in[2]))
		}
	}
	if !found {
		b.t.Fatalf("%s has no form for %s:\n%s", b.at, action, b.body)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	b.post(action, form, func(*http.Request) {})
	return b
}

// post sends a form as a browser does from a page of this site, unless change says otherwise.
func (b *browser) post(path string, form url.Values, change func(*http.Request)) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", b.url)
	change(r)
	b.do(r)
}

// want checks where the browser is and what it shows.
func (b *browser) want(status int, path string, texts ...string) *browser {
	b.t.Helper()
	if b.status != status || b.at.Path != path {
		b.t.Fatalf("%d at %s, want %d at %s:\n%s", b.status, b.at, status, path, b.body)
	}
	for _, text := range texts {
		if !strings.Contains(b.body, text) {
			b.t.Errorf("%s does not say %q:\n%s", b.at, text, b.body)
		}
	}
	return b
}

func (b *browser) cookie(name string) string {
	u, _ := url.Parse(b.url)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

var seedRE = regexp.MustCompile(`<code class="seed">([A-Z2-7]+)</code>`)

// enrol accepts an invitation, and is signed in then; it gives the seed.
func (b *browser) enrol(name string) (seed string) {
	b.t.Helper()
	b.open("/enrol?code="+b.invite(name)).want(200, "/enrol", name)
	b.fill("/enrol", "password", words, "again", words).want(200, "/enrol/totp", `class="qr"`)
	seed = seedRE.FindStringSubmatch(b.body)[1]
	b.fill("/enrol/totp", "code", b.code(seed)).want(200, "/enrol/totp", "Keep your recovery codes")
	b.pass(time.Minute)
	return seed
}

// login signs in with password and code.
func (b *browser) login(name, seed string) *browser {
	b.t.Helper()
	b.open("/login").want(200, "/login")
	b.fill("/login", "name", name, "password", words).want(200, "/login/totp")
	b.pass(time.Minute)
	return b.fill("/login/totp", "code", b.code(seed))
}

// hereAgent is a command line that somebody has at hand.
var hereAgent = signin.Source{Peer: "192.0.2.9", Agent: "platform/1.0"}
