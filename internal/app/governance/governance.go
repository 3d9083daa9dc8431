// Package governance is what MLflow lacks around models: where an alias pointed when, whose
// approval a move needs, who signed a version, where it runs, and what is behind an answer.
package governance

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/registry/dossier"
	"github.com/slipway-ml/slipway/internal/registry/protect"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
)

// Access decides who may do what, and records what it denies.
type Access interface {
	// Check answers Denied unless the principal may do the action.
	Check(ctx context.Context, p slipway.Principal, a authz.Action, r authz.Resource) error
	// CheckNamed is Check for what a path names.
	CheckNamed(ctx context.Context, p slipway.Principal, a authz.Action, name string) error
	// Allows answers without a record.
	Allows(p slipway.Principal, a authz.Action, r authz.Resource) bool
	// Dependent says why a principal is not a person of its own beside others, in whose matter
	// it decides; empty: it is.
	Dependent(ctx context.Context, p slipway.Principal, others ...string) (string, error)
	// Append records events that belong to no change.
	Append(ctx context.Context, events ...slipway.Event) error
}

// Deployments are the records of what was brought where.
type Deployments interface {
	Endpoints(ctx context.Context) ([]rollout.Endpoint, error)
	Records
	// Refusal finds the refusal of a digest on an endpoint, or nil.
	Refusal(ctx context.Context, endpoint string, d slipway.Digest) (*rollout.Refusal, error)
	// Renamed gives a context under which the next change commits with the deployments of a
	// model being found by its new name.
	Renamed(ctx context.Context, model, to string) context.Context
}

// Records finds deployments.
type Records interface {
	Deployments(ctx context.Context, endpoint string, before, limit int) ([]rollout.Deployment, error)
	OfVersion(ctx context.Context, model string, version, before, limit int) ([]rollout.Deployment, error)
	OfRevision(ctx context.Context, revision string) (*rollout.Deployment, error)
	Successor(ctx context.Context, endpoint string, number int) (*rollout.Deployment, error)
}

// Gateway is the data plane, as far as it is asked here.
type Gateway interface {
	Observe(ctx context.Context) (route.Observation, error)
	Answered(ctx context.Context, request string) (route.Answers, error)
}

// Sealer keeps the private halves of keys unreadable.
type Sealer interface {
	Seal(ctx context.Context, aad string, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, aad string, sealed []byte) ([]byte, error)
}

// Config is what a Service is made of.
type Config struct {
	Access  Access
	Models  *registry.Service
	Protect *protect.Service
	Dossier dossier.Store
	Keys    dossier.KeyStore
	Sealer  Sealer
	Fleet   Deployments
	Gateway Gateway
	Runs    Runs
	Tracked Tracked
	// Endpoint is an endpoint as policies see it.
	Endpoint func(*rollout.Endpoint) authz.Resource
	// Files opens the files of a version.
	Files func(ctx context.Context, v registry.Version) fs.FS
	// Free removes those of some blobs that nothing needs and nobody has asked for lately, and
	// says how many bytes that were.
	Free func(ctx context.Context, digests []slipway.Digest) (files int, bytes int64, err error)
	Now  func() time.Time
	Log  *slog.Logger
}

// Service is the use cases. It is a registry.Guard.
type Service struct {
	Config

	signer struct {
		sync.Mutex
		now *dossier.Signer
	}
}

// New makes a Service, and sets it before the registry.
func New(c Config) *Service {
	s := &Service{Config: c}
	c.Models.Guard = s
	return s
}

var _ registry.Guard = (*Service)(nil)

func missing(err error) bool { return errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) }

// move describes a wish to let an alias point at a version.
func (s *Service) move(ctx context.Context, model, alias string, version int) (protect.Move, error) {
	m, err := s.Models.Model(ctx, model)
	if err != nil {
		return protect.Move{}, err
	}
	out := protect.Move{Model: model, Team: m.Team, Alias: alias, Version: version}
	if version == 0 {
		return out, nil
	}
	v, err := s.Models.Detail(ctx, model, version)
	out.Digest, out.Author = v.Digest, v.By
	return out, err
}

// Move implements registry.Guard.
func (s *Service) Move(ctx context.Context, p slipway.Principal, model, alias string, version int, do func(context.Context) error) error {
	m, err := s.move(ctx, model, alias, version)
	if err != nil {
		return err
	}
	if version == 0 { // what is not there is removed without a record, so without a request, too
		if _, err := s.Models.Named(ctx, model, registry.Ref{Alias: alias}); err != nil {
			return do(ctx)
		}
	}
	return s.Protect.Guard(ctx, p, m, do)
}

// Stage implements registry.Guard: who protects the alias production protects the stage
// Production. Stages know no approvals: where a move would need one, the alias is used.
func (s *Service) Stage(ctx context.Context, p slipway.Principal, model, stage string, version int, do func(context.Context) error) error {
	v, err := s.Models.Detail(ctx, model, version)
	if err != nil {
		return err
	}
	for _, name := range []string{stage, v.Stage} {
		m, err := s.move(ctx, model, strings.ToLower(name), version)
		if err == nil {
			err = s.Protect.Unapproved(ctx, p, m)
		}
		if err != nil {
			return err
		}
	}
	return do(ctx)
}

// Add implements registry.Guard: what is registered is signed.
func (s *Service) Add(ctx context.Context, p slipway.Principal, v registry.Version, do func(context.Context) error) error {
	if v.Digest == "" {
		return do(ctx)
	}
	signed, err := s.signing(ctx, p, v)
	if err != nil {
		return err
	}
	return do(signed)
}

// Remove implements registry.Guard: what a protected alias points at, stays.
func (s *Service) Remove(ctx context.Context, p slipway.Principal, model string, version int, do func(context.Context) error) error {
	m, err := s.Models.Entry(ctx, model)
	if err != nil {
		return err
	}
	for alias, number := range m.Aliases {
		if version != 0 && number != version {
			continue
		}
		if err := s.Protect.Unapproved(ctx, p, protect.Move{Model: model, Team: m.Team, Alias: alias}); err != nil {
			return err
		}
	}
	if version != 0 {
		why, err := s.used(ctx, model, version)
		if err != nil {
			return err
		}
		if len(why) > 0 {
			return held(model, version, why)
		}
	}
	return do(ctx)
}

// Rename implements registry.Guard: rules, signatures and cards follow.
func (s *Service) Rename(ctx context.Context, _ slipway.Principal, model, to string, do func(context.Context) error) error {
	return do(s.Fleet.Renamed(s.Dossier.Renamed(s.Protect.Renamed(ctx, model, to), model, to), model, to))
}

// version finds a version that the principal may see, with its files.
func (s *Service) version(ctx context.Context, p slipway.Principal, a authz.Action, model, ref string) (registry.Version, error) {
	if err := s.Access.CheckNamed(ctx, p, a, model); err != nil {
		return registry.Version{}, err
	}
	r, err := registry.ParseRef(ref)
	if err != nil {
		return registry.Version{}, err
	}
	return s.Models.Version(ctx, model, r)
}

func (s *Service) event(p slipway.Principal, action, subject string, more ...string) slipway.Event {
	now := s.Now()
	ev := slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: p.ID, Action: action, Subject: subject, Detail: map[string]string{}}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] != "" {
			ev.Detail[more[i]] = more[i+1]
		}
	}
	return ev
}

func modelOf(name, team string) authz.Resource {
	return authz.Resource{Kind: authz.KindModel, Name: name, Team: team}
}

var server = authz.Resource{Kind: authz.KindServer}

func named(model string, version int) string { return model + ":" + strconv.Itoa(version) }
