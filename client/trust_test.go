package client_test

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/client"
)

// TestAuthority: a server is trusted by the authority that was named, and by no other.
func TestAuthority(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("[]")) }))
	defer s.Close()
	s.Config.ErrorLog = nil
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	for name, tt := range map[string]struct {
		ca   []byte
		code string
	}{"named": {ca, ""}, "the system's": {nil, slipway.CodeCertificate}} {
		c, err := client.New(client.Config{BaseURL: s.URL, Token: "t", CA: tt.ca})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Endpoints(t.Context()); codeOf(err) != tt.code {
			t.Errorf("%s: %v, want %q", name, err, tt.code)
		}
	}
	if _, err := client.New(client.Config{BaseURL: s.URL, CA: []byte("x")}); !errors.Is(err, &slipway.Error{Code: slipway.CodeCertificate}) {
		t.Errorf("no certificate: %v", err)
	}
}
