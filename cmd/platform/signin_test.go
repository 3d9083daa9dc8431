package main

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/identity/signin/totp"
)

// production is an installation behind a proxy that ends TLS, and somebody at its machine.
type production struct {
	*server
	public string
	env    []string // of a person's command line, elsewhere
	client http.Client
	page   string
}

func newProduction(t *testing.T) *production {
	t.Helper()
	var target atomic.Pointer[url.URL]
	proxy := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target.Load())
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}})
	t.Cleanup(proxy.Close)
	exe, err := exec.LookPath("platform")
	if err != nil {
		t.Fatal(err)
	}
	p := &production{server: newServerWith(t, exe, []string{"--production", "--public-url", proxy.URL}), public: proxy.URL}
	u, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	target.Store(u)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	p.env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_CONFIG_HOME=", "SLIPWAY_HOME="+filepath.Join(t.TempDir(), "none"), "SLIPWAY_SERVER="+proxy.URL, "SSL_CERT_FILE="+roots)
	p.client = *proxy.Client()
	if p.client.Jar, err = cookiejar.New(nil); err != nil {
		t.Fatal(err)
	}
	return p
}

// local runs a command at the machine, and remote one of a person elsewhere.
func (p *production) local(args ...string) (string, error) {
	cmd := exec.Command(p.exe, append(args, "--home", p.home)...)
	cmd.Env = append(os.Environ(), "HOME="+p.t.TempDir(), "XDG_CONFIG_HOME=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (p *production) remote(args ...string) (string, error) {
	cmd := exec.Command(p.exe, args...)
	cmd.Env = p.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (p *production) get(address string) {
	p.t.Helper()
	resp, err := p.client.Get(address)
	p.read(resp, err)
}

func (p *production) read(resp *http.Response, err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %d, %v\n%s", resp.Request.URL, resp.StatusCode, err, b)
	}
	p.page = string(b)
}

var hiddenRE = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)

// fill sends the page's form.
func (p *production) fill(path string, pairs ...string) {
	p.t.Helper()
	form := url.Values{}
	for _, m := range hiddenRE.FindAllStringSubmatch(p.page, -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	resp, err := p.client.PostForm(p.public+path, form)
	p.read(resp, err)
}

// login runs platform login and confirms it in the browser.
func (p *production) login() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.exe, "login", "--json")
	cmd.Env, cmd.Stderr = p.env, p.t.Output()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	var codes api.DeviceCodes
	lines := bufio.NewReader(out)
	line, _ := lines.ReadBytes('\n')
	if err := json.Unmarshal(line, &codes); err != nil || !strings.HasPrefix(codes.VerificationURI, p.public) {
		p.t.Fatalf("%s: %v", line, err)
	}
	p.get(codes.VerificationURI)
	p.fill("/device", "code", codes.UserCode)
	p.fill("/device", "decision", "allow")
	if _, err := io.ReadAll(lines); err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		p.t.Fatal(err)
	}
}

// TestProduction: the first owner of a production installation is invited at its machine,
// signs in with a second factor, and the owner's token is worth nothing elsewhere.
func TestProduction(t *testing.T) {
	p := newProduction(t)
	ctx := t.Context()
	if _, err := p.c.Endpoints(ctx); !errors.Is(err, &slipway.Error{Code: slipway.CodeLocalOnly}) {
		t.Errorf("the owner's token over the network: %v", err)
	}
	token, err := os.ReadFile(filepath.Join(p.home, "owner.token"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	if resp, err := http.DefaultClient.Do(r); err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the owner's token at the gateway: %v, %v", resp, err)
	}
	if out, err := p.remote("whoami"); err == nil || !strings.Contains(out, "platform login --server "+p.public) {
		t.Errorf("nobody is signed in: %s, %v", out, err)
	}
	out, err := p.local("accounts", "invite", "ada", "--json")
	var invitation api.Invitation
	if err != nil || json.Unmarshal([]byte(out), &invitation) != nil || !strings.HasPrefix(invitation.URL, p.public+"/enrol?code=") {
		t.Fatalf("%s, %v", out, err)
	}
	if out, err := p.local("accounts", "grant", "ada", "owner"); err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	p.get(invitation.URL)
	p.fill("/enrol", "password", "tidal copper lamp seven", "again", "tidal copper lamp seven")
	seed := regexp.MustCompile(`<code class="seed">([A-Z2-7]+)</code>`).FindStringSubmatch(p.page)
	if seed == nil {
		t.Fatal(p.page)
	}
	code, err := totp.Code(seed[1], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p.fill("/enrol/totp", "code", code)
	u, _ := url.Parse(p.public)
	if cookies := p.client.Jar.Cookies(u); len(cookies) == 0 || !strings.HasPrefix(cookies[0].Name, "__Host-slipway") {
		t.Errorf("cookies %v", cookies)
	}
	p.login()
	var who struct {
		api.Who
		Server api.Info
	}
	if out, err = p.remote("whoami", "--json"); err != nil || json.Unmarshal([]byte(out), &who) != nil || who.Account != "ada" || !who.Elevated || who.Server.Development || who.Server.URL != p.public {
		t.Errorf("%s, %v", out, err)
	}
	if out, err := p.remote("accounts", "invite", "grace", "--json"); err != nil {
		t.Errorf("within ten minutes of the second factor: %s, %v", out, err)
	}
	if out, err := p.remote("tokens", "create", "ada"); err != nil {
		t.Errorf("%s, %v", out, err)
	} else if _, err := p.withToken(strings.Fields(out)[0], "accounts", "invite", "bob"); err == nil {
		t.Error("a token without a second factor invites people")
	}
	p.stopControl()
	p.up(strings.TrimPrefix(p.url, "http://")) // nothing of it is lost with the server
	if out, err := p.remote("sessions", "list", "--json"); err != nil || !strings.Contains(out, `"method": "password"`) {
		t.Errorf("%s, %v", out, err)
	}
	p.get(p.public + "/account")
	if out, err := p.remote("logout"); err != nil {
		t.Errorf("%s, %v", out, err)
	}
	if out, err := p.remote("whoami"); err == nil || !strings.Contains(out, "platform login") {
		t.Errorf("after logout: %s, %v", out, err)
	}
	for _, file := range []string{"state.db", "state.db-wal"} {
		b, err := os.ReadFile(filepath.Join(p.home, file))
		if err == nil && (strings.Contains(string(b), seed[1]) || strings.Contains(string(b), "tidal copper") || strings.Contains(string(b), invitation.Code)) {
			t.Errorf("a secret is in %s", file)
		}
	}
}

func (p *production) withToken(token string, args ...string) (string, error) {
	cmd := exec.Command(p.exe, args...)
	cmd.Env = append(p.env, "SLIPWAY_TOKEN="+token)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
