// Package tlsfile keeps the certificate of an address in two files, and follows them: a pair
// that is renewed serves new connections without a restart, one that cannot be used never
// does.
package tlsfile

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway"
)

// Pair is a certificate and its key. Its methods are safe for concurrent use.
type Pair struct {
	cert, key string
	now       func() time.Time
	log       *slog.Logger
	current   atomic.Pointer[tls.Certificate]
	seen      [2]stamp // of the files that were looked at last
}

// stamp tells a file from another under its name.
type stamp struct {
	size int64
	time time.Time
}

const (
	maxFile = 1 << 20
	// Pace is how often the files are looked at.
	Pace = 2 * time.Second
)

// Load reads a pair; the key must be that of the certificate. It answers CodeCertificate.
func Load(cert, key string) (*tls.Certificate, error) {
	c, err := read(cert)
	if err != nil {
		return nil, unusable(err, "%s cannot be read", cert)
	}
	k, err := read(key)
	if err != nil {
		return nil, unusable(err, "%s cannot be read", key)
	}
	pair, err := tls.X509KeyPair(c, k)
	if err != nil {
		return nil, unusable(err, "%s and %s are no pair of a certificate and its key", cert, key)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, unusable(err, "the certificate in %s cannot be read", cert)
		}
	}
	return &pair, nil
}

// Timely answers CodeCertificate for one that has expired, or is not valid yet.
func Timely(c *x509.Certificate, now time.Time) error {
	if now.After(c.NotAfter) {
		return unusable(nil, "the certificate expired on %s", c.NotAfter.UTC().Format(time.DateTime))
	}
	if now.Before(c.NotBefore) {
		return unusable(nil, "the certificate is not valid before %s", c.NotBefore.UTC().Format(time.DateTime))
	}
	return nil
}

func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// unusable keeps the cause, which may quote the files, for the log.
func unusable(cause error, format string, args ...any) error {
	e := slipway.Errorf(slipway.Invalid, slipway.CodeCertificate, "give PEM files of a valid certificate, with its chain, and of its key", format, args...)
	e.Cause = cause
	return e
}

// Open loads a pair. One that has expired serves, which is told, since nothing else can: a
// gateway that was restarted would else be worse than one that was not.
func Open(cert, key string, now func() time.Time, log *slog.Logger) (*Pair, error) {
	p := &Pair{cert: cert, key: key, now: now, log: log}
	p.seen = p.stamps()
	c, err := Load(cert, key)
	if err != nil {
		return nil, err
	}
	if err := Timely(c.Leaf, now()); err != nil {
		log.Error("clients will refuse what serves", "error", err.Error())
	}
	p.current.Store(c)
	return p, nil
}

// Config is what a server uses: TLS 1.3, and of 1.2 what has forward secrecy and
// authenticated encryption (RFC 9325, section 4.2).
func (p *Pair) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.current.Load(), nil },
	}
}

// Watch follows the files until ctx ends.
func (p *Pair) Watch(ctx context.Context) {
	tick := time.NewTicker(Pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.Look()
		}
	}
}

// Look takes up a pair that was replaced since the last look, if it is good. While only one
// of the two files has been replaced they are no pair: the one before serves on, and the next look
// sees the other. One goroutine looks.
func (p *Pair) Look() {
	now := p.stamps()
	if now == p.seen {
		return
	}
	p.seen = now
	c, err := Load(p.cert, p.key)
	if err == nil {
		err = Timely(c.Leaf, p.now())
	}
	if err != nil {
		p.log.Error("the new certificate is not used; the one before serves on", "error", err.Error(), "cause", slipway.AsError(err).Cause)
		return
	}
	p.current.Store(c)
	p.log.Info("a new certificate serves", "serial", c.Leaf.SerialNumber.String(), "until", c.Leaf.NotAfter)
}

func (p *Pair) stamps() (out [2]stamp) {
	for i, name := range []string{p.cert, p.key} {
		if info, err := os.Stat(name); err == nil {
			out[i] = stamp{info.Size(), info.ModTime()}
		}
	}
	return out
}
