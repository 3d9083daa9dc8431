// Package send posts one delivery to its receiver, and to nowhere else.
package send

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/webhook"
)

const (
	// Limit is how long a receiver may take for its whole answer.
	Limit = 10 * time.Second

	dialLimit  = 5 * time.Second
	maxHeaders = 32 << 10 // bytes of a response
	maxAnswer  = 4 << 10  // of its body; the rest is not read
	idleFor    = 30 * time.Second
	maxIdle    = 64
)

// Config is what a Sender is made of.
type Config struct {
	Reach   webhook.Reach
	Resolve *net.Resolver // nil: the system's
	TLS     *tls.Config   // nil: the system's authorities
	Agent   string
	Now     func() time.Time
}

// Sender posts deliveries. It is safe for concurrent use.
type Sender struct {
	Config
	client *http.Client
}

// New makes a Sender. It follows no redirection, uses no proxy, and looks at each address
// when it connects to it: whatever a name stood for before, and however the address is
// written, nothing that is closed is reached.
func New(c Config) *Sender {
	s := &Sender{Config: c}
	dial := func(plain bool) func(ctx context.Context, network, addr string) (net.Conn, error) {
		d := &net.Dialer{Timeout: dialLimit, Resolver: c.Resolve, Control: func(_, addr string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(addr)
			if err != nil {
				return err
			}
			if a := at.Addr(); !c.Reach.Permit(a) || plain && !c.Reach.Plain(a) {
				return &closed{a}
			}
			return nil
		}}
		return d.DialContext
	}
	secure := dial(false)
	s.client = &http.Client{
		Timeout: Limit,
		Transport: &http.Transport{
			DialContext: dial(true),
			DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				raw, err := secure(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				return handshake(ctx, raw, addr, c.TLS)
			},
			MaxResponseHeaderBytes: maxHeaders,
			MaxIdleConns:           maxIdle,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        idleFor,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s
}

func handshake(ctx context.Context, raw net.Conn, addr string, base *tls.Config) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		raw.Close()
		return nil, err
	}
	config := &tls.Config{}
	if base != nil {
		config = base.Clone()
	}
	config.ServerName, config.MinVersion = host, tls.VersionTLS12
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

// closed is an address that no event is sent to.
type closed struct{ at netip.Addr }

func (c *closed) Error() string {
	return fmt.Sprintf("the address %s is closed: receivers are at public addresses, or in --webhook-networks", c.at)
}

// Send makes one attempt, signed with a secret unless that is empty. What the receiver has
// said is no part of the result but its status.
func (s *Sender) Send(ctx context.Context, url string, secret []byte, d *webhook.Delivery) webhook.Result {
	r, _ := s.Try(ctx, url, secret, d)
	return r
}

// Try is Send that also gives the beginning of what the receiver has said, for the person who
// asked for a test.
func (s *Sender) Try(ctx context.Context, url string, secret []byte, d *webhook.Delivery) (r webhook.Result, said string) {
	r.Time = s.Now()
	resp, err := s.post(ctx, url, secret, d, r.Time)
	if err == nil {
		defer resp.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // what came is good enough
		said = text(b)
		r.Status = resp.StatusCode
		r.After = webhook.RetryAfter(resp.Header.Get("Retry-After"), r.Time)
	} else {
		r.Error = explain(err)
	}
	r.Took = s.Now().Sub(r.Time)
	return r, said
}

// text is what of some bytes can be shown.
func text(b []byte) string {
	s := strings.ToValidUTF8(string(b), "\uFFFD")
	for len(s) > maxAnswer || !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return strings.ReplaceAll(s, "\x00", "")
}

func (s *Sender) post(ctx context.Context, url string, secret []byte, d *webhook.Delivery, now time.Time) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(d.Body))
	if err != nil {
		return nil, err
	}
	h := req.Header
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", s.Agent)
	h[webhook.HeaderID] = []string{d.ID} // as they are written: some receivers compare
	h[webhook.HeaderTimestamp] = []string{strconv.FormatInt(now.Unix(), 10)}
	if len(secret) > 0 {
		h[webhook.HeaderSignature] = []string{webhook.Sign(secret, d.ID, now, d.Body)}
	}
	return s.client.Do(req)
}

// explain says why there was no response, without the URL: its path or query may be a secret.
func explain(err error) string {
	var refused *closed
	var dns *net.DNSError
	var untrusted *tls.CertificateVerificationError
	var op *net.OpError
	switch {
	case errors.As(err, &refused):
		return refused.Error()
	case errors.Is(err, context.Canceled):
		return "it was broken off: the platform stops"
	case errors.As(err, &dns):
		return "the name " + slipway.OneLine(dns.Name, 100) + " cannot be resolved"
	case errors.As(err, &untrusted):
		return "its certificate is not to be trusted: " + slipway.OneLine(untrusted.Err.Error(), 200)
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, new(tls.RecordHeaderError)):
		return "it does not speak TLS"
	case timedOut(err):
		return fmt.Sprintf("no answer within %v", Limit)
	case errors.As(err, &op) && op.Op == "dial":
		return "it cannot be connected to: " + slipway.OneLine(op.Err.Error(), 100)
	default:
		return "the connection broke off, or what came is no HTTP"
	}
}

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
