package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/blob"
)

// memory keeps the keys of one test.
type memory struct {
	mu   sync.Mutex
	keys map[string][]byte
	down error
}

func (m *memory) Key(_ context.Context, digest string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys[digest] == nil {
		return nil, &slipway.Error{Code: slipway.CodeShredded, Kind: slipway.NotFound}
	}
	return m.keys[digest], m.down
}

func (m *memory) Make(_ context.Context, digest string) (key []byte, fresh bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil {
		return nil, false, m.down
	}
	key = m.keys[digest]
	if key == nil {
		key, fresh = bytes.Repeat([]byte{byte(len(m.keys))}, 32), true
		m.keys[digest] = key
	}
	return key, fresh, nil
}

// shred forgets the key of a blob.
func (m *memory) shred(digest slipway.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys[string(digest)] = nil
}

func open(t *testing.T, path string) *blob.Dir {
	t.Helper()
	return openWith(t, path, ring)
}

// ring is what tests share that do not look at keys.
var ring = &memory{keys: map[string][]byte{}}

func openWith(t *testing.T, path string, m *memory) *blob.Dir {
	t.Helper()
	d, err := blob.Open(path, m)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// files lists every file below a directory.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func put(t *testing.T, d *blob.Dir, content string) slipway.Digest {
	t.Helper()
	digest := slipway.DigestOf([]byte(content))
	if err := d.Put(t.Context(), digest, int64(len(content)), strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return digest
}

func read(t *testing.T, d *blob.Dir, digest slipway.Digest) (string, error) {
	t.Helper()
	r, size, err := d.Open(t.Context(), digest)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err == nil && size != int64(len(b)) {
		t.Errorf("%d bytes were announced, %d came", size, len(b))
	}
	return string(b), err
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

func TestPut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "blobs")
	d := open(t, path)
	var want []string
	for _, content := range []string{"", "a", strings.Repeat("model", 200_000)} {
		digest := put(t, d, content)
		if got, err := read(t, d, digest); got != content || err != nil {
			t.Errorf("%.10q came back as %.10q, %v", content, got, err)
		}
		want = append(want, filepath.Join(digest.Hex()[:2], digest.Hex()+".sealed"))
	}
	if diff := cmp.Diff(len(want), len(files(t, path))); diff != "" {
		t.Errorf("%v are there, want %v", files(t, path), want)
	}
	d = open(t, path) // a restart
	a := slipway.DigestOf([]byte("a"))
	if err := d.Put(t.Context(), a, 1, iotest.ErrReader(errors.New("was read"))); err != nil {
		t.Errorf("a blob that is there: %v", err)
	}
	for _, p := range want {
		st, err := os.Stat(filepath.Join(path, p))
		if err != nil || st.Mode().Perm() != 0o400 {
			t.Errorf("%s: %v, %v", p, st.Mode(), err)
		}
	}
}

func TestPutRefuses(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	a := slipway.DigestOf([]byte("abc"))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name   string
		ctx    context.Context
		digest slipway.Digest
		size   int64
		r      io.Reader
		code   string
	}{
		{"other bytes", t.Context(), a, 3, strings.NewReader("abd"), slipway.CodeUploadDigest},
		{"too few", t.Context(), a, 3, strings.NewReader("ab"), slipway.CodeUploadDigest},
		{"too many", t.Context(), a, 3, strings.NewReader("abcd"), slipway.CodeUploadDigest},
		{"too few announced", t.Context(), a, 2, strings.NewReader("abc"), slipway.CodeUploadDigest},
		{"no size", t.Context(), a, -1, strings.NewReader("abc"), slipway.CodeInvalid},
		{"too large", t.Context(), a, 50<<30 + 1, iotest.ErrReader(errors.New("was read")), slipway.CodeTooLarge},
		{"a broken connection", t.Context(), a, 3, io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(io.ErrUnexpectedEOF)), slipway.CodeRequest},
		{"a wrapped end", t.Context(), a, 3, io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(fmt.Errorf("x: %w", io.EOF))), slipway.CodeRequest},
		{"a call given up", cancelled, a, 3, strings.NewReader("abc"), slipway.CodeRequest},
		{"no digest", t.Context(), "", 3, strings.NewReader("abc"), slipway.CodeInvalidDigest},
		{"a path", t.Context(), "sha256:../../../../x", 3, strings.NewReader("abc"), slipway.CodeInvalidDigest},
	} {
		wantCode(t, c.name, d.Put(c.ctx, c.digest, c.size, c.r), c.code)
	}
	if left := files(t, path); len(left) != 0 {
		t.Errorf("%v was left", left)
	}
	if err := d.Put(cancelled, a, 3, strings.NewReader("abc")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the reason", err)
	}
}

func TestQueries(t *testing.T) {
	d := open(t, t.TempDir())
	a, none := put(t, d, "abc"), slipway.DigestOf([]byte("none"))
	missing, err := d.Missing(t.Context(), []slipway.Digest{none, a, none})
	if diff := cmp.Diff([]slipway.Digest{none}, missing); err != nil || diff != "" {
		t.Errorf("missing: %v %s", err, diff)
	}
	sizes, err := d.Sizes(t.Context(), []slipway.Digest{a, none})
	if diff := cmp.Diff(map[slipway.Digest]int64{a: 3}, sizes); err != nil || diff != "" {
		t.Errorf("sizes: %v %s", err, diff)
	}
	_, err = read(t, d, none)
	wantCode(t, "a blob that is not there", err, slipway.CodeNotFound)
	for _, bad := range []slipway.Digest{"", "sha256:..", "sha256:" + slipway.Digest(strings.Repeat("A", 64))} {
		_, err = read(t, d, bad)
		wantCode(t, "opening "+string(bad), err, slipway.CodeInvalidDigest)
		_, err = d.Missing(t.Context(), []slipway.Digest{bad})
		wantCode(t, "looking for "+string(bad), err, slipway.CodeInvalidDigest)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Missing(ctx, []slipway.Digest{a}); !errors.Is(err, context.Canceled) {
		t.Errorf("missing: %v, want to be cancelled", err)
	}
	if _, _, err := d.Open(ctx, a); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v, want to be cancelled", err)
	}
}

// A blob that has rotted is never read to its end, and one that was cut can be uploaded
// anew.
func TestRot(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	for _, content := range []string{"abcdef", "", strings.Repeat("model", 40_000)} {
		digest := put(t, d, content)
		at := filepath.Join(path, digest.Hex()[:2], digest.Hex()+".sealed")
		sound, err := os.ReadFile(at)
		if err != nil {
			t.Fatal(err)
		}
		rot := func(what string, rotten []byte) {
			t.Helper()
			if err := errors.Join(os.Chmod(at, 0o600), os.WriteFile(at, rotten, 0o600)); err != nil {
				t.Fatal(err)
			}
			got, err := read(t, d, digest)
			wantCode(t, fmt.Sprintf("%s, read as %.20q", what, got), err, slipway.CodeUploadDigest)
			if r, n, err := d.Open(t.Context(), digest); err != nil {
				t.Error(err)
			} else if _, err = io.ReadFull(r, make([]byte, n)); n > 0 {
				wantCode(t, what+", reading exactly its bytes", err, slipway.CodeUploadDigest)
			}
			if len(rotten) != len(sound) {
				put(t, d, content)
				if got, err := read(t, d, digest); got != content || err != nil {
					t.Errorf("healed: %.20q, %v", got, err)
				}
			}
		}
		for _, i := range []int{0, 1, 39, 40, len(sound) / 2, len(sound) - 1} {
			flipped := bytes.Clone(sound)
			flipped[i] ^= 4
			rot(fmt.Sprintf("byte %d of %d", i, len(sound)), flipped)
		}
		for _, n := range []int{0, 1, 40, 56, 64 << 10, 2 * 64 << 10, len(sound) - 1} {
			if n < len(sound) {
				rot(fmt.Sprintf("cut to %d of %d", n, len(sound)), sound[:n])
			}
		}
		rot("longer", append(bytes.Clone(sound), 0))
	}
}

// However an upload is cut into pieces and whoever else uploads the same, what is there is
// whole.
func TestConcurrently(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			content := bytes.Repeat([]byte{byte(i % 3)}, 300_000)
			digest := slipway.DigestOf(content)
			r := io.Reader(bytes.NewReader(content))
			if i%2 == 0 {
				r = iotest.HalfReader(r)
			}
			if i%8 == 7 { // a liar under the same name
				r = bytes.NewReader(append([]byte("x"), content[1:]...))
			}
			err := d.Put(t.Context(), digest, int64(len(content)), r)
			if err != nil && i%8 != 7 {
				t.Error(err)
			}
			if err != nil {
				return
			}
			if got, err := read(t, d, digest); err != nil || got != string(content) {
				t.Errorf("acknowledged, and read with %v", err)
			}
		})
	}
	wg.Wait()
	if left := files(t, path); len(left) != 3 {
		t.Errorf("%v, want three blobs", left)
	}
}

// The directory agrees with a map.
func TestModel(t *testing.T) {
	path := t.TempDir()
	d, run, blobs := open(t, path), 0, 0
	rapid.Check(t, func(r *rapid.T) {
		run++ // each run has blobs of its own
		model := map[slipway.Digest]string{}
		content := rapid.Map(rapid.SampledFrom([]string{"", "a", "b", "ab"}), func(s string) string { return fmt.Sprint(run, s) })
		for range rapid.IntRange(1, 8).Draw(r, "steps") {
			sent, named := content.Draw(r, "sent"), content.Draw(r, "named")
			digest := slipway.DigestOf([]byte(named))
			err := d.Put(t.Context(), digest, int64(len(sent)), strings.NewReader(sent))
			_, known := model[digest]
			if ok := sent == named || known && len(sent) == len(named); ok != (err == nil) {
				r.Fatalf("put %q as %q, known %v: %v", sent, named, known, err)
			}
			if err == nil {
				model[digest] = named
			}
			for want, c := range model {
				if got, err := read(t, d, want); got != c || err != nil {
					r.Fatalf("%q came back as %q, %v", c, got, err)
				}
			}
		}
		blobs += len(model)
	})
	if n := len(files(t, path)); n != blobs {
		t.Fatalf("%d files for %d blobs", n, blobs)
	}
}
