package client

import (
	"context"
	"net/url"

	"github.com/slipway-ml/slipway/api"
)

// Runs searches runs of experiments.
func (c *Client) Runs(ctx context.Context, q api.RunQuery) (api.Page[api.Run], error) {
	v := pageOf(q.Cursor, q.Limit)
	for name, value := range map[string]string{"team": q.Team, "experiment": q.Experiment, "filter": q.Filter, "order": q.Order} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return get[api.Page[api.Run]](ctx, c, v, "v1", "runs")
}

// Run gives one run with all of it.
func (c *Client) Run(ctx context.Context, id string) (api.Run, error) {
	return get[api.Run](ctx, c, nil, "v1", "runs", id)
}

// CompareRuns says what differs between two runs.
func (c *Client) CompareRuns(ctx context.Context, from, to string) (api.RunComparison, error) {
	return get[api.RunComparison](ctx, c, url.Values{"to": {to}}, "v1", "runs", from, "comparison")
}
