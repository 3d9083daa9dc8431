// Package client is the Go client of the platform: every route of the v1 API, and
// predictions. Its errors are *slipway.Error with the server's code and next step.
package client

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
)

// Config says which server to call, and as whom. Only BaseURL is needed.
type Config struct {
	BaseURL    string       // http(s)://host:port, with a path if a proxy adds one
	Token      string       // bearer token; never sent in the clear beyond loopback
	HTTPClient *http.Client // its Timeout and CheckRedirect are not used
	// CA holds, in PEM, the authorities that may have signed the server's certificate, instead
	// of those that the system trusts. It is not for an HTTPClient of one's own.
	CA        []byte
	UserAgent string

	// Retrying, if set, is told of every failed attempt that is made again after a wait.
	// Uploads call it from several goroutines.
	Retrying func(err error, wait time.Duration)
}

// Client calls one server. Its methods may be called concurrently. All have a time limit
// of their own, but for WatchDeployment, which ends with its deployment. A call that is
// safe to repeat is repeated, a few times and ever more slowly, when the connection fails
// or the control plane is restarting.
type Client struct {
	base     string
	token    string
	agent    string
	http     http.Client
	retrying func(error, time.Duration)
}

// New checks the settings and makes a Client. It sends nothing.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.BaseURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give a URL such as http://127.0.0.1:8080",
			"the server's address is no http or https URL")
	}
	if u.Scheme == "http" && c.Token != "" && !loopback(u.Hostname()) {
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodeNeedTLS, "use https://"+u.Host,
			"the token would cross the network in the clear to %s", u.Host)
	}
	if strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodeUnauthorized, "check SLIPWAY_TOKEN for spaces and line ends",
			"the token has characters that no token has")
	}
	out := &Client{base: strings.TrimRight(u.String(), "/"), token: c.Token, agent: c.UserAgent, retrying: c.Retrying}
	if c.HTTPClient != nil {
		out.http = *c.HTTPClient
	} else if c.CA != nil {
		if out.http.Transport, err = trusting(c.CA); err != nil {
			return nil, err
		}
	}
	out.http.Timeout = 0 // would end uploads and watches
	out.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return out, nil
}

// trusting is the usual transport, but for the authorities.
func trusting(ca []byte) (http.RoundTripper, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodeCertificate, "give a PEM file with the certificate of the authority", "the file of authorities has no certificate")
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// path joins the parts of a path, each escaped.
func path(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteByte('/')
		if p == "." || p == ".." {
			p = strings.ReplaceAll(p, ".", "%2E")
		} else {
			p = url.PathEscape(p)
		}
		b.WriteString(p)
	}
	return b.String()
}
