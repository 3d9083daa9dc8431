package access

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/route"
)

// grants remembers what was decided for principals, until something changes on which
// decisions depend: the policies, the endpoints, or, if policies ask for the time, a minute.
type grants struct {
	mu        sync.Mutex
	engine    *authz.Engine
	resources []authz.Resource
	since     time.Time
	decided   map[string]route.Grant // by all that policies see of a principal
}

const grantsAge = time.Minute

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
	c.grants.mu.Lock()
	defer c.grants.mu.Unlock()
	engine, now, g := c.Engine.Load(), c.Now(), &c.grants
	if g.engine != engine || !reflect.DeepEqual(g.resources, resources) || engine.Asks("time") && now.Sub(g.since) > grantsAge {
		g.engine, g.resources, g.since, g.decided = engine, resources, now, nil
	}
	used := map[string]route.Grant{} // what nobody asks for any more is forgotten
	var out []route.Grant
	for _, t := range tokens {
		a := accounts[t.Account]
		if a == nil || !a.Disabled.IsZero() || !t.Usable(now) || t.Expires.IsZero() && !c.Site.Development {
			continue
		}
		p := a.Principal(t)
		p.Token = ""
		p.Roles = until(p.Roles, now)
		key := fmt.Sprintf("%q %q %v %q %q", p.ID, p.Kind, p.Roles, p.Clearance, [][]string{p.Limit.Actions, p.Limit.Teams, p.Limit.Endpoints})
		grant, known := g.decided[key]
		if !known {
			grant = granted(engine, p, resources)
		}
		used[key] = grant
		grant.TokenSHA256, grant.Token, grant.Expires = t.Hash, t.ID, t.Expires
		if grant.Scope == route.ScopeOwner {
			grant.Expires = earlier(t.Expires, ends(p.Roles, slipway.RoleOwner))
		}
		out = append(out, grant)
	}
	g.decided = used
	return out, nil
}

// until gives the roles that have not ended at a time.
func until(roles []slipway.Role, at time.Time) []slipway.Role {
	return slices.DeleteFunc(slices.Clone(roles), func(r slipway.Role) bool { return !r.Until.IsZero() && !at.Before(r.Until) })
}

// ends is when a role ends.
func ends(roles []slipway.Role, name string) time.Time {
	i := slices.IndexFunc(roles, func(r slipway.Role) bool { return r.Name == name })
	return roles[i].Until
}

// earlier is the earlier of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// granted decides everything that a gateway decides by itself for a principal.
func granted(e *authz.Engine, p slipway.Principal, resources []authz.Resource) route.Grant {
	g := route.Grant{Principal: p.ID, Scope: route.ScopeListed}
	may := func(r authz.Request) bool { return e.Decide(r).Allow }
	if p.Owner() && len(p.Limit.Actions)+len(p.Limit.Teams)+len(p.Limit.Endpoints) == 0 && ownsAll(e, p, resources) {
		g.Scope = route.ScopeOwner
		return g
	}
	for _, r := range resources {
		ask := authz.Request{Principal: p, Action: authz.EndpointPredict, Resource: r}
		if may(ask) {
			g.Predict = append(g.Predict, r.Name)
			ask.Disconnected = true
			if e.Asks("connected") && !may(ask) {
				g.Connected = append(g.Connected, r.Name)
			}
		}
		if may(authz.Request{Principal: p, Action: authz.EndpointRollback, Resource: r}) {
			g.RollBack = append(g.RollBack, r.Name)
		}
	}
	g.Metrics = may(authz.Request{Principal: p, Action: authz.MetricsRead, Resource: Server})
	for _, list := range []*[]string{&g.Predict, &g.RollBack, &g.Connected} {
		slices.Sort(*list)
	}
	g.Until = lost(e, p, g, resources)
	return g
}

// ownsAll says whether no policy keeps an owner from anything at the gateway, connected or
// not: only then may a grant leave out the list.
func ownsAll(e *authz.Engine, p slipway.Principal, resources []authz.Resource) bool {
	if e.Version() == 0 {
		return true // owners may everything
	}
	for _, r := range resources {
		for _, ask := range []authz.Request{{Action: authz.EndpointPredict, Disconnected: true}, {Action: authz.EndpointPredict}, {Action: authz.EndpointRollback}} {
			ask.Principal, ask.Resource = p, r
			if !e.Decide(ask).Allow {
				return false
			}
		}
	}
	return e.Decide(authz.Request{Principal: p, Action: authz.MetricsRead, Resource: Server}).Allow
}

// lost says when parts of a grant end because roles do, so that a gateway which nobody
// tells that still keeps to it.
func lost(e *authz.Engine, p slipway.Principal, g route.Grant, resources []authz.Resource) map[string]time.Time {
	var times []time.Time
	for _, r := range p.Roles {
		if !r.Until.IsZero() {
			times = append(times, r.Until)
		}
	}
	if len(times) == 0 {
		return nil
	}
	slices.SortFunc(times, time.Time.Compare)
	out := map[string]time.Time{}
	for _, at := range slices.Backward(times) {
		then := p
		then.Roles = until(p.Roles, at)
		note := func(key string, action authz.Action, r authz.Resource) {
			if !e.Decide(authz.Request{Principal: then, Action: action, Resource: r}).Allow {
				out[key] = at
			}
		}
		for _, r := range resources {
			if slices.Contains(g.Predict, r.Name) {
				note(route.UntilPredict+r.Name, authz.EndpointPredict, r)
			}
			if slices.Contains(g.RollBack, r.Name) {
				note(route.UntilRollBack+r.Name, authz.EndpointRollback, r)
			}
		}
		if g.Metrics {
			note(route.UntilMetrics, authz.MetricsRead, Server)
		}
	}
	return out
}
