package registry

import (
	"context"
	"slices"
	"strconv"

	"github.com/slipway-ml/slipway"
)

// AddVersion adds a version to a model that is there. v says the model, Source, Files if
// they are here, and what else is said of it; the same files may be added again.
func (s *Service) AddVersion(ctx context.Context, p slipway.Principal, v Version) (Version, error) {
	if err := checkVersion(v); err != nil {
		return Version{}, err
	}
	if len(v.Files) > 0 {
		files, err := normalize(v.Files)
		if err != nil {
			return Version{}, err
		}
		if err := s.checkUploaded(ctx, files); err != nil {
			return Version{}, err
		}
		v.Files, v.Digest = files, DigestOf(files)
	}
	now := s.now()
	v.Created, v.Updated, v.By, v.Stage = now, now, p.ID, StageNone
	detail := map[string]string{}
	for k, val := range map[string]string{"digest": string(v.Digest), "run": v.RunID, "logged_model": v.LoggedModel} {
		if val != "" {
			detail[k] = val
		}
	}
	var out Version
	err := s.Guard.Add(ctx, p, v, func(ctx context.Context) (err error) {
		out, err = s.store.AppendVersion(ctx, v, event(p, now, "version.registered", v.Model, withKeys(detail, v.Tags)))
		return err
	})
	if err != nil {
		return Version{}, err
	}
	return s.Detail(ctx, v.Model, out.Number)
}

func checkVersion(v Version) error {
	if err := CheckName("name", v.Model); err != nil {
		return err
	}
	if err := checkTags(v.Tags); err != nil {
		return err
	}
	for _, f := range []struct {
		name, value string
		limit       int
	}{
		{"description", v.Description, maxDescription}, {"source", v.Source, maxSource}, {"source", v.Place, maxSource}, {"run_link", v.RunLink, maxSource},
		{"run_id", v.RunID, maxID}, {"model_id", v.LoggedModel, maxID},
	} {
		if err := atMost(f.name, f.limit, f.value); err != nil {
			return err
		}
	}
	return nil
}

// DescribeVersion changes the description of a version.
func (s *Service) DescribeVersion(ctx context.Context, p slipway.Principal, model string, number int, text string) (Version, error) {
	if err := atMost("description", maxDescription, text); err != nil {
		return Version{}, err
	}
	return s.changeVersion(ctx, p, model, number, Change{Description: &text, Touch: true}, "version.described", nil)
}

// Stage brings a version to a stage. With archive, what was in that stage goes to Archived.
func (s *Service) Stage(ctx context.Context, p slipway.Principal, model string, number int, stage string, archive bool) (Version, error) {
	to, err := ParseStage(stage)
	if err != nil {
		return Version{}, err
	}
	if active := []string{StageStaging, StageProduction}; archive && !slices.Contains(active, to) {
		return Version{}, invalidText(slipway.CodeInvalid, "archive what is in Staging or Production only",
			"Model version transition cannot archive existing model versions because '%s' is not an Active stage. Valid stages are ['Staging', 'Production']", shown(stage))
	}
	detail := map[string]string{"to": to}
	if archive {
		detail["archive"] = "true"
	}
	var out Version
	err = s.Guard.Stage(ctx, p, model, to, number, func(ctx context.Context) (err error) {
		out, err = s.changeVersion(ctx, p, model, number, Change{Stage: to, Archive: archive, Touch: true}, "version.staged", detail)
		return err
	})
	return out, err
}

// TagVersion sets a tag of a version, or removes it if there is no value.
func (s *Service) TagVersion(ctx context.Context, p slipway.Principal, model string, number int, key string, value *string) error {
	if err := CheckName("name", model); err != nil {
		return err
	}
	if err := checkChanged(key, value); err != nil {
		return err
	}
	now := s.now()
	return s.store.ChangeVersion(ctx, model, number, Change{Tags: map[string]*string{key: value}, Time: now},
		event(p, now, "version."+tagged(value), model, map[string]string{"number": strconv.Itoa(number), "key": key}))
}

func (s *Service) changeVersion(ctx context.Context, p slipway.Principal, model string, number int, c Change, action string, detail map[string]string) (Version, error) {
	if err := CheckName("name", model); err != nil {
		return Version{}, err
	}
	if detail == nil {
		detail = map[string]string{}
	}
	c.Time = s.now()
	detail["number"] = strconv.Itoa(number)
	if err := s.store.ChangeVersion(ctx, model, number, c, event(p, c.Time, action, model, detail)); err != nil {
		return Version{}, err
	}
	return s.Detail(ctx, model, number)
}

// DeleteVersion hides a version for good. Its number is not given again.
func (s *Service) DeleteVersion(ctx context.Context, p slipway.Principal, model string, number int) error {
	if err := CheckName("name", model); err != nil {
		return err
	}
	v, err := s.Detail(ctx, model, number)
	if err != nil {
		return err
	}
	now := s.now()
	detail := map[string]string{"number": strconv.Itoa(number)}
	if v.Digest != "" {
		detail["digest"] = string(v.Digest)
	}
	return s.Guard.Remove(ctx, p, model, number, func(ctx context.Context) error {
		return s.store.DeleteVersion(ctx, model, number, AliasChange{By: p.ID, Reason: "the version was deleted", Time: now},
			event(p, now, "version.deleted", model, detail))
	})
}

// NewestOf gives the newest version of each stage that is asked for, all without any.
func (s *Service) NewestOf(ctx context.Context, model string, stages []string) ([]Version, error) {
	if err := CheckName("name", model); err != nil {
		return nil, err
	}
	want := make([]string, len(stages))
	for i, stage := range stages {
		var err error
		if want[i], err = ParseStage(stage); err != nil {
			return nil, err
		}
	}
	e, err := s.Entry(ctx, model)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(e.Newest, func(v Version) bool { return len(want) > 0 && !slices.Contains(want, v.Stage) }), nil
}
