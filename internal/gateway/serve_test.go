package gateway_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/gateway"
	"github.com/slipway-ml/slipway/internal/gateway/handover"
	"github.com/slipway-ml/slipway/internal/route"
)

// site is where gateways of a test listen, one after the other.
type site struct {
	addr, home string
	socket     net.Listener
	fake       *fake
}

func newSite(t *testing.T) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.MkdirTemp("", "gw") // short, for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	return &site{l.Addr().String(), home, l, newFake()}
}

func (s *site) path(name string) string { return filepath.Join(s.home, name) }

func (s *site) admin() *gateway.AdminClient { return gateway.NewAdminClient(s.path("admin.sock")) }

// running is a gateway that serves.
type running struct {
	*gateway.Gateway
	ended                     chan error
	released, stoppedReplicas atomic.Bool
}

func (s *site) start(t *testing.T, heir *handover.Heir, c *tls.Config) *running {
	t.Helper()
	config := open(t, t.TempDir(), s.fake).config
	config.Dir, config.Metrics, config.ServerSocket = s.path("gateway"), newRegistry(), s.path("server.sock")
	g, err := gateway.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Gateway: g, ended: make(chan error, 1)}
	f := gateway.Front{Socket: s.socket, Heir: heir, TLS: c, AdminPath: s.path("admin.sock"), HandoverPath: s.path("handover.sock"),
		ReleaseReplicas: func() { r.released.Store(true) },
		StopReplicas:    func(context.Context) error { r.stoppedReplicas.Store(true); return nil }}
	if heir != nil {
		f.Socket = heir.Socket
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		err := g.Serve(ctx, f)
		r.ended <- errors.Join(err, g.Close())
	}()
	t.Cleanup(func() { cancel(); <-served })
	for s.ready() != nil {
		select {
		case err := <-r.ended:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
	return r
}

func (s *site) ready() error {
	_, err := s.admin().Observe(context.Background())
	return err
}

func TestAdmin(t *testing.T) {
	s := newSite(t)
	r := s.start(t, nil, nil)
	admin, ctx := s.admin(), t.Context()
	if info, err := os.Stat(s.path("admin.sock")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the admin socket has mode %v", info.Mode())
	}
	if err := admin.Apply(ctx, table(3, serving(.5))); err != nil {
		t.Fatal(err)
	}
	if err := admin.Apply(ctx, table(2, serving(0))); code(err) != slipway.CodeConflict {
		t.Error(err)
	}
	bad := table(4, serving(.5))
	bad.Endpoints[0].Weight = 7
	if err := admin.Apply(ctx, bad); slipway.AsError(err).Field != "endpoints[0].weight" || slipway.AsError(err).Kind != slipway.Invalid {
		t.Error(err)
	}
	if out, err := admin.Predict(ctx, "fraud", "fraud-2", []byte(inferBody)); err != nil || !strings.Contains(string(out), `"id":"42"`) {
		t.Errorf("%s, %v", out, err)
	}
	s.fake.set("fraud-2", failing(errRejected))
	if _, err := admin.Predict(ctx, "fraud", "fraud-2", []byte(inferBody)); slipway.AsError(err).Kind != slipway.Unprocessable {
		t.Error(err)
	}
	if _, err := r.Rollback(ctx, "fraud", "ana", "because"); err != nil {
		t.Fatal(err)
	}
	o, err := admin.Observe(ctx)
	if err != nil || o.Gateway != "local" || o.Seq != 3 || !o.Endpoint("fraud").Vetoed || o.Revision("fraud-1").Ready != 1 {
		t.Errorf("%+v, %v", o, err)
	}
	v, err := admin.Journal(ctx, 0)
	if err != nil || len(v) != 1 || v[0].Seq != o.VetoSeq {
		t.Errorf("%+v, %v", v, err)
	}
	if err := admin.Apply(ctx, table(5, promoted())); !errors.Is(err, &slipway.Error{Code: slipway.CodeVetoed}) {
		t.Error(err)
	}
	if v, err := admin.Journal(ctx, o.VetoSeq); err != nil || len(v) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if err := admin.Stop(ctx, true); err != nil {
		t.Error(err)
	}
	if err := <-r.ended; err != nil || !r.stoppedReplicas.Load() {
		t.Errorf("stopped with %v, replicas %t", err, r.stoppedReplicas.Load())
	}
	if err := admin.Stop(ctx, true); slipway.AsError(err).Kind != slipway.Unavailable {
		t.Error(err)
	}
}

// post sends one request on a connection and reads the answer.
func post(c net.Conn, r *bufio.Reader) (*http.Response, error) {
	_, err := fmt.Fprintf(c, "POST /v2/models/fraud/infer HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		callerToken, len(inferBody), inferBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp, err
}

// An upgrade loses no request, no evidence and no rollback.
func TestUpgradeUnderLoad(t *testing.T) {
	s := newSite(t)
	old := s.start(t, nil, nil)
	if err := s.admin().Apply(t.Context(), table(1, serving(.3))); err != nil {
		t.Fatal(err)
	}
	s.fake.set("fraud-2", sometimes(.01, seeded(2), failing(errBroken), after(2*time.Millisecond, value(1))))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var sent, lost atomic.Int64
	for range 32 {
		wg.Go(func() {
			c, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience))
			in := bufio.NewReader(c)
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				sent.Add(1)
				if resp, err := post(c, in); err != nil || resp.StatusCode != 200 || resp.Close {
					lost.Add(1)
					t.Error("lost:", err, resp)
					return
				}
			}
		})
	}
	evidence := 0
	for range 3 {
		for before, known := sent.Load(), 0; sent.Load() < before+1000 || known <= evidence; time.Sleep(10 * time.Millisecond) {
			o, err := s.admin().Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			known = judged(t, o)
		}
		heir, err := handover.Take(t.Context(), s.path("handover.sock"))
		if err != nil {
			t.Fatal(err)
		}
		frozen, err := s.admin().Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.admin().Apply(t.Context(), table(frozen.Seq+1, serving(.3))); slipway.AsError(err).Kind != slipway.Unavailable {
			t.Errorf("a frozen gateway takes a table: %v", err)
		}
		if _, err := old.Rollback(t.Context(), "fraud", "ana", ""); slipway.AsError(err).Kind != slipway.Unavailable {
			t.Errorf("a frozen gateway rolls back: %v", err)
		}
		next := s.start(t, heir, nil)
		if err := <-old.ended; !errors.Is(err, gateway.ErrHandedOver) || !old.released.Load() || old.stoppedReplicas.Load() {
			t.Errorf("the old gateway ended with %v, released %t", err, old.released.Load())
		}
		now, err := s.admin().Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before, after := judged(t, frozen), judged(t, now)
		if after < before {
			t.Errorf("%d requests judged after the hand-over, %d before", after, before)
		}
		evidence = after
		old = next
	}
	close(stop)
	wg.Wait()
	t.Logf("3 upgrades, %d requests, %d lost", sent.Load(), lost.Load())
	if err := s.admin().Stop(t.Context(), false); err != nil {
		t.Error(err)
	}
	if err := <-old.ended; err != nil || old.stoppedReplicas.Load() {
		t.Error(err)
	}
}

// judged counts the requests in the evidence.
func judged(t *testing.T, o route.Observation) (n int) {
	t.Helper()
	for _, part := range strings.Split(string(o.Endpoint("fraud").Judgement), `"requests":`)[1:] {
		var k int
		if _, err := fmt.Sscanf(part, "%d", &k); err != nil {
			t.Fatal(err)
		}
		n += k
	}
	return n
}

// What is behind /v1 is the server's, its events too.
func TestControlPlane(t *testing.T) {
	s := newSite(t)
	s.start(t, nil, nil)
	if err := s.admin().Apply(t.Context(), table(1, serving(0))); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", s.path("server.sock"))
	if err != nil {
		t.Fatal(err)
	}
	more := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s %d\n", r.Method, r.URL.RequestURI(), r.Host, r.Header.Get("X-Forwarded-For"), len(body))
		w.(http.Flusher).Flush()
		<-more
		fmt.Fprintln(w, "end")
	})}
	go server.Serve(l)
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	resp, err := client.Post("http://"+s.addr+"/v1/events?after=7", "text/plain", strings.NewReader(strings.Repeat("x", 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	got, _ := lines.ReadString('\n') // before the end is written
	if want := "POST /v1/events?after=7 " + s.addr + " 127.0.0.1 1048576\n"; got != want {
		t.Errorf("the server gets %q, not %q", got, want)
	}
	close(more)
	if got, _ := lines.ReadString('\n'); got != "end\n" {
		t.Errorf("%q", got)
	}
	// A rollback without a candidate is the server's, too.
	req, _ := http.NewRequest(http.MethodPost, "http://"+s.addr+"/v1/endpoints/fraud/rollback", strings.NewReader(`{"reason":"x"}`))
	resp, err = client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); !strings.HasPrefix(string(b), "POST /v1/endpoints/fraud/rollback ") {
		t.Errorf("%s", b)
	}
}

func TestTLS(t *testing.T) {
	s := newSite(t)
	certificate, roots := selfSigned(t)
	config := func() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{certificate}} }
	old := s.start(t, nil, config())
	if err := s.admin().Apply(t.Context(), table(1, serving(0))); err != nil {
		t.Fatal(err)
	}
	for _, protocol := range []string{"h2", "http/1.1"} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}, ForceAttemptHTTP2: protocol == "h2"}
		req, _ := http.NewRequest(http.MethodPost, "https://"+s.addr+"/v2/models/fraud/infer", strings.NewReader(inferBody))
		req.Header.Set("Authorization", "Bearer "+callerToken)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || resp.TLS.NegotiatedProtocol != map[string]string{"h2": "h2"}[protocol] {
			t.Errorf("status %d over %q", resp.StatusCode, resp.TLS.NegotiatedProtocol)
		}
		transport.CloseIdleConnections()
	}
	// A TLS connection cannot be passed on: its next answer is its last, and says so.
	c, err := tls.Dial("tcp", s.addr, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	if resp, err := post(c, in); err != nil || resp.Close {
		t.Fatal(err, resp)
	}
	heir, err := handover.Take(t.Context(), s.path("handover.sock"))
	if err != nil {
		t.Fatal(err)
	}
	s.start(t, heir, config())
	if resp, err := post(c, in); err != nil || resp.StatusCode != 200 || !resp.Close {
		t.Error(err, resp)
	}
	if err := <-old.ended; !errors.Is(err, gateway.ErrHandedOver) {
		t.Error(err)
	}
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// What comes from outside is answered or cut off, whatever it is.
func TestHostileBytes(t *testing.T) {
	s := newSite(t)
	s.start(t, nil, nil)
	if err := s.admin().Apply(t.Context(), table(1, serving(0))); err != nil {
		t.Fatal(err)
	}
	auth := "Authorization: Bearer " + callerToken + "\r\n"
	got := map[string]string{}
	for name, request := range map[string]string{
		"garbage":       "\x16\x03\x01\x00\r\n\r\n",
		"huge header":   "GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n",
		"huge body":     "POST /v2/models/fraud/infer HTTP/1.1\r\nHost: x\r\n" + auth + "Content-Length: 99999999999\r\n\r\n",
		"short body":    "POST /v2/models/fraud/infer HTTP/1.1\r\nHost: x\r\n" + auth + "Content-Length: 9\r\n\r\n{}",
		"two tokens":    "POST /v2/models/fraud/infer HTTP/1.1\r\nHost: x\r\n" + auth + auth + "Content-Length: 0\r\n\r\n",
		"body no token": "POST /v2/models/fraud/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n{}",
		"empty body":    "POST /v2/models/fraud/infer HTTP/1.1\r\nHost: x\r\n" + auth + "Content-Length: 0\r\n\r\n",
	} {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(c, request)
		_ = c.(*net.TCPConn).CloseWrite()
		line, _ := bufio.NewReader(c).ReadString('\n')
		got[name] = strings.TrimSpace(line)
		c.Close()
	}
	want := map[string]string{
		"garbage": "HTTP/1.1 400 Bad Request", "huge header": "HTTP/1.1 431 Request Header Fields Too Large",
		"huge body": "HTTP/1.1 413 Request Entity Too Large", "short body": "HTTP/1.1 400 Bad Request",
		"two tokens": "HTTP/1.1 401 Unauthorized", "body no token": "HTTP/1.1 401 Unauthorized", "empty body": "HTTP/1.1 400 Bad Request",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
