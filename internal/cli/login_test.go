package cli_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/api"
)

// signInServer is a server that people sign in to. It gives tokens that end in two hours.
type signInServer struct {
	*httptest.Server
	mu        sync.Mutex
	decided   bool
	refreshed []string // tokens that were given for another
	left      []string
	refuse    bool
	auth      []string
}

func newSignInServer(t *testing.T) *signInServer {
	s := &signInServer{}
	write := func(w http.ResponseWriter, status int, v any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = r.ParseForm()
		grant := func(serial string, life time.Duration) api.Grant {
			return api.Grant{Account: "ada", AccessToken: "access" + serial, ExpiresAt: noon.Add(life), RefreshToken: "refresh" + serial, RefreshEndsAt: noon.Add(24 * time.Hour)}
		}
		switch r.URL.Path {
		case "/oauth/device":
			write(w, 200, api.DeviceCodes{DeviceCode: "device", UserCode: "BCDF-GHJK", VerificationURI: s.URL + "/device", VerificationURIComplete: s.URL + "/device?code=BCDF-GHJK", ExpiresIn: 600, Interval: 1})
		case "/oauth/token":
			old := r.PostForm.Get("refresh_token")
			switch {
			case s.refuse:
				write(w, 400, api.OAuthProblem{Error: "invalid_grant", Code: "SLIP-E0905", Detail: "the session has ended", Next: "sign in again"})
			case old != "":
				s.refreshed = append(s.refreshed, old)
				write(w, 200, grant("2", 4*time.Hour))
			case !s.decided:
				s.decided = true
				write(w, 400, api.OAuthProblem{Error: "authorization_pending", Code: "SLIP-E0913", Detail: "nobody has decided yet", Next: "ask again later"})
			default:
				write(w, 200, grant("1", 30*time.Second)) // ends soon
			}
		case "/oauth/revoke":
			s.left = append(s.left, r.PostForm.Get("token"))
			write(w, 200, struct{}{})
		default:
			s.auth = append(s.auth, r.Header.Get("Authorization"))
			write(w, 200, []api.Endpoint{})
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestLogin(t *testing.T) {
	s, m := newSignInServer(t), newMachine(t, nil)
	m.vars["XDG_CONFIG_HOME"] = t.TempDir()
	file := filepath.Join(m.vars["XDG_CONFIG_HOME"], "slipway", "credentials.json")
	_, stderr := m.run(2, "login")
	contains(t, stderr, "name the server", "platform login --server https://HOST")
	stdout, stderr := m.run(0, "login --server "+s.URL)
	contains(t, stdout, "signed in to "+s.URL+" as ada")
	contains(t, stderr, "BCDF-GHJK", s.URL+"/device", "next: platform whoami")
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", st, err)
	}
	if strings.Contains(stdout+stderr, "access1") || strings.Contains(stdout+stderr, "refresh1") {
		t.Error("a token is shown")
	}
	var wg sync.WaitGroup
	for range 5 { // at once, with a token that ends
		wg.Go(func() {
			own := *m
			own.out, own.err = bytes.Buffer{}, bytes.Buffer{}
			own.env.Stdout, own.env.Stderr = &own.out, &own.err
			own.run(0, "status")
		})
	}
	wg.Wait()
	s.mu.Lock()
	if len(s.refreshed) != 1 || s.refreshed[0] != "refresh1" || len(s.auth) == 0 || s.auth[0] != "Bearer access2" {
		t.Errorf("refreshed with %v, asked as %v", s.refreshed, s.auth)
	}
	s.mu.Unlock()
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	_, stderr = m.run(6, "status --server "+s.URL)
	contains(t, stderr, "others on this machine can read", "chmod 600")
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, _ = m.run(0, "logout")
	contains(t, stdout, "signed out of "+s.URL)
	if len(s.left) != 1 || s.left[0] != "refresh2" {
		t.Errorf("left with %v", s.left)
	}
	_, stderr = m.run(4, "logout --server "+s.URL)
	contains(t, stderr, "nobody is signed in", "next: platform login --server "+s.URL)
}

func TestLoginHasEnded(t *testing.T) {
	s, m := newSignInServer(t), newMachine(t, nil)
	m.vars["XDG_CONFIG_HOME"] = t.TempDir()
	s.decided = true
	m.run(0, "login --server "+s.URL)
	s.refuse = true
	_, stderr := m.run(6, "status")
	contains(t, stderr, "the sign-in at "+s.URL+" has ended", "next: platform login --server "+s.URL)
	file := filepath.Join(m.vars["XDG_CONFIG_HOME"], "slipway", "credentials.json")
	b, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(b), "refresh1") {
		t.Errorf("a token that is worth nothing is kept: %s, %v", b, err)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr = m.run(2, "status --server "+s.URL)
	contains(t, stderr, "is damaged", "platform login")
	_, stderr = m.run(2, "login --server http://slipway.example.com")
	contains(t, stderr, "in the clear")
}
