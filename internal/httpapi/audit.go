package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Audit is the log of all events.
type Audit interface {
	// Search gives the newest first.
	Search(ctx context.Context, p slipway.Principal, q api.AuditQuery) ([]api.Event, error)
	// Prove takes the id of an event, or its sequence number.
	Prove(ctx context.Context, p slipway.Principal, event string) (api.AuditProof, error)
	Status(ctx context.Context, p slipway.Principal) (api.AuditStatus, error)
	Evidence
	Custody
}

// Evidence is what takes long. Progress is called as it goes.
type Evidence interface {
	// Export writes a bundle to what begin gives, which is called once all that is asked for
	// is there. An error after that leaves a bundle without its seal.
	Export(ctx context.Context, p slipway.Principal, r api.AuditRange, begin func() io.Writer) error
	Verify(ctx context.Context, p slipway.Principal, progress func(done, of uint64)) ([]api.AuditFinding, error)
}

// Custody is where the log lies, and who vouches for it.
type Custody interface {
	Retain(ctx context.Context, p slipway.Principal, r api.AuditRetain) (api.AuditRetained, error)
	Witness(ctx context.Context, p slipway.Principal, r api.WitnessRequest) (api.Witnessed, error)
	// Witnessed is what this platform has seen of another's log last.
	Witnessed(ctx context.Context, p slipway.Principal, log string) (api.Witnessed, error)
}

func registerAudit(h huma.API, c Config) {
	handle(h, c, c.operation(authz.AuditRead, "search-audit", http.MethodGet, "/v1/audit/events", "Search the record of events, newest first"),
		func(ctx context.Context, in *api.AuditQuery) ([]api.Event, error) {
			return c.Audit.Search(ctx, principal(ctx), *in)
		})
	type eventInput struct {
		Event string `path:"event" maxLength:"64"`
	}
	handle(h, c, c.operation(authz.AuditRead, "prove-event", http.MethodGet, "/v1/audit/proofs/{event}", "Prove that an event is in the audit log"),
		func(ctx context.Context, in *eventInput) (api.AuditProof, error) {
			return c.Audit.Prove(ctx, principal(ctx), in.Event)
		})
	handle(h, c, c.operation(authz.AuditRead, "audit-status", http.MethodGet, "/v1/audit/status", "How the audit log and its anchors do"),
		func(ctx context.Context, _ *struct{}) (api.AuditStatus, error) {
			return c.Audit.Status(ctx, principal(ctx))
		})
	huma.Register(h, c.operation(authz.AuditRead, "export-audit", http.MethodGet, "/v1/audit/bundle", "A bundle of events that is verified without the platform"), c.export)
	huma.Register(h, c.operation(authz.AuditRead, "verify-audit", http.MethodPost, "/v1/audit/verifications", "Verify the audit log; the answer is lines of JSON, of which the last has what was found"), c.verify)
	type retainInput struct{ Body api.AuditRetain }
	handle(h, c, c.operation(authz.AuditRetain, "retain-audit", http.MethodPost, "/v1/audit/retentions", "Move whole parts of the audit log to another directory"),
		func(ctx context.Context, in *retainInput) (api.AuditRetained, error) {
			return c.Audit.Retain(ctx, principal(ctx), in.Body)
		})
	type witnessInput struct{ Body api.WitnessRequest }
	handle(h, c, c.operation(authz.AuditWitness, "witness-log", http.MethodPost, "/v1/audit/witness", "Have a checkpoint of another platform's log cosigned"),
		func(ctx context.Context, in *witnessInput) (api.Witnessed, error) {
			return c.Audit.Witness(ctx, principal(ctx), in.Body)
		})
	type witnessedInput struct {
		Log string `query:"log" required:"true" maxLength:"100"`
	}
	handle(h, c, c.operation(authz.AuditWitness, "witnessed-log", http.MethodGet, "/v1/audit/witness", "What this platform has seen of another's log"),
		func(ctx context.Context, in *witnessedInput) (api.Witnessed, error) {
			return c.Audit.Witnessed(ctx, principal(ctx), in.Log)
		})
}

// export streams a bundle. Whoever reads it finds one that was cut off by its missing seal.
func (c Config) export(_ context.Context, in *api.AuditRange) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		c.stream(ctx, "application/x-ndjson", func(begin func() io.Writer) error {
			return c.Audit.Export(ctx.Context(), principal(ctx.Context()), *in, begin)
		})
	}}, nil
}

// stream answers with what do writes to what begin gives, or with the error that do answers
// before it has called that.
func (c Config) stream(ctx huma.Context, contentType string, do func(begin func() io.Writer) error) {
	begun := false
	err := do(func() io.Writer {
		begun = true
		ctx.SetHeader("Content-Type", contentType)
		ctx.SetStatus(http.StatusOK)
		return ctx.BodyWriter()
	})
	if err == nil {
		return
	}
	_ = c.fail(ctx.Context(), err) // to log it
	if !begun {
		p := ProblemOf(err)
		ctx.SetHeader("Content-Type", "application/problem+json")
		ctx.SetStatus(p.Status)
		_ = json.NewEncoder(ctx.BodyWriter()).Encode(p) // a client that left
	}
}

// pace is how often a client hears how far something is.
const pace = 200 * time.Millisecond

func (c Config) verify(context.Context, *struct{}) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", "application/x-ndjson")
		ctx.SetStatus(http.StatusOK)
		out := json.NewEncoder(ctx.BodyWriter())
		tick := time.NewTicker(pace)
		defer tick.Stop()
		found, err := c.Audit.Verify(ctx.Context(), principal(ctx.Context()), func(done, of uint64) {
			select {
			case <-tick.C:
				_ = out.Encode(api.AuditProgress{Done: done, Of: of}) // a client that left
				if f, ok := ctx.BodyWriter().(http.Flusher); ok {
					f.Flush()
				}
			default:
			}
		})
		last := api.AuditProgress{Findings: found}
		if err != nil {
			p := ProblemOf(err)
			last.Problem = &p
			c.Log.LogAttrs(ctx.Context(), slog.LevelWarn, "the audit log was not verified", slog.String("error", err.Error()))
		}
		_ = out.Encode(last)
	}}, nil
}
