package registry_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/registry"
)

// memory is a store and the blobs, for one goroutine.
type memory struct {
	registry.Store // what is not here is not used
	versions       map[string][]registry.Version
	aliases        map[string]int
	history        []registry.AliasChange
	events         []slipway.Event
	blobs          map[slipway.Digest]int64
	broken         error // what every query of an alias answers, if not nil
}

func (m *memory) AddVersion(_ context.Context, v registry.Version, ev slipway.Event) (registry.Version, bool, error) {
	for _, known := range m.versions[v.Model] {
		if known.Digest == v.Digest {
			return known, false, nil
		}
	}
	v.Number = len(m.versions[v.Model]) + 1
	m.versions[v.Model] = append(m.versions[v.Model], v)
	ev.Detail = maps.Clone(ev.Detail)
	ev.Detail["number"] = strconv.Itoa(v.Number)
	m.events = append(m.events, ev)
	return v, true, nil
}

func (m *memory) Version(_ context.Context, model string, number int) (registry.Version, error) {
	all := m.versions[model]
	if number == 0 {
		number = len(all)
	}
	if number < 1 || number > len(all) {
		return registry.Version{}, missing(fmt.Sprint(model, ":", number))
	}
	return all[number-1], nil
}

func (m *memory) Detail(ctx context.Context, model string, number int) (registry.Version, error) {
	return m.Version(ctx, model, number)
}

func (m *memory) Alias(_ context.Context, model, alias string) (int, error) {
	if m.broken != nil {
		return 0, m.broken
	}
	n := m.aliases[model+"@"+alias]
	if n == 0 {
		return 0, missing(model + "@" + alias)
	}
	return n, nil
}

func (m *memory) SetAlias(_ context.Context, c registry.AliasChange, ev slipway.Event) error {
	c.From = m.aliases[c.Model+"@"+c.Alias]
	m.aliases[c.Model+"@"+c.Alias] = c.To
	m.history = append(m.history, c)
	m.events = append(m.events, ev)
	return nil
}

func (m *memory) Sizes(ctx context.Context, digests []slipway.Digest) (map[slipway.Digest]int64, error) {
	out := maps.Clone(m.blobs)
	maps.DeleteFunc(out, func(d slipway.Digest, _ int64) bool { return !slices.Contains(digests, d) })
	return out, ctx.Err()
}

func missing(what string) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "", "no %s", what)
}
