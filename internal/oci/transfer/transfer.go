// Package transfer speaks with registries of container images (OCI distribution-spec 1.1):
// whose names are taken, with which credentials and over which connections, what is tried
// again and for how long, and what an error means to the person who reads it.
package transfer

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/slipway-ml/slipway"
)

// Options are how to speak with a registry. The zero Options speak HTTPS and take
// credentials from the configuration of docker.
type Options struct {
	// Username and Password are used instead of docker's, if they are given.
	Username, Password string
	// PlainHTTP speaks HTTP without TLS, with a registry on this machine only.
	PlainHTTP bool
	// Progress, which may be nil, is told how many bytes of how many are there, by one
	// goroutine at a time.
	Progress func(done, total int64)
	// Pause is how long to wait before the first of a few repetitions; each further pause is
	// twice as long. 0 stands for half a second.
	Pause time.Duration
	// Patience is how long to wait while no byte comes or goes; 0 stands for a minute.
	Patience time.Duration
}

// Bounds of what a registry may do.
const (
	defaultPause    = 500 * time.Millisecond
	defaultPatience = time.Minute
	attempts        = 4
	dialTimeout     = 10 * time.Second
	maxHeader       = 256 << 10
)

// Session is one conversation with the registry of a reference.
type Session struct {
	Ref       name.Reference
	options   Options
	transport *http.Transport
	auth      authn.Authenticator
	meter     meter
}

// Begin finds the credentials for a reference, as Parse gives it. The session must be
// ended.
func (o Options) Begin(ctx context.Context, ref name.Reference) (*Session, error) {
	o.Pause, o.Patience = cmp.Or(o.Pause, defaultPause), cmp.Or(o.Patience, defaultPatience)
	s := &Session{Ref: ref, options: o, auth: &authn.Basic{Username: o.Username, Password: o.Password}}
	dialer := net.Dialer{Timeout: dialTimeout}
	s.transport = &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return metered{conn, &s.meter}, nil
		},
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: maxHeader,
	}
	if o.Username != "" || o.Password != "" {
		return s, nil
	}
	var err error
	s.auth, err = s.keychain(ctx)
	return s, err
}

// keychain asks docker's configuration, which may ask a program that takes its time.
func (s *Session) keychain(ctx context.Context) (authn.Authenticator, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Patience)
	defer cancel()
	type answer struct {
		auth authn.Authenticator
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		auth, err := authn.Resolve(ctx, authn.DefaultKeychain, s.Ref.Context())
		answers <- answer{auth, err}
	}()
	var a answer
	select {
	case a = <-answers:
	case <-ctx.Done():
		a.err = ctx.Err()
	}
	if a.err != nil && !errors.Is(a.err, context.Canceled) {
		a.err = &slipway.Error{Code: slipway.CodeInvalid, Kind: slipway.Invalid, Message: "docker's configuration does not give the credentials for " + s.Registry(),
			Next: "docker login " + s.Registry() + ", as the user that runs this", Cause: a.err}
	}
	return a.auth, a.err
}

// Registry is the host of the registry, with its port.
func (s *Session) Registry() string { return s.Ref.Context().RegistryStr() }

// Remote gives what one attempt needs.
func (s *Session) Remote(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithAuth(s.auth), remote.WithUserAgent("slipway"), remote.WithTransport(guard{s.transport, s.options.PlainHTTP}),
		remote.WithRetryBackoff(remote.Backoff{Duration: s.options.Pause, Factor: 2, Jitter: 0.1, Steps: 3}), remote.WithRetryPredicate(passing)}
}

// End closes the connections.
func (s *Session) End() { s.transport.CloseIdleConnections() }

// Repeat runs a transfer until it succeeds, fails for good, or has failed too often. The
// transfer takes its options from Remote, and skips what is transferred already. An error
// says what it means, and what to do: Denied for credentials, NotFound, Invalid for what
// will not get better, else Unavailable.
func (s *Session) Repeat(ctx context.Context, transfer func(ctx context.Context) error) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	var err error
	for i := range attempts {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err = s.attempt(ctx, transfer); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !passing(err) && !errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
		pause.Reset(s.options.Pause << i)
	}
	return s.explain(err)
}

var errStalled = errors.New("no byte came or went for too long")

// attempt runs a transfer, and ends it when nothing moves any more.
func (s *Session) attempt(ctx context.Context, transfer func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := s.meter.watch(s.options.Patience, func() { cancel(errStalled) })
	defer stop()
	err := transfer(ctx)
	if err != nil && context.Cause(ctx) == errStalled { //nolint:errorlint // our own cause, not wrapped
		return errStalled
	}
	return err
}
