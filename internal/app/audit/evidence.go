package audit

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/audit"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/tilelog"
)

// Export implements httpapi.Audit: it writes a bundle of the events from one time to before
// another. What cannot be read before its first byte is an error, and later a bundle
// without its seal.
func (s *Service) Export(ctx context.Context, r api.AuditRange, begin func() io.Writer) error {
	l, err := s.opened()
	if err != nil {
		return err
	}
	h, err := s.header(ctx, l, r)
	if err != nil {
		return err
	}
	b, err := audit.NewBundle(begin(), l.Key(), h)
	if err == nil {
		err = l.Leaves(ctx, h.First, h.End, b.Leaf)
	}
	if err != nil {
		return err
	}
	return b.Close()
}

func (s *Service) header(ctx context.Context, l *tilelog.Log, r api.AuditRange) (h audit.Header, err error) {
	point := l.Checkpoint()
	h = audit.Header{Made: s.Now().UTC(), Version: s.Version, Since: r.Since, Until: r.Until, End: point.Size, Checkpoint: string(point.Text)}
	if !r.Since.IsZero() {
		seq, found, err := s.Events.Since(ctx, r.Since)
		if err != nil {
			return h, err
		}
		if h.First = point.Size; found {
			h.First = min(point.Size, uint64(seq)-1)
		}
	}
	if !r.Until.IsZero() {
		last, err := s.Events.Search(ctx, event.Query{Until: r.Until}, 1)
		if err != nil {
			return h, err
		}
		if h.End = h.First; len(last) > 0 {
			h.End = max(h.First, min(point.Size, uint64(last[0].Seq)))
		}
	}
	if h.First < h.End { // a part that was moved away and not brought back is found now
		if _, err := l.Leaf(h.First); err != nil {
			return h, err
		}
	}
	if h.Left, err = l.Subtrees(ctx, 0, h.First, point.Size); err != nil {
		return h, err
	}
	if h.Right, err = l.Subtrees(ctx, h.End, point.Size, point.Size); err != nil {
		return h, err
	}
	if h.Development, err = s.Development(ctx); err != nil {
		return h, err
	}
	h.Anchors = s.anchored(ctx, l, point)
	h.Revisions, err = s.revisions(ctx, l, h, point)
	return h, err
}

// revisions are those that ran, each with the event of its release and, if that is not
// among the leaves, with its proof.
func (s *Service) revisions(ctx context.Context, l *tilelog.Log, h audit.Header, point audit.Checkpoint) ([]audit.Revision, error) {
	all, err := s.ran(ctx)
	if err != nil {
		return nil, err
	}
	out := all[:0]
	for _, r := range all {
		if r.Seq > int64(point.Size) {
			continue // it was released after the checkpoint
		}
		if index := uint64(r.Seq) - 1; r.Seq > 0 && (index < h.First || index >= h.End) {
			leaf, err := l.Leaf(index)
			if err != nil {
				return nil, err
			}
			r.Leaf = string(leaf)
			if r.Proof, err = l.Inclusion(ctx, index, point.Size); err != nil {
				return nil, err
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// ran gives the revisions that ran, by what the state says and what the gateway runs, not
// by the events; and the event of the release of each, if there is one.
func (s *Service) ran(ctx context.Context) ([]audit.Revision, error) {
	released := map[string]audit.Revision{}
	for before := int64(0); ; {
		page, err := s.Events.Search(ctx, event.Query{Action: "deployment.released", Before: before}, maxBatch)
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			before = e.Seq
			released[e.Detail["revision"]] = audit.Revision{ID: e.Detail["revision"], Deployment: e.Subject, Image: slipway.Digest(e.Detail["image"]), Seq: e.Seq}
		}
		if len(page) < maxBatch {
			break
		}
	}
	found, err := s.deployed(ctx)
	if err != nil {
		return nil, err
	}
	if obs, err := s.Observe(ctx); err == nil { // a gateway that does not answer runs what the state says
		for _, r := range obs.Revisions {
			if _, ok := found[r.ID]; !ok {
				found[r.ID] = audit.Revision{ID: r.ID}
			}
		}
	}
	var out []audit.Revision
	for id, r := range found {
		if by, ok := released[id]; ok && (r.Image == by.Image || r.Deployment == "") {
			r.Seq, r.Deployment, r.Image = by.Seq, by.Deployment, by.Image
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b audit.Revision) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

func (s *Service) deployed(ctx context.Context) (map[string]audit.Revision, error) {
	found := map[string]audit.Revision{}
	take := func(d rollout.Deployment) {
		if r := d.Revision; r != nil {
			found[r.ID] = audit.Revision{ID: r.ID, Endpoint: d.Endpoint, Deployment: d.ID, Image: r.ImageDigest}
		}
	}
	const page = 200
	for before := 0; ; {
		ds, err := s.Deployments.Deployments(ctx, "", before, page)
		if err != nil {
			return nil, err
		}
		for _, d := range ds {
			take(d)
			before = d.Number
		}
		if len(ds) < page {
			break
		}
	}
	endpoints, err := s.Deployments.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range endpoints {
		take(rollout.Deployment{ID: e.Current, Endpoint: e.Key, Revision: e.Stable})
		take(rollout.Deployment{ID: e.Current, Endpoint: e.Key, Revision: e.Candidate})
	}
	return found, nil
}

// Verify implements httpapi.Audit: the log against the database, its files, what runs, and
// the anchors.
func (s *Service) Verify(ctx context.Context, progress func(done, of uint64)) ([]api.AuditFinding, error) {
	l, err := s.opened()
	if err != nil {
		return nil, err
	}
	var found audit.Findings
	c := l.Check(&found)
	roots := map[uint64][]byte{}
	anchors := s.last(ctx, l, roots)
	feed := func(leaves [][]byte) error {
		for _, leaf := range leaves {
			if err := c.Feed(leaf); err != nil {
				return err
			}
			if _, ok := roots[c.Fed()]; ok {
				roots[c.Fed()] = c.Root()
			}
		}
		progress(c.Fed(), l.Size())
		return nil
	}
	for c.Fed()+maxBatch < l.Size() { // the log grows meanwhile
		if err := s.feed(ctx, c, l.Size()-maxBatch, feed, &found); err != nil {
			return nil, err
		}
		if found.Failed(audit.CheckCompleteness) {
			break
		}
	}
	if err := s.settle(ctx, l, c, feed, &found); err != nil {
		return nil, err
	}
	s.reconcile(ctx, &found)
	judge(l, anchors, roots, &found)
	return findingsView(found.All()), nil
}

// settle ends a check while the log stands still.
func (s *Service) settle(ctx context.Context, l *tilelog.Log, c *tilelog.Checker, feed func([][]byte) error, found *audit.Findings) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !found.Failed(audit.CheckCompleteness) {
		if err := s.feed(ctx, c, l.Size(), feed, found); err != nil {
			return err
		}
	}
	c.Close()
	n := l.Checkpoint().Size
	found.Pass(audit.CheckCompleteness, "the sequence from 1 to %d has no gap", n)
	found.Pass(audit.CheckInclusion, "all %d events in the database are those of the log", n)
	found.Pass(audit.CheckSignature, "the checkpoint of %d events is signed by %s", n, l.Key().Public())
	found.Pass(audit.CheckFiles, "every byte of the log is what its events make")
	return nil
}

// feed gives a checker the events up to a size. A gap is a finding, and ends it.
func (s *Service) feed(ctx context.Context, c *tilelog.Checker, to uint64, use func([][]byte) error, found *audit.Findings) error {
	for c.Fed() < to {
		if err := ctx.Err(); err != nil {
			return err
		}
		events, err := s.Events.List(ctx, int64(c.Fed()), int(min(to-c.Fed(), maxBatch)), "")
		if err != nil {
			return err
		}
		for i, e := range events {
			if want := int64(c.Fed()) + int64(i) + 1; e.Seq != want {
				found.Fail(audit.CheckCompleteness, want, "event %d is missing in the database", want)
				events = events[:i]
				break
			}
		}
		leaves, err := leavesOf(events, c.Fed())
		if err != nil {
			return err
		}
		if err := use(leaves); err != nil {
			return err
		}
		if len(events) == 0 {
			if !found.Failed(audit.CheckCompleteness) {
				found.Fail(audit.CheckCompleteness, int64(c.Fed())+1, "event %d is missing in the database", c.Fed()+1)
			}
			return nil
		}
	}
	return nil
}

// reconcile looks for revisions that ran without an event of their release.
func (s *Service) reconcile(ctx context.Context, found *audit.Findings) {
	all, err := s.ran(ctx)
	if err != nil {
		found.Fail(audit.CheckRevisions, 0, "they cannot be listed: %s", slipway.AsError(err).Message)
		return
	}
	for _, r := range all {
		if r.Seq == 0 {
			found.Fail(audit.CheckRevisions, 0, "the revision %s ran, and no event says who released it", r.ID)
		}
	}
	found.Pass(audit.CheckRevisions, "each of %d revisions has the event of its release", len(all))
	if dev, err := s.Development(ctx); err == nil && dev {
		found.Warn(audit.CheckDevelopment, "use accounts with a second factor, and remove the owner's token", "a development instance: the owner's token of its own machine was used")
	}
}

// last asks the anchors what they have, and notes at which sizes the root is needed.
func (s *Service) last(ctx context.Context, l *tilelog.Log, roots map[uint64][]byte) []audit.Anchored {
	out := s.anchored(ctx, l, l.Checkpoint())
	for _, a := range out {
		if c, err := checkpointOf(l, a); err == nil {
			roots[c.Size] = nil
		}
	}
	return out
}

func checkpointOf(l *tilelog.Log, a audit.Anchored) (audit.Checkpoint, error) {
	public, err := audit.ParsePublic(l.Key().Public())
	if err != nil {
		return audit.Checkpoint{}, err
	}
	return public.Checkpoint([]byte(a.Checkpoint))
}

// judge holds what the anchors have against the roots of the events in the database.
func judge(l *tilelog.Log, anchors []audit.Anchored, roots map[uint64][]byte, found *audit.Findings) {
	for _, a := range anchors {
		c, err := checkpointOf(l, a)
		switch {
		case a.Problem != "":
			found.Fail(audit.CheckAnchors, 0, "%s: %s", a.Anchor, a.Problem)
		case err != nil:
			found.Fail(audit.CheckAnchors, 0, "%s: %v", a.Anchor, err)
		case c.Size > 0 && string(roots[c.Size]) != string(c.Root):
			found.Fail(audit.CheckAnchors, int64(c.Size), "the first %d events in the database are not those that %s has a checkpoint of", c.Size, a.Anchor)
		}
	}
	if len(anchors) == 0 {
		found.Warn(audit.CheckAnchors, "platform up --audit-anchor …", "the log is anchored nowhere: who has its key could write it anew")
		return
	}
	found.Pass(audit.CheckAnchors, "%d anchors have checkpoints of this log", len(anchors))
}

func findingsView(list []audit.Finding) []api.AuditFinding {
	out := []api.AuditFinding{}
	for _, f := range list {
		out = append(out, api.AuditFinding(f))
	}
	return out
}

// VerifyBundle verifies a bundle without a server.
func VerifyBundle(r io.Reader, key string, witnesses []string, progress func(done, of uint64)) ([]api.AuditFinding, error) {
	found, err := audit.VerifyBundle(r, audit.Trust{Key: key, Witnesses: witnesses}, progress)
	return findingsView(found), err
}

// VerifyProof verifies a proof without a server.
func VerifyProof(p api.AuditProof, key string) error {
	_, err := audit.Proof{Leaf: []byte(p.Leaf), Index: p.Index, Hashes: p.Hashes, Checkpoint: []byte(p.Checkpoint), Key: p.Key}.Verify(key)
	return err
}
