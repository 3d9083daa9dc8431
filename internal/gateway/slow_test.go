package gateway_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slipway-ml/slipway/internal/gateway"
)

// pipes is a listener whose connections are in memory, so that time in a bubble passes while
// one waits.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestSlowSenders: whoever sends a head, or a body, drop by drop is cut off, and has held no
// place of an endpoint.
func TestSlowSenders(t *testing.T) {
	for name, text := range map[string]string{
		"head":         "POST /v2/models/fraud/infer HTTP/1.1\r\nX: ",
		"body":         "POST /v2/models/fraud/infer HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + callerToken + "\r\nContent-Length: 1000000\r\n\r\n",
		"chunks":       "POST /v2/models/fraud/infer HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + callerToken + "\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n",
		"to no server": "POST /endpoints/fraud/proxy/v1/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + callerToken + "\r\nContent-Length: 100000\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := open(t, t.TempDir(), newFake())
				h.apply(table(1, serving(0)))
				l := make(pipes)
				server := gateway.NewPublic(h.Gateway)
				served := make(chan struct{})
				go func() { defer close(served); _ = server.Serve(l) }()
				ours, theirs := net.Pipe()
				l <- theirs
				began := time.Now()
				var writer sync.WaitGroup
				writer.Go(func() {
					_, _ = io.WriteString(ours, text)
					for {
						time.Sleep(time.Second)
						if _, err := ours.Write([]byte("1")); err != nil {
							return
						}
					}
				})
				answer := bufio.NewReader(ours)
				if resp, err := http.ReadResponse(answer, nil); err == nil && resp.StatusCode < 400 {
					t.Error(resp.Status)
				}
				_, _ = io.Copy(io.Discard, answer)
				if took := time.Since(began); took > time.Minute {
					t.Errorf("cut off after %v", took)
				}
				if st := h.endpoint().Traffic; st.Inside != 0 {
					t.Errorf("%+v", st)
				}
				ours.Close()
				writer.Wait()
				close(l)
				<-served
				server.Close()
				h.stop()
			})
		})
	}
}
