package gateway

import (
	"context"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/gateway/openinference"
	"github.com/slipway-ml/slipway/internal/route"
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
	out, rev, err := m.g.predict(ctx, &call{who: who, key: r.Model, request: r.Request, wanted: r.Revision, version: r.Version, wish: r.Wish, codec: binder(r.Bind)})
	if rev == nil {
		return nil, err
	}
	return &openinference.Answer{Revision: rev.ID, Version: rev.version[0], Out: out}, err
}

// binder is the codec of a message.
type binder func(*tensor.Schema) (*tensor.Batch, *slipway.Error)

// Bind implements codec.
func (b binder) Bind(s *tensor.Schema) (*tensor.Batch, *slipway.Error) { return b(s) }

// serving are the revisions that requests go to: first the one that answers most, or will
// when all goes well. Without any there may still be one that would.
func (e *endpoint) serving() []*revision {
	var out []*revision
	given := 0.
	if e.live != nil {
		given = e.live.given()
	}
	if e.stable != nil && given < 1 {
		out = append(out, e.stable)
	}
	if e.candidate != nil && given > 0 {
		out = append(out, e.candidate)
	}
	if e.Rollout != nil && e.Rollout.Promoted {
		slices.Reverse(out)
	}
	return out
}

// described is an endpoint as a model, by the revision of a version or, without one, by the
// first of those that serve. One that never served has no tensors.
func (e *endpoint) described(version string) (*openinference.Model, *slipway.Error) {
	serving := e.serving()
	m := &openinference.Model{Metadata: answer.Metadata{Name: e.Key}, Reason: e.Reason}
	if len(serving) == 0 && e.candidate != nil && e.State == route.Pending {
		m.Metadata = metadataOf(e.Key, e.candidate)
	}
	for _, rev := range serving {
		if version != "" && rev.version[0] != version || len(m.Versions) > 0 {
			continue
		}
		m.Metadata = metadataOf(e.Key, rev)
		m.Ready = rev.ready.Load() > 0 && (e.State == route.Serving || e.State == route.Provisional)
	}
	if version != "" && len(m.Versions) == 0 {
		return nil, unknownVersion(e.Key)
	}
	if len(m.Versions) == 0 {
		m.Gone = withdrawn(e.Reason)
		return m, nil
	}
	if len(serving) > 0 {
		m.Versions = nil
	}
	for _, rev := range serving {
		m.Versions = append(m.Versions, rev.version[0])
	}
	if m.Ready {
		m.Reason = ""
	}
	return m, nil
}
