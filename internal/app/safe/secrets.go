package safe

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
)

// Backend gives values of secrets that lie elsewhere. It answers CodeSecret for one that is
// not there, and never puts a value into an error.
type Backend interface {
	Read(ctx context.Context, place string) (string, error)
}

const (
	maxSecret  = 64 << 10 // bytes of a value
	maxSecrets = 200      // of a team
)

// Secrets implements httpapi.Secrets.
func (s *Safe) Secrets(ctx context.Context, p slipway.Principal, team string) ([]api.Secret, error) {
	all, err := s.store.Secrets(ctx, team)
	if err != nil {
		return nil, err
	}
	endpoints, err := s.Records.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	started := s.starts(ctx)
	out := []api.Secret{}
	for i := range all {
		if s.Access.Allows(p, authz.SecretList, authz.SecretsOf(all[i].Team)) {
			out = append(out, view(&all[i], endpoints, started))
		}
	}
	return out, nil
}

// starts says when the oldest running replica of each revision was started. Without a gateway
// nothing is known, and nothing is claimed.
func (s *Safe) starts(ctx context.Context) map[string]time.Time {
	out := map[string]time.Time{}
	obs, err := s.Gateway(ctx)
	if err != nil {
		return out
	}
	for _, rev := range obs.Revisions {
		for _, r := range rev.Replicas {
			if at, known := out[rev.ID]; !r.Started.IsZero() && (!known || r.Started.Before(at)) {
				out[rev.ID] = r.Started
			}
		}
	}
	return out
}

// view says of a secret which endpoints name it, and which of them run with an older value.
func view(k *keys.Secret, endpoints []rollout.Endpoint, started map[string]time.Time) api.Secret {
	out := api.Secret{Team: k.Team, Name: k.Name, From: k.From, Version: k.Number, Changed: k.Changed, By: k.By}
	for i := range endpoints {
		e := &endpoints[i]
		named, older := false, false
		for _, r := range []*route.Revision{e.Stable, e.Candidate} {
			if r == nil || r.Runtime.Team != k.Team || !slices.Contains(slices.Collect(maps.Values(r.Runtime.Secrets)), k.Name) {
				continue
			}
			at, runs := started[r.ID]
			named, older = true, older || runs && at.Before(k.Changed)
		}
		if named {
			out.Endpoints = append(out.Endpoints, e.Key)
		}
		if older {
			out.Restart = append(out.Restart, e.Key)
		}
	}
	return out
}

// SetSecret implements httpapi.Secrets.
func (s *Safe) SetSecret(ctx context.Context, p slipway.Principal, team, name string, r api.SetSecret) (api.Secret, error) {
	k := keys.Secret{Team: team, Name: name, From: r.From, Number: 1, Changed: time.Now(), By: p.ID}
	if err := s.checkSecret(team, name, r); err != nil {
		return api.Secret{}, err
	}
	if err := s.Access.Check(ctx, p, authz.SecretSet, authz.SecretsOf(team)); err != nil {
		return api.Secret{}, err
	}
	for range 5 {
		all, err := s.store.Secrets(ctx, team)
		if err != nil {
			return api.Secret{}, err
		}
		var was *keys.Secret
		if i := slices.IndexFunc(all, func(k keys.Secret) bool { return k.Name == name }); i >= 0 {
			was, k.Number = &all[i], all[i].Number+1
		} else if len(all) >= maxSecrets {
			return api.Secret{}, slipway.Errorf(slipway.Exhausted, slipway.CodeTooLarge, "platform secrets delete NAME", "a team has at most %d secrets", maxSecrets)
		}
		if r.From == "" {
			if k.Sealed, err = s.Ring.Seal(ctx, keys.Team(team), keys.SecretLabel(&k), []byte(r.Value)); err != nil {
				return api.Secret{}, err
			}
		}
		err = s.store.SaveSecret(ctx, k, was, s.secretEvent(p, "secret.set", &k))
		if errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) {
			continue
		}
		if err != nil {
			return api.Secret{}, err
		}
		s.Changed()
		endpoints, err := s.Records.Endpoints(ctx)
		return view(&k, endpoints, s.starts(ctx)), err
	}
	return api.Secret{}, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "try again", "others set %s at the same time", name)
}

func (s *Safe) checkSecret(team, name string, r api.SetSecret) error {
	for _, n := range []string{team, name} {
		if _, err := slipway.ParseName(n); err != nil {
			return err
		}
	}
	switch {
	case (r.Value == "") == (r.From == ""):
		return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give a value, or where it lies", "a secret has a value or a place")
	case len(r.Value) > maxSecret || strings.ContainsRune(r.Value, 0):
		return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "keep files elsewhere", "a value has at most %d KiB, and no NUL: it becomes an environment variable", maxSecret>>10)
	case r.From != "":
		_, _, err := s.place(team, r.From)
		return err
	}
	return nil
}

// place finds the backend of a reference. A team's references lie below its name, so that the
// platform's own rights in the backend give no team the secrets of another.
func (s *Safe) place(team, from string) (Backend, string, error) {
	scheme, place, _ := strings.Cut(from, ":")
	b, ok := s.Backends[scheme]
	if !ok {
		var known []string
		for name := range s.Backends {
			known = append(known, name+":")
		}
		slices.Sort(known)
		if len(known) == 0 {
			return nil, "", slipway.Errorf(slipway.Invalid, slipway.CodeSecret, "set the value itself, or start the server with --secrets-from", "this server knows no place for secrets but its own")
		}
		return nil, "", slipway.Errorf(slipway.Invalid, slipway.CodeSecret, "begin it with "+strings.Join(known, " or "), "this server knows no such place for secrets")
	}
	if rest, ok := strings.CutPrefix(place, team+"/"); !ok || rest == "" || strings.Contains(place, "..") || strings.Contains(place, "//") {
		return nil, "", slipway.Errorf(slipway.Denied, slipway.CodeSecret, "write "+scheme+":"+team+"/…", "the secrets of the team %s lie below its name", team)
	}
	return b, place, nil
}

func (s *Safe) secretEvent(p slipway.Principal, action string, k *keys.Secret) slipway.Event {
	now := time.Now()
	return slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: p.ID, Action: action, Subject: k.Team + "/" + k.Name, Detail: map[string]string{"from": k.From}}
}

// DeleteSecret implements httpapi.Secrets. A model that names it fails at its next start.
func (s *Safe) DeleteSecret(ctx context.Context, p slipway.Principal, team, name string) error {
	k := keys.Secret{Team: team, Name: name}
	if err := s.Access.Check(ctx, p, authz.SecretDelete, authz.SecretsOf(team)); err != nil {
		return err
	}
	endpoints, err := s.Records.Endpoints(ctx)
	if err != nil {
		return err
	}
	if used := view(&k, endpoints, nil).Endpoints; len(used) > 0 {
		return slipway.Errorf(slipway.Conflict, slipway.CodeKeyInUse, "deploy there without it first", "%s needs the secret %.63s", strings.Join(used, ", "), name)
	}
	return s.store.DeleteSecret(ctx, team, name, s.secretEvent(p, "secret.deleted", &k))
}

// value opens a secret, wherever it lies.
func (s *Safe) value(ctx context.Context, k *keys.Secret) (string, error) {
	if k.From == "" {
		value, err := s.Ring.Open(ctx, keys.Team(k.Team), keys.SecretLabel(k), k.Sealed)
		return string(value), err
	}
	b, place, err := s.place(k.Team, k.From)
	if err != nil {
		return "", err
	}
	return b.Read(ctx, place)
}

// Environment gives what the processes of a revision get: "KEY=value", sorted.
func (s *Safe) Environment(ctx context.Context, rev *route.Revision) ([]string, error) {
	return s.environment(ctx, rev.Runtime.Team, rev.Runtime.Secrets)
}

func (s *Safe) environment(ctx context.Context, team string, variables map[string]string) ([]string, error) {
	all, err := s.store.Secrets(ctx, team)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, variable := range slices.Sorted(maps.Keys(variables)) {
		name := variables[variable]
		i := slices.IndexFunc(all, func(k keys.Secret) bool { return k.Name == name })
		if i < 0 || team == "" {
			return nil, slipway.Errorf(slipway.NotFound, slipway.CodeSecret, "platform secrets set "+name+" --team "+team, "the team %s has no secret %s, which secrets.%s names", team, name, variable)
		}
		value, err := s.value(ctx, &all[i])
		if err != nil {
			return nil, err
		}
		if len(value) > maxSecret || strings.ContainsRune(value, 0) {
			return nil, slipway.Errorf(slipway.Invalid, slipway.CodeSecret, "correct it where it lies", "the value of %s is no environment variable", name)
		}
		out = append(out, variable+"="+value)
	}
	return out, nil
}

// HasSecrets answers CodeSecret unless every secret can be given to a model of the team.
func (s *Safe) HasSecrets(ctx context.Context, team string, variables map[string]string) error {
	if len(variables) == 0 {
		return nil
	}
	_, err := s.environment(ctx, team, variables)
	return err
}

// SetSince says whether one of the secrets was set after a time.
func (s *Safe) SetSince(ctx context.Context, team string, variables map[string]string, since time.Time) (bool, error) {
	if len(variables) == 0 {
		return false, nil
	}
	all, err := s.store.Secrets(ctx, team)
	for _, k := range all {
		if k.Changed.After(since) && slices.Contains(slices.Collect(maps.Values(variables)), k.Name) {
			return true, err
		}
	}
	return false, err
}
