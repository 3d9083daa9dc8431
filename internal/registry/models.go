package registry

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
)

// AddModel makes a model without versions. m says its name, team and description.
func (s *Service) AddModel(ctx context.Context, p slipway.Principal, m Model, tags map[string]string) (Entry, error) {
	if err := CheckName("name", m.Name); err != nil {
		return Entry{}, err
	}
	if err := checkTags(tags); err != nil {
		return Entry{}, err
	}
	if err := atMost("description", maxDescription, m.Description); err != nil {
		return Entry{}, err
	}
	now := s.now()
	m.Latest, m.Created, m.Updated, m.By = 0, now, now, p.ID
	if err := s.store.AddModel(ctx, m, tags, event(p, now, "model.created", m.Name, withKeys(map[string]string{"team": m.Team}, tags))); err != nil {
		return Entry{}, err
	}
	return s.Entry(ctx, m.Name)
}

// withKeys adds the keys of tags to the detail of an event: their values are the users'.
func withKeys(detail, tags map[string]string) map[string]string {
	if len(tags) > 0 {
		detail["tags"] = slipway.OneLine(strings.Join(slices.Sorted(maps.Keys(tags)), ", "), 1000)
	}
	return detail
}

// DescribeModel changes the description of a model.
func (s *Service) DescribeModel(ctx context.Context, p slipway.Principal, name, text string) (Entry, error) {
	if err := CheckName("name", name); err != nil {
		return Entry{}, err
	}
	if err := atMost("description", maxDescription, text); err != nil {
		return Entry{}, err
	}
	now := s.now()
	if err := s.store.ChangeModel(ctx, name, Change{Description: &text, Touch: true, Time: now}, event(p, now, "model.described", name, nil)); err != nil {
		return Entry{}, err
	}
	return s.Entry(ctx, name)
}

// RenameModel gives a model another name.
func (s *Service) RenameModel(ctx context.Context, p slipway.Principal, name, to string) (Entry, error) {
	if err := CheckName("name", name); err != nil {
		return Entry{}, err
	}
	if err := CheckName("new_name", to); err != nil {
		return Entry{}, err
	}
	now := s.now()
	rename := func(ctx context.Context) error {
		return s.store.RenameModel(ctx, name, to, now, event(p, now, "model.renamed", to, map[string]string{"from": name}))
	}
	if err := s.Guard.Rename(ctx, p, name, to, rename); err != nil {
		return Entry{}, err
	}
	return s.Entry(ctx, to)
}

// DeleteModel removes a model and all its versions.
func (s *Service) DeleteModel(ctx context.Context, p slipway.Principal, name string) error {
	if err := CheckName("name", name); err != nil {
		return err
	}
	m, err := s.Model(ctx, name)
	if err != nil {
		return err
	}
	now := s.now()
	return s.Guard.Remove(ctx, p, name, 0, func(ctx context.Context) error {
		return s.store.DeleteModel(ctx, name, AliasChange{By: p.ID, Reason: "the model was deleted", Time: now},
			event(p, now, "model.deleted", name, map[string]string{"team": m.Team, "newest": strconv.Itoa(m.Latest)}))
	})
}

// TagModel sets a tag of a model, or removes it if there is no value.
func (s *Service) TagModel(ctx context.Context, p slipway.Principal, name, key string, value *string) error {
	if err := CheckName("name", name); err != nil {
		return err
	}
	if err := checkChanged(key, value); err != nil {
		return err
	}
	now := s.now()
	return s.store.ChangeModel(ctx, name, Change{Tags: map[string]*string{key: value}, Time: now},
		event(p, now, "model."+tagged(value), name, map[string]string{"key": key}))
}

func checkChanged(key string, value *string) error {
	if value == nil {
		return checkTagKey(key)
	}
	return checkTag(key, *value)
}

func tagged(value *string) string {
	if value == nil {
		return "tag_deleted"
	}
	return "tag_set"
}
