// Package remote asks servers over HTTP that answer for a model: those that a runtime starts
// itself, and those that run elsewhere.
package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway"
)

const (
	maxResponse     = 64 << 20 // bytes of an answer
	maxErrorBody    = 16 << 10
	maxHeaderBytes  = 64 << 10
	maxErrorText    = 2 << 10
	idleConnections = 90 * time.Second
	freshFor        = 5 * time.Second // an answer is as good as a health check
)

// Options say where a server is.
type Options struct {
	Base  string // scheme, host and a path before that of the protocol, without a slash at its end
	What  string // its name in errors: "the custom server"
	Conns int    // requests at once
	// Health is the path at which the server answers 200 when it is ready; empty: that of its
	// protocol.
	Health string
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error)
}

// server asks over HTTP/1.1 with connections that are kept.
type server struct {
	client   *http.Client
	base     string
	what     string
	answered *atomic.Int64 // when the last good answer came, Unix ns
}

func newServer(o Options) server {
	return server{base: o.Base, what: o.What, answered: new(atomic.Int64), client: &http.Client{
		Transport: &http.Transport{
			DialContext:            o.Dial,
			MaxConnsPerHost:        o.Conns + 1, // and one to ask for its health
			MaxIdleConnsPerHost:    o.Conns + 1,
			IdleConnTimeout:        idleConnections,
			MaxResponseHeaderBytes: maxHeaderBytes,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// ready asks for the server's health, unless it has shown it of late: one that serves a
// request at a time would not find time to say that it is ready.
func (s server) ready(ctx context.Context, path string) error {
	if time.Since(time.Unix(0, s.answered.Load())) < freshFor {
		return nil
	}
	_, err := s.get(ctx, path, http.StatusOK)
	return err
}

func (s server) get(ctx context.Context, path string, want int) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, s.notReady("does not answer", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // so that the connection is kept
	if resp.StatusCode != want {
		return nil, s.notReady(fmt.Sprintf("answers with status %d", resp.StatusCode), path, nil)
	}
	return body, err
}

func (s server) notReady(what, path string, cause error) error {
	return &slipway.Error{Code: slipway.CodeNoReplica, Kind: slipway.Unavailable,
		Message: s.what + " " + what + " when it is asked for " + path,
		Next:    "see the replica's log", Cause: cause}
}

// post sends JSON and gives the body of a good answer.
func (s server) post(ctx context.Context, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if id := slipway.RequestOf(ctx); id != "" {
		req.Header.Set("X-Request-Id", id)
	}
	if d, ok := ctx.Deadline(); ok { // so that it does not begin what nobody will wait for
		req.Header.Set("Slipway-Deadline-Ms", strconv.FormatInt(max(1, time.Until(d).Milliseconds()), 10))
	}
	// A prediction may be repeated. The empty key is not sent; it lets the client try a new
	// connection when the server closes a kept one at the wrong moment.
	req.Header["Idempotency-Key"] = []string{}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, s.unanswered(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what came is good enough
		return nil, s.refused(resp.StatusCode, text)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	switch {
	case err != nil:
		return nil, s.unanswered(ctx, err)
	case len(answer) > maxResponse:
		return nil, failed(fmt.Sprintf("%s's answer is larger than %d MiB", s.what, maxResponse>>20), nil)
	}
	s.answered.Store(time.Now().UnixNano())
	return answer, nil
}

// unanswered is the error of a request to which no whole answer came: that of the context
// if it has ended.
func (s server) unanswered(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return failed(s.what+" broke off the request", err)
}

func failed(message string, cause error) *slipway.Error {
	return &slipway.Error{Code: slipway.CodeModelFailed, Kind: slipway.Internal,
		Message: message, Next: "see the replica's log", Cause: cause}
}

// refused maps a status. What the server says about the caller's input goes to the caller;
// a status that says that the server does not fulfil its contract, or is too busy to, is
// its failure.
func (s server) refused(status int, body []byte) error {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusRequestTimeout, http.StatusTooManyRequests:
		return failed(fmt.Sprintf("%s answered with status %d", s.what, status), nil)
	}
	if status < 400 || status > 499 {
		return failed(fmt.Sprintf("%s answered with status %d", s.what, status), nil)
	}
	e := &slipway.Error{Code: slipway.CodeSchema, Kind: slipway.Unprocessable,
		Message: fmt.Sprintf("the model refused the request with status %d", status), Next: "correct the input"}
	if status == http.StatusBadRequest {
		e.Kind = slipway.Invalid
	}
	var said struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &said) == nil && said.Error != "" {
		e.Message = "the model refused the request: " + slipway.OneLine(said.Error, maxErrorText)
	}
	return e
}
