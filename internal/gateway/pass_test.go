package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/internal/route"
)

// passed serves the endpoint "fraud" whose revisions are servers of the test.
type passed struct {
	*site
	client *http.Client
}

func startPassed(t *testing.T, weight float64, servers ...http.Handler) passed {
	t.Helper()
	s := newSite(t)
	s.fake.sockets = map[string]string{}
	for i, h := range servers {
		socket := s.path(fmt.Sprintf("%d.sock.h", i+1))
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: h, ReadHeaderTimeout: patience}
		go server.Serve(l)
		t.Cleanup(func() { server.Close() })
		s.fake.sockets[fmt.Sprintf("fraud-%d", i+1)] = socket
	}
	s.start(t, nil, nil)
	e := serving(weight)
	for _, r := range []*route.Revision{e.Stable, e.Candidate} {
		if r != nil {
			r.Runtime = route.Runtime{Kind: route.RuntimeCommand, Protocol: route.ProtocolHTTP, Proxy: []string{"/v1/*", "/exact"}}
		}
	}
	if err := s.admin().Apply(t.Context(), table(1, e)); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return passed{s, &http.Client{Transport: transport}}
}

func (p passed) ask(ctx context.Context, t *testing.T, method, path string, body io.Reader, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+p.addr+"/endpoints/fraud/proxy"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+callerToken)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := p.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func (p passed) counts(t *testing.T, revision string) route.Counts {
	t.Helper()
	o, err := p.admin().Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return o.Revision(revision).Counts
}

func status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "as it is")
	})
}

// TestPassStreams: an event is with the client before the next one is made; a client that
// leaves is noticed by the server; one place is taken for as long.
func TestPassStreams(t *testing.T) {
	next, left := make(chan int), make(chan struct{})
	p := startPassed(t, 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for n := range next {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", n)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
		close(left)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { next <- 0 }()
	resp := p.ask(ctx, t, http.MethodPost, "/v1/chat/completions", strings.NewReader(`{"stream":true}`))
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Slipway-Revision") != "fraud-1" || resp.Header.Get("X-Request-Id") == "" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	events := bufio.NewReader(resp.Body)
	for i := range 3 {
		if line, err := events.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("%q %v", line, err)
		}
		_, _ = events.ReadString('\n')
		next <- i + 1
	}
	o, err := p.admin().Observe(t.Context())
	if err != nil || o.Endpoint("fraud").Traffic.Inside != 1 || o.Revision("fraud-1").Counts.Requests != 1 {
		t.Errorf("%+v %v", o, err)
	}
	close(next)
	cancel()
	<-left
}

// TestPassUploads: pieces of a body of unknown length come as they are sent.
func TestPassUploads(t *testing.T) {
	arrived := make(chan string)
	p := startPassed(t, 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := bufio.NewReader(r.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			arrived <- line
		}
	}))
	in, out := io.Pipe()
	go func() {
		for _, line := range []string{"a\n", "b\n"} {
			_, _ = io.WriteString(out, line)
			if got := <-arrived; got != line {
				t.Errorf("%q", got)
			}
		}
		out.Close()
	}()
	if resp := p.ask(t.Context(), t, http.MethodPut, "/v1/audio", in); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
}

// TestPassHeaders: the server gets nothing of ours, the caller nothing that speaks for our
// address; path and query arrive as they are.
func TestPassHeaders(t *testing.T) {
	p := startPassed(t, 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "session=x")
		w.Header().Set("X-Own", "kept")
		_ = json.NewEncoder(w).Encode(map[string]any{"header": r.Header, "uri": r.RequestURI, "host": r.Host})
	}))
	resp := p.ask(t.Context(), t, http.MethodGet, "/v1/a%20b?q=1&r=%2f", nil, "Cookie", "session=y", "Connection", "X-Hop", "X-Hop", "1",
		"X-Forwarded-For", "192.0.2.1", "X-Request-Id", "mine", "Slipway-Deadline-Ms", "1500", "X-Mine", "2")
	var got struct {
		Header    http.Header
		URI, Host string
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Authorization", "Cookie", "X-Hop", "X-Forwarded-For"} {
		if got.Header.Get(name) != "" {
			t.Errorf("the server gets %s", name)
		}
	}
	if got.URI != "/v1/a%20b?q=1&r=%2f" || got.Host != "localhost" || got.Header.Get("X-Request-Id") != "mine" || got.Header.Get("X-Mine") != "2" || got.Header.Get("Slipway-Deadline-Ms") == "" {
		t.Errorf("%+v", got)
	}
	if resp.Header.Get("Set-Cookie") != "" || resp.Header.Get("X-Own") != "kept" || resp.Header.Get("Content-Security-Policy") != "sandbox" {
		t.Errorf("%v", resp.Header)
	}
}

// TestPassPaths: what is not listed does not pass, however it is written.
func TestPassPaths(t *testing.T) {
	p := startPassed(t, 0, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the server is asked for %s", r.RequestURI) }))
	for _, path := range []string{"/", "/v1", "/v1/", "/v2/repository", "/v1/../admin", "/v1/%2e%2e/admin", "/v1/.%2E/admin", "/v1//admin", "/v1/%2fadmin", "/v1/a%5c..%5cadmin",
		"/v1/a/./b", "/v1/a%00", "/v1/%252e%252e/admin", "/exact/", "/exact%2f", "/v1/..;/admin", "/v1/.hidden"} {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(c, "GET /endpoints/fraud/proxy%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\n\r\n", path, callerToken)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %+v %v", path, resp, err)
		}
		c.Close()
	}
	if c := p.counts(t, "fraud-1"); c.Requests != 0 {
		t.Errorf("%+v", c)
	}
	if resp := p.ask(t.Context(), t, http.MethodGet, "/v1/x", nil, "Upgrade", "websocket", "Connection", "upgrade"); resp.StatusCode != http.StatusBadRequest {
		t.Error(resp.Status)
	}
	if resp := p.ask(t.Context(), t, http.MethodGet, "/v1/x", nil, "Authorization", "Bearer "+leadToken); resp.StatusCode != http.StatusForbidden {
		t.Error(resp.Status)
	}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.addr+"/v2/models/fraud/infer", strings.NewReader(inferBody))
	r.Header.Set("Authorization", "Bearer "+callerToken)
	resp, err := p.client.Do(r)
	if err != nil || resp.StatusCode != http.StatusNotFound {
		t.Error(resp, err)
	}
	resp.Body.Close()
}

// TestPassJudges: status and the time to the header are evidence, and stable answers what
// the candidate did not, if the body is small.
func TestPassJudges(t *testing.T) {
	p := startPassed(t, 1, status(201), status(500))
	for range 3 {
		resp := p.ask(t.Context(), t, http.MethodPost, "/exact", strings.NewReader("x"))
		if resp.StatusCode != 201 || resp.Header.Get("Slipway-Revision") != "fraud-1" {
			t.Errorf("%s from %s", resp.Status, resp.Header.Get("Slipway-Revision"))
		}
	}
	if c := p.counts(t, "fraud-2"); c.Requests != 3 || c.Failed != 3 || c.Rescued != 3 {
		t.Errorf("%+v", c)
	}
	large := io.MultiReader(strings.NewReader("x")) // of unknown length
	if resp := p.ask(t.Context(), t, http.MethodPost, "/exact", large); resp.StatusCode != 500 || resp.Header.Get("Slipway-Revision") != "fraud-2" {
		t.Errorf("%s from %s", resp.Status, resp.Header.Get("Slipway-Revision"))
	}
	refusing := startPassed(t, 0, status(404))
	if resp := refusing.ask(t.Context(), t, http.MethodGet, "/exact", nil); resp.StatusCode != 404 {
		t.Error(resp.Status)
	} else if b, _ := io.ReadAll(resp.Body); string(b) != "as it is" {
		t.Errorf("%s", b)
	}
	if c := refusing.counts(t, "fraud-1"); c.Rejected != 1 || c.Answered != 1 {
		t.Errorf("%+v", c)
	}
}

// TestPassLate: a server that does not begin to answer in time has failed; one that breaks
// off leaves no whole answer.
func TestPassLate(t *testing.T) {
	p := startPassed(t, 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/broken" {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	if resp := p.ask(t.Context(), t, http.MethodPost, "/v1/slow", strings.NewReader("x"), "Slipway-Deadline-Ms", "20"); resp.StatusCode != http.StatusGatewayTimeout {
		t.Error(resp.Status)
	}
	resp := p.ask(t.Context(), t, http.MethodPost, "/v1/broken", strings.NewReader("x"))
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("a broken answer looks whole: %q", b)
	}
	for p.counts(t, "fraud-1").Errors != 2 { // one was late, one broke off
		time.Sleep(time.Millisecond)
	}
	p.fake.mu.Lock()
	defer p.fake.mu.Unlock()
	if p.fake.through != 0 {
		t.Errorf("%d requests are never ended", p.fake.through)
	}
}

func FuzzPasses(f *testing.F) {
	for _, s := range []string{"/v1/chat", "/v1/%2e%2e/x", "/v1//x", "/v1/a%20b"} {
		f.Add(s)
	}
	r := &route.Runtime{Proxy: []string{"/v1/*", "/exact"}}
	f.Fuzz(func(t *testing.T, path string) {
		if !r.Passes(path) {
			return
		}
		for _, part := range strings.Split(strings.ToLower(path), "/")[1:] {
			if part == ".." || part == "." || strings.Contains(part, "%2e") || strings.ContainsAny(part, "\\;?# ") {
				t.Errorf("%q passes", path)
			}
		}
		if path != "/exact" && !strings.HasPrefix(path, "/v1/") {
			t.Errorf("%q passes", path)
		}
	})
}
