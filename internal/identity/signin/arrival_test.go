package signin_test

import (
	"net/http/httptest"
	"testing"

	"github.com/slipway-ml/slipway/internal/identity/signin"
)

func TestArrival(t *testing.T) {
	for name, c := range map[string]struct {
		forwarded []string
		proto     string
		want      signin.Arrival
	}{
		"at the socket":            {nil, "", signin.Arrival{Direct: true}},
		"nobody knows whence":      {nil, "http", signin.Arrival{}},
		"from the network":         {[]string{"192.0.2.7"}, "https", signin.Arrival{Source: signin.Source{Peer: "192.0.2.7"}, Secure: true}},
		"from this machine":        {[]string{"127.0.0.1"}, "http", signin.Arrival{Source: signin.Source{Peer: "127.0.0.1"}}},
		"through a local proxy":    {[]string{"192.0.2.7", "127.0.0.1"}, "http", signin.Arrival{Source: signin.Source{Peer: "192.0.2.7"}}},
		"through two":              {[]string{"192.0.2.7, 127.0.0.1, ::1"}, "http", signin.Arrival{Source: signin.Source{Peer: "192.0.2.7"}}},
		"what a stranger invented": {[]string{"203.0.113.1, 192.0.2.7, 127.0.0.1"}, "http", signin.Arrival{Source: signin.Source{Peer: "192.0.2.7"}}},
	} {
		r := httptest.NewRequest("GET", "http://slipway.test/login", nil)
		if c.forwarded != nil {
			r.Header["X-Forwarded-For"] = c.forwarded
		}
		if c.proto != "" { // the gateway says so of every request
			r.Header.Set("X-Forwarded-Proto", c.proto)
			r.Header.Set("X-Forwarded-Host", "slipway.test")
		}
		c.want.Host = "slipway.test"
		if got := signin.ArrivalOf(r); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
