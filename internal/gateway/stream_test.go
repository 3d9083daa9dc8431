package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway/internal/route"
)

// TestArtifactsStream: a piece of an upload is with the server before the next one is sent,
// and a piece of a download with the client before the server goes on, so that an artifact of
// any size goes through in little memory.
func TestArtifactsStream(t *testing.T) {
	s := newSite(t)
	s.start(t, nil, nil)
	if err := s.admin().Apply(t.Context(), table(1, serving(0))); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", s.path("server.sock"))
	if err != nil {
		t.Fatal(err)
	}
	const path, pieces = "/teams/risk/api/2.0/mlflow-artifacts/artifacts/1/a%2Fb/..%2Fx", 4
	piece := make([]byte, 256<<10)
	arrived, sent := make(chan int), make(chan int)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.EscapedPath(); got != path || !route.IsMLflow(r.URL.Path) {
			t.Errorf("the server gets %q", got)
		}
		if r.Method == http.MethodPut {
			for range pieces {
				n, _ := io.ReadFull(r.Body, make([]byte, len(piece)))
				arrived <- n
			}
			return
		}
		w.Header().Set("Content-Length", "1048576")
		for range pieces {
			_, _ = w.Write(piece)
			<-sent
		}
	})}
	go server.Serve(l)
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}

	in, out := io.Pipe()
	go func() {
		for range pieces {
			_, _ = out.Write(piece)
			if n := <-arrived; n != len(piece) {
				t.Errorf("%d bytes arrive of a piece", n)
			}
		}
		out.Close()
	}()
	put, _ := http.NewRequest(http.MethodPut, "http://"+s.addr+path, in)
	resp, err := client.Do(put)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()

	resp, err = client.Get("http://" + s.addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for range pieces {
		if _, err := io.ReadFull(resp.Body, make([]byte, len(piece))); err != nil {
			t.Fatal(err)
		}
		sent <- 1
	}
}

// TestRefusedUploads: the server is asked whether it wants a large body, so that whom it
// refuses is told so before he has sent it, and never that the server does not answer: clients
// repeat the latter for minutes.
func TestRefusedUploads(t *testing.T) {
	s := newSite(t)
	s.start(t, nil, nil)
	if err := s.admin().Apply(t.Context(), table(1, serving(0))); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", s.path("server.sock"))
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Expect")
		w.WriteHeader(http.StatusUnauthorized)
	})}
	go server.Serve(l)
	defer server.Close()
	piece := strings.Repeat("x", 512<<10) // of what a client sends before it sees an answer
	for name, c := range map[string]struct{ head, body, want string }{
		"small":         {"Content-Length: 10", "0123456789", ""},
		"large":         {"Content-Length: 4194304", piece, "100-continue"},
		"of no length":  {"Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece), "100-continue"},
		"what is large": {"Content-Length: 65537", piece[:65537], "100-continue"},
	} {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		go fmt.Fprintf(conn, "PUT /api/2.0/mlflow-artifacts/artifacts/1/x HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n%s", c.head, c.body)
		if got := <-asked; got != c.want {
			t.Errorf("%s: the server is asked %q", name, got)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %v, %v", name, resp, err)
		} else {
			resp.Body.Close()
		}
		conn.Close()
	}
}
