package app

import (
	"context"
	"io"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/app/access"
	"github.com/slipway-ml/slipway/internal/app/audit"
	"github.com/slipway-ml/slipway/internal/authz"
)

// auditAPI is httpapi.Audit.
type auditAPI struct {
	log    *audit.Service
	access *access.Control
}

func (x auditAPI) may(ctx context.Context, p slipway.Principal, a authz.Action) error {
	return x.access.Check(ctx, p, a, access.Server)
}

// Search gives the newest first.
func (x auditAPI) Search(ctx context.Context, p slipway.Principal, q api.AuditQuery) ([]api.Event, error) {
	if err := x.may(ctx, p, authz.AuditRead); err != nil {
		return nil, err
	}
	return x.log.Search(ctx, q)
}

// Prove takes the id of an event, or its sequence number.
func (x auditAPI) Prove(ctx context.Context, p slipway.Principal, event string) (api.AuditProof, error) {
	if err := x.may(ctx, p, authz.AuditRead); err != nil {
		return api.AuditProof{}, err
	}
	return x.log.Prove(ctx, event)
}

// Status says how the log and its anchors do.
func (x auditAPI) Status(ctx context.Context, p slipway.Principal) (api.AuditStatus, error) {
	if err := x.may(ctx, p, authz.AuditRead); err != nil {
		return api.AuditStatus{}, err
	}
	return x.log.Status(ctx)
}

// Export writes a bundle.
func (x auditAPI) Export(ctx context.Context, p slipway.Principal, r api.AuditRange, begin func() io.Writer) error {
	if err := x.may(ctx, p, authz.AuditRead); err != nil {
		return err
	}
	return x.log.Export(ctx, r, begin)
}

// Verify reads all of the log.
func (x auditAPI) Verify(ctx context.Context, p slipway.Principal, progress func(done, of uint64)) ([]api.AuditFinding, error) {
	if err := x.may(ctx, p, authz.AuditRead); err != nil {
		return nil, err
	}
	return x.log.Verify(ctx, progress)
}

// Retain moves parts of the log elsewhere.
func (x auditAPI) Retain(ctx context.Context, p slipway.Principal, r api.AuditRetain) (api.AuditRetained, error) {
	if err := x.may(ctx, p, authz.AuditRetain); err != nil {
		return api.AuditRetained{}, err
	}
	return x.log.Retain(ctx, p, r)
}

// Witness cosigns a checkpoint of another platform's log.
func (x auditAPI) Witness(ctx context.Context, p slipway.Principal, r api.WitnessRequest) (api.Witnessed, error) {
	if err := x.may(ctx, p, authz.AuditWitness); err != nil {
		return api.Witnessed{}, err
	}
	return x.log.Witness(ctx, p, r)
}

// Witnessed is what was seen of another's log last.
func (x auditAPI) Witnessed(ctx context.Context, p slipway.Principal, log string) (api.Witnessed, error) {
	if err := x.may(ctx, p, authz.AuditWitness); err != nil {
		return api.Witnessed{}, err
	}
	return x.log.Witnessed(ctx, log)
}
