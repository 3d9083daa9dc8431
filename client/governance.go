package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/slipway-ml/slipway/api"
)

// AliasSpans says what an alias was in a time, newest first.
func (c *Client) AliasSpans(ctx context.Context, q api.SpanQuery) (api.Page[api.AliasSpan], error) {
	v := pageOf(q.Cursor, q.Limit)
	for name, t := range map[string]time.Time{"from": q.From, "until": q.Until} {
		if !t.IsZero() {
			v.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	return get[api.Page[api.AliasSpan]](ctx, c, v, "v1", "models", q.Model, "aliases", q.Alias, "history")
}

// AliasRules lists rules: those of a model with those of its team, those of a team, or all.
func (c *Client) AliasRules(ctx context.Context, model, team string, lifted bool) ([]api.AliasRule, error) {
	q := url.Values{}
	for name, value := range map[string]string{"model": model, "team": team} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if lifted {
		q.Set("lifted", "true")
	}
	return get[[]api.AliasRule](ctx, c, q, "v1", "alias-rules")
}

// ProtectAlias adds a rule.
func (c *Client) ProtectAlias(ctx context.Context, r api.ProtectAlias) (api.AliasRule, error) {
	return call[api.AliasRule](ctx, c, request{method: http.MethodPost, path: path("v1", "alias-rules")}, r)
}

// LiftRule takes a rule away, or asks for that.
func (c *Client) LiftRule(ctx context.Context, rule string, r api.LiftRule) (api.Lifted, error) {
	return call[api.Lifted](ctx, c, request{method: http.MethodPost, path: path("v1", "alias-rules", rule, "lift")}, r)
}

// AskAlias asks for approval of a move.
func (c *Client) AskAlias(ctx context.Context, model string, r api.AskAlias) (api.AliasRequest, error) {
	return call[api.AliasRequest](ctx, c, request{method: http.MethodPost, path: path("v1", "models", model, "alias-requests")}, r)
}

// AliasRequests lists requests, of a model or all, newest first; open are those that wait, or
// are approved and not carried out.
func (c *Client) AliasRequests(ctx context.Context, model string, open bool, cursor string, limit int) (api.Page[api.AliasRequest], error) {
	q := pageOf(cursor, limit)
	if model != "" {
		q.Set("model", model)
	}
	if open {
		q.Set("open", "true")
	}
	return get[api.Page[api.AliasRequest]](ctx, c, q, "v1", "alias-requests")
}

// AliasRequest finds one request.
func (c *Client) AliasRequest(ctx context.Context, id string) (api.AliasRequest, error) {
	return get[api.AliasRequest](ctx, c, nil, "v1", "alias-requests", id)
}

// DecideAlias approves a request, or rejects it. The last approval moves the alias.
func (c *Client) DecideAlias(ctx context.Context, id string, d api.DecideAlias) (api.AliasRequest, error) {
	return call[api.AliasRequest](ctx, c, request{method: http.MethodPost, path: path("v1", "alias-requests", id, "decision")}, d)
}

// Signatures gives the signatures of a version, with their bundles, and says whether they hold.
func (c *Client) Signatures(ctx context.Context, model, ref string) (api.Signatures, error) {
	return get[api.Signatures](ctx, c, nil, "v1", "models", model, "versions", ref, "signatures")
}

// SignVersion signs a version that was registered without a signature.
func (c *Client) SignVersion(ctx context.Context, model, ref string) (api.Signatures, error) {
	return call[api.Signatures](ctx, c, request{method: http.MethodPost, path: path("v1", "models", model, "versions", ref, "signatures")}, nil)
}

// SigningKeys lists the public keys that verify signatures, newest first.
func (c *Client) SigningKeys(ctx context.Context) ([]api.SigningKey, error) {
	return get[[]api.SigningKey](ctx, c, nil, "v1", "signing-keys")
}

// RotateSigningKey lets a new key sign from now on.
func (c *Client) RotateSigningKey(ctx context.Context) (api.SigningKey, error) {
	return call[api.SigningKey](ctx, c, request{method: http.MethodPost, path: path("v1", "signing-keys")}, nil)
}

// Dossier gives all that is known of a version.
func (c *Client) Dossier(ctx context.Context, model, ref string) (api.VersionDossier, error) {
	return get[api.VersionDossier](ctx, c, nil, "v1", "models", model, "versions", ref, "dossier")
}

// CompareVersions says what differs between two versions of a model.
func (c *Client) CompareVersions(ctx context.Context, model, from, to string) (api.Comparison, error) {
	return get[api.Comparison](ctx, c, url.Values{"from": {from}, "to": {to}}, "v1", "models", model, "comparison")
}

// Card gives the card of a version.
func (c *Client) Card(ctx context.Context, model, ref string) (api.ModelCard, error) {
	return get[api.ModelCard](ctx, c, nil, "v1", "models", model, "versions", ref, "card")
}

// Cards lists every text that a card has had, newest first.
func (c *Client) Cards(ctx context.Context, model, ref string) ([]api.ModelCard, error) {
	return get[[]api.ModelCard](ctx, c, nil, "v1", "models", model, "versions", ref, "card", "history")
}

// WriteCard gives a card a new text; those before stay.
func (c *Client) WriteCard(ctx context.Context, model, ref string, w api.WriteCard) (api.ModelCard, error) {
	return call[api.ModelCard](ctx, c, request{method: http.MethodPut, path: path("v1", "models", model, "versions", ref, "card")}, w)
}

// DeleteVersion deletes a version that nothing needs; with try it only says what would be.
func (c *Client) DeleteVersion(ctx context.Context, model, ref, reason string, try bool) (api.Deletion, error) {
	q := url.Values{}
	if reason != "" {
		q.Set("reason", reason)
	}
	if try {
		q.Set("try", "true")
	}
	return call[api.Deletion](ctx, c, request{method: http.MethodDelete, path: path("v1", "models", model, "versions", ref), query: q}, nil)
}

// Trace goes from an answered request, by its id, to who and what is behind the answer.
func (c *Client) Trace(ctx context.Context, id string) (api.Trace, error) {
	return get[api.Trace](ctx, c, nil, "v1", "traces", id)
}
