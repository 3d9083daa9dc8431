package mlflowapi

import (
	"context"
	"net/http"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
)

// Teams are MLflow's workspaces.
type Teams interface {
	// Teams gives, in order, those of which a principal may see something.
	Teams(ctx context.Context, p slipway.Principal) ([]string, error)
}

// Info is what clients ask of a server before they choose how to speak with it
// (mlflow/utils/server_info.py).
type Info struct {
	StoreType          string `json:"store_type"`
	Workspaces         bool   `json:"workspaces_enabled"`
	MultipartUploads   bool   `json:"multipart_uploads_enabled"`
	MultipartDownloads bool   `json:"multipart_downloads_enabled"`
}

type workspace struct {
	Name string `json:"name"`
}

type workspaces struct {
	Workspaces []workspace `json:"workspaces,omitempty"`
}

type workspaceName struct {
	Name string `json:"workspace_name" required:"true"`
}

type oneWorkspace struct {
	Workspace workspace `json:"workspace"`
}

// About are the routes that tell of the server and its workspaces.
func About(info Info, t Teams) []Route {
	const one = "/mlflow/workspaces/{workspace_name}"
	routes := []Route{
		JSON(http.MethodGet, "/mlflow/server-info", authz.ServerRead, func(context.Context, Caller, *Empty) (Info, error) { return info, nil }),
		JSON(http.MethodGet, "/mlflow/workspaces", authz.ServerRead, func(ctx context.Context, c Caller, _ *Empty) (out workspaces, err error) {
			teams, err := t.Teams(ctx, c.Principal)
			for _, team := range teams {
				out.Workspaces = append(out.Workspaces, workspace{team})
			}
			return out, err
		}),
		JSON(http.MethodGet, one, authz.ServerRead, func(ctx context.Context, c Caller, in *workspaceName) (out oneWorkspace, err error) {
			teams, err := t.Teams(ctx, c.Principal)
			for _, team := range teams {
				if team == in.Name {
					return oneWorkspace{workspace{team}}, nil
				}
			}
			if err != nil {
				return out, err
			}
			return out, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "ask for a role in it", "Workspace '%s' not found", clip(in.Name))
		}),
		unserved(http.MethodPost, "/mlflow/workspaces", teamsAreRoles),
		unserved(http.MethodPatch, one, teamsAreRoles),
		unserved(http.MethodDelete, one, teamsAreRoles),
	}
	for i := range routes {
		routes[i].Major = 3
	}
	return routes
}

const teamsAreRoles = "Workspaces are the platform's teams: a team is made by giving somebody a role in it (platform access grant)."

// unserved is a route that says why something is not done here.
func unserved(method, path, why string) Route {
	return JSON(method, path, authz.ServerRead, func(context.Context, Caller, *Empty) (Empty, error) {
		return Empty{}, slipway.Errorf(slipway.NotFound, slipway.CodeNotServed, "platform access grant --help", "%s", why)
	})
}
