package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/tlsfile"
)

// renewal is how long before its end a certificate should have been renewed; of one that
// lives shorter, a third of its life.
const renewal = 14 * 24 * time.Hour

// certificate looks at the files of the address, and at what is served there.
func certificate(ctx context.Context, c config.Config, now time.Time) []api.Finding {
	const check = "certificate"
	if c.TLSCert == "" {
		return nil
	}
	serves, err := served(ctx, c)
	if err != nil {
		return []api.Finding{finding(check, fail, "see "+c.Logs()+"/gateway.log", "the address does not speak TLS: %s", slipway.OneLine(err.Error(), 100))}
	}
	left := serves.NotAfter.Sub(now).Round(time.Minute)
	next := "renew it, and put it in the place of " + c.TLSCert + " and " + c.TLSKey
	f := finding(check, pass, "", "what serves is valid for %v", left)
	switch {
	case tlsfile.Timely(serves, now) != nil:
		f = finding(check, fail, next, "what serves is not valid: %s", slipway.AsError(tlsfile.Timely(serves, now)).Message)
	case left < min(renewal, serves.NotAfter.Sub(serves.NotBefore)/3):
		f = finding(check, warn, next, "what serves is valid for %v only", left)
	}
	out := []api.Finding{f}
	pair, err := tlsfile.Load(c.TLSCert, c.TLSKey)
	if err == nil {
		err = tlsfile.Timely(pair.Leaf, now)
	}
	switch {
	case err != nil && f.Verdict != fail:
		out = append(out, finding(check, warn, slipway.AsError(err).Next, "the one before serves on: %s", slipway.AsError(err).Message))
	case err == nil && !pair.Leaf.Equal(serves):
		out = append(out, finding(check, warn, "look again in some seconds", "the one in %s does not serve yet", c.TLSCert))
	}
	return out
}

// served asks the public address for its certificate. Whether it is to be trusted clients
// decide.
func served(ctx context.Context, c config.Config) (*x509.Certificate, error) {
	b, err := os.ReadFile(c.Address())
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, err
	}
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: askLimit}, Config: &tls.Config{InsecureSkipVerify: true}}
	conn, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}
