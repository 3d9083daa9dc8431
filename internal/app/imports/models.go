package imports

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	mlflow "github.com/slipway-ml/slipway/internal/mlflowapi/models"
	"github.com/slipway-ml/slipway/internal/registry"
	store "github.com/slipway-ml/slipway/internal/sqlstore/imports"
)

// Model brings a registered model. One of that name that is here gets the versions.
func (s *Service) Model(ctx context.Context, p slipway.Principal, in api.ImportModel) (api.Imported, error) {
	c, err := mlflowapi.CallerOf(p, in.Team)
	if err != nil {
		return api.Imported{}, err
	}
	if err := s.Access.Check(ctx, p, authz.ModelRegister, authz.Resource{Kind: authz.KindModel, Name: in.Name, Team: c.Team}); err != nil {
		return api.Imported{}, err
	}
	k := key(in.ImportOrigin, api.ImportModels)
	before, came, err := s.Store.Get(ctx, k)
	if err != nil {
		return api.Imported{}, err
	}
	note := before.Note
	set := map[string]string{}
	for _, t := range in.Tags {
		set[t.Key] = t.Value
	}
	m, err := s.Registry.AddModel(ctx, c, in.Name, in.Description, set)
	switch {
	case err == nil:
		err = s.Store.Date(ctx, in.Name, 0, in.Created, max(in.Created, in.Updated))
	case errors.Is(err, &slipway.Error{Code: slipway.CodeExists}):
		if m, err = s.Registry.Model(ctx, mlflowapi.Caller{Principal: p, Team: c.Team}, in.Name); err == nil && !came {
			note = "there was a model of this name: its versions are added to it"
		}
	}
	if err != nil {
		return api.Imported{}, err
	}
	row := store.Row{Key: k, ID: in.Name, Team: m.Team, Note: note}
	return imported(row), s.Store.Put(ctx, row)
}

// Version brings a version, with its number unless a version here has it.
func (s *Service) Version(ctx context.Context, p slipway.Principal, in api.ImportVersion) (api.Imported, error) {
	c := mlflowapi.Caller{Principal: p}
	m, err := s.Registry.Model(ctx, c, in.Model)
	if err != nil && slipway.AsError(err).Kind != slipway.NotFound {
		return api.Imported{}, err
	}
	if denied := s.Access.Check(ctx, p, authz.ModelRegister, authz.Resource{Kind: authz.KindModel, Name: in.Model, Team: m.Team}); denied != nil || err != nil {
		return api.Imported{}, errors.Join(denied, err)
	}
	c.Team = m.Team
	row, came, err := s.Store.Get(ctx, key(in.ImportOrigin, api.ImportVersions))
	if err != nil {
		return api.Imported{}, err
	}
	var v registry.Version
	there := false
	if came {
		if v, there, err = s.version(ctx, c, row.ID); err != nil {
			return api.Imported{}, err
		}
	}
	switch {
	case there && v.Source == in.Origin: // perhaps of an attempt that was broken off
	case came && !there && row.Mark != "":
		row.Note = "it was deleted here, and does not come again"
		return imported(row), s.Store.Put(ctx, row)
	default:
		row = store.Row{Key: key(in.ImportOrigin, api.ImportVersions), ID: idOf(in.Model, m.Latest+1), Team: m.Team}
		if v, err = s.addVersion(ctx, c, in, row); err != nil {
			return api.Imported{}, err
		}
	}
	if v.Number, err = s.Store.Renumber(ctx, in.Model, v.Number, in.Number); err != nil {
		return api.Imported{}, err
	}
	row.ID = idOf(in.Model, v.Number)
	if in.Stage != "" && in.Stage != v.Stage {
		if v, err = s.Registry.Stage(ctx, c, in.Model, strconv.Itoa(v.Number), in.Stage, false); err != nil {
			return api.Imported{}, err
		}
	}
	if err := s.Store.Date(ctx, in.Model, v.Number, in.Created, max(in.Created, in.Updated)); err != nil {
		return api.Imported{}, err
	}
	row.Mark, row.Note = "", noteOn(in, v)
	return imported(row), s.Store.Put(ctx, row)
}

// noteOn says what of a version is not as it was.
func noteOn(in api.ImportVersion, v registry.Version) string {
	var notes []string
	if v.Number != in.Number {
		notes = append(notes, fmt.Sprintf("it is version %d here, since version %d was another one already", v.Number, in.Number))
	}
	if v.Digest == "" && v.Tags[registry.PromptTag] != "true" {
		notes = append(notes, "its files lie at "+slipway.OneLine(in.Origin, 200)+", not here: it cannot be deployed")
	}
	return strings.Join(notes, "; ")
}

func idOf(model string, number int) string { return model + "/" + strconv.Itoa(number) }

// version finds the version of an id that idOf made.
func (s *Service) version(ctx context.Context, c mlflowapi.Caller, id string) (v registry.Version, there bool, err error) {
	at := strings.LastIndex(id, "/")
	v, err = s.Registry.VersionOf(ctx, c, id[:at], id[at+1:])
	if err != nil && slipway.AsError(err).Kind == slipway.NotFound {
		return v, false, nil
	}
	return v, err == nil, err
}

// addVersion registers a version. The number that it will get is noted first, so that the next
// attempt after a crash finds its own version.
func (s *Service) addVersion(ctx context.Context, c mlflowapi.Caller, in api.ImportVersion, row store.Row) (registry.Version, error) {
	if err := s.Store.Put(ctx, row); err != nil {
		return registry.Version{}, err
	}
	set := map[string]string{}
	for _, t := range in.Tags {
		set[t.Key] = t.Value
	}
	n := mlflow.NewVersion{Model: in.Model, Source: in.Origin, RunLink: in.RunLink, Description: in.Description, Tags: set}
	if in.Run != "" {
		n.Run = &in.Run
	}
	if in.LoggedModel != "" {
		n.Logged = &in.LoggedModel
	}
	return s.Registry.AddVersion(ctx, c, n)
}
