package app

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/models"
	apptracking "github.com/slipway-ml/slipway/internal/app/tracking"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// sources is models.Sources: what versions are made of.
type sources struct {
	a  *App
	mu *sync.Mutex // held while a tag is changed
}

// pathOf is the path of an address of artifacts of this platform, else empty.
func pathOf(uri string) string {
	p, ok := strings.CutPrefix(uri, artifactRoot+"/")
	if !ok {
		return ""
	}
	return strings.Trim(p, "/")
}

// Run implements models.Sources.
func (s sources) Run(ctx context.Context, c mlflowapi.Caller, id string) (models.Place, error) {
	uri, err := s.a.artifacts.Run(ctx, c, id)
	return models.Place{ID: id, URI: uri, Path: pathOf(uri)}, err
}

// Logged implements models.Sources.
func (s sources) Logged(ctx context.Context, c mlflowapi.Caller, id string) (models.Place, error) {
	if _, err := s.a.artifacts.LoggedModel(ctx, c, id); err != nil {
		return models.Place{}, err
	}
	m, err := s.a.artifacts.Tracking.Model(ctx, nil, id)
	return placeOf(m), err
}

func placeOf(m tracking.Model) models.Place {
	return models.Place{ID: m.ID, URI: m.ArtifactURI, Path: pathOf(m.ArtifactURI), Run: m.SourceRun, Logged: true}
}

// Output implements models.Sources.
func (s sources) Output(ctx context.Context, c mlflowapi.Caller, run, name string) (models.Place, error) {
	none := slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform runs show "+run, "the run has logged no model of that name")
	if _, err := s.a.artifacts.Run(ctx, c, run); err != nil {
		return models.Place{}, err
	}
	r, err := s.a.artifacts.Tracking.Run(ctx, nil, run)
	if err != nil || strings.ContainsAny(name, `'"`) { // no name of a logged model has quotes
		return models.Place{}, errors.Join(err, none)
	}
	found, _, err := s.a.tracking.SearchModels(ctx, nil, tracking.ModelsSearch{Experiments: []string{r.ExperimentID}, Filter: "name = '" + name + "' AND source_run_id = '" + run + "'", Max: 1})
	if err != nil || len(found) == 0 {
		return models.Place{}, errors.Join(err, none)
	}
	return placeOf(found[0]), nil
}

// Files implements models.Sources.
func (s sources) Files(ctx context.Context, c mlflowapi.Caller, path string) ([]registry.File, error) {
	return s.a.artifacts.Below(ctx, c, path)
}

// Registered implements models.Sources.
func (s sources) Registered(ctx context.Context, c mlflowapi.Caller, logged, model string, version int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.a.artifacts.Tracking.Model(ctx, nil, logged)
	if err == nil {
		err = s.a.access.Check(ctx, c.Principal, authz.ExperimentWrite, authz.ExperimentOf(m.ExperimentID, m.Team))
	}
	if err != nil {
		return err
	}
	type made struct {
		Name    string `json:"name"`
		Version any    `json:"version"` // clients write numbers, and texts
	}
	var all []made
	for _, t := range m.Tags {
		if t.Key == apptracking.VersionsTag && json.Unmarshal([]byte(t.Value), &all) != nil {
			all = nil // somebody else's value
		}
	}
	b, err := json.Marshal(append(all, made{model, version})) // what is there already is there once
	if err != nil {
		return err
	}
	return s.a.tracking.SetModelTags(ctx, logged, []tracking.Tag{{Key: apptracking.VersionsTag, Value: apptracking.EachOnce(string(b))}})
}

// versions is artifacts.Versions.
type versions struct{ a *App }

// VersionFiles implements artifacts.Versions.
func (v versions) VersionFiles(ctx context.Context, c mlflowapi.Caller, model string, number int) ([]registry.File, error) {
	return v.a.registered.VersionFiles(ctx, c, model, number)
}

// DownloadURI implements artifacts.Versions.
func (v versions) DownloadURI(ctx context.Context, c mlflowapi.Caller, model, version string) (string, error) {
	return v.a.registered.DownloadURI(ctx, c, model, version)
}
