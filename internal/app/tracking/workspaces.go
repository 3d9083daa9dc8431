package tracking

import (
	"context"
	"maps"
	"slices"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// Accounts are those who have roles in teams.
type Accounts interface {
	Accounts(ctx context.Context) ([]identity.Account, error)
}

// Workspaces are MLflow's word for teams: those that have experiments, and those in which
// anybody has a role.
type Workspaces struct {
	*Service

	People Accounts
}

// Teams implements mlflowapi.Teams.
func (w Workspaces) Teams(ctx context.Context, p slipway.Principal) ([]string, error) {
	known, err := w.Service.Teams(ctx)
	if err != nil {
		return nil, err
	}
	accounts, err := w.People.Accounts(ctx)
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
	seen := slices.Concat(w.access.Visible(p, authz.ExperimentRead, all), w.access.Visible(p, authz.ModelRead, all))
	slices.Sort(seen)
	return slices.Compact(seen), nil
}
