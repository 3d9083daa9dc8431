package gateway_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Browsers are told to stay with TLS, but not for a name that every developer's machine has.
func TestStrictTransportSecurity(t *testing.T) {
	g := open(t, t.TempDir(), newFake())
	for _, tt := range []struct {
		host string
		tls  bool
		want string
	}{{"models.example.test", true, "max-age=31536000"}, {"models.example.test", false, ""}, {"localhost:8443", true, ""}} {
		r := httptest.NewRequest(http.MethodGet, "/healthz", http.NoBody)
		r.Host = tt.host
		if tt.tls {
			r.TLS = &tls.ConnectionState{}
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if got := w.Header().Get("Strict-Transport-Security"); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}
