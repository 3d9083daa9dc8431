package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/slipway-ml/slipway/internal/tensor"
)

// row is a request of one row with 30 features.
var row = `{"inputs":[{"name":"x","shape":[1,30],"datatype":"FP64","data":[` + strings.TrimSuffix(strings.Repeat("0.123456,", 30), ",") + `]}]}`

// BenchmarkServeHTTP is the gateway's own share, without sockets and with a model that
// costs nothing: alone, and while a rollout is judged.
func BenchmarkServeHTTP(b *testing.B) {
	for name, weight := range map[string]float64{"stable": 0, "rollout": .1} {
		b.Run(name, func(b *testing.B) {
			h := benchmarked(b, weight)
			u := &url.URL{Path: "/v2/models/fraud/infer"}
			header := http.Header{"Authorization": {"Bearer " + callerToken}, "Content-Type": {"application/json"}}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				w := &discard{header: http.Header{}}
				for pb.Next() {
					r := &http.Request{Method: http.MethodPost, URL: u, Header: header, ContentLength: int64(len(row)), Body: io.NopCloser(strings.NewReader(row))}
					clear(w.header)
					h.ServeHTTP(w, r)
					if w.code != 0 {
						b.Error(w.code)
						return
					}
				}
			})
		})
	}
}

func benchmarked(b *testing.B, weight float64) *harness {
	h := open(b, b.TempDir(), newFake())
	e := serving(weight)
	e.Stable.Schema.Inputs = make([]tensor.Field, 30)
	for i := range e.Stable.Schema.Inputs {
		e.Stable.Schema.Inputs[i] = tensor.Field{Name: fmt.Sprintf("f%d", i), Type: tensor.FP64, Required: true}
	}
	if e.Candidate != nil {
		e.Candidate.Schema = e.Stable.Schema
	}
	h.apply(table(1, e))
	return h
}

type discard struct {
	header http.Header
	code   int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(code int)        { d.code = code }

// BenchmarkKeepAlive compares, over 16 connections, the gateway before a model that costs
// nothing, and a bare reverse proxy before a backend that costs nothing.
func BenchmarkKeepAlive(b *testing.B) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"outputs":[{"name":"y","shape":[1],"datatype":"FP64","data":[1]}]}`)
	}))
	defer backend.Close()
	target, err := url.Parse(backend.URL)
	if err != nil {
		b.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	proxy.Transport = transport
	for name, handler := range map[string]http.Handler{"gateway": benchmarked(b, 0), "rollout": benchmarked(b, .1), "proxy": proxy} {
		b.Run(name, func(b *testing.B) { keepAlive(b, handler) })
	}
}

func keepAlive(b *testing.B, h http.Handler) {
	s := httptest.NewServer(h)
	defer s.Close()
	request := []byte(fmt.Sprintf("POST /v2/models/fraud/infer HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		callerToken, len(row), row))
	const conns = 16
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for i := range conns {
		wg.Go(func() {
			c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			in := bufio.NewReader(c)
			for n := i; n < b.N; n += conns {
				if _, err := c.Write(request); err != nil {
					b.Error(err)
					return
				}
				resp, err := http.ReadResponse(in, nil)
				if err != nil || resp.StatusCode != http.StatusOK {
					b.Error(err, resp)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
}
