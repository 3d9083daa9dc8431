// Package models serves MLflow's model registry (mlflow/protos/model_registry.proto):
// registered models and their versions.
package models

import (
	"context"
	"net/http"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/registry"
)

// Registry is what the routes need. Every method decides whether its caller may; what he may
// not see is NotFound. Messages of errors are MLflow's.
type Registry interface {
	Lines
	Versions
	Aliases
	Finder
}

// Lines are registered models.
type Lines interface {
	AddModel(ctx context.Context, c mlflowapi.Caller, name, description string, tags map[string]string) (registry.Entry, error)
	DescribeModel(ctx context.Context, c mlflowapi.Caller, name, text string) (registry.Entry, error)
	RenameModel(ctx context.Context, c mlflowapi.Caller, name, to string) (registry.Entry, error)
	DeleteModel(ctx context.Context, c mlflowapi.Caller, name string) error
	// TagModel sets a tag, or removes it for nil.
	TagModel(ctx context.Context, c mlflowapi.Caller, name, key string, value *string) error
}

// Versions are those of registered models. Numbers are text, as clients send them.
type Versions interface {
	AddVersion(ctx context.Context, c mlflowapi.Caller, v NewVersion) (registry.Version, error)
	DescribeVersion(ctx context.Context, c mlflowapi.Caller, model, version, text string) (registry.Version, error)
	Stage(ctx context.Context, c mlflowapi.Caller, model, version, stage string, archive bool) (registry.Version, error)
	DeleteVersion(ctx context.Context, c mlflowapi.Caller, model, version string) error
	// TagVersion sets a tag, or removes it for nil.
	TagVersion(ctx context.Context, c mlflowapi.Caller, model, version, key string, value *string) error
}

// NewVersion is a version that is asked for. Run and Logged, the id of a logged model, are
// nil when they were not said.
type NewVersion struct {
	Model, Source, RunLink, Description string
	Run, Logged                         *string
	Tags                                map[string]string
}

// Aliases are names of versions.
type Aliases interface {
	SetAliasOf(ctx context.Context, c mlflowapi.Caller, model, alias, version string) error
	DeleteAlias(ctx context.Context, c mlflowapi.Caller, model, alias string) error
	// Aliased gives the version that an alias names, NotFound with CodeNotFound without one.
	Aliased(ctx context.Context, c mlflowapi.Caller, model, alias string) (registry.Version, error)
}

// Finder reads.
type Finder interface {
	Model(ctx context.Context, c mlflowapi.Caller, name string) (registry.Entry, error)
	VersionOf(ctx context.Context, c mlflowapi.Caller, model, version string) (registry.Version, error)
	NewestOf(ctx context.Context, c mlflowapi.Caller, model string, stages []string) ([]registry.Version, error)
	DownloadURI(ctx context.Context, c mlflowapi.Caller, model, version string) (string, error)
	Searches
}

// Searches give a page and the token of the next one.
type Searches interface {
	SearchModels(ctx context.Context, c mlflowapi.Caller, in registry.Search) ([]registry.Entry, string, error)
	SearchVersions(ctx context.Context, c mlflowapi.Caller, in registry.Search) ([]registry.Version, string, error)
}

// Routes are those of the registry.
func Routes(r Registry) []mlflowapi.Route {
	return append(lines(r), versions(r)...)
}

const ofModels, ofVersions = "/mlflow/registered-models/", "/mlflow/model-versions/"

func lines(r Registry) []mlflowapi.Route {
	type (
		out = modelAnswer
		no  = mlflowapi.Empty
	)
	newest := func(ctx context.Context, c mlflowapi.Caller, in *struct {
		Name   string   `json:"name" required:"true"`
		Stages []string `json:"stages"`
	}) (versionsAnswer, error) {
		found, err := r.NewestOf(ctx, c, in.Name, in.Stages)
		return versionsAnswer{ModelVersions: versionsOf(found)}, err
	}
	return []mlflowapi.Route{
		mlflowapi.JSON(http.MethodPost, ofModels+"create", authz.ModelRegister, func(ctx context.Context, c mlflowapi.Caller, in *newModel) (out, error) {
			return answer(r.AddModel(ctx, c, in.Name, in.Description, tagsOf(in.Tags)))
		}),
		mlflowapi.JSON(http.MethodGet, ofModels+"get", authz.ModelRead, func(ctx context.Context, c mlflowapi.Caller, in *modelName) (out, error) {
			return answer(r.Model(ctx, c, in.Name))
		}),
		mlflowapi.JSON(http.MethodPatch, ofModels+"update", authz.ModelUpdate, func(ctx context.Context, c mlflowapi.Caller, in *newModel) (out, error) {
			return answer(r.DescribeModel(ctx, c, in.Name, in.Description))
		}),
		mlflowapi.JSON(http.MethodPost, ofModels+"rename", authz.ModelUpdate, func(ctx context.Context, c mlflowapi.Caller, in *struct {
			Name    string `json:"name" required:"true"`
			NewName string `json:"new_name" required:"true"`
		}) (out, error) {
			return answer(r.RenameModel(ctx, c, in.Name, in.NewName))
		}),
		mlflowapi.JSON(http.MethodDelete, ofModels+"delete", authz.ModelDelete, func(ctx context.Context, c mlflowapi.Caller, in *modelName) (no, error) {
			return no{}, r.DeleteModel(ctx, c, in.Name)
		}),
		mlflowapi.JSON(http.MethodGet, ofModels+"search", authz.ModelRead, func(ctx context.Context, c mlflowapi.Caller, in *search) (modelsAnswer, error) {
			found, next, err := r.SearchModels(ctx, c, in.of(100))
			return modelsAnswer{RegisteredModels: modelsOf(found), NextPageToken: next}, err
		}),
		mlflowapi.JSON(http.MethodPost, ofModels+"get-latest-versions", authz.ModelRead, newest),
		mlflowapi.JSON(http.MethodGet, ofModels+"get-latest-versions", authz.ModelRead, newest),
		mlflowapi.JSON(http.MethodPost, ofModels+"set-tag", authz.ModelUpdate, func(ctx context.Context, c mlflowapi.Caller, in *modelTag) (no, error) {
			return no{}, r.TagModel(ctx, c, in.Name, in.Key, &in.Value)
		}),
		mlflowapi.JSON(http.MethodDelete, ofModels+"delete-tag", authz.ModelUpdate, func(ctx context.Context, c mlflowapi.Caller, in *modelTag) (no, error) {
			return no{}, r.TagModel(ctx, c, in.Name, in.Key, nil)
		}),
		mlflowapi.JSON(http.MethodPost, ofModels+"alias", authz.ModelAlias, func(ctx context.Context, c mlflowapi.Caller, in *struct {
			Name    string `json:"name" required:"true"`
			Alias   string `json:"alias" required:"true"`
			Version string `json:"version" required:"true"`
		}) (no, error) {
			return no{}, r.SetAliasOf(ctx, c, in.Name, in.Alias, in.Version)
		}),
		mlflowapi.JSON(http.MethodDelete, ofModels+"alias", authz.ModelAlias, func(ctx context.Context, c mlflowapi.Caller, in *alias) (no, error) {
			return no{}, r.DeleteAlias(ctx, c, in.Name, in.Alias)
		}),
		mlflowapi.JSON(http.MethodGet, ofModels+"alias", authz.ModelRead, func(ctx context.Context, c mlflowapi.Caller, in *alias) (versionAnswer, error) {
			v, err := r.Aliased(ctx, c, in.Name, in.Alias)
			return one(v, noAlias(in, err))
		}),
	}
}

// noAlias makes of an alias that is not there a wrong parameter, as MLflow has it.
func noAlias(in *alias, err error) error {
	if e := slipway.AsError(err); err != nil && e.Kind == slipway.NotFound && e.Message == slipway.AsError(registry.NoAlias(in.Name, in.Alias)).Message {
		wrong := *e
		wrong.Kind, wrong.Code = slipway.Invalid, slipway.CodeInvalid
		return &wrong
	}
	return err
}

func versions(r Registry) []mlflowapi.Route {
	type (
		out = versionAnswer
		no  = mlflowapi.Empty
	)
	return []mlflowapi.Route{
		mlflowapi.JSON(http.MethodPost, ofVersions+"create", authz.ModelRegister, func(ctx context.Context, c mlflowapi.Caller, in *newVersion) (out, error) {
			return one(r.AddVersion(ctx, c, NewVersion{Model: in.Name, Source: in.Source, RunLink: in.RunLink, Description: in.Description,
				Run: in.RunID, Logged: in.ModelID, Tags: tagsOf(in.Tags)}))
		}),
		mlflowapi.JSON(http.MethodGet, ofVersions+"get", authz.ModelRead, func(ctx context.Context, c mlflowapi.Caller, in *version) (out, error) {
			return one(r.VersionOf(ctx, c, in.Name, in.Version))
		}),
		mlflowapi.JSON(http.MethodPatch, ofVersions+"update", authz.ModelUpdate, func(ctx context.Context, c mlflowapi.Caller, in *struct {
			Name        string `json:"name" required:"true"`
			Version     string `json:"version" required:"true"`
			Description string `json:"description"`
		}) (out, error) {
			return one(r.DescribeVersion(ctx, c, in.Name, in.Version, in.Description))
		}),
		mlflowapi.JSON(http.MethodPost, ofVersions+"transition-stage", authz.ModelUpdate, func(ctx context.Context, c mlflowapi.Caller, in *struct {
			Name    string `json:"name" required:"true"`
			Version string `json:"version" required:"true"`
			Stage   string `json:"stage" required:"true"`
			Archive bool   `json:"archive_existing_versions"`
		}) (out, error) {
			return one(r.Stage(ctx, c, in.Name, in.Version, in.Stage, in.Archive))
		}),
		mlflowapi.JSON(http.MethodDelete, ofVersions+"delete", authz.ModelDelete, func(ctx context.Context, c mlflowapi.Caller, in *version) (no, error) {
			return no{}, r.DeleteVersion(ctx, c, in.Name, in.Version)
		}),
		mlflowapi.JSON(http.MethodGet, ofVersions+"search", authz.ModelRead, func(ctx context.Context, c mlflowapi.Caller, in *search) (versionsAnswer, error) {
			found, next, err := r.SearchVersions(ctx, c, in.of(200_000))
			return versionsAnswer{ModelVersions: versionsOf(found), NextPageToken: next}, err
		}),
		mlflowapi.JSON(http.MethodGet, ofVersions+"get-download-uri", authz.ModelRead, func(ctx context.Context, c mlflowapi.Caller, in *version) (downloadAnswer, error) {
			uri, err := r.DownloadURI(ctx, c, in.Name, in.Version)
			return downloadAnswer{ArtifactURI: uri}, err
		}),
		mlflowapi.JSON(http.MethodPost, ofVersions+"set-tag", authz.ModelUpdate, func(ctx context.Context, c mlflowapi.Caller, in *versionTag) (no, error) {
			return no{}, r.TagVersion(ctx, c, in.Name, in.Version, in.Key, &in.Value)
		}),
		mlflowapi.JSON(http.MethodDelete, ofVersions+"delete-tag", authz.ModelUpdate, func(ctx context.Context, c mlflowapi.Caller, in *versionTag) (no, error) {
			return no{}, r.TagVersion(ctx, c, in.Name, in.Version, in.Key, nil)
		}),
	}
}
