// Package imports takes what an importer brings from another MLflow server, with the ids and
// times that it had there, and remembers what came whole.
package imports

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	mlflow "github.com/slipway-ml/slipway/internal/mlflowapi/models"
	"github.com/slipway-ml/slipway/internal/registry"
	store "github.com/slipway-ml/slipway/internal/sqlstore/imports"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// Access decides who may do what.
type Access interface {
	Allows(p slipway.Principal, a authz.Action, r authz.Resource) bool
	// Check answers Denied, once that is recorded, unless the principal may do the action.
	Check(ctx context.Context, p slipway.Principal, a authz.Action, r authz.Resource) error
}

// Registry is what is done with registered models, by who may.
type Registry interface {
	AddModel(ctx context.Context, c mlflowapi.Caller, name, description string, tags map[string]string) (registry.Entry, error)
	Model(ctx context.Context, c mlflowapi.Caller, name string) (registry.Entry, error)
	AddVersion(ctx context.Context, c mlflowapi.Caller, in mlflow.NewVersion) (registry.Version, error)
	VersionOf(ctx context.Context, c mlflowapi.Caller, model, version string) (registry.Version, error)
	Stage(ctx context.Context, c mlflowapi.Caller, model, version, stage string, archive bool) (registry.Version, error)
}

// Service is httpapi.Imports. Safe for concurrent use.
type Service struct {
	Store    *store.Store
	Tracking *tracking.Service
	Registry Registry
	Access   Access
}

func key(o api.ImportOrigin, kind string) store.Key {
	return store.Key{Source: o.Source, Kind: kind, SourceID: o.SourceID}
}

func imported(r store.Row) api.Imported {
	return api.Imported{SourceID: r.SourceID, ID: r.ID, Place: r.Place, Mark: r.Mark, Note: r.Note}
}

// Query gives what of some ids has come, as far as the principal could have brought it.
func (s *Service) Query(ctx context.Context, p slipway.Principal, q api.ImportQuery) ([]api.Imported, error) {
	found, err := s.Store.Find(ctx, q.Source, q.Kind, q.IDs)
	out := []api.Imported{}
	for _, r := range found {
		if s.Access.Allows(p, authz.ExperimentWrite, authz.ExperimentOf("", r.Team)) {
			out = append(out, imported(r))
		}
	}
	return out, err
}

// may answers nil if the principal may write in an experiment, and the experiment.
func (s *Service) may(ctx context.Context, p slipway.Principal, experiment string) (tracking.Experiment, error) {
	e, err := s.Tracking.Experiment(ctx, nil, experiment)
	if err != nil && slipway.AsError(err).Kind != slipway.NotFound {
		return e, err
	}
	if denied := s.Access.Check(ctx, p, authz.ExperimentWrite, authz.ExperimentOf(experiment, e.Team)); denied != nil {
		return e, denied // also of one that is not there
	}
	return e, err
}

// Experiment brings an experiment.
func (s *Service) Experiment(ctx context.Context, p slipway.Principal, in api.ImportExperiment) (api.Imported, error) {
	c, err := mlflowapi.CallerOf(p, in.Team)
	if err != nil {
		return api.Imported{}, err
	}
	if err := s.Access.Check(ctx, p, authz.ExperimentWrite, authz.ExperimentOf("", c.Team)); err != nil {
		return api.Imported{}, err
	}
	k := key(in.ImportOrigin, api.ImportExperiments)
	row, came, err := s.Store.Get(ctx, k)
	if err != nil {
		return api.Imported{}, err
	}
	if came { // renamed here, perhaps
		_, err := s.may(ctx, p, row.ID)
		return imported(row), err
	}
	e, added, err := s.Tracking.ImportExperiment(ctx, p, tracking.Experiment{Name: in.Name, Team: c.Team, Created: in.Created, Updated: in.Updated, Tags: tags(in.Tags)})
	if err != nil {
		return api.Imported{}, err
	}
	row = store.Row{Key: k, ID: e.ID, Team: e.Team, Place: e.ArtifactLocation}
	if !added && in.Name != tracking.DefaultName {
		row.Note = "there was an experiment of this name: what came was added to it"
	}
	return imported(row), s.Store.Put(ctx, row)
}

func tags(in []api.Pair) []tracking.Tag {
	out := make([]tracking.Tag, len(in))
	for i, t := range in {
		out[i] = tracking.Tag(t)
	}
	return out
}

func params(in []api.Pair) []tracking.Param {
	out := make([]tracking.Param, len(in))
	for i, t := range in {
		out[i] = tracking.Param(t)
	}
	return out
}

// begin notes that something is about to come under the id that it has there, unless another
// of that id is here.
func (s *Service) begin(ctx context.Context, r store.Row, there func() error) (store.Row, error) {
	row, came, err := s.Store.Get(ctx, r.Key)
	if err != nil || came {
		return row, err
	}
	switch err := there(); {
	case err == nil:
		return r, slipway.Errorf(slipway.Conflict, slipway.CodeImportTaken, "look at it; delete it here if it shall come from there", "%s %s is here already, and did not come from there", strings.ReplaceAll(r.Kind, "_", " "), slipway.OneLine(r.ID, 100))
	case slipway.AsError(err).Kind != slipway.NotFound:
		return r, err
	}
	return r, s.Store.Put(ctx, r)
}

// Run brings a run.
func (s *Service) Run(ctx context.Context, p slipway.Principal, in api.ImportRun) (api.Imported, error) {
	e, err := s.may(ctx, p, in.Experiment)
	if err != nil {
		return api.Imported{}, err
	}
	row, err := s.begin(ctx, store.Row{Key: key(in.ImportOrigin, api.ImportRuns), ID: in.SourceID, Team: e.Team}, func() error {
		_, _, err := s.Tracking.RunOwner(ctx, nil, in.SourceID)
		return err
	})
	if err != nil {
		return api.Imported{}, err
	}
	r := tracking.Run{ID: row.ID, Name: in.Name, ExperimentID: e.ID, User: in.User, Status: in.Status, Start: in.Start, End: in.End, ModelInputs: in.Inputs,
		State: tracking.State{Params: params(in.Params), Tags: tags(in.Tags)}}
	for _, d := range in.Datasets {
		r.Datasets = append(r.Datasets, tracking.DatasetInput{Tags: tags(d.Tags), Dataset: tracking.Dataset{Name: d.Name, Digest: d.Digest, SourceType: d.SourceType, Source: d.Source, Schema: d.Schema, Profile: d.Profile}})
	}
	for _, o := range in.Outputs {
		r.ModelOutputs = append(r.ModelOutputs, tracking.ModelOutput{ModelID: o.ModelID, Step: o.Step})
	}
	r, dropped, err := s.Tracking.ImportRun(ctx, p, r)
	if err != nil {
		return api.Imported{}, err
	}
	row.Note = ""
	if dropped > 0 {
		row.Note = strconv.Itoa(dropped) + " tags or parameters have keys that are not kept here"
	}
	row.Mark, row.Place = "", r.ArtifactURI
	return imported(row), s.Store.Put(ctx, row)
}

// Metrics brings measurements of a run.
func (s *Service) Metrics(ctx context.Context, p slipway.Principal, run string, in api.ImportMetrics) error {
	experiment, team, err := s.Tracking.RunOwner(ctx, nil, run)
	if err != nil && slipway.AsError(err).Kind != slipway.NotFound {
		return err
	}
	if denied := s.Access.Check(ctx, p, authz.ExperimentWrite, authz.ExperimentOf(experiment, team)); denied != nil || err != nil {
		return errors.Join(denied, err)
	}
	var b tracking.Batch
	for _, m := range in.Metrics {
		v, err := strconv.ParseFloat(m.Value, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) { // which gives an infinity
			return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give a number, NaN or Infinity", "%q is no number", slipway.OneLine(m.Value, 40))
		}
		b.Metrics = append(b.Metrics, tracking.Metric{Key: m.Key, Value: v, Timestamp: m.Timestamp, Step: m.Step, ModelID: m.ModelID, DatasetName: m.DatasetName, DatasetDigest: m.DatasetDigest})
	}
	return s.Tracking.LogBatch(ctx, run, b)
}

// LoggedModel brings a logged model.
func (s *Service) LoggedModel(ctx context.Context, p slipway.Principal, in api.ImportLoggedModel) (api.Imported, error) {
	e, err := s.may(ctx, p, in.Experiment)
	if err != nil {
		return api.Imported{}, err
	}
	row, err := s.begin(ctx, store.Row{Key: key(in.ImportOrigin, api.ImportLoggedModels), ID: in.SourceID, Team: e.Team}, func() error {
		_, err := s.Tracking.Model(ctx, nil, in.SourceID)
		return err
	})
	if err != nil {
		return api.Imported{}, err
	}
	m, err := s.Tracking.ImportModel(ctx, p, tracking.Model{ID: row.ID, Name: in.Name, ExperimentID: e.ID, Created: in.Created, Updated: in.Updated, Status: in.Status,
		StatusMessage: in.StatusMessage, Type: in.Type, SourceRun: in.Run, Creator: in.Creator, Tags: tags(in.Tags), Params: params(in.Params)})
	if err != nil {
		return api.Imported{}, err
	}
	row.Mark, row.Place = "", m.ArtifactURI
	return imported(row), s.Store.Put(ctx, row)
}

// Done says that all of something has come.
func (s *Service) Done(ctx context.Context, p slipway.Principal, in api.ImportDone) error {
	row, came, err := s.Store.Get(ctx, key(in.ImportOrigin, in.Kind))
	if err != nil {
		return err
	}
	if denied := s.Access.Check(ctx, p, authz.ExperimentWrite, authz.ExperimentOf("", row.Team)); denied != nil {
		return denied
	}
	if !came || !slices.Contains([]string{api.ImportExperiments, api.ImportRuns, api.ImportLoggedModels, api.ImportModels, api.ImportVersions}, in.Kind) {
		return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "import it first", "nothing of that id came from there")
	}
	return s.Store.Mark(ctx, row.Key, in.Mark)
}
