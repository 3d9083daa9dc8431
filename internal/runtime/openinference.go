package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tensor"
)

const (
	maxResponse     = maxFrame // of a custom server, bytes
	maxErrorBody    = 16 << 10
	maxHeaderBytes  = 64 << 10
	idleConnections = 90 * time.Second
	freshFor        = 5 * time.Second // an answer is as good as a health check
)

// openInference asks a custom server over HTTP/1.1 with connections that are kept.
type openInference struct {
	client   *http.Client
	infer    string
	answered atomic.Int64 // when the last good answer came, Unix ns
}

func newOpenInference(model string, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *openInference {
	return &openInference{
		infer: "http://custom-server/v2/models/" + url.PathEscape(model) + "/infer",
		client: &http.Client{
			Transport: &http.Transport{
				DialContext:            dial,
				MaxConnsPerHost:        commandWorkers + 1, // and one to ask for its health
				MaxIdleConnsPerHost:    commandWorkers + 1,
				IdleConnTimeout:        idleConnections,
				MaxResponseHeaderBytes: maxHeaderBytes,
				DisableCompression:     true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func (o *openInference) close() { o.client.CloseIdleConnections() }

// Ready asks the server for its health, unless it has shown it of late: one that serves a
// request at a time would not find time to say that it is ready.
func (o *openInference) Ready(ctx context.Context) error {
	if time.Since(time.Unix(0, o.answered.Load())) < freshFor {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://custom-server/v2/health/ready", nil)
	if err != nil {
		return err
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return notReady("does not answer", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxErrorBody)) // so that the connection is kept
	if resp.StatusCode != http.StatusOK {
		return notReady(fmt.Sprintf("answers with status %d", resp.StatusCode), nil)
	}
	return nil
}

func notReady(what string, cause error) error {
	return &slipway.Error{Code: slipway.CodeNoReplica, Kind: slipway.Unavailable,
		Message: "the custom server " + what + " when it is asked for /v2/health/ready",
		Next:    "see the replica's log", Cause: cause}
}

// Predict sends the batch as one inference request and reads the answer.
func (o *openInference) Predict(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
	body := tensor.AppendInferRequest(nil, in)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.infer, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	// A prediction may be repeated. The empty key is not sent; it lets the client try a new
	// connection when the server closes a kept one at the wrong moment.
	req.Header["Idempotency-Key"] = []string{}
	resp, err := o.client.Do(req)
	if err != nil {
		return nil, unanswered(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what came is good enough
		return nil, refused(resp.StatusCode, text)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	switch {
	case err != nil:
		return nil, unanswered(ctx, err)
	case len(answer) > maxResponse:
		return nil, modelFailed(fmt.Sprintf("the custom server's answer is larger than %d MiB", maxResponse>>20), nil)
	}
	out, err := tensor.ParseInferResponse(answer)
	if err != nil {
		return nil, modelFailed("the custom server's answer is no Open Inference response", err)
	}
	o.answered.Store(time.Now().UnixNano())
	return out, nil
}

// unanswered is the error of a request to which no whole answer came.
func unanswered(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return late(ctx.Err())
	}
	return modelFailed("the custom server broke off the request", err)
}

// refused maps a status. What the server says about the caller's input goes to the caller;
// a status that says that the server does not fulfil its contract, or is too busy to, is
// its failure.
func refused(status int, body []byte) error {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusRequestTimeout, http.StatusTooManyRequests:
		return modelFailed(fmt.Sprintf("the custom server answered with status %d", status), nil)
	}
	if status < 400 || status > 499 {
		return modelFailed(fmt.Sprintf("the custom server answered with status %d", status), nil)
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
		e.Message = "the model refused the request: " + firstLine(said.Error, maxErrorText)
	}
	return e
}
