package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/slipway-ml/slipway/api"
)

// CreateBackup begins a backup.
func (c *Client) CreateBackup(ctx context.Context, r api.CreateBackup) (api.BackupRun, error) {
	return call[api.BackupRun](ctx, c, request{method: http.MethodPost, path: path("v1", "backups")}, r)
}

// BackupProgress tells of the backup under way, and of the last one.
func (c *Client) BackupProgress(ctx context.Context) (api.BackupProgress, error) {
	return get[api.BackupProgress](ctx, c, nil, "v1", "backups", "progress")
}

// Backups lists those of a target; empty for the configured one.
func (c *Client) Backups(ctx context.Context, target string) (api.Backups, error) {
	q := url.Values{}
	if target != "" {
		q.Set("target", target)
	}
	return get[api.Backups](ctx, c, q, "v1", "backups")
}

// BackupVerified records that one has read all of a backup.
func (c *Client) BackupVerified(ctx context.Context, id string, v api.BackupVerified) error {
	_, err := call[struct{}](ctx, c, request{method: http.MethodPost, path: path("v1", "backups", id, "verified")}, v)
	return err
}
