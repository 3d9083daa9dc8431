package models

import (
	"context"
	"log/slog"

	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	mlflow "github.com/slipway-ml/slipway/internal/mlflowapi/models"
	"github.com/slipway-ml/slipway/internal/registry"
)

// AddVersion makes a version of what lies at a source. If that is here, the files are
// recorded as they are at this moment, and the version never changes with them.
func (s *Service) AddVersion(ctx context.Context, c mlflowapi.Caller, in mlflow.NewVersion) (registry.Version, error) {
	m, err := s.may(ctx, c, authz.ModelRegister, in.Model)
	if err != nil {
		return registry.Version{}, err
	}
	o, err := s.origin(ctx, c, in)
	if err != nil {
		return registry.Version{}, err
	}
	v, err := s.Registry.AddVersion(ctx, c.Principal, registry.Version{Model: in.Model, Source: o.source, Place: o.place, Files: o.files,
		RunID: o.run, LoggedModel: o.logged, RunLink: in.RunLink, Description: in.Description, Tags: in.Tags})
	if err != nil {
		return registry.Version{}, err
	}
	if len(o.files) > 0 {
		s.Adopt(ctx, m.Team, digests(o.files)...)
	}
	s.note(ctx, c, v)
	return v, nil
}

// note lets a logged model say that a version was made of it. The version is there without
// that.
func (s *Service) note(ctx context.Context, c mlflowapi.Caller, v registry.Version) {
	if v.LoggedModel == "" {
		return
	}
	if err := s.Sources.Registered(ctx, c, v.LoggedModel, v.Model, v.Number); err != nil && !missing(err) {
		s.Log.WarnContext(ctx, "a logged model does not say that it was registered", slog.String("logged_model", v.LoggedModel), slog.String("error", err.Error()))
	}
}

// VersionOf gives a version with all that is said about it.
func (s *Service) VersionOf(ctx context.Context, c mlflowapi.Caller, model, version string) (registry.Version, error) {
	n, err := s.number(ctx, c, authz.ModelRead, model, version)
	if err != nil {
		return registry.Version{}, err
	}
	return s.Registry.Detail(ctx, model, n)
}

// DescribeVersion changes the description of a version.
func (s *Service) DescribeVersion(ctx context.Context, c mlflowapi.Caller, model, version, text string) (registry.Version, error) {
	n, err := s.number(ctx, c, authz.ModelUpdate, model, version)
	if err != nil {
		return registry.Version{}, err
	}
	return s.Registry.DescribeVersion(ctx, c.Principal, model, n, text)
}

// Stage brings a version to a stage.
func (s *Service) Stage(ctx context.Context, c mlflowapi.Caller, model, version, stage string, archive bool) (registry.Version, error) {
	n, err := s.number(ctx, c, authz.ModelUpdate, model, version)
	if err != nil {
		return registry.Version{}, err
	}
	return s.Registry.Stage(ctx, c.Principal, model, n, stage, archive)
}

// TagVersion sets a tag of a version, or removes it if there is no value.
func (s *Service) TagVersion(ctx context.Context, c mlflowapi.Caller, model, version, key string, value *string) error {
	n, err := s.number(ctx, c, authz.ModelUpdate, model, version)
	if err != nil {
		return err
	}
	return s.Registry.TagVersion(ctx, c.Principal, model, n, key, value)
}

// DeleteVersion hides a version for good, unless an endpoint has it.
func (s *Service) DeleteVersion(ctx context.Context, c mlflowapi.Caller, model, version string) error {
	n, err := s.number(ctx, c, authz.ModelDelete, model, version)
	if err != nil {
		return err
	}
	if _, err := s.Registry.Detail(ctx, model, n); err != nil {
		return err
	}
	if err := s.unused(ctx, model, n); err != nil {
		return err
	}
	return s.Registry.DeleteVersion(ctx, c.Principal, model, n)
}

// DownloadURI says where clients find the files of a version: those that are here as they
// were when it was made.
func (s *Service) DownloadURI(ctx context.Context, c mlflowapi.Caller, model, version string) (string, error) {
	v, err := s.VersionOf(ctx, c, model, version)
	if err != nil {
		return "", err
	}
	return uriOf(v), nil
}
