package models

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	mlflow "github.com/slipway-ml/slipway/internal/mlflowapi/models"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
)

// Config is what a Service is made of.
type Config struct {
	Registry *registry.Service
	Access   Access
	Fleet    Fleet
	Sources  Sources
	// Adopt gives blobs to a team.
	Adopt func(ctx context.Context, team string, digests ...slipway.Digest)
	Now   func() time.Time
	Log   *slog.Logger
}

// Service is the use cases. It is safe for concurrent use.
type Service struct {
	Config
	teams teams
}

// teams are those that own models, known for a moment: each search asks.
type teams struct {
	mu    sync.Mutex
	known []string
	until time.Time
}

// freshness is how long a team whose first model was made by another server stays out of lists.
const freshness = time.Second

func (s *Service) owners(ctx context.Context) ([]string, error) {
	s.teams.mu.Lock()
	defer s.teams.mu.Unlock()
	if now := s.Now(); !now.Before(s.teams.until) {
		known, err := s.Registry.Teams(ctx)
		if err != nil {
			return nil, err
		}
		s.teams.known, s.teams.until = known, now.Add(freshness)
	}
	return s.teams.known, nil
}

// forget lets a new owner be in lists at once.
func (s *Service) forget() {
	s.teams.mu.Lock()
	defer s.teams.mu.Unlock()
	s.teams.until = time.Time{}
}

var _ mlflow.Registry = (*Service)(nil)

// New makes a Service.
func New(c Config) *Service { return &Service{Config: c} }

// Access decides who may do what, and records what it denies.
type Access interface {
	// Check answers Denied unless the principal may do the action.
	Check(ctx context.Context, p slipway.Principal, a authz.Action, r authz.Resource) error
	// CheckNamed is Check for what a path names.
	CheckNamed(ctx context.Context, p slipway.Principal, a authz.Action, name string) error
	// Allows answers without a record.
	Allows(p slipway.Principal, a authz.Action, r authz.Resource) bool
	// Visible gives those of some teams with whose resources the principal may do the action.
	Visible(p slipway.Principal, a authz.Action, teams []string) []string
}

// Fleet says where versions run.
type Fleet interface {
	Endpoints(ctx context.Context) ([]rollout.Endpoint, error)
	Deployment(ctx context.Context, id string) (rollout.Deployment, error)
}

// Sources finds what versions are made of: artifacts of this platform, and the runs and
// logged models that have them. What is not there, or not the caller's to see, is NotFound.
type Sources interface {
	// Run says where the artifacts of a run lie, as a path in this platform's artifacts, empty
	// if they lie elsewhere.
	Run(ctx context.Context, c mlflowapi.Caller, id string) (Place, error)
	// Logged says that of a logged model; Output of the one that a run made under a name.
	Logged(ctx context.Context, c mlflowapi.Caller, id string) (Place, error)
	Output(ctx context.Context, c mlflowapi.Caller, run, name string) (Place, error)
	// Files are the files at a path and below it, with paths relative to it; none if it is not
	// there. It is NotFound, too, that the first segment is nobody's.
	Files(ctx context.Context, c mlflowapi.Caller, path string) ([]registry.File, error)
	// Registered notes on a logged model that a version was made of it, once.
	Registered(ctx context.Context, c mlflowapi.Caller, logged, model string, version int) error
}

// Place is where the artifacts of a run or a logged model lie.
type Place struct {
	ID     string // of the run, or of the logged model
	URI    string // as clients know it
	Path   string // in this platform's artifacts; empty: elsewhere
	Run    string // that made the logged model, empty if it does not say
	Logged bool
}

// find gives a model that the caller may see. What he may not see is not there; that he tried
// is recorded.
func (s *Service) find(ctx context.Context, c mlflowapi.Caller, name string) (registry.Model, error) {
	if err := registry.CheckName("name", name); err != nil {
		return registry.Model{}, err
	}
	m, err := s.Registry.Model(ctx, name)
	if err != nil {
		return m, err
	}
	if c.Named && m.Team != c.Team {
		return m, registry.NoModel(name)
	}
	err = s.Access.Check(ctx, c.Principal, authz.ModelRead, resource(name, m.Team))
	if errors.Is(err, &slipway.Error{Code: slipway.CodeDenied}) {
		err = registry.NoModel(name)
	}
	return m, err
}

// may finds a model that the caller may see, and answers Denied unless he may do something
// with it.
func (s *Service) may(ctx context.Context, c mlflowapi.Caller, a authz.Action, name string) (registry.Model, error) {
	m, err := s.find(ctx, c, name)
	if err == nil {
		err = s.Access.Check(ctx, c.Principal, a, resource(name, m.Team))
	}
	return m, err
}

// number reads the number of a version and finds its model. What is below 1 is no version.
func (s *Service) number(ctx context.Context, c mlflowapi.Caller, a authz.Action, model, version string) (int, error) {
	n, err := registry.ParseNumber(version)
	if err != nil {
		return 0, err
	}
	if _, err := s.may(ctx, c, a, model); err != nil {
		if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
			err = registry.NoVersion(model, n)
		}
		return 0, err
	}
	if n < 1 {
		return 0, registry.NoVersion(model, n)
	}
	return n, nil
}

// unused answers CodeServing if an endpoint has a version of a model, or is about to; number
// 0 is any version.
func (s *Service) unused(ctx context.Context, model string, number int) error {
	endpoints, err := s.Fleet.Endpoints(ctx)
	if err != nil {
		return err
	}
	for i := range endpoints {
		e := &endpoints[i]
		has := func(m string, n int) bool { return m == model && (n == number || number == 0) }
		for _, r := range []*route.Revision{e.Stable, e.Candidate} {
			if r != nil && has(r.Model, r.Version) {
				return inUse(model, r.Version, e.Key)
			}
		}
		if e.Active == "" {
			continue
		}
		d, err := s.Fleet.Deployment(ctx, e.Active)
		if err != nil {
			return err
		}
		if has(d.Model, d.Version) {
			return inUse(model, d.Version, e.Key)
		}
	}
	return nil
}

func inUse(model string, number int, endpoint string) error {
	return slipway.Errorf(slipway.Conflict, slipway.CodeServing, fmt.Sprintf("deploy another version there, and look when this one is gone: platform status %s", endpoint),
		"Model Version (name=%s, version=%d) is in use by the endpoint %s", slipway.OneLine(model, 256), number, endpoint)
}

// visible gives the teams whose models the caller may see, nil for all.
func (s *Service) visible(ctx context.Context, c mlflowapi.Caller) ([]string, error) {
	all, err := s.owners(ctx)
	if err != nil {
		return nil, err
	}
	if c.Named {
		return s.Access.Visible(c.Principal, authz.ModelRead, []string{c.Team}), nil
	}
	seen := s.Access.Visible(c.Principal, authz.ModelRead, all)
	if len(seen) == len(all) {
		return nil, nil
	}
	return seen, nil
}

func resource(name, team string) authz.Resource {
	return authz.Resource{Kind: authz.KindModel, Name: name, Team: team}
}

func digests(files []registry.File) []slipway.Digest {
	out := make([]slipway.Digest, len(files))
	for i, f := range files {
		out[i] = f.Digest
	}
	return out
}
