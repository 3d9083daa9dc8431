package access

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/identity"
)

var kinds = map[string]string{"endpoint": authz.KindEndpoint, "model": authz.KindModel, "account": authz.KindAccount, "team": authz.KindTeam, "secret": authz.KindSecret, "webhook": authz.KindWebhook, "experiment": authz.KindExperiment}

// Explain implements httpapi.Tokens. Of oneself everybody may ask; of others, who may see
// their account.
func (c *Control) Explain(ctx context.Context, p slipway.Principal, account, action, resource string) (api.AccessAnswer, error) {
	out := api.AccessAnswer{Account: account, Action: action, Resource: resource}
	if _, ok := authz.Actions[authz.Action(action)]; !ok {
		return out, unknownAction(action)
	}
	found, err := c.parse(ctx, authz.Action(action), resource)
	if err != nil {
		return out, err
	}
	asked, err := c.find(ctx, authz.KindAccount, account)
	if err != nil {
		return out, err
	}
	if err := c.Check(ctx, p, authz.AccountRead, asked); err != nil {
		return out, err
	}
	a, err := c.Identity.Account(ctx, account)
	if err != nil {
		return out, err
	}
	d := c.decide(a, action, found)
	out.Allowed = d.Allow
	for _, r := range d.Policies {
		out.Policies = append(out.Policies, api.AccessReason(r))
	}
	if !out.Allowed {
		out.Who, err = c.who(ctx, p, action, found)
	}
	return out, err
}

// decide answers for an account without the limit of a token. What a role would be given is
// left open, so that AccountGrant is asked for no role.
func (c *Control) decide(a identity.Account, action string, r authz.Resource) authz.Decision {
	if !a.Disabled.IsZero() {
		return authz.Decision{Policies: []authz.Reason{{Policy: "the account is disabled"}}}
	}
	p := a.Principal(identity.Token{})
	p.Elevated = true // as it can make itself
	return c.Engine.Load().Decide(authz.Request{Principal: p, Action: authz.Action(action), Resource: r})
}

// maxWho bounds how many accounts are named that may do something.
const maxWho = 10

func (c *Control) who(ctx context.Context, p slipway.Principal, action string, r authz.Resource) ([]string, error) {
	all, err := c.Identity.Accounts(ctx)
	var out []string
	for i := range all {
		if len(out) < maxWho && c.decide(all[i], action, r).Allow && c.Allows(p, authz.AccountRead, accountOf(&all[i])) {
			out = append(out, all[i].Name)
		}
	}
	return out, err
}

// parse reads server, or kind/name, of the kind that the action is about.
func (c *Control) parse(ctx context.Context, a authz.Action, resource string) (authz.Resource, error) {
	want := authz.Actions[a].Kind
	word, name, _ := strings.Cut(resource, "/")
	if word == "server" && name == "" && want == authz.KindServer {
		return Server, nil
	}
	if kinds[word] != want || name == "" {
		next := strings.ToLower(want) + "/NAME"
		if want == authz.KindServer {
			next = "server"
		}
		return authz.Resource{}, &slipway.Error{Code: slipway.CodeInvalid, Kind: slipway.Invalid, Field: "resource",
			Message: "is not what one does " + string(a) + " with", Next: "give " + next}
	}
	return c.find(ctx, want, name)
}

func unknownAction(name string) error {
	var known []string
	for _, a := range slices.Sorted(maps.Keys(authz.Actions)) {
		known = append(known, string(a))
	}
	return &slipway.Error{Code: slipway.CodeInvalid, Kind: slipway.Invalid, Field: "action", Message: slipway.OneLine(name, 40) + " is not one that there is", Next: "choose one of " + strings.Join(known, ", ")}
}
