package mlflowapi

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// WorkspaceHeader names the team of a request: MLflow's workspaces are teams.
const WorkspaceHeader = "X-MLFLOW-WORKSPACE"

// cutTeam splits the path of a tracking URI such as https://host/teams/risk off. Every
// version of MLflow's clients keeps such a prefix, for the API and for artifacts.
func cutTeam(path string) (rest, team string, named bool) {
	path = "/" + strings.TrimLeft(path, "/")
	after, ok := strings.CutPrefix(path, "/teams/")
	if !ok {
		return path, "", false
	}
	team, rest, _ = strings.Cut(after, "/")
	if plain, err := url.PathUnescape(team); err == nil {
		team = plain
	}
	return "/" + strings.TrimLeft(rest, "/"), team, true
}

// callerOf finds the team of a request: that of its path, else of its header, else the only
// one of the principal.
func callerOf(h http.Header, p slipway.Principal, team string, named bool) (Caller, error) {
	if !named {
		team = strings.TrimSpace(h.Get(WorkspaceHeader))
		named = team != ""
	}
	if !named {
		return Caller{Principal: p, Team: onlyTeam(p)}, nil
	}
	if _, err := slipway.ParseName(team); err != nil {
		return Caller{}, slipway.Errorf(slipway.Invalid, slipway.CodeInvalidName, "name a team", "%.63q is no name of a team", team)
	}
	return Caller{Principal: p, Team: team, Named: true}, nil
}

// onlyTeam is the team that a principal is in, if it is in just one: by its roles, and by what
// its token is limited to.
func onlyTeam(p slipway.Principal) string {
	only := ""
	for _, r := range p.Roles {
		if r.Team == "" || r.Team == only || len(p.Limit.Teams) > 0 && !slices.Contains(p.Limit.Teams, r.Team) {
			continue
		}
		if only != "" {
			return tracking.DefaultTeam
		}
		only = r.Team
	}
	if only == "" && len(p.Limit.Teams) == 1 {
		return p.Limit.Teams[0]
	}
	return cmp.Or(only, tracking.DefaultTeam)
}
