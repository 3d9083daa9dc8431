package gateway_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway/internal/route"
)

// transport is a way to the gateway.
type transport struct {
	name, url string
	header    http.Header // that makes a request take it
	http.RoundTripper
}

// transports starts a gateway for each way: the loop of express, net/http for plain requests
// that express leaves to it, and TLS with both versions of HTTP.
func transports(t *testing.T, apply route.Table, prepare func(*fake)) map[string]func() (transport, *harness) {
	t.Helper()
	certificate, roots := selfSigned(t)
	out := map[string]func() (transport, *harness){}
	for _, name := range []string{"express", "net/http", "TLS", "HTTP/2"} {
		out[name] = func() (transport, *harness) {
			s := newSite(t)
			prepare(s.fake)
			var c *tls.Config
			way := transport{name: name, url: "http://" + s.addr, header: http.Header{}}
			rt := &http.Transport{ForceAttemptHTTP2: name == "HTTP/2", DisableCompression: true}
			if name == "TLS" || name == "HTTP/2" {
				c = &tls.Config{Certificates: []tls.Certificate{certificate}}
				_, port, _ := net.SplitHostPort(s.addr)
				way.url, rt.TLSClientConfig = "https://127.0.0.1:"+port, &tls.Config{RootCAs: roots, ServerName: "localhost"}
			}
			if name == "net/http" {
				way.header.Set("Pragma", "no-cache")
			}
			way.RoundTripper = rt
			t.Cleanup(rt.CloseIdleConnections)
			r := s.start(t, nil, c)
			if err := s.admin().Apply(t.Context(), apply); err != nil {
				t.Fatal(err)
			}
			return way, &harness{Gateway: r.Gateway, t: t, fake: s.fake}
		}
	}
	return out
}

// said is what a client sees of an answer.
type said struct {
	Status int
	Body   string
	Header http.Header
}

func (w transport) ask(t *testing.T, path, token, body string, header ...string) said {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, w.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range w.header {
		r.Header[k] = v
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := w.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("Date") == "" {
		t.Errorf("%s: no date", w.name)
	}
	for _, own := range []string{"Date", "Strict-Transport-Security"} {
		resp.Header.Del(own)
	}
	return said{resp.StatusCode, string(b), resp.Header}
}

// TestTransports: the same requests get the same answers, are counted and judged alike and
// leave the same traces, however they come.
func TestTransports(t *testing.T) {
	e := serving(1)
	e.Rollout.Promoted = true
	gone := route.Endpoint{Key: "gone.staging", State: route.Withdrawn, Reason: "it failed", Deadline: 1e9}
	prepare := func(f *fake) { f.set("fraud-2", value(2)) }
	const infer, invocations = "/v2/models/fraud/infer", "/endpoints/fraud/invocations"
	walk := func(w transport, h *harness) (answers []said, counts [2]route.Counts, refused map[string]int, traces []string) {
		ask := func(id, path, token, body string, header ...string) {
			answers = append(answers, w.ask(t, path, token, body, append(header, "X-Request-Id", id)...))
		}
		ask("one", infer, callerToken, inferBody)
		ask("two", invocations, callerToken, mlflowBody, "Content-Type", "application/json; charset=utf-8")
		ask("three", infer, "", inferBody)
		ask("four", infer, oldToken, inferBody)
		ask("five", infer, leadToken, inferBody)
		ask("six", "/v2/models/nobody/infer", ownerToken, inferBody)
		ask("seven", "/v2/models/gone.staging/infer", callerToken, inferBody)
		ask("eight", infer, callerToken, `{"inputs":[]}`)
		ask("nine", invocations, callerToken, "{")
		ask("ten", infer, callerToken, strings.Repeat(" ", 900<<10)+inferBody)
		ask("eleven", infer, callerToken, inferBody, "Content-Type", "text/plain")
		ask("twelve", infer, ownerToken, inferBody, "Slipway-Revision", "fraud-1")
		ask("thirteen", infer, callerToken, inferBody, "Slipway-Revision", "fraud-1")
		h.fake.set("fraud-2", failing(errBroken))
		ask("fourteen", infer, callerToken, inferBody)
		h.fake.set("fraud-2", failing(errRejected))
		ask("fifteen", infer, callerToken, inferBody)
		h.fake.set("fraud-2", hang)
		h.fake.set("fraud-1", hang)
		ask("sixteen", infer, callerToken, inferBody, "Slipway-Deadline-Ms", "20")
		h.fake.set("fraud-1", failing(errBroken))
		h.fake.set("fraud-2", failing(errBroken))
		ask("seventeen", invocations, callerToken, mlflowBody)
		for i, r := range []string{"fraud-1", "fraud-2"} {
			counts[i] = h.counts(r)
			counts[i].LatencyUS = 0
		}
		refused = map[string]int{}
		for _, r := range h.Refused() {
			refused[r.What+" "+r.Principal+" "+r.Endpoint+" "+r.Source]++
		}
		for _, id := range []string{"one", "two", "three", "eight", "fourteen", "fifteen", "sixteen", "seventeen"} {
			traces = append(traces, id+": "+h.Traces(id))
		}
		return answers, counts, refused, traces
	}
	type seen struct {
		Answers []said
		Counts  [2]route.Counts
		Refused map[string]int
		Traces  []string
	}
	var first *seen
	for _, name := range []string{"net/http", "express", "TLS", "HTTP/2"} {
		var got seen
		w, h := transports(t, table(1, e, gone), prepare)[name]()
		got.Answers, got.Counts, got.Refused, got.Traces = walk(w, h)
		if first == nil {
			first = &got
			if got.Answers[0].Status != 200 || got.Answers[13].Header.Get("Slipway-Revision") != "fraud-1" || got.Answers[15].Status != 504 || got.Counts[1].Requests == 0 {
				t.Errorf("%+v", got)
			}
			continue
		}
		if d := cmp.Diff(first, &got); d != "" {
			t.Errorf("%s differs from net/http: %s", name, d)
		}
	}
}
