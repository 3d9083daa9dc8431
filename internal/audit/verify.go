package audit

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/slipway-ml/slipway"
)

// Trust is what a verifier knows from elsewhere. What is empty is taken from the bundle,
// which is then only as good as where it comes from.
type Trust struct {
	Key       string   // the log's public key
	Witnesses []string // public keys of witnesses
}

// VerifyBundle reads a bundle and says all that is right and wrong with it; done is told
// how many leaves were read. It needs nothing but the bundle. An error says that there is
// no bundle to verify.
func VerifyBundle(r io.Reader, trust Trust, done func(n, of uint64)) ([]Finding, error) {
	in := newReader(r)
	h, err := in.header()
	if err != nil {
		return nil, bundleError(err)
	}
	v := &verifier{in: in, h: h, trust: trust, done: done}
	v.revisions = map[int64]Revision{}
	if v.public, err = ParsePublic(h.Key); err != nil {
		return nil, err
	}
	v.verify()
	return v.All(), nil
}

func bundleError(err error) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeAuditBundle, "export it again: platform audit export --out FILE", "this is no bundle of the audit log: %v", err)
}

type verifier struct {
	Findings
	in        *reader
	h         Header
	trust     Trust
	done      func(n, of uint64)
	public    Public
	point     Checkpoint
	revisions map[int64]Revision // by the event of their release
}

func (v *verifier) verify() {
	if v.trust.Key != "" && v.trust.Key != v.h.Key {
		v.Fail(CheckSignature, 0, "the bundle is of the log %s with another key than the one that you know", v.h.Log)
	}
	var err error
	if v.point, err = v.public.Checkpoint([]byte(v.h.Checkpoint)); err != nil || v.h.Log != v.public.Name() {
		v.Fail(CheckSignature, 0, "the checkpoint cannot be trusted: %v", err)
	}
	if v.h.End > v.point.Size {
		v.Fail(CheckInclusion, int64(v.point.Size)+1, "the checkpoint is of %d events, and the bundle has them to %d", v.point.Size, v.h.End)
	}
	for _, r := range v.h.Revisions {
		v.revision(r)
	}
	if !v.leaves() {
		return // what follows cannot be found
	}
	if err := v.in.sealed(v.public); err != nil {
		v.Fail(CheckSeal, 0, "%v", err)
	}
	v.anchors()
	v.sum()
}

// leaves reads them all and makes the root.
func (v *verifier) leaves() (whole bool) {
	tree, err := NewTree(v.h.First, v.h.Left)
	if err != nil {
		v.Fail(CheckInclusion, 0, "the hashes left of the events are none: %v", err)
		return false
	}
	for i := v.h.First; i < v.h.End; i++ {
		line, err := v.in.line(maxLeaf)
		if err != nil {
			v.Fail(CheckCompleteness, int64(i)+1, "event %d is missing: %v", i+1, err)
			return false
		}
		v.in.count(line)
		v.leaf(int64(i)+1, line)
		if err := tree.Append(LeafHash(line), nil); err != nil {
			v.Fail(CheckInclusion, int64(i)+1, "%v", err)
			return false
		}
		if v.done != nil && i%4096 == 0 {
			v.done(i-v.h.First, v.h.End-v.h.First)
		}
	}
	root, err := tree.RootOver(max(v.point.Size, v.h.End), v.h.Right)
	if err != nil || !bytes.Equal(root, v.point.Root) {
		v.Fail(CheckInclusion, 0, "the events %d to %d are not those that the checkpoint of %d events was signed over", v.h.First+1, v.h.End, v.point.Size)
	}
	return true
}

func (v *verifier) leaf(seq int64, line []byte) {
	r, err := ParseLeaf(line)
	switch {
	case err != nil:
		v.Fail(CheckInclusion, seq, "event %d cannot be read: %v", seq, err)
	case r.Seq != seq:
		v.Fail(CheckCompleteness, seq, "where event %d should be is event %d", seq, r.Seq)
	case r.Action == "deployment.released":
		rev, ok := v.revisions[seq]
		if !ok {
			v.Fail(CheckRevisions, seq, "event %d releases %s, which is not among the revisions", seq, r.Detail["revision"])
		} else if !rev.released(r) {
			v.Fail(CheckRevisions, seq, "event %d does not release %s of %s with image %s", seq, rev.ID, rev.Deployment, rev.Image.Short())
		}
		delete(v.revisions, seq)
	}
}

// revision takes up one that ran; the leaves are looked at later.
func (v *verifier) revision(r Revision) {
	inside := r.Seq > int64(v.h.First) && r.Seq <= int64(v.h.End)
	switch {
	case r.Seq <= 0:
		v.Fail(CheckRevisions, 0, "the revision %s ran, and no event says who released it", r.ID)
	case inside:
		if _, ok := v.revisions[r.Seq]; ok {
			v.Fail(CheckRevisions, r.Seq, "two revisions say that event %d released them", r.Seq)
		}
		v.revisions[r.Seq] = r
	default:
		leaf := []byte(r.Leaf)
		rec, err := ParseLeaf(leaf)
		if err == nil && (rec.Seq != r.Seq || !r.released(rec)) {
			err = fmt.Errorf("it is another event")
		}
		if err == nil {
			err = Included(leaf, uint64(r.Seq)-1, r.Proof, v.point)
		}
		if err != nil {
			v.Fail(CheckRevisions, r.Seq, "the release of %s, event %d, is not proved: %v", r.ID, r.Seq, err)
		}
	}
}

func (v *verifier) anchors() {
	if len(v.h.Anchors) == 0 {
		v.Warn(CheckAnchors, "platform up --audit-anchor …", "the log is anchored nowhere: who has its key could have written it anew")
	}
	for _, a := range v.h.Anchors {
		v.anchor(a)
	}
}

func (v *verifier) anchor(a Anchored) {
	if a.Problem != "" {
		v.Warn(CheckAnchors, "ask who runs "+a.Anchor, "%s, when the bundle was made: %s", a.Anchor, a.Problem)
	}
	if a.Checkpoint == "" {
		if a.Problem == "" {
			v.Fail(CheckAnchors, 0, "%s has no checkpoint, and nothing says why", a.Anchor)
		}
		return
	}
	c, err := v.public.Checkpoint([]byte(a.Checkpoint))
	if err != nil {
		v.Fail(CheckAnchors, 0, "what lies at %s: %v", a.Anchor, err)
		return
	}
	if err := Consistent(c, v.point, a.Proof); err != nil {
		v.Fail(CheckConsistency, int64(c.Size), "the log of %d events is not the one that %s has a checkpoint of: %v", v.point.Size, a.Anchor, err)
	}
	if a.Witness == "" {
		return
	}
	if len(v.trust.Witnesses) > 0 && !slices.Contains(v.trust.Witnesses, a.Witness) {
		v.Fail(CheckAnchors, 0, "%s has another key than the witnesses that you know", a.Anchor)
	}
	if _, err := Cosigned([]byte(a.Checkpoint), a.Witness); err != nil {
		v.Fail(CheckAnchors, 0, "the checkpoint of %s is not signed by it: %v", a.Anchor, err)
	}
}

// sum says what was found right, and what an auditor has to know.
func (v *verifier) sum() {
	for seq, r := range v.revisions {
		v.Fail(CheckRevisions, seq, "event %d is not the release of %s", seq, r.ID)
	}
	v.Pass(CheckSeal, "no byte was changed since %s", v.h.Made.UTC().Format("2006-01-02 15:04:05Z"))
	v.Pass(CheckSignature, "the checkpoint of %d events is signed by %s", v.point.Size, v.h.Key)
	v.Pass(CheckInclusion, "events %d to %d are in the log", v.h.First+1, v.h.End)
	v.Pass(CheckCompleteness, "the sequence from %d to %d has no gap", v.h.First+1, v.h.End)
	v.Pass(CheckRevisions, "each of %d revisions has the event of its release", len(v.h.Revisions))
	if len(v.h.Anchors) > 0 {
		v.Pass(CheckConsistency, "the log grew from what its anchors know")
		v.Pass(CheckAnchors, "%d anchors", len(v.h.Anchors))
	}
	if v.trust.Key == "" {
		v.Warn(CheckSignature, "platform audit verify --bundle FILE --key KEY", "the key comes from the bundle itself: compare it with the one that you know")
	}
	if v.h.Development {
		v.Warn(CheckDevelopment, "use accounts with a second factor, and remove the owner's token", "a development instance: the owner's token of its own machine was used")
	}
}
