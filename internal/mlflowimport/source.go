package mlflowimport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
)

// SourceConfig says which server to read, and as whom.
type SourceConfig struct {
	URL      string // http(s)://host:port, with a path if a proxy adds one
	Username string // with Password for basic authentication
	Password string
	Token    string // a bearer token, if there is no Username
	CA       []byte // PEM; nil: what the system trusts
	Agent    string
}

// Source is a running MLflow server. It is not trusted: answers are bounded in size and
// time, and it is asked at its own address only. Safe for concurrent use.
type Source struct {
	base         url.URL
	user, pass   string
	token, agent string
	http         http.Client
	pause        func(ctx context.Context, d time.Duration) error
	idle         time.Duration
}

// Bounds of answers.
const (
	maxDocument  = 64 << 20         // bytes
	documentTime = 2 * time.Minute  // for all of it
	idleTime     = 90 * time.Second // without a byte of a file
	maxTries     = 6
	firstPause   = 500 * time.Millisecond
	maxPause     = 30 * time.Second
)

// NewSource checks the settings. It sends nothing.
func NewSource(c SourceConfig) (*Source, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give a URL such as https://mlflow.example.com; credentials go into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
			"the address of the MLflow server is no plain http or https URL")
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	for _, s := range []string{c.Username, c.Password, c.Token} {
		if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "look for line ends", "the credentials for the MLflow server have control characters")
		}
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost, t.ResponseHeaderTimeout, t.DisableCompression = 64, documentTime, true
	if c.CA != nil {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(c.CA) {
			return nil, slipway.Errorf(slipway.Invalid, slipway.CodeCertificate, "give a PEM file with the certificate of the authority", "the file of authorities has no certificate")
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	s := &Source{base: *u, user: c.Username, pass: c.Password, token: c.Token, agent: c.Agent, pause: sleep, idle: idleTime}
	// A redirect would take credentials, or this program, elsewhere.
	s.http = http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return s, nil
}

// Address is how records name the server: without credentials.
func (s *Source) Address() string { return s.base.String() }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// get asks with query parameters, and post with a JSON body. Both are repeated while that
// may help.
func (s *Source) get(ctx context.Context, path string, query url.Values, out any) error {
	return s.document(ctx, http.MethodGet, path, query, nil, out)
}

func (s *Source) post(ctx context.Context, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return s.document(ctx, http.MethodPost, path, nil, b, out)
}

func (s *Source) document(ctx context.Context, method, path string, query url.Values, body []byte, out any) error {
	return s.repeat(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, documentTime)
		defer cancel()
		resp, err := s.ask(ctx, method, path, query, body)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := readBounded(resp.Body)
		if err != nil {
			return s.broken(ctx, err)
		}
		if text, ok := out.(*string); ok {
			*text = strings.TrimSpace(string(b))
			return nil
		}
		if err := json.Unmarshal(b, out); err != nil {
			return s.strange("its answer to %s cannot be read", path)
		}
		return nil
	})
}

var errLarge = errors.New("too large")

func readBounded(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err == nil && len(b) > maxDocument {
		err = errLarge
	}
	return b, err
}

// ask makes one request, whose answer is 200.
func (s *Source) ask(ctx context.Context, method, path string, query url.Values, body []byte) (*http.Response, error) {
	u := s.base
	u.Path += path
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", s.agent)
	switch {
	case s.user != "":
		req.SetBasicAuth(s.user, s.pass)
	case s.token != "":
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, s.broken(ctx, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, s.refusal(resp)
}

// refused is what a server said instead of an answer.
type refused struct {
	status int
	after  time.Duration
	err    *slipway.Error
}

func (r *refused) Error() string { return r.err.Error() }
func (r *refused) Unwrap() error { return r.err }

func (s *Source) refusal(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what came of it says enough
	var said complaint
	_ = json.Unmarshal(b, &said) // a proxy may have answered
	r := &refused{status: resp.StatusCode, err: &slipway.Error{Code: slipway.CodeSource, Kind: slipway.Unavailable,
		Message: s.base.Host + " answers " + strconv.Itoa(resp.StatusCode) + said.said(), Next: "look at its log, then run the same command again: it goes on"}}
	switch code := resp.StatusCode; {
	case code >= 300 && code < 400:
		r.err.Kind, r.err.Next = slipway.Invalid, "give the address to which it redirects, if that is right: "+slipway.OneLine(resp.Header.Get("Location"), 200)
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		r.err.Kind = map[bool]slipway.Kind{true: slipway.Unauthorized, false: slipway.Denied}[code == http.StatusUnauthorized]
		r.err.Code, r.err.Next = slipway.CodeSourceDenied, "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, for "+s.base.Host
	case code == http.StatusNotFound:
		r.err.Kind = slipway.NotFound
	case code < 500 && code != http.StatusTooManyRequests && code != http.StatusRequestTimeout:
		r.err.Kind = slipway.Invalid
	case code == http.StatusInternalServerError || code == http.StatusNotImplemented:
		r.err.Kind = slipway.Internal // of one thing, such as a bucket that it cannot read
	}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		r.after = min(time.Duration(n)*time.Second, maxPause)
	}
	return r
}

// complaint is an error as MLflow tells it.
type complaint struct {
	Code    string `json:"error_code"`
	Message string `json:"message"`
}

func (c complaint) said() string {
	if c.Code == "" && c.Message == "" {
		return ""
	}
	return ": " + slipway.OneLine(strings.TrimSpace(c.Code+" "+c.Message), 300)
}

// broken is an error of the connection, or of this side.
func (s *Source) broken(ctx context.Context, err error) error {
	if cause := ctx.Err(); errors.Is(cause, context.Canceled) {
		return cause
	}
	if errors.Is(err, errLarge) {
		return s.strange("its answer is larger than %d MiB", maxDocument>>20)
	}
	e := &slipway.Error{Code: slipway.CodeSource, Kind: slipway.Unavailable, Cause: err, Message: "no answer from " + s.base.Host, Next: "look whether it runs, then run the same command again: it goes on"}
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		e.Kind, e.Message, e.Next = slipway.Invalid, "the certificate of "+s.base.Host+" is not trusted", "give --source-ca FILE with the certificate of its authority"
	case errors.As(err, new(*net.DNSError)):
		e.Message, e.Next = "the host "+s.base.Hostname()+" is not known", "look at the address"
	}
	return e
}

// strange is an answer that MLflow would not give.
func (s *Source) strange(format string, args ...any) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeSource, "look whether an MLflow server of version 2 or 3 answers there", s.base.Host+" is not understood: "+format, args...)
}

// repeat does something again, ever later, while the server is busy or away. What it says
// is wrong is asked once more only, for an MLflow server also calls passing troubles so.
func (s *Source) repeat(ctx context.Context, do func(context.Context) error) error {
	wait := firstPause
	for try := 1; ; try++ {
		err := do(ctx)
		again, after := passing(err, try)
		if !again || ctx.Err() != nil {
			return plain(err)
		}
		if err := s.pause(ctx, max(wait, after)); err != nil {
			return err
		}
		wait = min(2*wait, maxPause)
	}
}

// passing says whether an error may pass, after so many tries, and how long the server asks
// to wait.
func passing(err error, tries int) (again bool, after time.Duration) {
	if err == nil || tries >= maxTries {
		return false, 0
	}
	var r *refused
	if !errors.As(err, &r) {
		return slipway.AsError(err).Kind == slipway.Unavailable, 0
	}
	switch r.status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, r.after
	case http.StatusInternalServerError:
		return tries < 2, r.after
	}
	return false, 0
}

// plain is an error without what only repeat needs.
func plain(err error) error {
	var r *refused
	if errors.As(err, &r) {
		return r.err
	}
	return err
}
