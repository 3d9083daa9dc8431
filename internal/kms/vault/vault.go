// Package vault speaks with HashiCorp Vault and OpenBao over their REST API: the transit
// engine as a key service, and the KV engine, version 2, as a place of secrets.
// https://developer.hashicorp.com/vault/api-docs/secret/transit
package vault

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
)

// Client calls one engine.
type Client struct {
	http  *http.Client
	base  string // https://HOST/v1
	mount string
	token string // the file with the token
}

const (
	scheme    = "vault"
	plain     = "vault+http" // to this machine only: tokens would cross the network in the clear
	limit     = 10 * time.Second
	maxAnswer = 1 << 20
	maxToken  = 64 << 10
)

// Dial makes a Client of vault://HOST:PORT/MOUNT, or of vault+http:// on this machine. The
// file with the token is read for each call, so that others may renew it. Nothing is asked
// yet.
func Dial(address, tokenFile string) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Contains(u.Path, "..") || strings.Trim(u.Path, "/") == "" {
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "write vault://HOST:8200/MOUNT, such as vault://vault.example.com:8200/transit", "this is no address of a Vault engine")
	}
	if tokenFile == "" {
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "add --vault-token-file FILE", "Vault needs a token")
	}
	base := "https://" + u.Host
	switch ip := net.ParseIP(u.Hostname()); {
	case u.Scheme == plain && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()):
		base = "http://" + u.Host
	case u.Scheme != scheme:
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodeNeedTLS, "write vault://"+u.Host+u.Path, "the token would cross the network in the clear")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	return &Client{base: base + "/v1/", mount: strings.Trim(u.Path, "/"), token: tokenFile, http: &http.Client{Timeout: limit, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// answer is what comes back, but for values nobody asked for.
type answer struct {
	Data   json.RawMessage `json:"data"`
	Errors []string        `json:"errors"`
}

// Errors of a call.
var (
	errMissing = errors.New("there is no such thing")
	errRefused = errors.New("the request was refused")
)

// call sends a request and decodes its data. It answers errMissing for 404, errRefused for
// 400 and, with its text in the cause, CodeKeyService for anything else.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	token, err := c.readToken()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return unavailable("cannot be asked", err)
	}
	req.Header.Set("X-Vault-Token", token)
	req.Header.Set("X-Vault-Request", "true")
	resp, err := c.http.Do(req)
	if err != nil {
		return unavailable("does not answer", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return unavailable("broke off", err)
	}
	return interpret(resp.StatusCode, text, out)
}

// interpret reads an answer.
func interpret(status int, text []byte, out any) error {
	var a answer
	broken := len(text) > 0 && json.Unmarshal(text, &a) != nil
	why := fmt.Errorf("status %d: %s", status, slipway.OneLine(strings.Join(a.Errors, "; "), 300))
	switch {
	case status == http.StatusNotFound:
		return errMissing
	case status == http.StatusBadRequest:
		return fmt.Errorf("%w: %w", errRefused, why)
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return unavailable("refuses the token", why)
	case status >= 300:
		return unavailable("cannot answer", why)
	case broken:
		return unavailable("answers something else", why)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(a.Data, out); err != nil {
		return unavailable("answers something else", why) // the cause may quote a value
	}
	return nil
}

func (c *Client) readToken() (string, error) {
	f, err := os.Open(c.token)
	if err != nil {
		return "", unavailable("cannot be asked: the file with the token cannot be read", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxToken))
	token := strings.TrimSpace(string(b))
	if err != nil || token == "" || strings.ContainsAny(token, "\r\n") {
		return "", unavailable("cannot be asked: the file with the token does not hold one", err)
	}
	return token, nil
}

func unavailable(what string, cause error) error {
	return &slipway.Error{Code: slipway.CodeKeyService, Kind: slipway.Unavailable, Message: "Vault " + what, Next: "bring Vault back, or correct --kms and --vault-token-file", Cause: cause}
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// Check implements keys.Service: Vault is unsealed, and takes the token.
func (c *Client) Check(ctx context.Context) error {
	err := c.call(ctx, http.MethodGet, "auth/token/lookup-self", nil, nil)
	if errors.Is(err, errMissing) || errors.Is(err, errRefused) {
		return unavailable("refuses the token", err)
	}
	return err
}
