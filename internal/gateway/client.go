package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
)

// maxAnswer bounds an answer of the gateway, in bytes.
const maxAnswer = 256 << 20

// AdminClient is the server's side of a gateway's admin socket, safe for concurrent use.
// Every method answers Unavailable when no gateway listens there.
type AdminClient struct{ http *http.Client }

// NewAdminClient talks to the gateway behind a Unix socket, whichever process that is at
// the time of a call.
func NewAdminClient(socket string) *AdminClient {
	return &AdminClient{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		// A kept connection would go to the old gateway for as long as it drains.
		DisableKeepAlives: true,
	}}}
}

// Apply hands over a table and returns when the gateway has it durably; see Gateway.Apply
// for the errors.
func (c *AdminClient) Apply(ctx context.Context, t route.Table) error {
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPut, "/table", b, nil)
}

// Secrets hands over what models get in their environment, as secrets.Handed in JSON.
func (c *AdminClient) Secrets(ctx context.Context, handed []byte) error {
	return c.call(ctx, http.MethodPut, "/secrets", handed, nil)
}

// Observe asks what is in force and what happened.
func (c *AdminClient) Observe(ctx context.Context) (o route.Observation, err error) {
	return o, c.call(ctx, http.MethodGet, "/observe", nil, &o)
}

// Fresh tells that the grants of the table in force are those of now.
func (c *AdminClient) Fresh(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/fresh", nil, nil)
}

// Journal lists the vetoes above a sequence number, in order.
func (c *AdminClient) Journal(ctx context.Context, after uint64) (v []route.Veto, err error) {
	return v, c.call(ctx, http.MethodGet, "/journal?after="+strconv.FormatUint(after, 10), nil, &v)
}

// Uses says when tokens, by id, were last used at the gateway.
func (c *AdminClient) Uses(ctx context.Context) (used map[string]time.Time, err error) {
	return used, c.call(ctx, http.MethodGet, "/uses", nil, &used)
}

// Refusals lists whom the gateway has refused, above a sequence number; it forgets those up
// to it.
func (c *AdminClient) Refusals(ctx context.Context, after uint64) (r route.Refusals, err error) {
	return r, c.call(ctx, http.MethodGet, "/refusals?after="+strconv.FormatUint(after, 10), nil, &r)
}

// Answered says which revisions answered requests of an id, newest first.
func (c *AdminClient) Answered(ctx context.Context, id string) (a route.Answers, err error) {
	return a, c.call(ctx, http.MethodGet, "/answered?id="+url.QueryEscape(id), nil, &a)
}

// Stop ends the gateway, and its replicas if told so, and returns when that is done.
func (c *AdminClient) Stop(ctx context.Context, replicas bool) error {
	path := "/stop"
	if replicas {
		path += "?replicas=stop"
	}
	return c.call(ctx, http.MethodPost, path, nil, nil)
}

// Predict sends an Open Inference request to one revision of an endpoint, whatever its
// weight. It gives the answer's body; a refusal or failure is an error.
func (c *AdminClient) Predict(ctx context.Context, endpoint, revision string, body []byte) ([]byte, error) {
	var out json.RawMessage
	err := c.call(ctx, http.MethodPost, "/v2/models/"+endpoint+"/infer", body, &out, revisionHeader, revision)
	return out, err
}

func (c *AdminClient) call(ctx context.Context, method, path string, body []byte, out any, header ...string) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://gateway"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return &slipway.Error{Code: slipway.CodeUnavailable, Kind: slipway.Unavailable, Message: "the gateway does not answer",
			Next: "try again; the server starts it anew if it has ended", Cause: err}
	}
	defer resp.Body.Close()
	answer := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode >= 300 {
		var e struct {
			wireError
			Error string `json:"error"` // of a prediction
		}
		if err := answer.Decode(&e); err != nil {
			e.Code, e.Message = slipway.CodeInternal, "the gateway failed with status "+strconv.Itoa(resp.StatusCode)
		}
		if e.Error != "" {
			e.Message, e.Kind, e.Field = e.Error, kindOf(resp.StatusCode), "" // the message names it
		}
		return &slipway.Error{Code: e.Code, Kind: e.Kind, Message: e.Message, Next: e.Next, Field: e.Field}
	}
	if out == nil {
		return nil
	}
	return answer.Decode(out)
}

// kindOf is the inverse of status, as far as it has one.
func kindOf(code int) slipway.Kind {
	switch {
	case code == http.StatusUnprocessableEntity:
		return slipway.Unprocessable
	case code == http.StatusNotFound:
		return slipway.NotFound
	case code == http.StatusTooManyRequests:
		return slipway.Exhausted
	case code < 500:
		return slipway.Invalid
	case code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout:
		return slipway.Unavailable
	default:
		return slipway.Internal
	}
}
