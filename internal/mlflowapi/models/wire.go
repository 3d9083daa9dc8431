package models

import (
	"maps"
	"slices"
	"strconv"

	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/registry"
)

// What clients send.
type (
	tag struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	newModel struct {
		Name        string `json:"name" required:"true"`
		Description string `json:"description"`
		Tags        []tag  `json:"tags"`
	}
	modelName struct {
		Name string `json:"name" required:"true"`
	}
	modelTag struct {
		Name  string `json:"name" required:"true"`
		Key   string `json:"key" required:"true"`
		Value string `json:"value"`
	}
	alias struct {
		Name  string `json:"name" required:"true"`
		Alias string `json:"alias" required:"true"`
	}
	newVersion struct {
		Name        string  `json:"name" required:"true"`
		Source      string  `json:"source" required:"true"`
		RunID       *string `json:"run_id"`
		Tags        []tag   `json:"tags"`
		RunLink     string  `json:"run_link"`
		Description string  `json:"description"`
		ModelID     *string `json:"model_id"`
	}
	version struct {
		Name    string `json:"name" required:"true"`
		Version string `json:"version" required:"true"`
	}
	versionTag struct {
		Name    string `json:"name" required:"true"`
		Version string `json:"version" required:"true"`
		Key     string `json:"key" required:"true"`
		Value   string `json:"value"`
	}
	search struct {
		Filter     string         `json:"filter"`
		MaxResults *mlflowapi.Int `json:"max_results"`
		OrderBy    []string       `json:"order_by"`
		PageToken  string         `json:"page_token"`
	}
)

func (s *search) of(usual int) registry.Search {
	limit := usual
	if n, ok := s.MaxResults.Int64(); ok {
		limit = int(n)
	}
	return registry.Search{Filter: s.Filter, OrderBy: s.OrderBy, Token: s.PageToken, Limit: limit}
}

// tagsOf are tags by key; of two with one key the last counts.
func tagsOf(tags []tag) map[string]string {
	out := map[string]string{}
	for _, t := range tags {
		out[t.Key] = t.Value
	}
	return out
}

// What clients get.
type (
	registeredModel struct {
		Name                 string         `json:"name"`
		CreationTimestamp    int64          `json:"creation_timestamp"`
		LastUpdatedTimestamp int64          `json:"last_updated_timestamp"`
		UserID               string         `json:"user_id,omitzero"`
		Description          string         `json:"description,omitzero"`
		LatestVersions       []modelVersion `json:"latest_versions,omitzero"`
		Tags                 []tag          `json:"tags,omitzero"`
		Aliases              []modelAlias   `json:"aliases,omitzero"`
	}
	modelAlias struct {
		Alias   string `json:"alias"`
		Version string `json:"version"`
	}
	modelVersion struct {
		Name                 string   `json:"name"`
		Version              string   `json:"version"`
		CreationTimestamp    int64    `json:"creation_timestamp"`
		LastUpdatedTimestamp int64    `json:"last_updated_timestamp"`
		UserID               string   `json:"user_id,omitzero"`
		CurrentStage         string   `json:"current_stage"`
		Description          string   `json:"description"`
		Source               string   `json:"source"`
		RunID                string   `json:"run_id"`
		Status               string   `json:"status"`
		Tags                 []tag    `json:"tags,omitzero"`
		RunLink              string   `json:"run_link"`
		Aliases              []string `json:"aliases,omitzero"`
		ModelID              string   `json:"model_id,omitzero"`
	}
	modelAnswer struct {
		RegisteredModel registeredModel `json:"registered_model"`
	}
	modelsAnswer struct {
		RegisteredModels []registeredModel `json:"registered_models,omitzero"`
		NextPageToken    string            `json:"next_page_token,omitzero"`
	}
	versionAnswer struct {
		ModelVersion modelVersion `json:"model_version"`
	}
	versionsAnswer struct {
		ModelVersions []modelVersion `json:"model_versions,omitzero"`
		NextPageToken string         `json:"next_page_token,omitzero"`
	}
	downloadAnswer struct {
		ArtifactURI string `json:"artifact_uri"`
	}
)

func answer(e registry.Entry, err error) (modelAnswer, error) {
	return modelAnswer{modelOf(&e)}, err
}

func one(v registry.Version, err error) (versionAnswer, error) {
	return versionAnswer{versionOf(&v)}, err
}

func modelsOf(all []registry.Entry) []registeredModel {
	var out []registeredModel
	for i := range all {
		out = append(out, modelOf(&all[i]))
	}
	return out
}

func modelOf(e *registry.Entry) registeredModel {
	out := registeredModel{Name: e.Name, CreationTimestamp: e.Created.UnixMilli(), LastUpdatedTimestamp: e.Updated.UnixMilli(), UserID: e.By,
		Description: e.Description, LatestVersions: versionsOf(e.Newest), Tags: sorted(e.Tags)}
	for _, a := range slices.Sorted(maps.Keys(e.Aliases)) {
		out.Aliases = append(out.Aliases, modelAlias{a, strconv.Itoa(e.Aliases[a])})
	}
	return out
}

func versionsOf(all []registry.Version) []modelVersion {
	var out []modelVersion
	for i := range all {
		out = append(out, versionOf(&all[i]))
	}
	return out
}

// versionOf is a version as clients see it. It is always ready: its files are here, or are
// somebody else's.
func versionOf(v *registry.Version) modelVersion {
	return modelVersion{Name: v.Model, Version: strconv.Itoa(v.Number), CreationTimestamp: v.Created.UnixMilli(), LastUpdatedTimestamp: v.Updated.UnixMilli(),
		UserID: v.By, CurrentStage: v.Stage, Description: v.Description, Source: v.Source, RunID: v.RunID, Status: "READY", Tags: sorted(v.Tags),
		RunLink: v.RunLink, Aliases: v.Aliases, ModelID: v.LoggedModel}
}

func sorted(tags map[string]string) []tag {
	var out []tag
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, tag{k, tags[k]})
	}
	return out
}
