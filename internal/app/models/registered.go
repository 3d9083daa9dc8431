package models

import (
	"context"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/registry"
)

// AddModel makes a model without versions, of the caller's team.
func (s *Service) AddModel(ctx context.Context, c mlflowapi.Caller, name, description string, tags map[string]string) (registry.Entry, error) {
	if err := registry.CheckName("name", name); err != nil {
		return registry.Entry{}, err
	}
	if err := s.Access.Check(ctx, c.Principal, authz.ModelRegister, resource(name, c.Team)); err != nil {
		return registry.Entry{}, err
	}
	defer s.forget()
	return s.Registry.AddModel(ctx, c.Principal, registry.Model{Name: name, Team: c.Team, Description: description}, tags)
}

// Model gives a model with all that is said about it.
func (s *Service) Model(ctx context.Context, c mlflowapi.Caller, name string) (registry.Entry, error) {
	if _, err := s.find(ctx, c, name); err != nil {
		return registry.Entry{}, err
	}
	return s.Registry.Entry(ctx, name)
}

// DescribeModel changes the description of a model.
func (s *Service) DescribeModel(ctx context.Context, c mlflowapi.Caller, name, text string) (registry.Entry, error) {
	if _, err := s.may(ctx, c, authz.ModelUpdate, name); err != nil {
		return registry.Entry{}, err
	}
	return s.Registry.DescribeModel(ctx, c.Principal, name, text)
}

// RenameModel gives a model another name, unless an endpoint knows it by this one.
func (s *Service) RenameModel(ctx context.Context, c mlflowapi.Caller, name, to string) (registry.Entry, error) {
	if err := registry.CheckName("new_name", to); err != nil {
		return registry.Entry{}, err
	}
	if _, err := s.may(ctx, c, authz.ModelUpdate, name); err != nil {
		return registry.Entry{}, err
	}
	if err := s.unused(ctx, name, 0); err != nil {
		return registry.Entry{}, err
	}
	return s.Registry.RenameModel(ctx, c.Principal, name, to)
}

// DeleteModel removes a model with its versions, unless an endpoint has one of them.
func (s *Service) DeleteModel(ctx context.Context, c mlflowapi.Caller, name string) error {
	if _, err := s.may(ctx, c, authz.ModelDelete, name); err != nil {
		return err
	}
	if err := s.unused(ctx, name, 0); err != nil {
		return err
	}
	defer s.forget()
	return s.Registry.DeleteModel(ctx, c.Principal, name)
}

// TagModel sets a tag of a model, or removes it if there is no value.
func (s *Service) TagModel(ctx context.Context, c mlflowapi.Caller, name, key string, value *string) error {
	if _, err := s.may(ctx, c, authz.ModelUpdate, name); err != nil {
		return err
	}
	return s.Registry.TagModel(ctx, c.Principal, name, key, value)
}

// SetAliasOf points an alias at a version.
func (s *Service) SetAliasOf(ctx context.Context, c mlflowapi.Caller, model, alias, version string) error {
	n, err := s.number(ctx, c, authz.ModelAlias, model, version)
	if err != nil {
		return err
	}
	return s.Registry.SetAlias(ctx, c.Principal, model, alias, n, "")
}

// DeleteAlias removes an alias.
func (s *Service) DeleteAlias(ctx context.Context, c mlflowapi.Caller, model, alias string) error {
	if _, err := s.may(ctx, c, authz.ModelAlias, model); err != nil {
		return err
	}
	return s.Registry.DeleteAlias(ctx, c.Principal, model, alias, "")
}

// Aliased gives the version at which an alias points; "latest" is one that every model has.
// MLflow's clients are told of an alias that is not there as of a wrong parameter.
func (s *Service) Aliased(ctx context.Context, c mlflowapi.Caller, model, alias string) (registry.Version, error) {
	if err := registry.CheckAlias(alias); err != nil {
		return registry.Version{}, err
	}
	if _, err := s.find(ctx, c, model); err != nil {
		return registry.Version{}, err
	}
	return s.Registry.Named(ctx, model, registry.AliasRef(alias))
}

// SearchModels finds a page of the models that the caller may see.
func (s *Service) SearchModels(ctx context.Context, c mlflowapi.Caller, in registry.Search) ([]registry.Entry, string, error) {
	var err error
	if in.Teams, err = s.visible(ctx, c); err != nil {
		return nil, "", err
	}
	return s.Registry.SearchPage(ctx, in)
}

// SearchVersions finds a page of versions of the models that the caller may see.
func (s *Service) SearchVersions(ctx context.Context, c mlflowapi.Caller, in registry.Search) ([]registry.Version, string, error) {
	var err error
	if in.Teams, err = s.visible(ctx, c); err != nil {
		return nil, "", err
	}
	return s.Registry.VersionPage(ctx, in)
}

// NewestOf gives the newest version of each stage that is asked for.
func (s *Service) NewestOf(ctx context.Context, c mlflowapi.Caller, model string, stages []string) ([]registry.Version, error) {
	if _, err := s.find(ctx, c, model); err != nil {
		return nil, err
	}
	return s.Registry.NewestOf(ctx, model, stages)
}

// missing says whether something is not there.
func missing(err error) bool {
	return err != nil && slipway.AsError(err).Kind == slipway.NotFound
}
