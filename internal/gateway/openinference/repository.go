package openinference

import (
	"cmp"
	"context"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/gateway/openinference/pb"
)

func (s *service) RepositoryIndex(ctx context.Context, r *pb.RepositoryIndexRequest) (*pb.RepositoryIndexResponse, error) {
	models, err := s.models.Index(callerOf(ctx))
	if err != nil {
		return nil, statusOf(err)
	}
	out := &pb.RepositoryIndexResponse{}
	for _, e := range Entries(models, r.GetReady()) {
		out.Models = append(out.Models, &pb.RepositoryIndexResponse_ModelIndex{Name: e.Name, Version: e.Version, State: e.State, Reason: e.Reason})
	}
	return out, nil
}

// Entry is one line of the repository's index, for each version of a model that serves.
type Entry struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
}

// Entries makes the index of models, of those that are ready if only they are asked for.
func Entries(models []Model, ready bool) []Entry {
	out := []Entry{}
	for _, m := range models {
		if ready && !m.Ready {
			continue
		}
		e := Entry{Name: m.Name, State: "READY", Reason: m.Reason}
		if !m.Ready {
			e.State = "UNAVAILABLE"
		}
		if len(m.Versions) == 0 {
			out = append(out, e)
		}
		for _, v := range m.Versions {
			e.Version = v
			out = append(out, e)
		}
	}
	return out
}

// RepositoryModelLoad is right when the model is loaded. What else is loaded, and when, is
// what deployments decide.
func (s *service) RepositoryModelLoad(ctx context.Context, r *pb.RepositoryModelLoadRequest) (*pb.RepositoryModelLoadResponse, error) {
	name := cmp.Or(r.GetModelName(), r.GetRepositoryName())
	if err := Load(s.models, callerOf(ctx), name); err != nil {
		return nil, statusOf(err)
	}
	return &pb.RepositoryModelLoadResponse{ModelName: name, IsLoaded: true}, nil
}

// RepositoryModelUnload is refused.
func (s *service) RepositoryModelUnload(ctx context.Context, r *pb.RepositoryModelUnloadRequest) (*pb.RepositoryModelUnloadResponse, error) {
	return nil, statusOf(Unload(s.models, callerOf(ctx), cmp.Or(r.GetModelName(), r.GetRepositoryName())))
}

// Load answers a client that wants a model loaded: nil when it is, and nothing else happens.
func Load(models Models, c *Caller, name string) *slipway.Error {
	m, err := models.Model(c, name, "")
	switch {
	case err != nil:
		return err
	case !m.Ready:
		return &slipway.Error{Code: slipway.CodeNoReplica, Kind: slipway.Unavailable,
			Message: "the model is not ready" + because(m.Reason), Next: "platform status " + name}
	}
	return nil
}

// Unload answers a client that wants a model unloaded: with a token for predictions nobody
// takes a model away from everybody else.
func Unload(models Models, c *Caller, name string) *slipway.Error {
	if _, err := models.Model(c, name, ""); err != nil {
		return err
	}
	return &slipway.Error{Code: slipway.CodeConflict, Kind: slipway.Conflict,
		Message: "a model is not unloaded by its callers; deployments say what is served", Next: "platform status " + name}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
