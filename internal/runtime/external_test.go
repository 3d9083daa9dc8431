package runtime_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/runtime"
	"github.com/slipway-ml/slipway/internal/runtime/remote"
)

// TestServersElsewhere: what is dialled is looked at after names were resolved, and an
// answer that sends elsewhere is not followed.
func TestServersElsewhere(t *testing.T) {
	asked := 0
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer inner.Close()
	outer := httptest.NewServer(http.RedirectHandler(inner.URL, http.StatusTemporaryRedirect))
	defer outer.Close()
	ready := func(url string, reach config.Reach) error {
		d := &net.Dialer{Control: runtime.Permit(reach)}
		s := remote.NewOpenInference(remote.Options{Base: url, What: "the external server", Conns: 1, Dial: d.DialContext}, "fraud")
		defer s.Close()
		return s.Ready(t.Context())
	}
	forbidden := &slipway.Error{Code: slipway.CodeForbiddenTo}
	_, port, err := net.SplitHostPort(inner.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{inner.URL, "http://localhost:" + port, "http://[::ffff:127.0.0.1]:" + port, "http://169.254.169.254/latest", "http://[fe80::1]:80", "http://0.0.0.0:" + port, "http://2130706433:" + port, "http://0x7f.1:" + port} {
		if err := ready(url, config.Reach{}); err == nil || asked > 0 {
			t.Errorf("%s is asked: %v", url, err)
		} else if url == inner.URL && !errors.Is(err, forbidden) {
			t.Errorf("%s: %v", url, err)
		}
	}
	development, err := config.Config{}.Reach()
	if err != nil {
		t.Fatal(err)
	}
	if err := ready(outer.URL, development); err == nil || asked > 0 {
		t.Errorf("a redirect is followed: %v", err)
	}
	if err := ready(inner.URL, development); err != nil || asked != 1 {
		t.Errorf("a development instance does not ask this machine: %v", err)
	}
}
