package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/config"
)

func TestResolve(t *testing.T) {
	for name, c := range map[string]struct {
		home string
		env  map[string]string
		want string
	}{
		"given":    {"/a", map[string]string{"SLIPWAY_HOME": "/b", "HOME": "/h"}, "/a"},
		"variable": {"", map[string]string{"SLIPWAY_HOME": "/b", "HOME": "/h"}, "/b"},
		"xdg":      {"", map[string]string{"XDG_DATA_HOME": "/x", "HOME": "/h"}, "/x/slipway"},
		"home":     {"", map[string]string{"HOME": "/h"}, "/h/.local/share/slipway"},
	} {
		got, err := config.Resolve(c.home, func(k string) string { return c.env[k] })
		if err != nil || got != c.want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if _, err := config.Resolve("", func(string) string { return "" }); err == nil {
		t.Error("no home directory is no error")
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		config.Config
		code string
	}{
		"default":     {config.Config{Listen: config.DefaultListen}, ""},
		"localhost":   {config.Config{Listen: "localhost:0"}, ""},
		"ipv6":        {config.Config{Listen: "[::1]:80"}, ""},
		"everywhere":  {config.Config{Listen: ":8080"}, slipway.CodeNeedTLS},
		"beyond":      {config.Config{Listen: "192.0.2.1:8080"}, slipway.CodeNeedTLS},
		"with TLS":    {config.Config{Listen: ":8080", TLSCert: "c", TLSKey: "k"}, ""},
		"half a pair": {config.Config{Listen: config.DefaultListen, TLSCert: "c"}, slipway.CodeNeedTLS},
		"no address":  {config.Config{Listen: "8080"}, slipway.CodeListen},
	} {
		err := c.Check()
		if (err == nil) != (c.code == "") || err != nil && !errors.Is(err, &slipway.Error{Code: c.code}) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRunDir(t *testing.T) {
	short, err := config.Config{Home: t.TempDir()}.RunDir()
	if err != nil || len(short) > 60 {
		t.Error(short, err)
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	dir, err := config.Config{Home: long}.RunDir()
	if err != nil || len(dir) > 60 {
		t.Fatal(dir, err)
	}
	defer os.Remove(dir)
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Error(st, err)
	}
	if again, err := (config.Config{Home: long}).RunDir(); again != dir || err != nil {
		t.Error("another directory for the same home")
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := (config.Config{Home: long}).RunDir(); err == nil {
		t.Error("a directory that others may enter is used")
	}
}

func TestSignIn(t *testing.T) {
	sso := config.OIDC{Issuer: "https://id.example.com", ClientID: "slipway", SecretFile: "f"}
	for name, c := range map[string]struct {
		config.Config
		development bool
		field       string // that is refused
	}{
		"loopback":                        {config.Config{Listen: config.DefaultListen}, true, ""},
		"beyond":                          {config.Config{Listen: ":8443", TLSCert: "c", TLSKey: "k"}, false, ""},
		"behind a proxy":                  {config.Config{Listen: config.DefaultListen, Production: true, Public: "https://slipway.example.com"}, false, ""},
		"behind a proxy without a name":   {config.Config{Listen: config.DefaultListen, Production: true}, false, "--public-url"},
		"passwords in the clear":          {config.Config{Listen: config.DefaultListen, Production: true, Public: "http://slipway.example.com"}, false, "--public-url"},
		"a path":                          {config.Config{Listen: config.DefaultListen, Public: "https://example.com/slipway"}, true, "--public-url"},
		"a password in the address":       {config.Config{Listen: config.DefaultListen, Public: "https://a:b@example.com"}, true, "--public-url"},
		"no address":                      {config.Config{Listen: config.DefaultListen, Public: "slipway"}, true, "--public-url"},
		"a provider":                      {config.Config{Listen: config.DefaultListen, OIDC: sso}, true, ""},
		"a provider, and nowhere to come": {config.Config{Listen: ":8443", TLSCert: "c", TLSKey: "k", OIDC: sso}, false, "--public-url"},
		"a provider in the clear":         {config.Config{Listen: config.DefaultListen, Production: true, Public: "https://a.example.com", OIDC: config.OIDC{Issuer: "http://id.example.com", ClientID: "a", SecretFile: "f"}}, false, "--oidc-issuer"},
		"a provider without a secret":     {config.Config{Listen: config.DefaultListen, OIDC: config.OIDC{Issuer: "https://id.example.com", ClientID: "a"}}, true, "--oidc-client-id"},
	} {
		err := c.Check()
		if (err == nil) != (c.field == "") || err != nil && slipway.AsError(err).Field != c.field {
			t.Errorf("%s: %v, want %q", name, err, c.field)
		}
		if c.Development() != c.development {
			t.Errorf("%s: development %v", name, c.Development())
		}
	}
}
