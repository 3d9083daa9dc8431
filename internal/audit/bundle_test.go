package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/audit"
)

var start = time.Date(2026, 11, 1, 12, 0, 0, 123456000, time.UTC)

func key(t testing.TB) *audit.Key {
	t.Helper()
	k, err := audit.LoadKey(filepath.Join(t.TempDir(), "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// record is event seq of an invented installation: each third releases a revision.
func record(seq int64) audit.Record {
	r := audit.Record{Seq: seq, Event: slipway.Event{ID: fmt.Sprintf("evt_%d", seq), Time: start.Add(time.Duration(seq) * time.Second), Actor: "ada",
		Action: "deployment.created", Subject: fmt.Sprintf("dep_%d", seq), Detail: map[string]string{"reason": "a <b> \u2028"}}}
	if seq%3 == 0 {
		r.Action, r.Detail = "deployment.released", map[string]string{"revision": fmt.Sprintf("fraud-%d", seq/3), "image": string(image(seq))}
	}
	return r
}

func image(seq int64) slipway.Digest { return slipway.DigestOf([]byte(fmt.Sprint(seq))) }

func leaf(t testing.TB, seq int64) []byte {
	t.Helper()
	b, err := audit.Leaf(record(seq))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tree(t testing.TB, leaves [][]byte) *audit.Tree {
	t.Helper()
	var out audit.Tree
	for _, l := range leaves {
		if err := out.Append(audit.LeafHash(l), nil); err != nil {
			t.Fatal(err)
		}
	}
	return &out
}

// made is a bundle that can be made wrong in every way before it is sealed.
type made struct {
	key    *audit.Key
	signs  *audit.Key // the checkpoint
	header audit.Header
	leaves [][]byte
}

func newMade(t testing.TB, n int64) *made {
	m := &made{key: key(t)}
	m.signs = m.key
	for seq := int64(1); seq <= n; seq++ {
		m.leaves = append(m.leaves, leaf(t, seq))
		if seq%3 == 0 {
			m.header.Revisions = append(m.header.Revisions, audit.Revision{ID: fmt.Sprintf("fraud-%d", seq/3), Endpoint: "fraud", Deployment: fmt.Sprintf("dep_%d", seq), Image: image(seq), Seq: seq})
		}
	}
	point, err := m.key.Sign(uint64(n), tree(t, m.leaves).Root())
	if err != nil {
		t.Fatal(err)
	}
	m.header.End, m.header.Checkpoint, m.header.Made, m.header.Version = uint64(n), string(point.Text), start, "test"
	m.header.Anchors = []audit.Anchored{{Anchor: "a bucket", Checkpoint: string(point.Text), Seen: start}}
	return m
}

// sign signs a checkpoint over what the leaves are now, as who has the key can.
func (m *made) sign(t testing.TB) {
	point, err := m.key.Sign(uint64(len(m.leaves)), tree(t, m.leaves).Root())
	if err != nil {
		t.Fatal(err)
	}
	m.header.End, m.header.Checkpoint = uint64(len(m.leaves)), string(point.Text)
}

func (m *made) bytes(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	b, err := audit.NewBundle(&out, m.key, m.header)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range m.leaves {
		if err := b.Leaf(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func verify(b []byte, trust audit.Trust) []audit.Finding {
	found, err := audit.VerifyBundle(bytes.NewReader(b), trust, nil)
	if err != nil {
		found = append(found, audit.Finding{Verdict: audit.Fail, Message: err.Error()})
	}
	return slices.DeleteFunc(found, func(f audit.Finding) bool { return f.Verdict != audit.Fail })
}

// Every byte of a bundle counts, and so does each that is not there or too much.
func TestEveryByteOfABundleCounts(t *testing.T) {
	b := newMade(t, 4).bytes(t)
	if found := verify(b, audit.Trust{}); len(found) > 0 {
		t.Fatal(found)
	}
	for i := range b {
		for _, bits := range []byte{1, 0x80}[:1+i%8/7] {
			b[i] ^= bits
			if len(verify(b, audit.Trust{})) == 0 {
				t.Errorf("byte %d (%.20q…) changed by %#x was not found", i, b[i:], bits)
			}
			b[i] ^= bits
		}
		if len(verify(b[:i], audit.Trust{})) == 0 {
			t.Errorf("the first %d bytes alone hold", i)
		}
	}
	for _, more := range []string{"\n", " ", "{}\n"} {
		if len(verify(append(slices.Clone(b), more...), audit.Trust{})) == 0 {
			t.Errorf("%q behind the seal was not found", more)
		}
	}
}

// Who has the key can seal any bundle: then the tree, the sequence, the revisions and the
// anchors tell.
func TestForgedBundles(t *testing.T) {
	other := record(4)
	other.Actor = "bob"
	forged, err := audit.Leaf(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(m *made)
		check  string
		seq    int64
	}{
		"an event changed": {func(m *made) { m.leaves[3] = forged }, audit.CheckInclusion, 0},
		"an event changed, and signed again": {func(m *made) {
			m.leaves[3] = forged
			m.sign(t)
		}, audit.CheckConsistency, 9},
		"the last event removed, and signed again": {func(m *made) {
			m.leaves, m.header.Revisions = m.leaves[:8], m.header.Revisions[:2]
			m.sign(t)
		}, audit.CheckConsistency, 9},
		"an event removed": {func(m *made) { m.leaves = slices.Delete(m.leaves, 3, 4); m.header.End-- }, audit.CheckCompleteness, 4},
		"an event removed, and signed again": {func(m *made) {
			m.leaves = slices.Delete(m.leaves, 3, 4)
			m.sign(t)
		}, audit.CheckCompleteness, 4},
		"two events swapped": {func(m *made) {
			m.leaves[0], m.leaves[1] = m.leaves[1], m.leaves[0]
			m.sign(t)
		}, audit.CheckCompleteness, 1},
		"an event twice": {func(m *made) {
			m.leaves = slices.Insert(m.leaves, 4, m.leaves[4])
			m.sign(t)
		}, audit.CheckCompleteness, 6},
		"no event": {func(m *made) {
			m.leaves[1] = []byte(`{}`)
			m.sign(t)
		}, audit.CheckInclusion, 2},
		"another form of an event": {func(m *made) {
			m.leaves[1] = append([]byte{' '}, m.leaves[1]...)
			m.sign(t)
		}, audit.CheckInclusion, 2},
		"a revision that nobody released": {func(m *made) { m.header.Revisions = append(m.header.Revisions, audit.Revision{ID: "fraud-9"}) }, audit.CheckRevisions, 0},
		"a release of which nothing ran":  {func(m *made) { m.header.Revisions = m.header.Revisions[1:] }, audit.CheckRevisions, 3},
		"another image":                   {func(m *made) { m.header.Revisions[0].Image = image(99) }, audit.CheckRevisions, 3},
		"a release that is another event": {func(m *made) { m.header.Revisions[0].Seq = 4 }, audit.CheckRevisions, 3},
		"a release outside without proof": {func(m *made) { m.header.Revisions[0].Seq = 400 }, audit.CheckRevisions, 400},
		"a checkpoint with another key":   {func(m *made) { m.key = key(t) }, audit.CheckSignature, 0},
		"an anchor that has nothing":      {func(m *made) { m.header.Anchors[0].Checkpoint = "" }, audit.CheckAnchors, 0},
		"an anchor with another's": {func(m *made) {
			p, _ := key(t).Sign(3, make([]byte, 32))
			m.header.Anchors[0].Checkpoint = string(p.Text)
		}, audit.CheckAnchors, 0},
		"a witness that has not signed":    {func(m *made) { _, m.header.Anchors[0].Witness, _ = key(t).Witness() }, audit.CheckAnchors, 0},
		"more hashes than there are nodes": {func(m *made) { m.header.Right = [][]byte{make([]byte, 32)} }, audit.CheckInclusion, 0},
	} {
		m := newMade(t, 9)
		c.change(m)
		if found := verify(m.bytes(t), audit.Trust{}); !slices.ContainsFunc(found, func(f audit.Finding) bool { return f.Check == c.check && f.Seq == c.seq }) {
			t.Errorf("%s: %v, want %s at event %d", name, found, c.check, c.seq)
		}
	}
}

func TestTrust(t *testing.T) {
	m := newMade(t, 6)
	b := m.bytes(t)
	if found := verify(b, audit.Trust{Key: m.key.Public()}); len(found) > 0 {
		t.Error(found)
	}
	if found := verify(b, audit.Trust{Key: key(t).Public()}); len(found) != 1 || found[0].Check != audit.CheckSignature {
		t.Errorf("another key: %v", found)
	}
	w := key(t)
	signer, public, err := w.Witness()
	if err != nil {
		t.Fatal(err)
	}
	seen, err := audit.Cosign(signer, audit.Witnessed{}, m.key.Public(), "eve", []byte(m.header.Checkpoint), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.header.Anchors = []audit.Anchored{{Anchor: "a witness", Checkpoint: seen.Checkpoint, Witness: public}}
	if found := verify(m.bytes(t), audit.Trust{Witnesses: []string{public}}); len(found) > 0 {
		t.Error(found)
	}
	_, stranger, err := key(t).Witness()
	if err != nil {
		t.Fatal(err)
	}
	if found := verify(m.bytes(t), audit.Trust{Witnesses: []string{stranger}}); len(found) == 0 {
		t.Error("another witness was not found")
	}
}

// A witness signs what grew from what it saw, and nothing else.
func TestWitness(t *testing.T) {
	m, w := newMade(t, 9), key(t)
	signer, _, err := w.Witness()
	if err != nil {
		t.Fatal(err)
	}
	point := func(n int) []byte {
		c, err := m.key.Sign(uint64(n), tree(t, m.leaves[:n]).Root())
		if err != nil {
			t.Fatal(err)
		}
		return c.Text
	}
	ask := func(seen audit.Witnessed, key string, text []byte, from uint64, proof [][]byte) (audit.Witnessed, string) {
		next, err := audit.Cosign(signer, seen, key, "eve", text, from, proof)
		if err != nil {
			return seen, slipway.AsError(err).Code
		}
		return next, ""
	}
	seen, code := ask(audit.Witnessed{}, m.key.Public(), point(8), 0, nil)
	if code != "" || seen.Size != 8 || seen.By != "eve" {
		t.Fatal(seen, code)
	}
	// The tree of 9 is that of 8 with one leaf beside it.
	proof := [][]byte{audit.LeafHash(m.leaves[8])}
	for name, c := range map[string]struct {
		text []byte
		from uint64
		want string
	}{
		"grown":                   {point(9), 8, ""},
		"from elsewhere":          {point(9), 7, slipway.CodeConflict},
		"shrunk":                  {point(4), 8, slipway.CodeAuditAnchor},
		"another tree":            {must(m.key.Sign(9, make([]byte, 32))).Text, 8, slipway.CodeAuditAnchor},
		"another key":             {must(key(t).Sign(9, make([]byte, 32))).Text, 8, slipway.CodeAuditAnchor},
		"with what others signed": {[]byte(seen.Checkpoint), 8, slipway.CodeAuditAnchor}, // the proof is too long
	} {
		if _, code := ask(seen, m.key.Public(), c.text, c.from, proof); code != c.want {
			t.Errorf("%s: %q, want %q", name, code, c.want)
		}
	}
	impostor, err := note.NewEd25519VerifierKey(m.key.Name(), make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, code := ask(seen, impostor, point(9), 8, proof); code != slipway.CodeAuditAnchor {
		t.Errorf("a key of the same name: %q", code)
	}
}

func must(c audit.Checkpoint, _ error) audit.Checkpoint { return c }

// Leaves are the same bytes for the same event, and valid JSON with what OCSF asks for.
func TestLeaf(t *testing.T) {
	for seq := int64(1); seq < 10; seq++ {
		b := leaf(t, seq)
		back, err := audit.ParseLeaf(b)
		if err != nil || back.Seq != seq {
			t.Fatal(back, err)
		}
		again, err := audit.Leaf(back)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s became %s, %v", b, again, err)
		}
		var e map[string]any
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid", "actor"} {
			if e[field] == nil {
				t.Errorf("%s has no %s", b, field)
			}
		}
		if e["type_uid"] != e["class_uid"].(float64)*100+e["activity_id"].(float64) {
			t.Errorf("%s has another type_uid", b)
		}
	}
	long := record(1)
	long.Detail = map[string]string{"reason": strings.Repeat("x", 70000)}
	b, err := audit.Leaf(long)
	if err != nil || len(b) > 65535 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if back, err := audit.ParseLeaf(b); err != nil || back.ID != long.ID {
		t.Error(back, err)
	}
}

func FuzzVerifyBundle(f *testing.F) {
	f.Add(newMade(f, 4).bytes(f))
	f.Add([]byte(`{"format":"slipway-audit-bundle/1"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = audit.VerifyBundle(bytes.NewReader(b), audit.Trust{}, nil)
	})
}

func FuzzParseLeaf(f *testing.F) {
	f.Add(leaf(f, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := audit.ParseLeaf(b); err == nil {
			if again, err := audit.Leaf(r); err != nil || !bytes.Equal(again, b) && !bytes.Contains(b, []byte("detail_digest")) {
				t.Errorf("%q became %q", b, again)
			}
		}
	})
}
