package client

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
)

// SearchAudit gives the events that a query finds, newest first.
func (c *Client) SearchAudit(ctx context.Context, q api.AuditQuery) ([]api.Event, error) {
	v := between(q.Since, q.Until)
	for name, value := range map[string]string{"actor": q.Actor, "action": q.Action, "subject": q.Subject, "text": q.Text} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.Before > 0 {
		v.Set("before", strconv.FormatInt(q.Before, 10))
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return get[[]api.Event](ctx, c, v, "v1", "audit", "events")
}

func between(since, until time.Time) url.Values {
	v := url.Values{}
	if !since.IsZero() {
		v.Set("since", since.UTC().Format(time.RFC3339Nano))
	}
	if !until.IsZero() {
		v.Set("until", until.UTC().Format(time.RFC3339Nano))
	}
	return v
}

// ProveEvent gives the proof that an event, named by its id or its sequence number, is in
// the audit log. The caller verifies it.
func (c *Client) ProveEvent(ctx context.Context, event string) (api.AuditProof, error) {
	return get[api.AuditProof](ctx, c, nil, "v1", "audit", "proofs", event)
}

// AuditStatus says how the audit log and its anchors do.
func (c *Client) AuditStatus(ctx context.Context) (api.AuditStatus, error) {
	return get[api.AuditStatus](ctx, c, nil, "v1", "audit", "status")
}

// ExportAudit writes a bundle of the events of a time. One that was cut off has no seal:
// the caller verifies it.
func (c *Client) ExportAudit(ctx context.Context, r api.AuditRange, w io.Writer) error {
	resp, err := c.open(ctx, request{method: http.MethodGet, path: path("v1", "audit", "bundle"), query: between(r.Since, r.Until)}, http.NoBody, 0)
	if err != nil {
		return final(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return final(c.unreachable(ctx, err))
	}
	return nil
}

// VerifyAudit makes the server verify its audit log; progress hears how far it is.
func (c *Client) VerifyAudit(ctx context.Context, progress func(done, of uint64)) ([]api.AuditFinding, error) {
	resp, err := c.open(ctx, request{method: http.MethodPost, path: path("v1", "audit", "verifications")}, http.NoBody, 0)
	if err != nil {
		return nil, final(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		var p api.AuditProgress
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			break
		}
		if p.Problem != nil {
			return nil, problemError(*p.Problem)
		}
		if p.Findings != nil {
			return p.Findings, nil
		}
		progress(p.Done, p.Of)
	}
	if err := lines.Err(); err != nil {
		return nil, final(c.unreachable(ctx, err))
	}
	return nil, slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, "try again", "the verification was cut off")
}

// RetainAudit moves whole parts of the audit log to a directory of the server.
func (c *Client) RetainAudit(ctx context.Context, r api.AuditRetain) (api.AuditRetained, error) {
	return call[api.AuditRetained](ctx, c, request{method: http.MethodPost, path: path("v1", "audit", "retentions"), idempotent: true}, r)
}

// WitnessLog has a checkpoint of another platform's log cosigned.
func (c *Client) WitnessLog(ctx context.Context, r api.WitnessRequest) (api.Witnessed, error) {
	return call[api.Witnessed](ctx, c, request{method: http.MethodPost, path: path("v1", "audit", "witness")}, r)
}

// WitnessedLog is what a witness has seen of a log last.
func (c *Client) WitnessedLog(ctx context.Context, log string) (api.Witnessed, error) {
	return get[api.Witnessed](ctx, c, url.Values{"log": {log}}, "v1", "audit", "witness")
}

// problemError is a problem that came in the middle of an answer.
func problemError(p api.Problem) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return errorOf(p.Status, raw)
}
