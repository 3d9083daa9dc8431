package transfer

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// meter notices when nothing moves on any connection of a session.
type meter struct {
	mu       sync.Mutex
	timer    *time.Timer
	patience time.Duration
}

func (m *meter) watch(patience time.Duration, stalled func()) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.timer, m.patience = time.AfterFunc(patience, stalled), patience
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.timer.Stop()
		m.timer = nil
	}
}

func (m *meter) moved() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.timer != nil {
		m.timer.Reset(m.patience)
	}
}

// metered is a connection whose bytes a meter sees.
type metered struct {
	net.Conn
	meter *meter
}

// Read reads from the peer.
func (c metered) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.meter.moved()
	}
	return n, err
}

// Write writes to the peer.
func (c metered) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.meter.moved()
	}
	return n, err
}

var errPlain = errors.New("the registry would be spoken with in the clear")

// guard lets no request go out in the clear, be it after a redirection, unless it goes to
// this machine and that was asked for.
type guard struct {
	http.RoundTripper
	plain bool
}

// RoundTrip sends a request.
func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !(g.plain && loopback(r.URL.Hostname())) {
		return nil, errPlain
	}
	return g.RoundTripper.RoundTrip(r)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
