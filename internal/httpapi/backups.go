package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Backups makes copies of the installation.
type Backups interface {
	// Create begins a backup, and answers at once; Running tells how it goes. It answers
	// Conflict while another one is under way.
	Create(ctx context.Context, p slipway.Principal, r api.CreateBackup) (api.BackupRun, error)
	// Running is the backup under way, and the last one that ended, each nil if there is none.
	Running(ctx context.Context, p slipway.Principal) (api.BackupProgress, error)
	// List gives the backups of a target, empty for the configured one.
	List(ctx context.Context, p slipway.Principal, target string) (api.Backups, error)
	// Verified records that the principal has read all of a backup.
	Verified(ctx context.Context, p slipway.Principal, id string, v api.BackupVerified) error
}

func registerBackups(h huma.API, c Config) {
	handle(h, c, c.operation(authz.BackupCreate, "create-backup", http.MethodPost, "/v1/backups", "Begin a backup; it is made while everything goes on"),
		func(ctx context.Context, in *struct{ Body api.CreateBackup }) (api.BackupRun, error) {
			return c.Backups.Create(ctx, principal(ctx), in.Body)
		})
	type listInput struct {
		Target string `query:"target" maxLength:"1000" doc:"Another place than the configured one, for owners"`
	}
	handle(h, c, c.operation(authz.BackupRead, "list-backups", http.MethodGet, "/v1/backups", "The backups of a place, newest first"),
		func(ctx context.Context, in *listInput) (api.Backups, error) {
			return c.Backups.List(ctx, principal(ctx), in.Target)
		})
	handle(h, c, c.operation(authz.BackupRead, "backup-progress", http.MethodGet, "/v1/backups/progress", "The backup under way, and how the last one ended"),
		func(ctx context.Context, _ *struct{}) (api.BackupProgress, error) {
			return c.Backups.Running(ctx, principal(ctx))
		})
	type verifiedInput struct {
		Backup string `path:"backup" maxLength:"64"`
		Body   api.BackupVerified
	}
	handle(h, c, c.operation(authz.BackupCreate, "backup-verified", http.MethodPost, "/v1/backups/{backup}/verified", "Record that one has read all of a backup, with the recovery key"),
		func(ctx context.Context, in *verifiedInput) (struct{}, error) {
			return struct{}{}, c.Backups.Verified(ctx, principal(ctx), in.Backup, in.Body)
		})
}
