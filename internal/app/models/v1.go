// Package models is what may be done with models, and by whom: for the v1 API and for
// MLflow's clients, of one registry.
package models

import (
	"context"
	"errors"
	"strconv"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/modeluri"
	"github.com/slipway-ml/slipway/internal/registry"
)

// Register makes a version of uploaded files.
func (s *Service) Register(ctx context.Context, p slipway.Principal, model string, r api.RegisterVersion) (api.Version, error) {
	files := make([]registry.File, len(r.Files))
	for i, f := range r.Files {
		files[i] = registry.File{Path: f.Path, Digest: slipway.Digest(f.Digest), Size: f.Size, Executable: f.Executable}
	}
	team, err := s.Owner(ctx, p, model, r.Team)
	if err != nil {
		return api.Version{}, err
	}
	defer s.forget()
	v, added, err := s.Registry.Register(ctx, p, model, team, files, r.Source)
	if err != nil {
		return api.Version{}, err
	}
	s.Adopt(ctx, team, digests(v.Files)...)
	out := versionView(v)
	out.New = added
	return out, nil
}

// RunDraft is the version that FromRun would make of a model that a run logged, without its
// number. Nothing is kept.
func (s *Service) RunDraft(ctx context.Context, p slipway.Principal, model, run, path string) (registry.Version, error) {
	c := mlflowapi.Caller{Principal: p}
	u := modeluri.URI{Run: run, Path: path}
	place, err := s.Sources.Run(ctx, c, run)
	if missing(err) {
		return registry.Version{}, slipway.Errorf(slipway.NotFound, slipway.CodeNoSource, "platform runs list", "there is no run %s that you may see", slipway.OneLine(run, 64))
	}
	if err != nil {
		return registry.Version{}, err
	}
	files, logged, err := s.inRun(ctx, c, place, u)
	if err != nil {
		return registry.Version{}, err
	}
	if len(files) == 0 {
		return registry.Version{}, slipway.Errorf(slipway.NotFound, slipway.CodeNoSource, "platform runs show "+run,
			"the run has logged nothing as %s", slipway.OneLine(path, 200))
	}
	v, err := s.Registry.Draft(ctx, model, files)
	v.Source, v.RunID, v.LoggedModel = u.String(), run, logged
	return v, err
}

// FromRun makes a version of a draft of RunDraft, of a model that becomes the team's if it is
// new. The same files give the same version again.
func (s *Service) FromRun(ctx context.Context, p slipway.Principal, team string, draft registry.Version) (registry.Version, error) {
	team, err := s.Owner(ctx, p, draft.Model, team)
	if err != nil {
		return registry.Version{}, err
	}
	draft.Team = team
	defer s.forget()
	v, added, err := s.Registry.RegisterDraft(ctx, p, draft)
	if err != nil {
		return registry.Version{}, err
	}
	s.Adopt(ctx, v.Team, digests(v.Files)...)
	if added {
		s.note(ctx, mlflowapi.Caller{Principal: p}, v)
	}
	return v, nil
}

// Owner is the team whose model it is, or will be with its first version, if the principal
// may register versions of it.
func (s *Service) Owner(ctx context.Context, p slipway.Principal, model, team string) (string, error) {
	known, err := s.Registry.Model(ctx, model)
	if err == nil && known.Team == "" {
		known.Team, err = s.serves(ctx, model)
	}
	if err != nil && !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return "", err
	}
	if known.Team != "" {
		team = known.Team
	} else if team != "" {
		if _, err := slipway.ParseName(team); err != nil {
			return "", err
		}
	}
	return team, s.Access.Check(ctx, p, authz.ModelRegister, resource(model, team))
}

// serves finds the team on whose endpoint a model answers that is older than teams: another
// one does not make it its own by registering a version.
func (s *Service) serves(ctx context.Context, model string) (team string, err error) {
	all, err := s.Fleet.Endpoints(ctx)
	for i := range all {
		if r := all[i].Serving(); r != nil && r.Model == model {
			return all[i].Owner, err
		}
	}
	return "", err
}

// Version finds a version by number, @alias or latest.
func (s *Service) Version(ctx context.Context, p slipway.Principal, model, ref string) (api.Version, error) {
	if err := s.Access.CheckNamed(ctx, p, authz.ModelRead, model); err != nil {
		return api.Version{}, err
	}
	r, err := registry.ParseRef(ref)
	if err != nil {
		return api.Version{}, err
	}
	v, err := s.Registry.Version(ctx, model, r)
	if err != nil {
		return api.Version{}, err
	}
	return versionView(v), nil
}

// Models lists models that the principal may see, by name; the cursor is the last name.
func (s *Service) Models(ctx context.Context, p slipway.Principal, cursor string, limit int) (api.Page[api.Model], error) {
	page := api.Page[api.Model]{Items: []api.Model{}}
	for {
		found, err := s.Registry.Models(ctx, cursor, limit+1)
		if err != nil {
			return page, err
		}
		for _, v := range found {
			if !s.Access.Allows(p, authz.ModelRead, resource(v.Name, v.Team)) {
				continue
			}
			if len(page.Items) == limit {
				page.Next = page.Items[limit-1].Name
				return page, nil
			}
			page.Items = append(page.Items, api.Model{Name: v.Name, Latest: v.Latest, Team: v.Team})
		}
		if len(found) <= limit {
			return page, nil
		}
		cursor = found[limit].Name
	}
}

// Versions lists versions, newest first; the cursor is the last number.
func (s *Service) Versions(ctx context.Context, p slipway.Principal, model, cursor string, limit int) (api.Page[api.Version], error) {
	if err := s.Access.CheckNamed(ctx, p, authz.ModelRead, model); err != nil {
		return api.Page[api.Version]{}, err
	}
	before := 0
	if cursor != "" {
		n, err := strconv.Atoi(cursor)
		if err != nil || n < 1 {
			return api.Page[api.Version]{}, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give the cursor of the last page", "this is no cursor")
		}
		before = n
	}
	found, err := s.Registry.Versions(ctx, model, before, limit+1)
	page := api.Page[api.Version]{Items: []api.Version{}}
	for _, v := range found[:min(limit, len(found))] {
		page.Items = append(page.Items, versionView(v))
	}
	if len(found) > limit {
		page.Next = strconv.Itoa(page.Items[limit-1].Number)
	}
	return page, err
}

// SetAlias moves an alias.
func (s *Service) SetAlias(ctx context.Context, p slipway.Principal, model, alias string, r api.SetAlias) error {
	if err := s.Access.CheckNamed(ctx, p, authz.ModelAlias, model); err != nil {
		return err
	}
	return s.Registry.SetAlias(ctx, p, model, alias, r.Version, r.Reason)
}

// maxHistory bounds how many moves of aliases are listed.
const maxHistory = 1000

// AliasHistory lists the newest moves first.
func (s *Service) AliasHistory(ctx context.Context, p slipway.Principal, model string) ([]api.AliasChange, error) {
	if err := s.Access.CheckNamed(ctx, p, authz.ModelRead, model); err != nil {
		return nil, err
	}
	moves, err := s.Registry.AliasHistory(ctx, model, maxHistory)
	out := []api.AliasChange{}
	for _, c := range moves {
		out = append(out, api.AliasChange{Alias: c.Alias, From: c.From, To: c.To, By: c.By, Reason: c.Reason, Time: c.Time})
	}
	return out, err
}

func versionView(v registry.Version) api.Version {
	out := api.Version{Model: v.Model, Number: v.Number, Digest: string(v.Digest), Source: v.Source, Created: v.Created, By: v.By}
	for _, f := range v.Files {
		out.Files = append(out.Files, api.File{Path: f.Path, Digest: string(f.Digest), Size: f.Size, Executable: f.Executable})
	}
	return out
}
