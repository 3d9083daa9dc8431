package access

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/route"
)

// grantKey is what a decision depends on, with the roles that have not ended. Policies do
// not tell principals of the same roles apart unless they name one, so its name is a part.
type grantKey struct {
	principal string
	action    authz.Action
	resource  authz.Resource
}

// Decisions are made anew after a while, for policies may ask for the time.
const (
	grantsAge  = time.Minute
	maxGranted = 1 << 18
)

// Grants lists what the gateway may let the bearers of tokens do without asking.
func (c *Control) Grants(ctx context.Context) ([]route.Grant, error) {
	tokens, err := c.Identity.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	all, err := c.Identity.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	endpoints, err := c.Resources.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	accounts := make(map[string]*identity.Account, len(all))
	for i := range all {
		accounts[all[i].Name] = &all[i]
	}
	var resources []authz.Resource
	for i := range endpoints {
		resources = append(resources, EndpointOf(&endpoints[i]))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.Now()
	if now.Sub(c.since) > grantsAge || len(c.granted) > maxGranted {
		c.granted, c.since = map[grantKey]bool{}, now
	}
	var out []route.Grant
	for _, t := range tokens {
		a := accounts[t.Account]
		if a == nil || !a.Disabled.IsZero() || !t.Usable(now) || t.Expires.IsZero() && !c.Site.Development {
			continue
		}
		out = append(out, c.grant(a, &t, resources, now))
	}
	return out, nil
}

func (c *Control) grant(a *identity.Account, t *identity.Token, resources []authz.Resource, now time.Time) route.Grant {
	p := a.Principal(*t)
	p.Roles = slices.DeleteFunc(slices.Clone(p.Roles), func(r slipway.Role) bool { return !r.Until.IsZero() && !now.Before(r.Until) })
	g := route.Grant{TokenSHA256: t.Hash, Principal: p.ID, Scope: route.ScopeListed, Expires: t.Expires}
	if p.Owner() && len(t.Limit.Actions)+len(t.Limit.Teams)+len(t.Limit.Endpoints) == 0 {
		g.Scope = route.ScopeOwner
		return g
	}
	key := grantKey{principal: fmt.Sprint(p.ID, p.Kind, p.Roles, p.Clearance, p.Limit)}
	may := func(action authz.Action, r authz.Resource) bool {
		key.action, key.resource = action, r
		allowed, known := c.granted[key]
		if !known {
			allowed = c.Allows(p, action, r)
			c.granted[key] = allowed
		}
		return allowed
	}
	for _, r := range resources {
		if may(authz.EndpointPredict, r) {
			g.Predict = append(g.Predict, r.Name)
		}
		if may(authz.EndpointRollback, r) {
			g.RollBack = append(g.RollBack, r.Name)
		}
	}
	slices.Sort(g.Predict)
	slices.Sort(g.RollBack)
	g.Metrics = may(authz.MetricsRead, Server)
	return g
}
