package access

import (
	"context"
	"errors"
	"fmt"
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
	of, err := c.find(ctx, authz.KindAccount, account)
	if err == nil {
		err = c.Check(ctx, p, authz.TokenIssue, of)
	}
	if err == nil {
		err = c.within(ctx, p, authz.TokenIssue, of, r.Limit)
	}
	if err == nil {
		r.LifetimeSeconds, err = c.lifetime(ctx, p, account, r.LifetimeSeconds)
	}
	if err != nil {
		return api.Token{}, err
	}
	for _, name := range r.Limit.Actions {
		if _, ok := authz.Actions[authz.Action(name)]; !ok {
			return api.Token{}, unknownAction(name)
		}
	}
	text, t, err := c.Identity.Issue(ctx, p.ID, identity.Wish{Account: account, Lifetime: time.Duration(r.LifetimeSeconds) * time.Second, Limit: slipway.Limit(r.Limit), Note: r.Note, With: p.Token})
	if err == nil {
		c.Changed()
	}
	return tokenView(t, text), err
}

// lifetime keeps a token that somebody makes for himself within that of the one he makes it
// with: else a session that began with a sign-in would never end. It answers the lifetime
// in seconds, of which 0 is the usual one.
func (c *Control) lifetime(ctx context.Context, p slipway.Principal, account string, wish int64) (int64, error) {
	if p.Token == "" || p.ID != account {
		return wish, nil
	}
	mine, err := c.Identity.Token(ctx, p.Token)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) { // a session of another kind
		return wish, nil
	}
	if err != nil || mine.Expires.IsZero() {
		return wish, err
	}
	left := int64(mine.Expires.Sub(c.Now()) / time.Second)
	if wish > left {
		return 0, &slipway.Error{Code: slipway.CodeInvalid, Kind: slipway.Invalid, Field: "lifetime_seconds", Message: fmt.Sprintf("is longer than the %d s that are left of your own token", left), Next: "give less, or sign in anew"}
	}
	if wish == 0 {
		usual, err := c.Identity.Usual(ctx, account)
		return min(left, int64(usual/time.Second)), err
	}
	return wish, nil
}

// within refuses, and records, a token that is wider than its issuer's.
func (c *Control) within(ctx context.Context, p slipway.Principal, a authz.Action, of authz.Resource, wanted api.Limit) error {
	mine := p.Limit
	for _, l := range [][2][]string{{mine.Actions, wanted.Actions}, {mine.Teams, wanted.Teams}, {mine.Endpoints, wanted.Endpoints}} {
		wider := len(l[0]) > 0 && (len(l[1]) == 0 || slices.ContainsFunc(l[1], func(s string) bool { return !slices.Contains(l[0], s) }))
		if wider {
			return c.denied(ctx, authz.Request{Principal: p, Action: a, Resource: of},
				slipway.Errorf(slipway.Denied, slipway.CodeDenied, "limit it to "+strings.Join(l[0], ", "), "your token is limited, and the new one would be less so"))
		}
	}
	return nil
}

// Rotate implements httpapi.Tokens.
func (c *Control) Rotate(ctx context.Context, p slipway.Principal, id string, r api.RotateToken) (api.Token, error) {
	of, err := c.find(ctx, authz.KindAccount, id)
	if err == nil {
		err = c.Check(ctx, p, authz.TokenRotate, of)
	}
	if err != nil {
		return api.Token{}, err
	}
	old, err := c.Identity.Token(ctx, id)
	if err == nil {
		err = c.within(ctx, p, authz.TokenRotate, of, api.Limit(old.Limit))
	}
	if err == nil && of.Is == slipway.Person && old.Account == p.ID {
		_, err = c.lifetime(ctx, p, old.Account, int64(old.Expires.Sub(old.Created)/time.Second))
	}
	if err != nil {
		return api.Token{}, err
	}
	text, t, err := c.Identity.Rotate(ctx, p.ID, p.Token, id, time.Duration(r.OverlapSeconds)*time.Second)
	if err == nil {
		c.Changed()
	}
	return tokenView(t, text), err
}

// Revoke implements httpapi.Tokens.
func (c *Control) Revoke(ctx context.Context, p slipway.Principal, id string, r api.RevokeToken) (api.Token, error) {
	if err := c.CheckNamed(ctx, p, authz.TokenRevoke, id); err != nil {
		return api.Token{}, err
	}
	if err := c.Identity.Revoke(ctx, p.ID, id, r.Reason); err != nil {
		return api.Token{}, err
	}
	c.Changed()
	t, err := c.Identity.Token(ctx, id)
	if err != nil {
		return api.Token{}, err
	}
	out := tokenView(t, "")
	made, err := c.Identity.Made(ctx, id)
	for _, m := range made {
		out.Made = append(out.Made, m.ID)
	}
	return out, err
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
