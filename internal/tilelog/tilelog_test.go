package tilelog_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/audit"
	"github.com/slipway-ml/slipway/internal/tilelog"
)

var start = time.Date(2026, 11, 1, 12, 0, 0, 123456000, time.UTC)

// record is event seq of an invented installation.
func record(seq int64) audit.Record {
	return audit.Record{Seq: seq, Event: slipway.Event{ID: fmt.Sprintf("evt_%d", seq), Time: start.Add(time.Duration(seq) * time.Second),
		Actor: "ada", Action: "deployment.created", Subject: fmt.Sprintf("dep_%d", seq), Detail: map[string]string{"endpoint": "fraud", "reason": "<ü>"}}}
}

func leaf(t testing.TB, seq int64) []byte {
	t.Helper()
	b, err := audit.Leaf(record(seq))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func leaves(t testing.TB, from, to int64) (out [][]byte) {
	for seq := from; seq <= to; seq++ {
		out = append(out, leaf(t, seq))
	}
	return out
}

func key(t testing.TB) *audit.Key {
	t.Helper()
	k, err := audit.LoadKey(filepath.Join(t.TempDir(), "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func open(t testing.TB, dir string, k *audit.Key, cold ...string) *tilelog.Log {
	t.Helper()
	l, err := tilelog.Open(context.Background(), dir, k, cold)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func grow(t testing.TB, l *tilelog.Log, to int64) {
	t.Helper()
	if err := l.Append(context.Background(), leaves(t, int64(l.Size())+1, to)); err != nil {
		t.Fatal(err)
	}
}

// check verifies a log against the events up to n, of which change may make others.
func check(t testing.TB, l *tilelog.Log, n int64, change func(seq int64) []byte) []audit.Finding {
	t.Helper()
	var found audit.Findings
	c := l.Check(&found)
	for seq := int64(1); seq <= n; seq++ {
		b := leaf(t, seq)
		if change != nil {
			b = change(seq)
		}
		if b == nil {
			continue
		}
		if err := c.Feed(b); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	return found.All()
}

func TestGrowsInOrder(t *testing.T) {
	dir, k := t.TempDir(), key(t)
	l := open(t, dir, k)
	for _, to := range []int64{1, 2, 255, 256, 257, 600, 600, 1030} {
		grow(t, l, to)
		if d := cmp.Diff([]audit.Finding(nil), check(t, l, to, nil)); d != "" {
			t.Fatalf("after %d: %s", to, d)
		}
		if again := open(t, dir, k); again.Size() != uint64(to) || !again.Checkpoint().Same(l.Checkpoint()) {
			t.Fatalf("after %d it opens with %d", to, again.Size())
		}
	}
	var got int64
	err := l.Leaves(t.Context(), 250, 1030, func(b []byte) error {
		got++
		if string(b) != string(leaf(t, 250+got)) {
			t.Errorf("leaf %d is %s", 249+got, b)
		}
		return nil
	})
	if err != nil || got != 780 {
		t.Errorf("%d leaves, %v", got, err)
	}
}

// A verifier that others wrote finds the log in order, and a changed one not.
func TestForeignVerifier(t *testing.T) {
	dir, k := t.TempDir(), key(t)
	l := open(t, dir, k)
	grow(t, l, 700)
	verify := func() error {
		v, err := note.NewVerifier(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		return fsck.New(k.Name(), v, files(dir), hashes, fsck.Opts{N: 1}).Check(t.Context())
	}
	if err := verify(); err != nil {
		t.Error(err)
	}
	root := append([]byte{}, l.Checkpoint().Root...)
	root[0] ^= 1
	forged, err := k.Sign(700, root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, layout.CheckpointPath), forged.Text, 0o600); err != nil {
		t.Fatal(err)
	}
	if verify() == nil {
		t.Error("a forged checkpoint was not found")
	}
}

type files string

func (d files) ReadCheckpoint(context.Context) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), layout.CheckpointPath))
}

func (d files) ReadTile(_ context.Context, l, i uint64, p uint8) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), layout.TilePath(l, i, p)))
}

func (d files) ReadEntryBundle(_ context.Context, i uint64, p uint8) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), layout.EntriesPath(i, p)))
}

func hashes(b []byte) (out [][]byte, err error) {
	var e api.EntryBundle
	err = e.UnmarshalText(b)
	for _, d := range e.Entries {
		out = append(out, rfc6962.DefaultHasher.HashLeaf(d))
	}
	return out, err
}

func flip(t testing.TB, path string, at int, bits byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= bits
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// paths are the files of a log.
func paths(t testing.TB, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(path, ".lock") {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Every byte of every file of a small log, and some of each file of a larger one, is
// missed when it is changed.
func TestEveryByteCounts(t *testing.T) {
	for _, c := range []struct {
		events int64
		step   int
	}{{3, 1}, {600, 29989}} {
		dir, k := t.TempDir(), key(t)
		l := open(t, dir, k)
		grow(t, l, c.events)
		for _, path := range paths(t, dir) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for at := 0; at < len(content); at += c.step {
				for _, bits := range []byte{0x01, 0x80, 0x20} {
					flip(t, path, at, bits)
					if len(check(t, l, c.events, nil)) == 0 {
						t.Errorf("byte %d of %s was changed by %#x, and nothing found", at, path, bits)
					}
					flip(t, path, at, bits)
					if c.step == 1 && at%7 != 0 {
						break // one way to change it is enough for most
					}
				}
			}
			for name, change := range map[string]func() error{
				"removed":   func() error { return os.Remove(path) },
				"truncated": func() error { return os.WriteFile(path, content[:len(content)-1], 0o600) },
				"longer":    func() error { return os.WriteFile(path, append(append([]byte{}, content...), '\n'), 0o600) },
				"beside":    func() error { return os.WriteFile(path+"x", content, 0o600) },
			} {
				if err := change(); err != nil {
					t.Fatal(err)
				}
				if len(check(t, l, c.events, nil)) == 0 {
					t.Errorf("%s was %s, and nothing found", path, name)
				}
				if err := errors.Join(os.WriteFile(path, content, 0o600), os.RemoveAll(path+"x")); err != nil {
					t.Fatal(err)
				}
			}
		}
		if d := check(t, l, c.events, nil); len(d) > 0 {
			t.Errorf("the log as it was: %v", d)
		}
	}
}

// What the database says is held against the log, and the event that differs is named.
func TestEventsAreHeldAgainstTheLog(t *testing.T) {
	l := open(t, t.TempDir(), key(t))
	grow(t, l, 300)
	other := record(7)
	other.Actor = "bob"
	changed, err := audit.Leaf(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(seq int64) []byte
		seq    int64
	}{
		"changed": {func(seq int64) []byte { return map[bool][]byte{true: changed, false: leaf(t, seq)}[seq == 7] }, 7},
		"removed": {func(seq int64) []byte { return map[bool][]byte{true: nil, false: leaf(t, seq)}[seq == 9] }, 9},
		"swapped": {func(seq int64) []byte {
			return leaf(t, map[int64]int64{20: 21, 21: 20}[seq]+map[bool]int64{true: seq}[seq != 20 && seq != 21])
		}, 20},
		"inserted": {func(seq int64) []byte { return leaf(t, map[bool]int64{true: seq, false: max(seq-1, 1)}[seq < 31]) }, 31},
	} {
		found := check(t, l, 300, c.change)
		named := false
		for _, f := range found {
			named = named || f.Seq == c.seq && f.Check == audit.CheckInclusion
		}
		if !named {
			t.Errorf("%s: event %d is not named in %v", name, c.seq, found)
		}
	}
	if found := check(t, l, 299, nil); len(found) == 0 {
		t.Error("the last event is missing, and nothing found")
	}
}

func TestProofs(t *testing.T) {
	l := open(t, t.TempDir(), key(t))
	grow(t, l, 100)
	points := []audit.Checkpoint{l.Checkpoint()}
	for _, to := range []int64{256, 257, 900} {
		grow(t, l, to)
		points = append(points, l.Checkpoint())
	}
	now := l.Checkpoint()
	for _, p := range points {
		proof, err := l.Consistency(t.Context(), p.Size, now.Size)
		if err != nil {
			t.Fatal(err)
		}
		if err := audit.Consistent(p, now, proof); err != nil {
			t.Errorf("%d to %d: %v", p.Size, now.Size, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.Uint64Range(0, 899).Draw(t, "index")
		hashes, err := l.Inclusion(context.Background(), i, now.Size)
		if err != nil {
			t.Fatal(err)
		}
		b, err := l.Leaf(i)
		if err != nil {
			t.Fatal(err)
		}
		p := audit.Proof{Leaf: b, Index: i, Hashes: hashes, Checkpoint: now.Text, Key: l.Key().Public()}
		if r, err := p.Verify(l.Key().Public()); err != nil || r.Seq != int64(i)+1 {
			t.Fatal(r, err)
		}
		p.Index = (i + 1) % 900
		if _, err := p.Verify(""); err == nil {
			t.Fatal("a proof for another place holds")
		}
		begin := rapid.Uint64Range(0, 900).Draw(t, "begin")
		end := rapid.Uint64Range(begin, 900).Draw(t, "end")
		left, err := l.Subtrees(context.Background(), 0, begin, 900)
		if err != nil {
			t.Fatal(err)
		}
		right, err := l.Subtrees(context.Background(), end, 900, 900)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := audit.NewTree(begin, left)
		if err != nil {
			t.Fatal(err)
		}
		err = l.Leaves(context.Background(), begin, end, func(b []byte) error { return tree.Append(audit.LeafHash(b), nil) })
		if err != nil {
			t.Fatal(err)
		}
		if root, err := tree.RootOver(900, right); err != nil || string(root) != string(now.Root) {
			t.Fatalf("%d to %d: %x, %v", begin, end, root, err)
		}
	})
}

// What was moved is proved where it lies; what stays, without it.
func TestRetain(t *testing.T) {
	dir, k, cold := t.TempDir(), key(t), t.TempDir()
	l := open(t, dir, k)
	grow(t, l, 1000)
	for range 2 { // again, as after an interruption
		if end, err := l.Retain(cold, 600, nil); err != nil || end != 512 {
			t.Fatal(end, err)
		}
	}
	if _, err := l.Leaf(3); slipway.AsError(err).Code != slipway.CodeAuditDamaged {
		t.Errorf("a leaf that was moved away: %v", err)
	}
	if _, err := l.Inclusion(t.Context(), 700, 1000); err != nil {
		t.Errorf("a proof of what stays: %v", err)
	}
	grow(t, l, 1400)
	l = open(t, dir, k)
	if found := check(t, l, 1400, nil); len(found) == 0 {
		t.Error("what was moved away is not missed")
	}
	l = open(t, dir, k, t.TempDir(), cold)
	if found := check(t, l, 1400, nil); len(found) > 0 {
		t.Error(found)
	}
	if b, err := l.Leaf(3); err != nil || string(b) != string(leaf(t, 4)) {
		t.Errorf("%s, %v", b, err)
	}
	flip(t, filepath.Join(cold, layout.EntriesPath(0, 0)), 100, 4)
	if found := check(t, l, 1400, nil); len(found) == 0 {
		t.Error("a changed byte in what was moved is not found")
	}
}

// A log that is not what was signed is not opened, and nothing is written to one that
// somebody else writes.
func TestDamaged(t *testing.T) {
	dir, k := t.TempDir(), key(t)
	grow(t, open(t, dir, k), 300)
	refused := func(what string) {
		t.Helper()
		if _, err := tilelog.Open(t.Context(), dir, k, nil); slipway.AsError(err).Code != slipway.CodeAuditDamaged || slipway.AsError(err).Next == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	tile := filepath.Join(dir, layout.TilePath(1, 0, 1))
	flip(t, tile, 0, 1)
	refused("another tile")
	flip(t, tile, 0, 1)
	if _, err := tilelog.Open(t.Context(), dir, key(t), nil); slipway.AsError(err).Code != slipway.CodeAuditDamaged {
		t.Errorf("another key: %v", err)
	}
	l, twin := open(t, dir, k), open(t, dir, k)
	grow(t, twin, 301)
	if err := l.Append(t.Context(), leaves(t, 301, 301)); slipway.AsError(err).Code != slipway.CodeAuditDamaged {
		t.Errorf("somebody else wrote: %v", err)
	}
	if found := check(t, open(t, dir, k), 301, nil); len(found) > 0 {
		t.Error(found)
	}
}

// A process that was killed leaves files that are removed, and events that are not signed.
func TestLeftovers(t *testing.T) {
	dir, k := t.TempDir(), key(t)
	l := open(t, dir, k)
	grow(t, l, 5)
	point, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	old := layout.EntriesPath(0, 5)
	content, err := os.ReadFile(filepath.Join(dir, old))
	if err != nil {
		t.Fatal(err)
	}
	grow(t, l, 9)
	for name, b := range map[string][]byte{"checkpoint": point, "checkpoint4711": point, ".state/treeState99": nil, old: content, layout.EntriesPath(1, 0) + "123": nil} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l = open(t, dir, k)
	if l.Size() != 9 || l.Checkpoint().Size != 5 {
		t.Errorf("%d events, %d of them signed", l.Size(), l.Checkpoint().Size)
	}
	if err := l.Append(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if found := check(t, open(t, dir, k), 9, nil); len(found) > 0 {
		t.Error(found)
	}
}
