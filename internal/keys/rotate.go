package keys

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
)

// Resealer moves what is sealed with an old version to the active one.
type Resealer interface {
	// Reseal opens and seals again a bounded number of those values of a space that an older
	// version than the given one sealed, each durably, and answers how many are left after
	// that. A value that others change meanwhile keeps their change.
	Reseal(ctx context.Context, s Space, below int) (left int, err error)
}

// Register says who moves values of a kind. What nobody moves keeps its key alive.
func (r *Ring) Register(kind string, m Resealer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resealers[kind] = m
}

// Rotate gives a space a new key, with a wrapping key of its own. What older ones sealed
// opens as before; Advance moves it. They stay after that, since backups need them.
func (r *Ring) Rotate(ctx context.Context, s Space, actor string) (Key, error) {
	for range maxTries {
		all, err := r.Store.Keys(ctx, s)
		if err != nil {
			return Key{}, err
		}
		last := 0
		for _, k := range all {
			last = max(last, k.Version)
		}
		k, err := r.add(ctx, s, last+1, actor)
		if !errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) { // another call has made this version
			return k, err
		}
	}
	return Key{}, raced()
}

// Leave lets the older keys of a space be destroyed as soon as nothing needs them any more
// but backups that were made before.
func (r *Ring) Leave(ctx context.Context, s Space, actor string) error {
	all, err := r.Store.Keys(ctx, s)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(k Key) bool { return k.State != DecryptOnly })
	for i := range all {
		all[i].State, all[i].Changed = Leaving, r.Now()
	}
	if len(all) == 0 {
		return nil
	}
	return r.Store.SetKeys(ctx, all, r.destroyEvents(actor, "keys.leaving", all)...)
}

// Progress is how far old keys of a space are.
type Progress struct {
	Space   Space  `json:"space"`
	Version int    `json:"version"`
	Left    int    `json:"left"`              // values that still need it
	Blocked string `json:"blocked,omitempty"` // why it stays although nothing may need it
}

// Advance does a bounded piece of what rotations and shreddings have left to do: it moves
// values to active keys, and destroys keys that leave and that nothing needs. It answers what
// is left; it may be stopped anywhere, and goes on from what is recorded.
func (r *Ring) Advance(ctx context.Context) ([]Progress, error) {
	all, err := r.Store.Keys(ctx, "")
	if err != nil {
		return nil, err
	}
	active := map[Space]int{}
	for _, k := range all {
		if k.State == Active {
			active[k.Space] = k.Version
		}
	}
	var out []Progress
	var errs []error
	var doomed []Key
	for _, k := range all {
		switch {
		case k.State == Condemned:
			doomed = append(doomed, k)
		case (k.State == DecryptOnly || k.State == Leaving) && active[k.Space] > k.Version:
			settled := r.settled(slot{k.Space, k.Version}) // before it is looked at what is left
			p, err := r.vacate(ctx, k, active[k.Space])
			errs = append(errs, err)
			done := err == nil && p.Left == 0 && p.Blocked == ""
			if done && settled && k.State == Leaving {
				doomed = append(doomed, k)
			}
			if !done || k.State == Leaving && !settled {
				out = append(out, p)
			}
		}
	}
	return out, errors.Join(append(errs, r.destroy(ctx, doomed, "system"))...)
}

// Settle is how long a key is kept after it ceased to be the active one, though nothing
// stored needs it: who has sealed a value a moment ago may not have stored it yet.
const Settle = time.Minute

// settled is by this process' own clock: none seals for a store longer than it lives.
func (r *Ring) settled(at slot) bool {
	now := r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	since, seen := r.retired[at]
	if !seen {
		r.retired[at] = now
	}
	return seen && now.Sub(since) >= Settle
}

// vacate moves what a key has sealed to the active one.
func (r *Ring) vacate(ctx context.Context, k Key, active int) (Progress, error) {
	p := Progress{Space: k.Space, Version: k.Version}
	kinds, err := r.Store.Uses(ctx, k.Space, k.Version)
	if err != nil {
		return p, err
	}
	for _, kind := range kinds {
		r.mu.Lock()
		m := r.resealers[kind]
		r.mu.Unlock()
		if m == nil {
			p.Blocked = "nothing moves values of the kind " + kind
			continue
		}
		left, err := m.Reseal(ctx, k.Space, active)
		if err != nil {
			p.Blocked = slipway.AsError(err).Message
			return p, err
		}
		p.Left += left
	}
	return p, nil
}

// destroy condemns keys, which is durable before the key service is told, and records when
// that is done.
func (r *Ring) destroy(ctx context.Context, doomed []Key, actor string) error {
	if len(doomed) == 0 {
		return nil
	}
	now := r.Now()
	var fresh []Key
	var names []string
	for i := range doomed {
		k := &doomed[i]
		names = append(names, k.Wrapper)
		if k.State != Condemned {
			k.State, k.Wrapped, k.Changed = Condemned, nil, now
			fresh = append(fresh, *k)
		}
		r.forget(k.Space)
	}
	if len(fresh) > 0 {
		if err := r.Store.SetKeys(ctx, fresh, r.destroyEvents(actor, "keys.condemned", fresh)...); err != nil {
			return err
		}
	}
	if err := r.Service.Destroy(ctx, names...); err != nil {
		return classify(err)
	}
	for i := range doomed {
		doomed[i].State, doomed[i].Changed = Destroyed, now
	}
	return r.Store.SetKeys(ctx, doomed, r.destroyEvents(actor, "keys.destroyed", doomed)...)
}

func (r *Ring) destroyEvents(actor, action string, keys []Key) []slipway.Event {
	var out []slipway.Event
	for _, k := range keys {
		out = append(out, r.event(actor, action, k.Space, map[string]string{"version": strconv.Itoa(k.Version), "wrapper": k.Wrapper}))
	}
	return out
}

// Renew gives a space a new key, moves everything to it and destroys the older ones at once:
// no copy that was made before opens any more. Whoever seals in such a space stores with a
// check that the key is still good, as ObjectStore does.
func (r *Ring) Renew(ctx context.Context, s Space, actor string) error {
	next, err := r.Rotate(ctx, s, actor)
	if err != nil {
		return err
	}
	all, err := r.Store.Keys(ctx, s)
	if err != nil {
		return err
	}
	for _, k := range slices.DeleteFunc(all, func(k Key) bool { return k.State != DecryptOnly && k.State != Leaving }) {
		for {
			p, err := r.vacate(ctx, k, next.Version)
			if err != nil {
				return err
			}
			if p.Blocked != "" {
				return slipway.Errorf(slipway.Conflict, slipway.CodeKeyInUse, "platform keys list", "%s: %s", s, p.Blocked)
			}
			if p.Left == 0 {
				break
			}
		}
		if err := r.destroy(ctx, []Key{k}, actor); err != nil {
			return err
		}
	}
	return nil
}

// Shred destroys every key of a space. It returns when the key service has destroyed them;
// when that is down, the keys are condemned, which Advance completes, and open nothing.
func (r *Ring) Shred(ctx context.Context, s Space, actor string) (shredded []Key, err error) {
	all, err := r.Store.Keys(ctx, s)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(k Key) bool { return k.State == Destroyed })
	if len(all) == 0 {
		return nil, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform keys list", "the space %s has no key", s)
	}
	copies := slices.Clone(all)
	return copies, r.destroy(ctx, all, actor)
}

// Probe tries to unwrap a key as a copy made before has it. It answers nil only when the key
// service says that the key is destroyed: a service that is down proves nothing.
func (r *Ring) Probe(ctx context.Context, copied Key) error {
	call, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	_, err := r.Service.Unwrap(call, copied.Wrapper, copied.Wrapped, copied.label())
	switch {
	case errors.Is(err, &slipway.Error{Code: slipway.CodeShredded}):
		return nil
	case err != nil:
		return classify(err)
	}
	return slipway.Errorf(slipway.Internal, slipway.CodeSealed, "platform keys shred --space "+string(copied.Space), "version %d of %s still opens", copied.Version, copied.Space)
}

// Rewrap wraps every data key again, so that a wrapping key that was rotated in the key
// service itself does so with its newest version. Nothing that is sealed changes.
func (r *Ring) Rewrap(ctx context.Context, actor string) (int, error) {
	all, err := r.Store.Keys(ctx, "")
	if err != nil {
		return 0, err
	}
	done := 0
	for _, k := range all {
		if !k.State.Opens() {
			continue
		}
		call, cancel := context.WithTimeout(ctx, serviceLimit)
		plain, err := r.Service.Unwrap(call, k.Wrapper, k.Wrapped, k.label())
		if err == nil {
			k.Wrapped, err = r.Service.Wrap(call, k.Wrapper, plain, k.label())
		}
		cancel()
		if err != nil {
			return done, classify(err)
		}
		err = r.Store.SetKeys(ctx, []Key{k}, r.event(actor, "keys.rewrapped", k.Space, map[string]string{"version": strconv.Itoa(k.Version)}))
		if err != nil && !errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) { // rotated or condemned meanwhile: that goes before
			return done, err
		}
		done++
	}
	return done, nil
}
