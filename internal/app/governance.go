package app

import (
	"context"
	"io/fs"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/access"
	"github.com/slipway-ml/slipway/internal/app/governance"
	"github.com/slipway-ml/slipway/internal/httpapi"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/registry/protect"
	dossierstore "github.com/slipway-ml/slipway/internal/sqlstore/dossier"
	protectstore "github.com/slipway-ml/slipway/internal/sqlstore/protect"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// kindSigning is of the keys that sign versions, among what the installation's own keys seal.
const kindSigning = "model-signing"

// signingSealer is a governance.Sealer.
type signingSealer struct{ ring *keys.Ring }

func signingLabel(id string) keys.Label {
	return keys.Label{Object: id, Kind: kindSigning, Version: 1}
}

// Seal implements governance.Sealer.
func (s signingSealer) Seal(ctx context.Context, aad string, plaintext []byte) ([]byte, error) {
	return s.ring.Seal(ctx, keys.Platform, signingLabel(aad), plaintext)
}

// Open implements governance.Sealer.
func (s signingSealer) Open(ctx context.Context, aad string, sealed []byte) ([]byte, error) {
	return s.ring.Open(ctx, keys.Platform, signingLabel(aad), sealed)
}

// governor is a governance.Access.
type governor struct {
	*access.Control
	record func(ctx context.Context, events ...slipway.Event) error
}

// Append implements governance.Access.
func (g governor) Append(ctx context.Context, events ...slipway.Event) error {
	return g.record(ctx, events...)
}

// Dependent implements governance.Access: a person is dependent who is one of the others, or
// acts with a token that one of them has issued.
func (g governor) Dependent(ctx context.Context, p slipway.Principal, others ...string) (string, error) {
	a, err := g.Identity.Account(ctx, p.ID)
	if err != nil {
		return "", err
	}
	if a.Kind != slipway.Person {
		return "a person decides, not a service", nil
	}
	issuer := ""
	if t, err := g.Identity.Token(ctx, p.Token); err == nil { // else a session of a browser, which nobody issues for another
		issuer = t.By
	}
	for _, other := range others {
		switch other {
		case "":
		case p.ID:
			return p.ID + " is concerned, and does not decide", nil
		case issuer:
			return "the token of " + p.ID + " was issued by " + other, nil
		}
	}
	return "", nil
}

// newGovernance joins what stands before the registry.
func (a *App) newGovernance(ctx context.Context) error {
	dossiers := dossierstore.New(a.db)
	a.governance = governance.New(governance.Config{Access: governor{a.access, a.events.Append}, Models: a.models,
		Protect: protect.New(protectstore.New(a.db), time.Now), Dossier: dossiers, Keys: dossiers, Sealer: signingSealer{a.safe.Ring},
		Fleet: a.rollouts, Gateway: a.admin, Runs: a.tracking, Tracked: a.experiments, Endpoint: access.EndpointOf,
		Files: func(ctx context.Context, v registry.Version) fs.FS { return versionFiles{ctx, a.blobs, v} },
		Free: func(ctx context.Context, digests []slipway.Digest) (int, int64, error) {
			f, err := a.artifacts.Artifacts.Release(ctx, digests)
			return f.Blobs, f.Bytes, err
		},
		Now: time.Now, Log: a.o.Log})
	a.safe.Ring.Register(kindSigning, a.governance)
	if err := a.governance.Prepare(ctx); err != nil { // the key service is down: registering says so
		a.o.Log.Warn("the key that signs versions is not at hand", "error", err.Error())
	}
	return a.rollouts.Index(ctx)
}

// signature holds a version that is deployed to its signature.
func (r *runner) signature(ctx context.Context, j *job, v registry.Version) (verdict.Result, error) {
	note, unsigned, err := r.a.governance.Verified(ctx, v, int(j.spec.Tier))
	if err != nil {
		return verdict.Result{}, err
	}
	out := verdict.Result{Check: "signature", Verdict: verdict.Pass, Message: note}
	if unsigned {
		out.Verdict = verdict.Warn
	}
	return out, nil
}

// governed is what the front door offers of it.
func (a *App) governed() httpapi.Governance {
	g := a.governance
	return httpapi.Governance{Protections: g, Approvals: g, Signer: g, Dossiers: g, Traces: g, Runs: g}
}
