package access

import (
	"context"
	"maps"
	"slices"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// Visible gives those of some teams with whose resources a principal may do an action. Lists
// of what is in these teams then show nothing else.
func (c *Control) Visible(p slipway.Principal, a authz.Action, teams []string) []string {
	out := []string{}
	engine := c.Engine.Load()
	for _, team := range teams {
		if engine.Decide(authz.Request{Principal: p, Action: a, Resource: authz.Resource{Kind: authz.Actions[a].Kind, Team: team}}).Allow {
			out = append(out, team)
		}
	}
	return out
}

// Teams gives, in order, those of which a principal may see experiments or models: of some
// that are known, and those in which anybody has a role.
func (c *Control) Teams(ctx context.Context, p slipway.Principal, known []string) ([]string, error) {
	accounts, err := c.Identity.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	named := map[string]bool{tracking.DefaultTeam: true}
	for _, team := range known {
		named[team] = true
	}
	for i := range accounts {
		for _, r := range accounts[i].Roles {
			if r.Team != "" {
				named[r.Team] = true
			}
		}
	}
	all := slices.Sorted(maps.Keys(named))
	seen := map[string]bool{}
	for _, a := range []authz.Action{authz.ExperimentRead, authz.ModelRead} {
		for _, team := range c.Visible(p, a, all) {
			seen[team] = true
		}
	}
	return slices.Sorted(maps.Keys(seen)), nil
}
