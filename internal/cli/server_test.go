package cli_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/slipway-ml/slipway/api"
)

// TestExitCodes: scripts branch on these.
func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		status int
		code   string
		want   int
	}{
		{200, "", 0}, {500, "SLIP-E0000", 1}, {409, "SLIP-E0403", 1}, {507, "SLIP-E0605", 1},
		{400, "SLIP-E0007", 2}, {422, "SLIP-E0501", 2}, {422, "SLIP-E0301", 3}, {422, "SLIP-E0302", 3}, {409, "SLIP-E0401", 3},
		{404, "SLIP-E0003", 4}, {504, "SLIP-E0504", 5}, {401, "SLIP-E0005", 6}, {403, "SLIP-E0006", 6},
	} {
		var v any = api.Problem{Status: tt.status, Code: tt.code, Detail: "so it is"}
		if tt.status == 200 {
			v = []api.Endpoint{}
		}
		m := newMachine(t, newReplies(t, map[string]any{"GET /v1/endpoints": v}))
		_, stderr := m.run(tt.want, "status")
		contains(t, stderr, "next: platform ")
		if tt.want == 0 {
			continue
		}
		contains(t, stderr, "error: so it is", "more: platform explain "+tt.code)
		_, stderr = m.run(tt.want, "status --json")
		contains(t, stderr, `"code":"`+tt.code+`"`, `"detail":"so it is"`)
	}
}

// TestServerAndToken: the home's token goes to the home's server and nowhere else.
func TestServerAndToken(t *testing.T) {
	m := newMachine(t, nil)
	_, stderr := m.run(5, "status")
	contains(t, stderr, "no platform runs in", "next: platform up")

	var auth string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth = r.Header.Get("Authorization")
		_, _ = w.Write([]byte("[]"))
	}))
	defer other.Close()
	m = newMachine(t, newReplies(t, map[string]any{"GET /v1/endpoints": []api.Endpoint{}}))
	m.run(0, "status")
	_, stderr = m.run(6, "status --server "+other.URL)
	contains(t, stderr, "there is no token for "+other.URL, "SLIPWAY_TOKEN")
	if auth != "" {
		t.Errorf("the other server got %q", auth)
	}
	m.vars["SLIPWAY_TOKEN"] = "another"
	m.run(0, "status --server "+other.URL)
	if auth != "Bearer another" {
		t.Errorf("the other server got %q", auth)
	}
	m.vars["SLIPWAY_SERVER"] = "http://models.example.com"
	_, stderr = m.run(2, "status")
	contains(t, stderr, "SLIP-E0603")

	gone := newMachine(t, nil)
	gone.serve("http://127.0.0.1:1")
	_, stderr = gone.run(5, "status")
	contains(t, stderr, "no answer from http://127.0.0.1:1", "next: platform up")
}
