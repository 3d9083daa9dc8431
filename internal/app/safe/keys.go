package safe

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/keys"
)

// server is the installation as a resource.
var server = authz.Resource{Kind: authz.KindServer}

// Keys implements httpapi.Keys.
func (s *Safe) Keys(ctx context.Context, p slipway.Principal) (api.Keys, error) {
	if err := s.Access.Check(ctx, p, authz.KeysRead, server); err != nil {
		return api.Keys{}, err
	}
	return s.view(ctx)
}

// view lists every key.
func (s *Safe) view(ctx context.Context) (api.Keys, error) {
	out := api.Keys{Service: s.name(), Spaces: []api.KeySpace{}}
	all, err := s.store.Keys(ctx, "")
	if err != nil {
		return out, err
	}
	if err := s.service.Check(ctx); err != nil {
		out.Problem = slipway.AsError(err).Message
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out.InClear = api.InClear(s.inClear)
	for _, k := range all {
		if n := len(out.Spaces); n == 0 || out.Spaces[n-1].Space != string(k.Space) {
			out.Spaces = append(out.Spaces, api.KeySpace{Space: string(k.Space)})
		}
		v := api.KeyVersion{Version: k.Version, State: string(k.State), Created: k.Created, Changed: k.Changed}
		for _, p := range s.progress {
			if p.Space == k.Space && p.Version == k.Version && k.State.Opens() {
				v.Left, v.Blocked = p.Left, p.Blocked
			}
		}
		last := &out.Spaces[len(out.Spaces)-1]
		last.Versions = append(last.Versions, v)
	}
	return out, nil
}

// Rotate implements httpapi.Keys: the key is new at once, the moving goes on behind it.
func (s *Safe) Rotate(ctx context.Context, p slipway.Principal, r api.RotateKeys) (api.KeySpace, error) {
	if err := s.Access.Check(ctx, p, authz.KeysRotate, server); err != nil {
		return api.KeySpace{}, err
	}
	space, err := keys.ParseSpace(r.Space)
	if err != nil {
		return api.KeySpace{}, err
	}
	if err := s.known(ctx, space); err != nil {
		return api.KeySpace{}, err
	}
	if _, err := s.Ring.Rotate(ctx, space, p.ID); err != nil {
		return api.KeySpace{}, err
	}
	if r.DestroyOld {
		if err := s.Ring.Leave(ctx, space, p.ID); err != nil {
			return api.KeySpace{}, err
		}
	}
	if err := s.record(ctx, p.ID, "keys.rotated", space, map[string]string{"reason": r.Reason, "destroy_old": strconv.FormatBool(r.DestroyOld)}); err != nil {
		return api.KeySpace{}, err
	}
	s.Poke()
	all, err := s.view(ctx)
	for _, v := range all.Spaces {
		if v.Space == r.Space {
			return v, err
		}
	}
	return api.KeySpace{}, err
}

// Rewrap implements httpapi.Keys.
func (s *Safe) Rewrap(ctx context.Context, p slipway.Principal) (api.Rewrapped, error) {
	if err := s.Access.Check(ctx, p, authz.KeysRotate, server); err != nil {
		return api.Rewrapped{}, err
	}
	n, err := s.Ring.Rewrap(ctx, p.ID)
	s.Poke()
	return api.Rewrapped{Keys: n}, err
}

// known answers NotFound for a space without keys: a name with a slip of the pen.
func (s *Safe) known(ctx context.Context, space keys.Space) error {
	all, err := s.store.Keys(ctx, space)
	if err == nil && len(all) == 0 {
		err = slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform keys list", "there is no key space %s yet: the first value that is stored makes it", space)
	}
	return err
}

func (s *Safe) record(ctx context.Context, actor, action string, space keys.Space, detail map[string]string) error {
	now := time.Now()
	return s.events.Append(ctx, slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: actor, Action: action, Subject: string(space), Detail: detail})
}

func plural(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.FormatInt(n, 10) + " " + word + "s"
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
