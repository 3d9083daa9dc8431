package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/slipway-ml/slipway/api"
)

// Models lists models from a cursor, "" for the first page. At most limit are given, 0 for
// the server's default.
func (c *Client) Models(ctx context.Context, cursor string, limit int) (api.Page[api.Model], error) {
	return get[api.Page[api.Model]](ctx, c, pageOf(cursor, limit), "v1", "models")
}

// Versions lists a model's versions, newest first, by pages as Models does.
func (c *Client) Versions(ctx context.Context, model, cursor string, limit int) (api.Page[api.Version], error) {
	return get[api.Page[api.Version]](ctx, c, pageOf(cursor, limit), "v1", "models", model, "versions")
}

// Version gives one version, by number ("3") or alias ("@champion").
func (c *Client) Version(ctx context.Context, model, ref string) (api.Version, error) {
	return get[api.Version](ctx, c, nil, "v1", "models", model, "versions", ref)
}

// ImageLayer gives the layer of an image that holds the files of a version, which the image
// itself does not: a tar archive, whose digest the caller compares with the one in the image.
func (c *Client) ImageLayer(ctx context.Context, model, ref, image string) (io.ReadCloser, error) {
	resp, err := c.open(ctx, request{method: http.MethodGet, path: path("v1", "models", model, "versions", ref, "layers", image)}, http.NoBody, 0)
	if err != nil {
		return nil, final(err)
	}
	return resp.Body, nil
}

// RegisterVersion makes uploaded files a version. The same files give the same version.
func (c *Client) RegisterVersion(ctx context.Context, model string, r api.RegisterVersion) (api.Version, error) {
	return call[api.Version](ctx, c, request{method: http.MethodPost, path: path("v1", "models", model, "versions"), idempotent: true}, r)
}

// SetAlias points an alias at a version.
func (c *Client) SetAlias(ctx context.Context, model, alias string, r api.SetAlias) (api.Alias, error) {
	return call[api.Alias](ctx, c, request{method: http.MethodPut, path: path("v1", "models", model, "aliases", alias), idempotent: true}, r)
}

// AliasHistory lists every move of a model's aliases, newest first.
func (c *Client) AliasHistory(ctx context.Context, model string) ([]api.AliasChange, error) {
	return get[[]api.AliasChange](ctx, c, nil, "v1", "models", model, "aliases")
}

func pageOf(cursor string, limit int) url.Values {
	q := url.Values{}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	number(q, "limit", int64(limit))
	return q
}

// number sets a query parameter unless it is 0.
func number(q url.Values, name string, n int64) {
	if n != 0 {
		q.Set(name, strconv.FormatInt(n, 10))
	}
}
