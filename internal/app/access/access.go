// Package access joins who there is, what there is and who may do what.
package access

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/identity/signin"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// Resources are what policies ask about.
type Resources interface {
	Endpoint(ctx context.Context, key string) (rollout.Endpoint, error)
	Endpoints(ctx context.Context) ([]rollout.Endpoint, error)
	Deployment(ctx context.Context, id string) (rollout.Deployment, error)
}

// Models finds the owners of models.
type Models interface {
	Model(ctx context.Context, name string) (registry.Model, error)
	// Models gives the first of them behind a name, in order.
	Models(ctx context.Context, after string, limit int) ([]registry.Model, error)
}

// Experiments finds the owners of experiments.
type Experiments interface {
	Experiment(ctx context.Context, teams []string, id string) (tracking.Experiment, error)
}

// Recorder makes the events of denied attempts durable, all or none.
type Recorder interface {
	Append(ctx context.Context, events ...slipway.Event) error
}

// Site is what an installation is to those who come in.
type Site struct {
	Development bool          // answers on its own machine only
	URL         func() string // as people know it
}

// Control decides who may do what, and records who tried to do more.
type Control struct {
	Engine      atomic.Pointer[authz.Engine] // of the policies in force
	Identity    *identity.Service
	Resources   Resources
	Models      Models
	Experiments Experiments
	Recorder    Recorder
	SignIn      *signin.Service
	Site        Site
	Changed     func() // is told when what the gateway grants may have changed
	Now         func() time.Time

	attempts attempts
	grants   grants
}

// Server is the installation as a resource.
var Server = authz.Resource{Kind: authz.KindServer}

// EndpointOf is an endpoint as policies see it.
func EndpointOf(e *rollout.Endpoint) authz.Resource {
	_, env, _ := slipway.ParseEndpoint(e.Key) // a stored key is valid
	return authz.Resource{Kind: authz.KindEndpoint, Name: e.Key, Team: e.Owner, Tier: e.Tier, Environment: env, Classification: e.Classification}
}

// ModelOf is a model as policies see it.
func ModelOf(name, team string) authz.Resource {
	return authz.Resource{Kind: authz.KindModel, Name: name, Team: team}
}

func accountOf(a *identity.Account) authz.Resource {
	p := slipway.Principal{Roles: a.Roles}
	return authz.Resource{Kind: authz.KindAccount, Name: a.Name, Team: a.Team, Owner: p.Owner(), Is: a.Kind, Clearance: a.Clearance}
}

// Allows answers without a record: what may not be seen is left out of lists.
func (c *Control) Allows(p slipway.Principal, a authz.Action, r authz.Resource) bool {
	return c.Engine.Load().Decide(authz.Request{Principal: p, Action: a, Resource: r}).Allow
}

// Check answers Denied, once that is recorded, unless the principal may do the action.
func (c *Control) Check(ctx context.Context, p slipway.Principal, a authz.Action, r authz.Resource) error {
	return c.check(ctx, authz.Request{Principal: p, Action: a, Resource: r})
}

func (c *Control) check(ctx context.Context, r authz.Request) error {
	denied := c.Engine.Load().Check(r)
	if denied == nil {
		return nil
	}
	return c.denied(ctx, r, denied)
}

// denied records what is refused, and answers it. An attempt that leaves no trace gets no
// answer either.
func (c *Control) denied(ctx context.Context, r authz.Request, why error) error {
	a := attempt{actor: r.Principal.ID, action: "access.denied", subject: r.Resource.String(), token: r.Principal.Token, did: string(r.Action)}
	if err := c.record(ctx, a, slipway.AsError(why).Message); err != nil {
		return err
	}
	return why
}

// CheckNamed is Check for what a path names: an endpoint, a deployment, a model, an account
// or a token.
func (c *Control) CheckNamed(ctx context.Context, p slipway.Principal, a authz.Action, name string) error {
	r, err := c.find(ctx, authz.Actions[a].Kind, name)
	if err != nil {
		return err
	}
	return c.Check(ctx, p, a, r)
}

// maxName bounds the names that are looked up, and recorded when that is denied, in bytes: as
// long as 256 characters of a model's name may be.
const maxName = 1024

// Enter implements httpapi.Access.
func (c *Control) Enter(ctx context.Context, p slipway.Principal, a authz.Action, name string) error {
	kind := authz.Actions[a].Kind
	if name == "" && kind != authz.KindServer {
		if c.Engine.Load().Conceivable(p, a) {
			return nil
		}
		return c.Check(ctx, p, a, authz.Resource{Kind: kind})
	}
	r, err := c.find(ctx, kind, name)
	if err != nil {
		return err
	}
	// Which role is given, and whose a new model will be, the use case knows.
	if a == authz.AccountGrant || a == authz.ModelRegister && r.Team == "" && c.Engine.Load().Conceivable(p, a) {
		return nil
	}
	return c.Check(ctx, p, a, r)
}

// find looks a resource up by what a path names. One that is not there has a name only: who
// may see nothing of its like does not learn that.
func (c *Control) find(ctx context.Context, kind, name string) (authz.Resource, error) {
	if len(name) > maxName {
		return authz.Resource{}, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform status", "there is nothing of so long a name")
	}
	r := authz.Resource{Kind: kind, Name: name}
	var err error
	switch kind {
	case authz.KindEndpoint:
		key := name
		if strings.HasPrefix(name, "dep_") {
			var d rollout.Deployment
			d, err = c.Resources.Deployment(ctx, name)
			key = d.Endpoint
		}
		var e rollout.Endpoint
		if err == nil {
			e, err = c.Resources.Endpoint(ctx, key)
		}
		if err == nil {
			r = EndpointOf(&e)
		}
	case authz.KindTeam:
		r.Team = name
	case authz.KindModel:
		var m registry.Model
		if m, err = c.Models.Model(ctx, name); err == nil {
			r.Team = m.Team
		}
	case authz.KindWebhook:
		r = authz.WebhooksOf(name)
	case authz.KindExperiment:
		var e tracking.Experiment
		if e, err = c.Experiments.Experiment(ctx, nil, name); err == nil {
			r.Team = e.Team
		}
	case authz.KindSecret:
		r = authz.SecretsOf(name)
	case authz.KindAccount:
		account := name
		if strings.HasPrefix(name, "tok_") {
			var t identity.Token
			t, err = c.Identity.Token(ctx, name)
			account = t.Account
		} else if strings.HasPrefix(name, "ses_") {
			var x signin.Session
			x, err = c.SignIn.Session(ctx, name)
			account = x.Account
		}
		var a identity.Account
		if err == nil {
			a, err = c.Identity.Account(ctx, account)
		}
		if err == nil {
			r = accountOf(&a)
		}
	}
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		err = nil
	}
	return r, err
}
