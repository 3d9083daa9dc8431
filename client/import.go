package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
)

// Imported gives those of some ids of another server that came before, in any order.
func (c *Client) Imported(ctx context.Context, q api.ImportQuery) ([]api.Imported, error) {
	a, err := bring[api.ImportAnswer](ctx, c, q, "query")
	return a.Items, err
}

// ImportDone says that all of something has come.
func (c *Client) ImportDone(ctx context.Context, d api.ImportDone) error {
	_, err := bring[struct{}](ctx, c, d, "done")
	return err
}

// ImportExperiment brings an experiment of another server, or finds the one of its name.
func (c *Client) ImportExperiment(ctx context.Context, e api.ImportExperiment) (api.Imported, error) {
	return bring[api.Imported](ctx, c, e, "experiments")
}

// ImportRun brings a run with its id, its times and what it is about, without measurements.
func (c *Client) ImportRun(ctx context.Context, r api.ImportRun) (api.Imported, error) {
	return bring[api.Imported](ctx, c, r, "runs")
}

// ImportMetrics brings measurements of a run.
func (c *Client) ImportMetrics(ctx context.Context, run string, m api.ImportMetrics) error {
	_, err := bring[struct{}](ctx, c, m, "runs", run, "metrics")
	return err
}

// ImportLoggedModel brings a logged model with its id and its times.
func (c *Client) ImportLoggedModel(ctx context.Context, m api.ImportLoggedModel) (api.Imported, error) {
	return bring[api.Imported](ctx, c, m, "logged-models")
}

// ImportModel brings a registered model without its versions.
func (c *Client) ImportModel(ctx context.Context, m api.ImportModel) (api.Imported, error) {
	return bring[api.Imported](ctx, c, m, "models")
}

// ImportVersion brings a version of a registered model, with its number if that is free.
func (c *Client) ImportVersion(ctx context.Context, v api.ImportVersion) (api.Imported, error) {
	return bring[api.Imported](ctx, c, v, "versions")
}

// bring passes something to import. Each of these calls may be repeated.
func bring[T any](ctx context.Context, c *Client, body any, parts ...string) (T, error) {
	return call[T](ctx, c, request{method: http.MethodPost, path: path(append([]string{"v1", "imports"}, parts...)...), idempotent: true}, body)
}

// artifacts is where MLflow's clients keep files, which this one does as they do.
const artifacts = "/api/2.0/mlflow-artifacts/artifacts"

// Artifacts gives the sizes of the files in a directory of artifacts, by name.
func (c *Client) Artifacts(ctx context.Context, dir string) (map[string]int64, error) {
	raw, err := c.do(ctx, request{method: http.MethodGet, path: artifacts, query: url.Values{"path": {dir}}, idempotent: true})
	if err != nil {
		return nil, err
	}
	var page struct {
		Files []struct {
			Path string `json:"path"`
			Dir  bool   `json:"is_dir"`
			Size int64  `json:"file_size"`
		} `json:"files"`
	}
	if err := json.Unmarshal(raw, &page); err != nil {
		return nil, slipway.Errorf(slipway.Unavailable, slipway.CodeNoServer, "check the server's address", "what answers at %s is not this platform", c.base)
	}
	out := map[string]int64{}
	for _, f := range page.Files {
		if !f.Dir {
			out[f.Path] = f.Size
		}
	}
	return out, nil
}

// PutArtifact stores a file whole or not at all. The size is in bytes, -1 if it is not known.
func (c *Client) PutArtifact(ctx context.Context, file string, size int64, in io.Reader) error {
	parts := append([]string{"api", "2.0", "mlflow-artifacts", "artifacts"}, strings.Split(file, "/")...)
	resp, err := c.open(ctx, request{method: http.MethodPut, path: path(parts...), header: http.Header{typeHeader: {"application/octet-stream"}}}, in, size)
	if err != nil {
		return final(err)
	}
	return resp.Body.Close()
}
