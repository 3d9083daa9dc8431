package access

import (
	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Visible gives those of some teams with whose resources a principal may do an action. Lists
// of what is in these teams then show nothing else.
func (c *Control) Visible(p slipway.Principal, a authz.Action, teams []string) []string {
	out := []string{}
	for _, team := range teams {
		if c.Allows(p, a, authz.Resource{Kind: authz.Actions[a].Kind, Team: team}) {
			out = append(out, team)
		}
	}
	return out
}
