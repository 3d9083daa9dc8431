package mlflowimport

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
)

// registered copies registered models, and prompts, which MLflow keeps as such and shows to
// nobody who does not ask for them.
func (i *Import) registered(ctx context.Context) error {
	for _, filter := range []string{"", prompts} {
		for token, more := "", true; more; more = token != "" {
			var page []registeredModel
			var err error
			page, token, err = i.s.models(ctx, filter, token)
			if err != nil && filter != "" && !ends(err) {
				break // a server that knows no prompts
			}
			if err != nil {
				return err
			}
			for _, m := range page {
				if len(i.o.Models) > 0 && !slices.Contains(i.o.Models, m.Name) {
					continue
				}
				if err := i.left("model", m.Name, i.model(ctx, m)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// model copies a registered model with its versions and aliases.
func (i *Import) model(ctx context.Context, m registeredModel) error {
	before, err := i.known(ctx, api.ImportModels, []string{m.Name})
	if err != nil {
		return err
	}
	now := mark(m)
	changed := before[m.Name].Mark != now || i.o.Full
	if changed {
		here, err := i.p.ImportModel(ctx, api.ImportModel{ImportOrigin: i.origin(m.Name), Team: i.o.Team, Name: m.Name, Description: m.Description,
			Created: int64(m.Created), Updated: int64(m.Updated), Tags: pairs(m.Tags)})
		if err != nil {
			i.did(m.Name, func(r *api.ImportReport) { r.Models.Failed++ })
			return err
		}
		before[m.Name] = here
	}
	i.noted("model", m.Name, before[m.Name])
	whole, err := i.versions(ctx, m)
	if err != nil {
		return err
	}
	if changed {
		if err := i.aliases(ctx, m); err != nil {
			return err
		}
		if whole {
			err = i.done(ctx, api.ImportModels, m.Name, now)
		}
	}
	i.did(m.Name, func(r *api.ImportReport) { count(&r.Models, changed, whole && err == nil) })
	return err
}

// versions copies the versions of a model, in the order of their numbers, and says whether all
// have come.
func (i *Import) versions(ctx context.Context, m registeredModel) (whole bool, err error) {
	model := m.Name
	whole = true
	for token, more := "", true; more; more = token != "" {
		var page []version
		if page, token, err = i.s.versions(ctx, model, m.prompt(), token); err != nil {
			return false, err
		}
		ids := make([]string, len(page))
		for n := range page {
			ids[n] = model + "/" + string(page[n].Number)
		}
		before, err := i.known(ctx, api.ImportVersions, ids)
		if err != nil {
			return false, err
		}
		for n, v := range page {
			now := mark(v)
			if before[ids[n]].Mark == now && !i.o.Full {
				i.noted("version", ids[n], before[ids[n]])
				i.did(model, func(r *api.ImportReport) { r.Versions.Unchanged++ })
				continue
			}
			err := i.version(ctx, v, ids[n])
			if err == nil {
				err = i.done(ctx, api.ImportVersions, ids[n], now)
			}
			whole = whole && err == nil
			if err := i.left("version", ids[n], err); err != nil {
				return false, err
			}
			i.did(model, func(r *api.ImportReport) { count(&r.Versions, true, err == nil) })
		}
	}
	return whole, nil
}

func (i *Import) version(ctx context.Context, v version, id string) error {
	number, err := strconv.Atoi(string(v.Number))
	if err != nil || number < 1 {
		return i.s.strange("a version of %s has the number %q", slipway.OneLine(v.Name, 100), slipway.OneLine(string(v.Number), 40))
	}
	if id, ok := strings.CutPrefix(v.Source, "models:/m-"); ok && v.Model == "" { // lists leave it out
		v.Model = "m-" + id
	}
	origin, err := i.moved(ctx, v)
	if err != nil {
		return err
	}
	here, err := i.p.ImportVersion(ctx, api.ImportVersion{ImportOrigin: i.origin(id), Model: v.Name, Number: number, Origin: origin, Run: v.Run, RunLink: v.RunLink,
		LoggedModel: v.Model, Description: v.Description, Stage: v.Stage, User: v.User, Created: int64(v.Created), Updated: int64(v.Updated), Tags: pairs(v.Tags)})
	if err == nil {
		i.noted("version", id, here)
	}
	return err
}

// moved says where the files of a version lie, in terms of the platform: what lay in the
// artifacts of a run or of a logged model lies in those of the same one here.
func (i *Import) moved(ctx context.Context, v version) (string, error) {
	if !strings.Contains(v.Source, ":") || strings.HasPrefix(v.Source, "runs:/") || strings.HasPrefix(v.Source, "models:/") {
		return v.Source, nil
	}
	var places [2]struct {
		kind, id string
		from     func() (string, error)
	}
	places[0].kind, places[0].id, places[0].from = api.ImportRuns, v.Run, func() (string, error) {
		var got struct {
			Run run `json:"run"`
		}
		err := i.s.get(ctx, root+"/runs/get", query("run_id", v.Run, "run_uuid", v.Run), &got)
		return got.Run.Info.Artifacts, err
	}
	places[1].kind, places[1].id, places[1].from = api.ImportLoggedModels, v.Model, func() (string, error) {
		var got struct {
			Model loggedModel `json:"model"`
		}
		err := i.s.get(ctx, root+"/logged-models/"+url.PathEscape(v.Model), nil, &got)
		return got.Model.Info.Artifacts, err
	}
	for _, p := range places {
		if p.id == "" {
			continue
		}
		known, err := i.known(ctx, p.kind, []string{p.id})
		if err != nil {
			return "", err
		}
		here, ok := known[p.id]
		if !ok {
			continue
		}
		from, err := p.from()
		if notThere(err) {
			continue
		}
		if err != nil {
			return "", err
		}
		if rest, ok := strings.CutPrefix(v.Source, strings.TrimRight(from, "/")); ok && from != "" && (rest == "" || rest[0] == '/') && here.Place != "" {
			return here.Place + rest, nil
		}
	}
	return v.Source, nil
}

// aliases points the aliases of a model at the versions that they point at.
func (i *Import) aliases(ctx context.Context, m registeredModel) error {
	for _, a := range m.Aliases {
		id := m.Name + "/" + string(a.Version)
		known, err := i.known(ctx, api.ImportVersions, []string{id})
		if err != nil {
			return err
		}
		here := known[id]
		n, err := strconv.Atoi(here.ID[strings.LastIndex(here.ID, "/")+1:])
		if err != nil || here.Mark == "" {
			i.note(api.ImportLeft{What: "alias", ID: m.Name + "@" + a.Alias, Why: "the version that it points at is not here", Failed: true})
			continue
		}
		_, err = i.p.SetAlias(ctx, m.Name, a.Alias, api.SetAlias{Version: n, Reason: "imported from " + i.s.base.Host})
		if err := i.left("alias", m.Name+"@"+a.Alias, err); err != nil {
			return err
		}
		i.did(m.Name, func(r *api.ImportReport) { count(&r.Aliases, true, err == nil) })
	}
	return nil
}

// traces says that an experiment has traces, which are not copied.
func (i *Import) traces(ctx context.Context, e experiment) error {
	var page struct {
		Traces []struct{} `json:"traces"`
	}
	err := i.s.get(ctx, root+"/traces", url.Values{"experiment_ids": {string(e.ID)}, "max_results": {"1"}}, &page)
	if err != nil && ends(err) {
		return err
	}
	if err == nil && len(page.Traces) > 0 {
		i.note(api.ImportLeft{What: "traces of the experiment", ID: e.Name, Why: "the platform keeps no traces"})
	}
	return nil
}

// others says what else there is that is not copied.
func (i *Import) others(ctx context.Context) error {
	var page struct {
		Webhooks []struct {
			ID   string `json:"webhook_id"`
			Name string `json:"name"`
		} `json:"webhooks"`
	}
	err := i.s.get(ctx, root+"/webhooks", nil, &page)
	if err != nil && ends(err) {
		return err
	}
	for _, w := range page.Webhooks {
		i.note(api.ImportLeft{What: "webhook", ID: w.Name, Why: "its secret cannot be read", Next: "make it again with MLflow's client"})
	}
	return nil
}
