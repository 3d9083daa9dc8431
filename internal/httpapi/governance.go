package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Governance is what is known and decided of models beside their files.
type Governance struct {
	Protections Protections
	Approvals   Approvals
	Signer      Signer
	Dossiers    Dossiers
	Traces      Traces
	Runs        Runs
}

// Protections are the rules of aliases.
type Protections interface {
	Rules(ctx context.Context, p slipway.Principal, model, team string, lifted bool) ([]api.AliasRule, error)
	ProtectAlias(ctx context.Context, p slipway.Principal, r api.ProtectAlias) (api.AliasRule, error)
	LiftRule(ctx context.Context, p slipway.Principal, id string, r api.LiftRule) (api.Lifted, error)
}

// Approvals are what rules ask for.
type Approvals interface {
	AskAlias(ctx context.Context, p slipway.Principal, model string, r api.AskAlias) (api.AliasRequest, error)
	Requests(ctx context.Context, p slipway.Principal, model string, open bool, cursor string, limit int) (api.Page[api.AliasRequest], error)
	Request(ctx context.Context, p slipway.Principal, id string) (api.AliasRequest, error)
	DecideAlias(ctx context.Context, p slipway.Principal, id string, d api.DecideAlias) (api.AliasRequest, error)
}

// Signer signs versions, and says whether signatures hold.
type Signer interface {
	Sign(ctx context.Context, p slipway.Principal, model, ref string) (api.Signatures, error)
	Signatures(ctx context.Context, p slipway.Principal, model, ref string) (api.Signatures, error)
	SigningKeys(ctx context.Context, p slipway.Principal) ([]api.SigningKey, error)
	RotateKey(ctx context.Context, p slipway.Principal) (api.SigningKey, error)
}

// Dossiers are what is known of versions.
type Dossiers interface {
	Show(ctx context.Context, p slipway.Principal, model, ref string) (api.VersionDossier, error)
	Compare(ctx context.Context, p slipway.Principal, model, from, to string) (api.Comparison, error)
	Cards
	// DeleteVersion only says what would be, with try.
	DeleteVersion(ctx context.Context, p slipway.Principal, model, ref, reason string, try bool) (api.Deletion, error)
}

// Cards describe versions.
type Cards interface {
	Card(ctx context.Context, p slipway.Principal, model, ref string) (api.ModelCard, error)
	Cards(ctx context.Context, p slipway.Principal, model, ref string) ([]api.ModelCard, error)
	WriteCard(ctx context.Context, p slipway.Principal, model, ref string, w api.WriteCard) (api.ModelCard, error)
}

// Traces go back in time: from an alias, and from an answer.
type Traces interface {
	Spans(ctx context.Context, p slipway.Principal, q api.SpanQuery) (api.Page[api.AliasSpan], error)
	Trace(ctx context.Context, p slipway.Principal, request string) (api.Trace, error)
}

// ModelVersionPath is a version of a model in a path.
type ModelVersionPath struct {
	ModelPath
	Ref string `path:"ref" maxLength:"256"`
}

func registerGovernance(h huma.API, c Config) {
	registerProtections(h, c)
	registerApprovals(h, c)
	registerSignatures(h, c)
	registerDossiers(h, c)
	registerTraces(h, c)
	registerRuns(h, c)
}

func registerProtections(h huma.API, c Config) {
	type rulesInput struct {
		Model  string `query:"model" maxLength:"256" doc:"Its rules, and those of its team"`
		Team   string `query:"team" maxLength:"63"`
		Lifted bool   `query:"lifted" doc:"Those, too, that are in force no more"`
	}
	handle(h, c, c.operation(authz.ModelRead, "list-alias-rules", http.MethodGet, "/v1/alias-rules", "Who may move which aliases, and with whose approval"),
		func(ctx context.Context, in *rulesInput) ([]api.AliasRule, error) {
			return c.Governance.Protections.Rules(ctx, principal(ctx), in.Model, in.Team, in.Lifted)
		})
	handle(h, c, c.operation(authz.AliasProtect, "protect-alias", http.MethodPost, "/v1/alias-rules", "Protect aliases of a model, or of all models of a team"),
		func(ctx context.Context, in *struct{ Body api.ProtectAlias }) (api.AliasRule, error) {
			return c.Governance.Protections.ProtectAlias(ctx, principal(ctx), in.Body)
		})
	type liftInput struct {
		Rule string `path:"rule" maxLength:"64"`
		Body api.LiftRule
	}
	handle(h, c, c.operation(authz.AliasProtect, "lift-alias-rule", http.MethodPost, "/v1/alias-rules/{rule}/lift", "Take a rule away; one that asks for approvals is taken away by approval"),
		func(ctx context.Context, in *liftInput) (api.Lifted, error) {
			return c.Governance.Protections.LiftRule(ctx, principal(ctx), in.Rule, in.Body)
		})
}

func registerApprovals(h huma.API, c Config) {
	type askInput struct {
		ModelPath
		Body api.AskAlias
	}
	handle(h, c, c.operation(authz.ModelAlias, "ask-alias", http.MethodPost, "/v1/models/{model}/alias-requests", "Ask for approval of a move of a protected alias"),
		func(ctx context.Context, in *askInput) (api.AliasRequest, error) {
			return c.Governance.Approvals.AskAlias(ctx, principal(ctx), in.Model, in.Body)
		})
	type listInput struct {
		PageQuery
		Model string `query:"model" maxLength:"256"`
		Open  bool   `query:"open" doc:"Only those that wait, or are approved and not carried out"`
	}
	handle(h, c, c.operation(authz.ModelRead, "list-alias-requests", http.MethodGet, "/v1/alias-requests", "Requests for approval, newest first"),
		func(ctx context.Context, in *listInput) (api.Page[api.AliasRequest], error) {
			return c.Governance.Approvals.Requests(ctx, principal(ctx), in.Model, in.Open, in.Cursor, in.Limit)
		})
	type requestPath struct {
		Request string `path:"request" maxLength:"64"`
	}
	handle(h, c, c.operation(authz.ModelRead, "get-alias-request", http.MethodGet, "/v1/alias-requests/{request}", "One request for approval"),
		func(ctx context.Context, in *requestPath) (api.AliasRequest, error) {
			return c.Governance.Approvals.Request(ctx, principal(ctx), in.Request)
		})
	type decideInput struct {
		Request string `path:"request" maxLength:"64"`
		Body    api.DecideAlias
	}
	handle(h, c, c.operation(authz.AliasApprove, "decide-alias-request", http.MethodPost, "/v1/alias-requests/{request}/decision", "Approve a request, or reject it; the last approval moves the alias"),
		func(ctx context.Context, in *decideInput) (api.AliasRequest, error) {
			return c.Governance.Approvals.DecideAlias(ctx, principal(ctx), in.Request, in.Body)
		})
}

func registerSignatures(h huma.API, c Config) {
	handle(h, c, c.operation(authz.ModelRead, "list-signatures", http.MethodGet, "/v1/models/{model}/versions/{ref}/signatures", "Signatures of a version, and whether they hold"),
		func(ctx context.Context, in *ModelVersionPath) (api.Signatures, error) {
			return c.Governance.Signer.Signatures(ctx, principal(ctx), in.Model, in.Ref)
		})
	handle(h, c, c.operation(authz.ModelSign, "sign-version", http.MethodPost, "/v1/models/{model}/versions/{ref}/signatures", "Sign a version that was registered without a signature"),
		func(ctx context.Context, in *ModelVersionPath) (api.Signatures, error) {
			return c.Governance.Signer.Sign(ctx, principal(ctx), in.Model, in.Ref)
		})
	handle(h, c, c.operation(authz.ServerRead, "list-signing-keys", http.MethodGet, "/v1/signing-keys", "Public keys that verify signatures of versions, newest first"),
		func(ctx context.Context, _ *struct{}) ([]api.SigningKey, error) {
			return c.Governance.Signer.SigningKeys(ctx, principal(ctx))
		})
	handle(h, c, c.operation(authz.KeysRotate, "rotate-signing-key", http.MethodPost, "/v1/signing-keys", "Sign with a new key from now on"),
		func(ctx context.Context, _ *struct{}) (api.SigningKey, error) {
			return c.Governance.Signer.RotateKey(ctx, principal(ctx))
		})
}

func registerDossiers(h huma.API, c Config) {
	handle(h, c, c.operation(authz.ModelRead, "get-dossier", http.MethodGet, "/v1/models/{model}/versions/{ref}/dossier", "All that is known of a version: files, run, signature, card, and where it runs"),
		func(ctx context.Context, in *ModelVersionPath) (api.VersionDossier, error) {
			return c.Governance.Dossiers.Show(ctx, principal(ctx), in.Model, in.Ref)
		})
	type compareInput struct {
		ModelPath
		From string `query:"from" maxLength:"256" required:"true" doc:"A number, @alias or latest"`
		To   string `query:"to" maxLength:"256" default:"latest"`
	}
	handle(h, c, c.operation(authz.ModelRead, "compare-versions", http.MethodGet, "/v1/models/{model}/comparison", "What differs between two versions"),
		func(ctx context.Context, in *compareInput) (api.Comparison, error) {
			return c.Governance.Dossiers.Compare(ctx, principal(ctx), in.Model, in.From, in.To)
		})
	handle(h, c, c.operation(authz.ModelRead, "get-card", http.MethodGet, "/v1/models/{model}/versions/{ref}/card", "A version's card, in Markdown"),
		func(ctx context.Context, in *ModelVersionPath) (api.ModelCard, error) {
			return c.Governance.Dossiers.Card(ctx, principal(ctx), in.Model, in.Ref)
		})
	handle(h, c, c.operation(authz.ModelRead, "list-cards", http.MethodGet, "/v1/models/{model}/versions/{ref}/card/history", "Every text that the card has had, newest first"),
		func(ctx context.Context, in *ModelVersionPath) ([]api.ModelCard, error) {
			return c.Governance.Dossiers.Cards(ctx, principal(ctx), in.Model, in.Ref)
		})
	type cardInput struct {
		ModelVersionPath
		Body api.WriteCard
	}
	write := c.operation(authz.ModelUpdate, "write-card", http.MethodPut, "/v1/models/{model}/versions/{ref}/card", "Give the card a new text; those before stay")
	write.MaxBodyBytes = maxPolicy
	handle(h, c, write, func(ctx context.Context, in *cardInput) (api.ModelCard, error) {
		return c.Governance.Dossiers.WriteCard(ctx, principal(ctx), in.Model, in.Ref, in.Body)
	})
	type deleteInput struct {
		ModelVersionPath
		Reason string `query:"reason" maxLength:"500"`
		Try    bool   `query:"try" doc:"Only say what needs the version"`
	}
	handle(h, c, c.operation(authz.ModelDelete, "delete-version", http.MethodDelete, "/v1/models/{model}/versions/{ref}", "Delete a version that nothing needs, and free its bytes"),
		func(ctx context.Context, in *deleteInput) (api.Deletion, error) {
			return c.Governance.Dossiers.DeleteVersion(ctx, principal(ctx), in.Model, in.Ref, in.Reason, in.Try)
		})
}

func registerTraces(h huma.API, c Config) {
	type spansInput struct {
		ModelPath
		Alias string `path:"alias" maxLength:"255"`
		PageQuery
		From  time.Time `query:"from" doc:"Only what it was at this time or later"`
		Until time.Time `query:"until" doc:"Only what it was before this time"`
	}
	handle(h, c, c.operation(authz.ModelRead, "alias-spans", http.MethodGet, "/v1/models/{model}/aliases/{alias}/history", "What an alias was, from when to when, newest first"),
		func(ctx context.Context, in *spansInput) (api.Page[api.AliasSpan], error) {
			return c.Governance.Traces.Spans(ctx, principal(ctx), api.SpanQuery{Model: in.Model, Alias: in.Alias, From: in.From, Until: in.Until, Cursor: in.Cursor, Limit: in.Limit})
		})
	type tracePath struct {
		Request string `path:"request" maxLength:"64"`
	}
	handle(h, c, c.operation(authz.EndpointRead, "trace-request", http.MethodGet, "/v1/traces/{request}", "From an answered request to revision, version, run, data and who deployed it"),
		func(ctx context.Context, in *tracePath) (api.Trace, error) {
			return c.Governance.Traces.Trace(ctx, principal(ctx), in.Request)
		})
}
