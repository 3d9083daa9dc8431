package gateway

import (
	"context"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/gateway/openinference"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// models is what callers see of the table as Open Inference's repository of models, over
// whatever transport.
type models struct{ g *Gateway }

// Ready implements openinference.Models.
func (m models) Ready() bool { return m.g.ready() }

// who is a caller by the newest table.
func (m models) who(c *openinference.Caller) caller {
	return m.g.identify(c.Authorization, c.Source)
}

// Model implements openinference.Models.
func (m models) Model(c *openinference.Caller, name, version string) (*openinference.Model, *slipway.Error) {
	who := m.who(c)
	if who.grant == nil {
		m.g.refuse(who, "")
		return nil, unauthorized()
	}
	e, err := m.g.granted(who, name)
	if err != nil {
		return nil, err
	}
	return e.described(version)
}

// Index implements openinference.Models.
func (m models) Index(c *openinference.Caller) ([]openinference.Model, *slipway.Error) {
	who := m.who(c)
	if who.grant == nil {
		m.g.refuse(who, "")
		return nil, unauthorized()
	}
	out := []openinference.Model{}
	now, age := m.g.c.Now(), m.g.age()
	for key, e := range m.g.table.Load().endpoints {
		if who.grant.MayPredict(key, now, age) {
			if described, err := e.described(""); err == nil { // which only a version can fail
				out = append(out, *described)
			}
		}
	}
	slices.SortFunc(out, func(a, b openinference.Model) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Predict implements openinference.Models.
func (m models) Predict(ctx context.Context, r *openinference.Request) (*openinference.Answer, *slipway.Error) {
	who := m.who(&r.Caller)
	if who.grant == nil {
		m.g.refuse(who, "")
		return nil, unauthorized()
	}
	// What was sent compressed, or in parts, takes more memory than the bytes that came.
	defer m.g.buffered.Add(-int64(r.Size))
	if err := m.g.hold(int64(r.Size)); err != nil {
		return nil, err
	}
	out, rev, err := m.g.predict(ctx, &call{who: who, key: r.Model, request: r.Request, wanted: r.Revision, version: r.Version, wish: r.Wish, size: int64(r.Size), codec: binder(r.Bind)})
	if rev == nil {
		return nil, err
	}
	return &openinference.Answer{Revision: rev.ID, Version: rev.version[0], Out: out}, err
}

// binder is the codec of a message.
type binder func(*tensor.Schema) (*tensor.Batch, *slipway.Error)

// Bind implements codec.
func (b binder) Bind(s *tensor.Schema) (*tensor.Batch, *slipway.Error) { return b(s) }

// described is an endpoint as a model, by the revision of a version or, without one, by the
// one that is shown.
func (e *endpoint) described(version string) (*openinference.Model, *slipway.Error) {
	rev := e.shown()
	if version != "" {
		var err *slipway.Error
		if rev, err = e.ofVersion(version); err != nil {
			return nil, err
		}
	}
	m := &openinference.Model{Metadata: answer.Metadata{Name: e.Key}, Reason: e.Reason}
	if rev == nil {
		m.Gone = withdrawn(e.Reason)
		return m, nil
	}
	m.Metadata = metadataOf(e.Key, rev)
	if m.Ready = e.serves(rev); m.Ready {
		m.Reason = ""
	}
	return m, nil
}
