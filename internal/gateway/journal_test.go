package gateway_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slipway-ml/slipway/internal/gateway"
)

func journalLines(t *testing.T, dir string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "journal.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(strings.Lines(string(b)))
}

// A full disk delays the record of a rollback, not the rollback.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, dir := newFake(), t.TempDir()
		h := open(t, dir, f)
		h.apply(table(1, serving(.5)))
		mend := h.FillDisk(t)
		start := time.Now()
		out, err := h.Rollback(t.Context(), "fraud", "ana", "why not")
		if err != nil || out.Journalled {
			t.Fatalf("%+v, %v", out, err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("the answer waited %s for the disk", took)
		}
		for range 50 {
			if from := h.infer().Header().Get("Slipway-Revision"); from != "fraud-1" {
				t.Fatal("the rollback does not stand")
			}
		}
		if v := h.Journal(0); len(v) != 1 || v[0].Seq != out.VetoSeq || h.Observe().VetoSeq != out.VetoSeq {
			t.Errorf("the server is not told: %+v", v)
		}
		if w := h.send("GET", "/metrics", ownerToken, ""); !strings.Contains(w.Body.String(), "slipway_gateway_journal_unwritten 1\n") {
			t.Error("the entry is not reported as unwritten")
		}
		if lines := journalLines(t, dir); len(lines) != 0 {
			t.Errorf("on disk: %q", lines)
		}
		mend()
		time.Sleep(2 * time.Second)
		if lines := journalLines(t, dir); len(lines) != 1 || !strings.Contains(lines[0], "why not") {
			t.Errorf("on disk after the repair: %q", lines)
		}
		h.stop()
	})
}

func TestJournalIsReadBack(t *testing.T) {
	const (
		one = `{"seq":7,"endpoint":"fraud","rollout":{"deployment":"dep_1","attempt":1},"revision":"fraud-2"}` + "\n"
		two = `{"seq":9,"endpoint":"fraud","rollout":{"deployment":"dep_2","attempt":1},"revision":"fraud-3"}` + "\n"
	)
	for name, c := range map[string]struct {
		content string
		seqs    []uint64
		damaged bool
	}{
		"empty": {}, "two": {one + two, []uint64{7, 9}, false},
		"torn":    {one + two[:40], []uint64{7}, false},
		"damaged": {one + "{}x\n" + two, nil, true},
		"garbage": {"\x00\x01\n", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			f, dir := newFake(), t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "journal.jsonl"), []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.damaged {
				config := open(t, t.TempDir(), f).config
				config.Dir, config.Metrics = dir, newRegistry()
				if _, err := gateway.Open(config); err == nil {
					t.Error("a damaged journal is taken for whole: a rollback could be forgotten")
				}
				return
			}
			h := open(t, dir, f)
			var seqs []uint64
			for _, v := range h.Journal(0) {
				seqs = append(seqs, v.Seq)
			}
			if !slices.Equal(seqs, c.seqs) {
				t.Errorf("%v", seqs)
			}
			e := serving(.5)
			e.Rollout.Deployment = "dep_3"
			h.apply(table(1, e))
			out, err := h.Rollback(t.Context(), "fraud", "ana", "")
			if err != nil || !out.Journalled || len(seqs) > 0 && out.VetoSeq <= slices.Max(seqs) {
				t.Fatalf("%+v, %v", out, err)
			}
			h.stop()
			h = open(t, dir, f)
			if got := h.Journal(0); len(got) != len(c.seqs)+1 || got[len(got)-1].Seq != out.VetoSeq {
				t.Errorf("after another restart: %+v", got)
			}
		})
	}
}

// A number is never given twice, even if the entry that had it was lost with the process.
func TestNumbersAreNotReused(t *testing.T) {
	f, dir := newFake(), t.TempDir()
	h := open(t, dir, f)
	h.apply(table(1, serving(.5)))
	mend := h.FillDisk(t)
	lost, err := h.Rollback(t.Context(), "fraud", "ana", "")
	if err != nil || lost.Journalled {
		t.Fatalf("%+v, %v", lost, err)
	}
	h.stop()
	mend()
	if err := os.Truncate(filepath.Join(dir, "journal.jsonl"), 0); err != nil {
		t.Fatal(err)
	}
	h = open(t, dir, f)
	again, err := h.Rollback(t.Context(), "fraud", "ana", "")
	if err != nil || again.VetoSeq <= lost.VetoSeq {
		t.Errorf("%d after %d, %v", again.VetoSeq, lost.VetoSeq, err)
	}
}
