package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/blob"
)

// shelf is a Bucket in memory; the real one passes its own tests.
type shelf struct {
	mu    sync.Mutex
	files map[string][]byte
	put   map[string]time.Time
	now   time.Time
	asked int
	down  error
}

func newShelf() *shelf {
	return &shelf{files: map[string][]byte{}, put: map[string]time.Time{}, now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
}

func (s *shelf) clock() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return s.now }

func (s *shelf) later(d time.Duration) { s.mu.Lock(); defer s.mu.Unlock(); s.now = s.now.Add(d) }

func (s *shelf) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.files))
}

func (s *shelf) Put(_ context.Context, name string, size int64, r io.Reader) error {
	b, err := io.ReadAll(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err = errors.Join(err, s.down); err == nil && int64(len(b)) != size {
		err = errors.New("another number of bytes")
	}
	if err == nil {
		s.files[name], s.put[name] = b, s.now
	}
	return err
}

func (s *shelf) find(name string) ([]byte, error) {
	b, ok := s.files[name]
	if s.down == nil && !ok {
		return nil, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "", "no %s", name)
	}
	return b, s.down
}

func (s *shelf) Stat(_ context.Context, name string) (int64, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.find(name)
	return int64(len(b)), s.put[name], err
}

func (s *shelf) From(_ context.Context, name string, offset int64) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	b, err := s.find(name)
	return io.NopCloser(bytes.NewReader(b[min(offset, int64(len(b))):])), err
}

func (s *shelf) Delete(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, name)
	return s.down
}

func (s *shelf) List(_ context.Context, prefix string, each func(string, int64, time.Time)) error {
	for _, name := range s.names() {
		if strings.HasPrefix(name, prefix) {
			each(name, int64(len(s.files[name])), s.put[name])
		}
	}
	return s.down
}

// elsewhere is a directory whose new blobs go to a bucket, and one that was stored before.
func elsewhere(t *testing.T) (d *blob.Dir, s *shelf, path string, before slipway.Digest) {
	path = t.TempDir()
	keys := &memory{keys: map[string][]byte{}}
	d, s = openWith(t, path, keys), newShelf()
	before = put(t, d, "stored before")
	d.In(s, s.clock)
	return d, s, path, before
}

func TestElsewhere(t *testing.T) {
	d, s, path, before := elsewhere(t)
	large := noise(700_000)
	a, b := put(t, d, "known by its digest"), receive(t, d, large)
	wantCode(t, "other bytes", d.Put(t.Context(), slipway.DigestOf([]byte("abc")), 3, strings.NewReader("abd")), slipway.CodeUploadDigest)
	wantCode(t, "too few", d.Put(t.Context(), slipway.DigestOf([]byte("abc")), 3, strings.NewReader("ab")), slipway.CodeUploadDigest)
	_, _, err := d.Receive(t.Context(), 4, strings.NewReader("abc"))
	wantCode(t, "too few of unknown digest", err, slipway.CodeRequest)
	want := []string{a.Hex()[:2] + "/" + a.Hex() + ".sealed", b.Hex()[:2] + "/" + b.Hex() + ".sealed"}
	slices.Sort(want)
	if got := s.names(); !slices.Equal(got, want) || len(files(t, path)) != 1 {
		t.Errorf("%v are in the bucket, %v here", got, files(t, path))
	}
	for digest, content := range map[slipway.Digest]string{a: "known by its digest", b: large, before: "stored before"} {
		if got, err := read(t, d, digest); got != content || err != nil {
			t.Errorf("%s: %d bytes, %v", digest.Short(), len(got), err)
		}
	}
	s.mu.Lock()
	s.asked = 0
	for name := range s.files {
		if bytes.Contains(s.files[name], []byte(large[:64])) {
			t.Error("it lies there in clear")
		}
	}
	s.mu.Unlock()
	if got, err := read(t, d, b); got != large || err != nil || s.asked != 1 {
		t.Errorf("reading it all took %d requests, %v", s.asked, err)
	}
	r, err := d.OpenAt(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Seek(600_000, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != large[600_000:] || err != nil {
		t.Errorf("from the middle: %d bytes, %v", len(got), err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if err := d.Copy(t.Context(), b, copied); err != nil || len(files(t, copied)) != 1 {
		t.Errorf("copied %v, %v", files(t, copied), err)
	}
	none := slipway.DigestOf([]byte("none"))
	sizes, err := d.Sizes(t.Context(), []slipway.Digest{a, b, before, none})
	if err != nil || len(sizes) != 3 || sizes[b] != 700_000 {
		t.Errorf("%v, %v", sizes, err)
	}
	_, err = read(t, d, none)
	wantCode(t, "one that is nowhere", err, slipway.CodeNotFound)
	s.down = slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, "", "down")
	_, err = read(t, d, b)
	wantCode(t, "while the bucket is down", err, slipway.CodeUnavailable)
	_, _, err = d.Receive(t.Context(), 3, strings.NewReader("abc"))
	wantCode(t, "an upload while the bucket is down", err, slipway.CodeUnavailable)
	if left := files(t, path); len(left) != 1 {
		t.Errorf("%v is left here", left)
	}
}

// What is not wanted goes from both places, but not what was asked for since this process has
// begun, which knows of nothing before.
func TestSweepElsewhere(t *testing.T) {
	d, s, path, before := elsewhere(t)
	old, asked, wanted := receive(t, d, "old"), receive(t, d, "asked"), receive(t, d, "wanted")
	s.mu.Lock()
	s.files["ab/notes.txt"] = []byte("another's")
	s.mu.Unlock()
	age(t, path, before, s.clock().Add(-time.Hour))
	sweep := func(take bool) int {
		t.Helper()
		n, _, err := d.Sweep(t.Context(), func(d slipway.Digest) bool { return d == wanted }, s.clock().Add(-24*time.Hour), take)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	s.later(23 * time.Hour)
	if _, err := d.Missing(t.Context(), []slipway.Digest{asked}); err != nil {
		t.Fatal(err)
	}
	if n := sweep(true); n != 0 {
		t.Errorf("%d went too soon", n)
	}
	s.later(2 * time.Hour)
	if n := sweep(false); n != 2 || len(s.names()) != 4 {
		t.Errorf("%d would go, %v are there", n, s.names())
	}
	if n := sweep(true); n != 2 || len(s.names()) != 3 {
		t.Errorf("%d went, %v are there", n, s.names())
	}
	d.In(s, s.clock) // a start knows of nobody who has asked
	s.later(time.Hour)
	gone, err := d.Reclaim(t.Context(), []slipway.Digest{old, asked, wanted}, s.clock().Add(-2*time.Hour))
	if err != nil || len(gone) != 0 {
		t.Errorf("%v went too soon, %v", gone, err)
	}
	gone, err = d.Reclaim(t.Context(), []slipway.Digest{old, asked}, s.clock().Add(-time.Minute))
	if err != nil || gone[asked] != 5 || len(gone) != 1 {
		t.Errorf("%v went, %v", gone, err)
	}
	if err := d.Remove(t.Context(), wanted); err != nil || len(s.names()) != 1 {
		t.Errorf("%v are there, %v", s.names(), err)
	}
}
