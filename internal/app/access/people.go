package access

import (
	"context"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/identity/signin"
)

// Who implements httpapi.People.
func (c *Control) Who(_ context.Context, p slipway.Principal) (api.Who, error) {
	out := api.Who{Account: p.ID, Kind: p.Kind, Clearance: p.Clearance, Token: p.Token, MFA: p.MFA, Elevated: p.Elevated, BreakGlass: p.BreakGlass}
	for _, r := range p.Roles {
		if r.Until.IsZero() || c.Now().Before(r.Until) {
			out.Roles = append(out.Roles, api.Role{Role: r.Name, Team: r.Team, Until: r.Until})
		}
	}
	return out, nil
}

// Emergencies implements httpapi.Emergencies.
func (c *Control) Emergencies(ctx context.Context, p slipway.Principal) ([]api.Emergency, error) {
	if err := c.Check(ctx, p, authz.ServerRead, Server); err != nil {
		return nil, err
	}
	all, err := c.Identity.Accounts(ctx)
	out := []api.Emergency{}
	for _, a := range all {
		if e := a.Emergency; e != nil && c.Now().Before(e.Asked.Add(identity.EmergencyWait)) {
			out = append(out, api.Emergency{ID: e.ID, Account: a.Name, Reason: e.Reason, Asked: e.Asked})
		}
		for _, r := range a.Roles {
			if r.BreakGlass != "" && c.Now().Before(r.Until) {
				out = append(out, api.Emergency{ID: r.BreakGlass, Account: a.Name, Until: r.Until})
			}
		}
	}
	return out, err
}

// Invite implements httpapi.People.
func (c *Control) Invite(ctx context.Context, p slipway.Principal, account string, r api.Invite) (api.Invitation, error) {
	if err := c.checkAccount(ctx, p, authz.AccountInvite, account); err != nil {
		return api.Invitation{}, err
	}
	code, expires, err := c.SignIn.Invite(ctx, p.ID, account, time.Duration(r.LifetimeSeconds)*time.Second)
	if err != nil {
		return api.Invitation{}, err
	}
	return api.Invitation{Account: account, Code: code, URL: c.Site.URL() + "/enrol?code=" + code, Expires: expires}, nil
}

// Sessions implements httpapi.People.
func (c *Control) Sessions(ctx context.Context, p slipway.Principal, account string) ([]api.Session, error) {
	all, err := c.Identity.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	out := []api.Session{}
	for i := range all {
		if account != "" && all[i].Name != account || !c.Allows(p, authz.AccountRead, accountOf(&all[i])) {
			continue
		}
		list, err := c.SignIn.Sessions(ctx, all[i].Name)
		if err != nil {
			return nil, err
		}
		for _, x := range list {
			out = append(out, sessionView(x))
		}
	}
	return out, nil
}

// EndSession implements httpapi.People.
func (c *Control) EndSession(ctx context.Context, p slipway.Principal, id string, r api.EndSession) (api.Session, error) {
	x, err := c.SignIn.Session(ctx, id)
	if err != nil {
		return api.Session{}, err
	}
	if err := c.checkAccount(ctx, p, authz.TokenRevoke, x.Account); err != nil {
		return api.Session{}, err
	}
	return sessionView(x), c.SignIn.End(ctx, p.ID, id, r.Reason)
}

// checkAccount is Check of something that is done with an account.
func (c *Control) checkAccount(ctx context.Context, p slipway.Principal, a authz.Action, account string) error {
	found, err := c.find(ctx, authz.KindAccount, account)
	if err != nil {
		return err
	}
	return c.Check(ctx, p, a, found)
}

func sessionView(x signin.Session) api.Session {
	return api.Session{ID: x.ID, Account: x.Account, Method: x.Method, Agent: x.Agent, Began: x.Began, Used: x.Used, MFA: x.MFA, Ends: x.Ends}
}

// BreakGlass implements httpapi.Emergencies.
func (c *Control) BreakGlass(ctx context.Context, p slipway.Principal, r api.BreakGlass) (api.Emergency, error) {
	if err := c.Check(ctx, p, authz.BreakGlass, Server); err != nil {
		return api.Emergency{}, err
	}
	a, err := c.Identity.BreakGlass(ctx, p.ID, r.Reason, time.Duration(r.Seconds)*time.Second, r.Alone)
	return c.emergency(a, err)
}

// Confirm implements httpapi.Emergencies.
func (c *Control) Confirm(ctx context.Context, p slipway.Principal, id string) (api.Emergency, error) {
	if err := c.Check(ctx, p, authz.Confirm, Server); err != nil {
		return api.Emergency{}, err
	}
	a, err := c.Identity.Confirm(ctx, p.ID, id)
	return c.emergency(a, err)
}

// EndEmergency implements httpapi.Emergencies. Whoever is in it may end it, and who may
// confirm others.
func (c *Control) EndEmergency(ctx context.Context, p slipway.Principal, id string) (api.Emergency, error) {
	if p.BreakGlass != id {
		if err := c.Check(ctx, p, authz.Confirm, Server); err != nil {
			return api.Emergency{}, err
		}
	}
	a, err := c.Identity.EndEmergency(ctx, p.ID, id)
	if err != nil {
		return api.Emergency{}, err
	}
	c.Changed()
	return api.Emergency{ID: id, Account: a.Name}, nil
}

// emergency is that of an account, which waits or has begun.
func (c *Control) emergency(a identity.Account, err error) (api.Emergency, error) {
	if err != nil {
		return api.Emergency{}, err
	}
	c.Changed()
	out := api.Emergency{Account: a.Name}
	if e := a.Emergency; e != nil {
		out.ID, out.Reason, out.Asked = e.ID, e.Reason, e.Asked
	}
	for _, r := range a.Roles {
		if r.BreakGlass != "" {
			out.ID, out.Until = r.BreakGlass, r.Until
		}
	}
	return out, nil
}

// Rules implements httpapi.Rules.
func (c *Control) Rules(ctx context.Context, p slipway.Principal) ([]api.Rule, error) {
	if err := c.Check(ctx, p, authz.ProviderRead, Server); err != nil {
		return nil, err
	}
	all, err := c.SignIn.Rules(ctx)
	out := []api.Rule{}
	for _, r := range all {
		out = append(out, api.Rule{Group: r.Group, Role: r.Role.Name, Team: r.Role.Team})
	}
	return out, err
}

// ChangeRule implements httpapi.Rules.
func (c *Control) ChangeRule(ctx context.Context, p slipway.Principal, r api.ChangeRule) (api.Rule, error) {
	if err := c.Check(ctx, p, authz.ProviderMap, Server); err != nil {
		return api.Rule{}, err
	}
	err := c.SignIn.Map(ctx, p.ID, signin.Rule{Group: r.Group, Role: slipway.Role{Name: r.Role, Team: r.Team}}, r.Remove)
	return r.Rule, err
}
