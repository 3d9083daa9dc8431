package tracking

import (
	"context"
	"errors"
	"regexp"
	"slices"

	"github.com/slipway-ml/slipway"
)

// modelID is what ids of logged models look like.
var modelID = regexp.MustCompile(`^m-[a-zA-Z0-9]{1,64}$`)

// ImportExperiment makes an experiment as it was elsewhere, of the name, team, times and tags
// of e, or finds the one of that name, which gets the tags that it has not. added tells which.
func (s *Service) ImportExperiment(ctx context.Context, p slipway.Principal, e Experiment) (out Experiment, added bool, err error) {
	if err := checkExperimentName(e.Name); err != nil {
		return Experiment{}, false, err
	}
	set := map[string]string{}
	for _, t := range e.Tags {
		if checkExperimentTag(t) == nil {
			set[t.Key] = t.Value
		}
	}
	e.Tags, e.Stage = sortedTags(set), Active
	if e.Name == DefaultName {
		if _, err := s.Default(ctx, p, e.Team); err != nil {
			return Experiment{}, false, err
		}
	}
	out, err = s.stores.Experiments.ExperimentByName(ctx, e.Team, e.Name)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		place := func(id string) string { return s.root + "/" + id }
		out, err = s.stores.Experiments.AddExperiment(ctx, e, place, s.event(p, "experiment.imported", "", map[string]string{"team": e.Team}))
		return out, err == nil, err
	}
	if err == nil {
		err = mustBeActive(out.ID, out.Stage)
	}
	if err != nil {
		return out, false, err
	}
	return out, false, s.changeExperiment(ctx, out.ID, nil, func(now *Experiment) error {
		for _, t := range e.Tags {
			if _, has := searchTag(now.Tags, t.Key); !has {
				now.Tags = withTag(now.Tags, t)
			}
		}
		return nil
	})
}

// ImportRun makes a run as it was elsewhere, with its id, or brings the one that is there up
// to date. What it measured comes by LogBatch. Tags and parameters whose keys this platform
// does not keep are left out, and their number is told.
func (s *Service) ImportRun(ctx context.Context, p slipway.Principal, r Run) (out Run, dropped int, err error) {
	if !runID.MatchString(r.ID) {
		return Run{}, 0, invalid("Invalid value %s for parameter 'run_id' supplied.", quote(r.ID))
	}
	if !slices.Contains([]string{Running, Scheduled, Finished, Failed, Killed}, r.Status) {
		return Run{}, 0, invalid("Invalid value %s for parameter 'status' supplied.", quote(r.Status))
	}
	e, err := s.Experiment(ctx, nil, r.ExperimentID)
	if err == nil {
		err = mustBeActive(e.ID, e.Stage)
	}
	if err != nil {
		return Run{}, 0, err
	}
	var b Batch
	if b, dropped = imported(r); r.Name == "" {
		r.Name = randomName()
	}
	r.Name, r.User, r.Stage, r.Team = cut(r.Name, maxTagValue), cut(r.User, maxUser), Active, e.Team
	r.ArtifactURI = below(e.ArtifactLocation, r.ID, "artifacts")
	datasets, inputs, outputs := r.Datasets, r.ModelInputs, r.ModelOutputs
	now, err := s.stores.Runs.Run(ctx, nil, r.ID)
	switch {
	case errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}):
		r.State = State{Tags: withTag(nil, Tag{RunName, r.Name})}
		err = s.stores.Runs.AddRun(ctx, r, s.event(p, "run.imported", r.ID, map[string]string{"experiment": e.ID, "team": e.Team}),
			func(stage string) error { return mustBeActive(e.ID, stage) })
	case err == nil && now.ExperimentID != e.ID:
		err = taken("run", r.ID)
	case err == nil:
		r.ArtifactURI = now.ArtifactURI
		err = s.changeRun(ctx, r.ID, func(was *Run) ([]slipway.Event, error) {
			was.Status, was.End, was.Name = r.Status, r.End, r.Name
			was.Tags = withTag(was.Tags, Tag{RunName, r.Name})
			return nil, mustRun(was.ID, was.Stage)
		})
	}
	if err != nil {
		return Run{}, dropped, err
	}
	if len(b.Params)+len(b.Tags) > 0 {
		if err := s.write(ctx, r.ID, b, batched); err != nil {
			return Run{}, dropped, err
		}
	}
	return r, dropped, s.importLinks(ctx, r.ID, datasets, inputs, outputs)
}

// importLinks notes what a run used and made.
func (s *Service) importLinks(ctx context.Context, run string, datasets []DatasetInput, inputs []string, outputs []ModelOutput) error {
	for lot := range slices.Chunk(datasets, maxInputs) {
		if err := s.LogInputs(ctx, run, lot, nil); err != nil {
			return err
		}
	}
	for lot := range slices.Chunk(inputs, maxInputs) {
		if err := s.LogInputs(ctx, run, nil, lot); err != nil {
			return err
		}
	}
	for lot := range slices.Chunk(outputs, maxInputs) {
		if err := s.LogOutputs(ctx, run, lot); err != nil {
			return err
		}
	}
	return nil
}

// imported are the tags and parameters of a run that can be kept, and how many cannot. The
// history of logged models is longer than a tag may be.
func imported(r Run) (b Batch, dropped int) {
	for _, t := range r.Tags {
		value := t.Value
		t, err := checkTag(t, "")
		if t.Key == ModelsTag && len(value) <= maxModelsTag {
			t.Value = value
		}
		if err != nil || t.Key == RunName {
			if err != nil {
				dropped++
			}
			continue
		}
		b.Tags = append(b.Tags, t)
	}
	seen := map[string]bool{}
	for _, p := range r.Params {
		p, err := checkParam(p, "")
		if err != nil || seen[p.Key] {
			dropped++
			continue
		}
		seen[p.Key] = true
		b.Params = append(b.Params, p)
	}
	return b, dropped
}

// ImportModel makes a logged model as it was elsewhere, with its id, or brings the one that is
// there up to date.
func (s *Service) ImportModel(ctx context.Context, p slipway.Principal, m Model) (Model, error) {
	if !modelID.MatchString(m.ID) {
		return Model{}, invalid("Invalid value %s for parameter 'model_id' supplied.", quote(m.ID))
	}
	if !slices.Contains([]string{Pending, Ready, UploadFailed}, m.Status) {
		return Model{}, invalid("Invalid value %s for parameter 'status' supplied.", quote(m.Status))
	}
	e, err := s.Experiment(ctx, nil, m.ExperimentID)
	if err == nil {
		err = mustBeActive(e.ID, e.Stage)
	}
	if err != nil {
		return Model{}, err
	}
	m.Name, m.Type, m.StatusMessage, m.Creator = cut(m.Name, maxModelText), cut(m.Type, maxModelText), cut(m.StatusMessage, maxModelText), cut(m.Creator, maxUser)
	params, tags := m.Params, m.Tags
	if m.Params, err = withParams(nil, params); err != nil {
		return Model{}, err
	}
	if m.Tags, err = withModelTags(nil, tags); err != nil {
		return Model{}, err
	}
	m.Team, m.Stage, m.Metrics = e.Team, Active, nil
	m.ArtifactURI = below(e.ArtifactLocation, "models", m.ID, "artifacts")
	now, err := s.stores.Models.Model(ctx, nil, m.ID)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return m, s.stores.Models.AddModel(ctx, m, func(stage string) error { return mustBeActive(e.ID, stage) })
	}
	if err == nil && now.ExperimentID != e.ID {
		err = taken("logged model", m.ID)
	}
	if err != nil {
		return Model{}, err
	}
	m.ArtifactURI = now.ArtifactURI
	return m, s.changeModel(ctx, m.ID, func(was *Model) (_ []slipway.Event, err error) {
		was.Status, was.StatusMessage, was.Updated = m.Status, m.StatusMessage, m.Updated
		if was.Tags, err = withModelTags(was.Tags, tags); err == nil {
			was.Params, err = withParams(was.Params, params)
		}
		if err != nil {
			return nil, err
		}
		return []slipway.Event{s.event(p, "logged_model.imported", m.ID, map[string]string{"experiment": m.ExperimentID, "status": m.Status})}, nil
	})
}

// taken is the error of something of that id that is here, and another.
func taken(what, id string) error {
	return slipway.Errorf(slipway.Conflict, slipway.CodeImportTaken, "look at it; delete it here if it shall come from there", "a %s %s is here already, and came from elsewhere", what, short(id))
}
