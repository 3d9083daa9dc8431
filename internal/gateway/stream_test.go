package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
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
	for size, want := range map[int64]string{10: "", 4 << 20: "100-continue", -1: "100-continue"} {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		length := fmt.Sprintf("Content-Length: %d", size)
		if size < 0 {
			length = "Transfer-Encoding: chunked"
		}
		fmt.Fprintf(c, "PUT /api/2.0/mlflow-artifacts/artifacts/1/x HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", length)
		if size == 10 {
			fmt.Fprint(c, "0123456789")
		}
		if got := <-asked; got != want {
			t.Errorf("%d bytes: the server is asked %q", size, got)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil) // of the body nothing was sent
		if err != nil || resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%d bytes: %v, %v", size, resp, err)
		} else {
			resp.Body.Close()
		}
		c.Close()
	}
}
