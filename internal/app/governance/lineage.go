package governance

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// Runs are the runs that made versions. Teams nil: of all.
type Runs interface {
	Run(ctx context.Context, teams []string, id string) (tracking.Run, error)
	Experiment(ctx context.Context, teams []string, id string) (tracking.Experiment, error)
	Model(ctx context.Context, teams []string, id string) (tracking.Model, error)
}

// commitTag is the tag that MLflow's clients keep the commit of the source code in.
const commitTag = "mlflow.source.git.commit"

// lineage is the run that made a version, with the data that it read; nil if the version does
// not say.
func (s *Service) lineage(ctx context.Context, p slipway.Principal, v registry.Version) (*api.RunLineage, error) {
	id := v.RunID
	if id == "" && v.LoggedModel != "" {
		m, err := s.Runs.Model(ctx, nil, v.LoggedModel)
		if err != nil && !gone(err) {
			return nil, err
		}
		id = m.SourceRun
	}
	if id == "" {
		return nil, nil
	}
	out := &api.RunLineage{ID: id, LoggedModel: v.LoggedModel, Datasets: []api.DatasetUse{}}
	run, err := s.Runs.Run(ctx, nil, id)
	switch {
	case gone(err):
		out.Missing = "the run is not on this installation"
		return out, nil
	case err != nil:
		return nil, err
	case !s.Access.Allows(p, authz.ExperimentRead, authz.ExperimentOf(run.ExperimentID, run.Team)):
		out.Missing = "the run is of a team whose experiments you may not see"
		return out, nil
	}
	fill(out, run)
	e, err := s.Runs.Experiment(ctx, nil, run.ExperimentID)
	if err == nil {
		out.Experiment = e.Name
	}
	if gone(err) {
		err = nil
	}
	return out, err
}

// gone says that something is not there, or was never a valid id.
func gone(err error) bool {
	return err != nil && (missing(err) || slipway.AsError(err).Kind == slipway.Invalid)
}

// fill says of a run what a version's dossier shows of it.
func fill(out *api.RunLineage, run tracking.Run) {
	out.Name, out.ExperimentID, out.User = run.Name, run.ExperimentID, run.User
	if run.Start > 0 {
		out.Started = time.UnixMilli(run.Start).UTC()
	}
	out.Commit, _ = run.Tag(commitTag)
	out.Metrics, out.Params = map[string]any{}, map[string]string{}
	for _, m := range run.Metrics {
		out.Metrics[m.Key] = number(m.Value)
	}
	for _, q := range run.Params {
		out.Params[q.Key] = q.Value
	}
	for _, d := range run.Datasets {
		use := api.DatasetUse{Name: d.Dataset.Name, Digest: d.Dataset.Digest, Source: slipway.OneLine(d.Dataset.Source, maxSource)}
		for _, t := range d.Tags {
			if t.Key == tracking.ContextTag {
				use.Context = t.Value
			}
		}
		out.Datasets = append(out.Datasets, use)
	}
}

// maxSource bounds what is shown of where data lie.
const maxSource = 500

// number is a number as JSON can hold it.
func number(v float64) any {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	}
	return v
}

// oneLine makes a text fit a line.
func oneLine(text string, limit int) string {
	return slipway.OneLine(strings.ReplaceAll(text, "\n", " "), limit)
}
