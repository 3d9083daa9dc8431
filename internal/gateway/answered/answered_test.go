package answered

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 3, 3, 12, 0, 0, 5e6, time.UTC)

func open(t testing.TB, dir string, bytes int64, now func() time.Time) *Log {
	t.Helper()
	l, err := Open(Config{Dir: dir, Bytes: bytes, Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func found(t *testing.T, l *Log, id string) []Answer {
	t.Helper()
	out, err := l.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFind(t *testing.T) {
	now, dir := start, t.TempDir()
	l := open(t, dir, 0, func() time.Time { return now })
	l.Note("order-1", "fraud fraud-1", OK)
	now = now.Add(time.Second)
	l.Note("order-2", "fraud fraud-2", Rescued)
	l.Note("order-1", "churn.staging "+strings.Repeat("x", 30), Rejected)
	want := []Answer{{start.Add(time.Second), "churn.staging " + strings.Repeat("x", 30), "rejected"}, {start, "fraud fraud-1", "answered"}}
	if diff := cmp.Diff(want, found(t, l, "order-1")); diff != "" {
		t.Error(diff)
	}
	if got := found(t, l, "order-3"); len(got) != 0 {
		t.Error(got)
	}
	now = now.Add(time.Second)
	again := open(t, dir, 0, func() time.Time { return now }) // the old one still writes, as in a hand-over
	again.Note("order-1", "fraud fraud-3", Failed)
	l.Note("order-9", "fraud fraud-1", OK)
	l.Flush()
	want = append([]Answer{{start.Add(2 * time.Second), "fraud fraud-3", "failed"}}, want...)
	if diff := cmp.Diff(want, found(t, again, "order-1")); diff != "" {
		t.Error(diff)
	}
	if got := found(t, again, "order-9"); len(got) != 1 {
		t.Error(got)
	}
	all := ""
	files, _ := filepath.Glob(dir + "/*")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		all += string(b)
	}
	if strings.Contains(all, "order-1") {
		t.Error("an id of a request is in a file")
	}
}

// TestTorn cuts a file at each byte: what was whole is found, and nothing else is invented.
func TestTorn(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, 0, func() time.Time { return start })
	for i := range 5 {
		l.Note("order-"+strconv.Itoa(i), fmt.Sprintf("fraud fraud-%d", i), OK)
	}
	l.Flush()
	files, _ := l.files()
	whole, _ := os.ReadFile(filepath.Join(dir, files[0]))
	last := 0
	for n := range len(whole) + 1 {
		if err := os.WriteFile(filepath.Join(dir, files[0]), whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		have := 0
		for i := range 5 {
			for _, a := range found(t, l, "order-"+strconv.Itoa(i)) {
				if a.Name != fmt.Sprintf("fraud fraud-%d", i) || !a.Time.Equal(start) {
					t.Fatalf("of %d bytes: %+v", n, a)
				}
				have++
			}
		}
		if have < last {
			t.Fatalf("%d bytes have %d answers, fewer ones had %d", n, have, last)
		}
		last = have
	}
	if last != 5 {
		t.Errorf("%d of 5", last)
	}
}

// TestBounded: the newest are kept, and the files stay within their bound.
func TestBounded(t *testing.T) {
	now, dir := start, t.TempDir()
	const bound = 64 << 10
	l := open(t, dir, bound, func() time.Time { return now })
	for i := range 20_000 {
		now = now.Add(time.Millisecond)
		l.Note("order-"+strconv.Itoa(i), "fraud fraud-1", OK)
		if i%100 == 0 {
			l.Flush()
		}
	}
	l.Flush()
	files, _ := l.files()
	total := int64(0)
	for _, f := range files {
		info, _ := os.Stat(filepath.Join(dir, f))
		total += info.Size()
	}
	if total > bound || total < bound/2 {
		t.Errorf("%d bytes of %d in %d files", total, bound, len(files))
	}
	if len(found(t, l, "order-19999")) != 1 || len(found(t, l, "order-1")) != 0 {
		t.Error("not the newest are kept")
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, dir, 0, time.Now)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { l.Run(ctx) })
		l.Note("a", "fraud fraud-1", OK)
		time.Sleep(2 * every)
		synctest.Wait()
		if other := open(t, dir, 0, time.Now); len(found(t, other, "a")) != 1 { // the disk has it
			t.Error("nothing was written")
		}
		l.Note("b", "fraud fraud-1", OK)
		stop()
		wg.Wait()
		if other := open(t, dir, 0, time.Now); len(found(t, other, "b")) != 1 {
			t.Error("what was noted last was not written")
		}
	})
}

// TestDiskTakesNothing: requests are not held up, and what comes later is kept again.
func TestDiskTakesNothing(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "answered")
	l := open(t, dir, 0, func() time.Time { return start })
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	l.Note("a", "fraud fraud-1", OK)
	l.Flush()
	if l.Dropped() != 1 {
		t.Error(l.Dropped())
	}
	if err := os.Rename(dir+".gone", dir); err != nil {
		t.Fatal(err)
	}
	l.Note("b", "fraud fraud-1", OK)
	if got := found(t, l, "b"); len(got) != 1 || got[0].Name != "fraud fraud-1" {
		t.Error(got)
	}
	for range maxBuffer + 5 {
		l.Note("c", "fraud fraud-1", OK)
	}
	if l.Dropped() != 6 {
		t.Error(l.Dropped())
	}
	if got := found(t, l, "c"); len(got) != maxFound {
		t.Error(len(got))
	}
}

func TestGivenUp(t *testing.T) {
	l := open(t, t.TempDir(), 0, func() time.Time { return start })
	l.Note("a", "x", OK)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Find(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func FuzzScan(f *testing.F) {
	dir := f.TempDir()
	l := open(f, dir, 0, func() time.Time { return start })
	l.Note("a", "fraud fraud-1", OK)
	l.Flush()
	files, _ := l.files()
	b, _ := os.ReadFile(filepath.Join(dir, files[0]))
	f.Add(b)
	f.Add(append(bytes.Clone(b), 1, 2, 3))
	want := l.hash("a")
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := scan(t.Context(), bytes.NewReader(b), want)
		if err != nil || len(out) > maxFound {
			t.Fatal(len(out), err)
		}
	})
}

func BenchmarkNote(b *testing.B) {
	l := open(b, b.TempDir(), 0, time.Now)
	ctx, stop := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() { l.Run(ctx) })
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			l.Note("k3jx9q-1a2b3c", "fraud fraud-12", OK)
		}
	})
	b.StopTimer()
	stop()
	wg.Wait()
	b.ReportMetric(float64(l.Dropped())/float64(b.N), "dropped/op")
}

func BenchmarkFindInMillion(b *testing.B) {
	l := open(b, b.TempDir(), 0, time.Now)
	for i := range 1_000_000 {
		l.Note("k3jx9q-"+strconv.Itoa(i), "fraud fraud-12", OK)
		if i%100_000 == 0 {
			l.Flush()
		}
	}
	for b.Loop() {
		if out, err := l.Find(b.Context(), "k3jx9q-0"); err != nil || len(out) != 1 {
			b.Fatal(out, err)
		}
	}
}
