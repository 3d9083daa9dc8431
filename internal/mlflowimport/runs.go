package mlflowimport

import (
	"context"
	"errors"
	"slices"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
)

// experiment copies an experiment with all that is in it.
func (i *Import) experiment(ctx context.Context, e experiment) error {
	before, err := i.known(ctx, api.ImportExperiments, []string{string(e.ID)})
	if err != nil {
		return err
	}
	m := mark(e)
	here, was := before[string(e.ID)]
	if !was || here.Mark != m {
		here, err = i.p.ImportExperiment(ctx, api.ImportExperiment{ImportOrigin: i.origin(string(e.ID)), Team: i.o.Team, Name: e.Name, Created: int64(e.Created), Updated: int64(e.Updated), Tags: pairs(e.Tags)})
		if err != nil {
			i.did(e.Name, func(r *api.ImportReport) { r.Experiments.Failed++ })
			return err
		}
		i.noted("experiment", e.Name, here)
	}
	if err := i.runs(ctx, e, here.ID); err != nil {
		return err
	}
	if err := i.left("logged models of the experiment", e.Name, i.loggedModels(ctx, e, here.ID)); err != nil {
		return err
	}
	if err := i.traces(ctx, e); err != nil {
		return err
	}
	if err := i.done(ctx, api.ImportExperiments, string(e.ID), m); err != nil {
		return err
	}
	i.did(e.Name, func(r *api.ImportReport) { count(&r.Experiments, here.Mark != m, true) })
	return nil
}

func (i *Import) runs(ctx context.Context, e experiment, here string) error {
	for token, more := "", true; more; more = token != "" {
		var page []run
		var err error
		if page, token, err = i.s.runs(ctx, string(e.ID), token); err != nil {
			return err
		}
		ids := make([]string, len(page))
		for n := range page {
			ids[n] = page[n].id()
		}
		before, err := i.known(ctx, api.ImportRuns, ids)
		if err != nil {
			return err
		}
		err = each(ctx, i.o.Parallel, page, func(ctx context.Context, r run) error {
			m := mark(r)
			if before[r.id()].Mark == m && !i.o.Full {
				i.noted("run", r.id(), before[r.id()])
				i.did(e.Name, func(r *api.ImportReport) { r.Runs.Unchanged++ })
				return nil
			}
			whole, err := i.run1(ctx, r, here)
			if err == nil && whole && ended(r.Info.Status) {
				err = i.done(ctx, api.ImportRuns, r.id(), m)
			}
			if err := i.left("run", r.id(), err); err != nil {
				return err
			}
			i.did(e.Name, func(rep *api.ImportReport) { count(&rep.Runs, true, whole && err == nil) })
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ended says whether a run is over: what goes on is looked at again by the next import.
func ended(status string) bool { return status != "RUNNING" && status != "SCHEDULED" }

// run1 copies a run, and says whether it is whole.
func (i *Import) run1(ctx context.Context, r run, experiment string) (whole bool, err error) {
	in := api.ImportRun{ImportOrigin: i.origin(r.id()), Experiment: experiment, Name: r.Info.Name, User: r.Info.User, Status: r.Info.Status, Start: int64(r.Info.Start),
		Params: pairs(r.Data.Params), Tags: pairs(r.Data.Tags)}
	if r.Info.End != 0 {
		end := int64(r.Info.End)
		in.End = &end
	}
	for _, d := range r.Inputs.Datasets {
		in.Datasets = append(in.Datasets, api.ImportDataset{Name: d.Dataset.Name, Digest: d.Dataset.Digest, SourceType: d.Dataset.SourceType, Source: d.Dataset.Source,
			Schema: d.Dataset.Schema, Profile: d.Dataset.Profile, Tags: pairs(d.Tags)})
	}
	for _, m := range r.Inputs.Models {
		in.Inputs = append(in.Inputs, m.ID)
	}
	for _, m := range r.Outputs.Models {
		in.Outputs = append(in.Outputs, api.ImportOutput{ModelID: m.ID, Step: int64(m.Step)})
	}
	here, err := i.p.ImportRun(ctx, in)
	if err != nil {
		return false, err
	}
	i.noted("run", r.id(), here)
	whole = true
	for _, m := range r.Data.Metrics {
		err := i.history(ctx, r.id(), here.ID, m)
		whole = whole && err == nil
		if err := i.left("metric "+slipway.OneLine(m.Key, 100)+" of the run", r.id(), err); err != nil {
			return false, err
		}
	}
	all, err := i.tree(ctx, i.s.runTree(r.id()), "run", r.id(), r.Info.Artifacts, here.Place)
	return whole && all, err
}

// history copies all measurements of a metric, of which the last is known.
func (i *Import) history(ctx context.Context, run, here string, last metric) error {
	for token, more := "", true; more; more = token != "" {
		page, next, err := i.s.history(ctx, run, last.Key, token)
		if err != nil {
			return err
		}
		if next == token && next != "" {
			return i.s.strange("its pages of a metric never end")
		}
		token = next
		if len(page) == 0 && next == "" {
			page = []metric{last} // older servers forget the history, not the last
		}
		for n := range page {
			page[n].Key = last.Key
		}
		if err := i.metrics(ctx, here, page); err != nil {
			return err
		}
	}
	return nil
}

func (i *Import) metrics(ctx context.Context, run string, all []metric) error {
	for chunk := range slices.Chunk(all, 1000) {
		var in api.ImportMetrics
		for _, m := range chunk {
			in.Metrics = append(in.Metrics, api.ImportMetric{Key: m.Key, Value: string(m.Value), Timestamp: int64(m.Timestamp), Step: int64(m.Step),
				ModelID: m.ModelID, DatasetName: m.DatasetName, DatasetDigest: m.DatasetDigest})
		}
		if err := i.p.ImportMetrics(ctx, run, in); err != nil {
			return err
		}
		i.did("", func(r *api.ImportReport) { r.Metrics += int64(len(chunk)) })
	}
	return nil
}

func (i *Import) loggedModels(ctx context.Context, e experiment, here string) error {
	for token, more := "", true; more; more = token != "" {
		var page []loggedModel
		var err error
		page, token, err = i.s.loggedModels(ctx, string(e.ID), token)
		if notThere(err) {
			return nil
		}
		if err != nil {
			return err
		}
		ids := make([]string, len(page))
		for n := range page {
			ids[n] = page[n].Info.ID
		}
		before, err := i.known(ctx, api.ImportLoggedModels, ids)
		if err != nil {
			return err
		}
		err = each(ctx, i.o.Parallel, page, func(ctx context.Context, l loggedModel) error {
			m := mark(l)
			if before[l.Info.ID].Mark == m && !i.o.Full {
				i.did(e.Name, func(r *api.ImportReport) { r.LoggedModels.Unchanged++ })
				return nil
			}
			whole, err := i.loggedModel(ctx, l, here)
			if err == nil && whole && l.Info.Status != "LOGGED_MODEL_PENDING" {
				err = i.done(ctx, api.ImportLoggedModels, l.Info.ID, m)
			}
			if err := i.left("logged model", l.Info.ID, err); err != nil {
				return err
			}
			i.did(e.Name, func(r *api.ImportReport) { count(&r.LoggedModels, true, whole && err == nil) })
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (i *Import) loggedModel(ctx context.Context, l loggedModel, experiment string) (whole bool, err error) {
	here, err := i.p.ImportLoggedModel(ctx, api.ImportLoggedModel{ImportOrigin: i.origin(l.Info.ID), Experiment: experiment, Name: l.Info.Name, Type: l.Info.Type, Run: l.Info.Run,
		Status: l.Info.Status, StatusMessage: l.Info.StatusMessage, Creator: string(l.Info.Creator), Created: int64(l.Info.Created), Updated: int64(l.Info.Updated),
		Params: pairs(l.Data.Params), Tags: pairs(l.Info.Tags)})
	if err != nil {
		return false, err
	}
	whole = true
	byRun := map[string][]metric{}
	for _, m := range l.Data.Metrics {
		m.ModelID = l.Info.ID
		byRun[m.RunID] = append(byRun[m.RunID], m)
	}
	for run, all := range byRun {
		err := i.metrics(ctx, run, all)
		whole = whole && err == nil
		if err := i.left("metrics of the logged model "+l.Info.ID+" in the run", run, err); err != nil {
			return false, err
		}
	}
	all, err := i.tree(ctx, i.s.modelTree(l.Info.ID), "logged model", l.Info.ID, l.Info.Artifacts, here.Place)
	return whole && all, err
}

// notThere says that the server knows no such thing.
func notThere(err error) bool {
	return errors.Is(err, &slipway.Error{Code: slipway.CodeSource}) && slipway.AsError(err).Kind == slipway.NotFound
}
