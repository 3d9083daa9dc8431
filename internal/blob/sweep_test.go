package blob_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
)

// age sets when a blob was stored or asked for last.
func age(t rapid.TB, path string, digest slipway.Digest, when time.Time) {
	if err := os.Chtimes(filepath.Join(path, digest.Hex()[:2], digest.Hex()+".sealed"), when, when); err != nil {
		t.Fatal(err)
	}
}

// countdown is a context that ends when it was looked at so many times: a sweep that is
// killed there has done no more and no less.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestSweep: what is wanted stays, and what is young or was asked for; all else goes, and is
// counted. A sweep that was broken off anywhere is finished by the next.
func TestSweep(t *testing.T) {
	path := t.TempDir()
	d, run := open(t, path), 0
	now := time.Now()
	before := now.Add(-24 * time.Hour)
	rapid.Check(t, func(r *rapid.T) {
		run++ // each run has blobs of its own, and begins with none
		if _, _, err := d.Sweep(t.Context(), func(slipway.Digest) bool { return false }, now.Add(time.Hour), true); err != nil {
			r.Fatal(err)
		}
		wanted, stays := map[slipway.Digest]bool{}, map[slipway.Digest]bool{}
		var gone int
		var bytes int64
		for i := range rapid.IntRange(0, 8).Draw(r, "blobs") {
			content := fmt.Sprint("blob ", run, i)
			digest := put(t, d, content)
			hours := rapid.SampledFrom([]int{0, 23, 25, 1000}).Draw(r, "hours")
			age(r, path, digest, now.Add(-time.Duration(hours)*time.Hour))
			kept := hours < 24
			switch rapid.SampledFrom([]string{"", "wanted", "asked", "again", "missing"}).Draw(r, "use") {
			case "wanted":
				wanted[digest], kept = true, true
			case "asked":
				if sizes, err := d.Sizes(t.Context(), []slipway.Digest{digest}); err != nil || len(sizes) != 1 {
					r.Fatal(sizes, err)
				}
				kept = true
			case "again":
				put(t, d, content)
				kept = true
			case "missing":
				if missing, err := d.Missing(t.Context(), []slipway.Digest{digest}); err != nil || len(missing) != 0 {
					r.Fatal(missing, err)
				}
				kept = true
			}
			if stays[digest] = kept; !kept {
				gone++
				bytes += int64(len(content))
			}
		}
		keep := func(d slipway.Digest) bool { return wanted[d] }
		if n, size, err := d.Sweep(t.Context(), keep, before, false); n != gone || size != bytes || err != nil {
			r.Fatalf("found %d of %d bytes, %v; want %d of %d", n, size, err, gone, bytes)
		}
		first, firstSize, err := d.Sweep(&countdown{t.Context(), rapid.IntRange(0, 8).Draw(r, "steps")}, keep, before, true)
		if err != nil && !errors.Is(err, context.Canceled) {
			r.Fatal(err)
		}
		second, secondSize, err := d.Sweep(t.Context(), keep, before, true)
		if first+second != gone || firstSize+secondSize != bytes || err != nil {
			r.Fatalf("removed %d and %d, %v; want %d", first, second, err, gone)
		}
		for digest, kept := range stays {
			if _, err := read(t, d, digest); (err == nil) != kept {
				r.Fatalf("kept %v, read: %v", kept, err)
			}
		}
	})
}

// TestSweepBesideRegistration: who was told that a blob is there finds it there, however
// long ago it was stored and although the sweep knows nothing of it.
func TestSweepBesideRegistration(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	old := time.Now().Add(-48 * time.Hour)
	before := time.Now().Add(-24 * time.Hour)
	var wg sync.WaitGroup
	done := make(chan struct{})
	removed := 0
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			n, _, err := d.Sweep(t.Context(), func(slipway.Digest) bool { return false }, before, true)
			if removed += n; err != nil {
				t.Error(err)
			}
		}
	})
	again := 0
	for i := 0; i < 200 || again < 5 && i < 20_000; i++ {
		content := fmt.Sprint("model ", i)
		digest := put(t, d, content)
		if err := os.Chtimes(filepath.Join(path, digest.Hex()[:2], digest.Hex()+".sealed"), old, old); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		missing, err := d.Missing(t.Context(), []slipway.Digest{digest})
		if err != nil {
			t.Fatal(err)
		}
		if len(missing) == 1 { // the sweep was before us
			again++
			put(t, d, content)
		}
		if got, err := read(t, d, digest); got != content || err != nil {
			t.Fatalf("promised, and read with %v", err)
		}
	}
	close(done)
	wg.Wait()
	if again == 0 || removed < again {
		t.Errorf("the sweep removed %d, and came first %d times: nothing was tried", removed, again)
	}
}

// TestReclaim: what is named goes, unless somebody has stored it or asked for it lately.
func TestReclaim(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	now := time.Now()
	old := receive(t, d, "old")
	asked := receive(t, d, "asked")
	young := receive(t, d, "young")
	plain := inClear(t, path, "in clear")
	for _, digest := range []slipway.Digest{old, asked} {
		age(t, path, digest, now.Add(-time.Hour))
	}
	if err := os.Chtimes(filepath.Join(path, plain.Hex()[:2], plain.Hex()), now.Add(-time.Hour), now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Missing(t.Context(), []slipway.Digest{asked}); err != nil {
		t.Fatal(err)
	}
	none := slipway.DigestOf([]byte("none"))
	gone, err := d.Reclaim(t.Context(), []slipway.Digest{old, asked, young, plain, none}, now.Add(-time.Minute))
	if err != nil || len(gone) != 2 || gone[old] != 3 || gone[plain] != 8 {
		t.Errorf("%v, %v", gone, err)
	}
	if left := files(t, path); len(left) != 2 {
		t.Errorf("%v is left", left)
	}
	if _, err := d.Reclaim(t.Context(), []slipway.Digest{"sha256:../x"}, now); err == nil {
		t.Error("a path was removed")
	}
}
