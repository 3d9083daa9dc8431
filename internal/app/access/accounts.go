package access

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/identity"
)

// List implements httpapi.Accounts.
func (c *Control) List(ctx context.Context, p slipway.Principal) ([]api.Account, error) {
	all, err := c.Identity.Accounts(ctx)
	out := []api.Account{}
	for i := range all {
		if c.Allows(p, authz.AccountRead, accountOf(&all[i])) {
			out = append(out, accountView(all[i]))
		}
	}
	return out, err
}

// Create implements httpapi.Accounts.
func (c *Control) Create(ctx context.Context, p slipway.Principal, r api.CreateAccount) (api.Account, error) {
	if err := c.Check(ctx, p, authz.AccountCreate, authz.Resource{Kind: authz.KindAccount, Name: r.Name, Team: r.Team}); err != nil {
		return api.Account{}, err
	}
	a, err := c.Identity.Create(ctx, p.ID, identity.Account{Name: r.Name, Kind: r.Kind, Team: r.Team})
	return accountView(a), err
}

// Change implements httpapi.Accounts.
func (c *Control) Change(ctx context.Context, p slipway.Principal, name string, r api.ChangeAccount) (api.Account, error) {
	found, err := c.find(ctx, authz.KindAccount, name)
	if err != nil {
		return api.Account{}, err
	}
	if (r.Clearance == "") == !r.Disable {
		return api.Account{}, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give clearance, or disable", "exactly one change is made at a time")
	}
	var a identity.Account
	if r.Disable {
		if err = c.Check(ctx, p, authz.AccountDisable, found); err == nil {
			a, err = c.Identity.Disable(ctx, p.ID, name, r.Reason)
		}
	} else if err = c.Check(ctx, p, authz.AccountClear, found); err == nil {
		a, err = c.Identity.Clear(ctx, p.ID, name, r.Clearance, r.Reason)
	}
	if err == nil {
		c.Changed()
	}
	return accountView(a), err
}

// ChangeRole implements httpapi.Accounts.
func (c *Control) ChangeRole(ctx context.Context, p slipway.Principal, name string, r api.ChangeRole) (api.Account, error) {
	found, err := c.find(ctx, authz.KindAccount, name)
	if err != nil {
		return api.Account{}, err
	}
	role := slipway.Role{Name: r.Role.Role, Team: r.Team, Until: r.Until}
	if err := c.check(ctx, authz.Request{Principal: p, Action: authz.AccountGrant, Resource: found, Role: role}); err != nil {
		return api.Account{}, err
	}
	change := c.Identity.Grant
	if r.Withdraw {
		change = c.Identity.Withdraw
	}
	a, err := change(ctx, p.ID, name, role, r.Reason)
	if err == nil {
		c.Changed()
	}
	return accountView(a), err
}

// Tokens implements httpapi.Tokens.
func (c *Control) Tokens(ctx context.Context, p slipway.Principal, account string) ([]api.Token, error) {
	all, err := c.Identity.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for i := range all {
		seen[all[i].Name] = c.Allows(p, authz.AccountRead, accountOf(&all[i]))
	}
	tokens, err := c.Identity.Tokens(ctx)
	out := []api.Token{}
	for _, t := range tokens {
		if seen[t.Account] && (account == "" || account == t.Account) {
			out = append(out, tokenView(t, ""))
		}
	}
	return out, err
}

// Issue implements httpapi.Tokens. What a token may be used for is a part of what its
// issuer's may: a limited token makes none that is less limited.
func (c *Control) Issue(ctx context.Context, p slipway.Principal, account string, r api.IssueToken) (api.Token, error) {
	if err := within(p.Limit, r.Limit); err != nil {
		return api.Token{}, err
	}
	for _, name := range r.Limit.Actions {
		if _, ok := authz.Actions[authz.Action(name)]; !ok {
			return api.Token{}, unknownAction(name)
		}
	}
	text, t, err := c.Identity.Issue(ctx, p.ID, identity.Wish{Account: account, Lifetime: time.Duration(r.LifetimeSeconds) * time.Second, Limit: slipway.Limit(r.Limit), Note: r.Note})
	if err == nil {
		c.Changed()
	}
	return tokenView(t, text), err
}

// within refuses a token that is wider than its issuer's.
func within(mine slipway.Limit, wanted api.Limit) error {
	for _, l := range [][2][]string{{mine.Actions, wanted.Actions}, {mine.Teams, wanted.Teams}, {mine.Endpoints, wanted.Endpoints}} {
		wider := len(l[0]) > 0 && (len(l[1]) == 0 || slices.ContainsFunc(l[1], func(s string) bool { return !slices.Contains(l[0], s) }))
		if wider {
			return slipway.Errorf(slipway.Denied, slipway.CodeDenied, "limit it to "+strings.Join(l[0], ", "), "your token is limited, and the new one would be less so")
		}
	}
	return nil
}

// Rotate implements httpapi.Tokens.
func (c *Control) Rotate(ctx context.Context, p slipway.Principal, id string, r api.RotateToken) (api.Token, error) {
	old, err := c.Identity.Token(ctx, id)
	if err != nil {
		return api.Token{}, err
	}
	if err := within(p.Limit, api.Limit(old.Limit)); err != nil {
		return api.Token{}, err
	}
	text, t, err := c.Identity.Rotate(ctx, p.ID, id, time.Duration(r.OverlapSeconds)*time.Second)
	if err == nil {
		c.Changed()
	}
	return tokenView(t, text), err
}

// Revoke implements httpapi.Tokens.
func (c *Control) Revoke(ctx context.Context, p slipway.Principal, id string, r api.RevokeToken) (api.Token, error) {
	if err := c.Identity.Revoke(ctx, p.ID, id, r.Reason); err != nil {
		return api.Token{}, err
	}
	c.Changed()
	t, err := c.Identity.Token(ctx, id)
	return tokenView(t, ""), err
}

func accountView(a identity.Account) api.Account {
	out := api.Account{Name: a.Name, Kind: a.Kind, Team: a.Team, Clearance: a.Clearance, Created: a.Created, By: a.By, Disabled: a.Disabled}
	for _, r := range a.Roles {
		out.Roles = append(out.Roles, api.Role{Role: r.Name, Team: r.Team, Until: r.Until})
	}
	return out
}

func tokenView(t identity.Token, text string) api.Token {
	return api.Token{ID: t.ID, Text: text, Account: t.Account, Note: t.Note, Limit: api.Limit(t.Limit), By: t.By, Created: t.Created, Expires: t.Expires, Revoked: t.Revoked, Used: t.Used}
}
