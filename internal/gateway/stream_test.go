package gateway_test

import (
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
