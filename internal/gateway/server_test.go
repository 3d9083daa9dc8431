package gateway_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"testing"
)

// TestTakenOver: connections to the server are kept, but once another server has put its
// socket in the place none of them is used again, although the one before would still answer.
func TestTakenOver(t *testing.T) {
	s := newSite(t)
	s.start(t, nil, nil)
	if err := s.admin().Apply(t.Context(), table(1, serving(0))); err != nil {
		t.Fatal(err)
	}
	connections := 0
	serve := func(path, name string) {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }),
			ConnState: func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections++ // one request at a time
				}
			}}
		go server.Serve(l)
		t.Cleanup(func() { server.Close() })
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	ask := func() string {
		resp, err := (&http.Client{Transport: transport}).Get("http://" + s.addr + "/health")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	serve(s.path("server.sock"), "old")
	for range 5 {
		if got := ask(); got != "old" {
			t.Fatalf("%q", got)
		}
	}
	if connections != 1 {
		t.Errorf("%d connections for requests one after the other", connections)
	}
	serve(s.path("server.sock.new"), "new")
	if err := os.Rename(s.path("server.sock.new"), s.path("server.sock")); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if got := ask(); got != "new" {
			t.Fatalf("the server that was replaced answers: %q", got)
		}
	}
	if connections != 2 {
		t.Errorf("%d connections", connections)
	}
}
