package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/blob"
)

func receive(t rapid.TB, d *blob.Dir, content string) slipway.Digest {
	t.Helper()
	digest, n, err := d.Receive(context.Background(), int64(len(content)), strings.NewReader(content))
	if want := slipway.DigestOf([]byte(content)); err != nil || digest != want || n != int64(len(content)) {
		t.Fatalf("received %d bytes as %s, %v; want %d as %s", n, digest, err, len(content), want)
	}
	return digest
}

func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return string(b)
}

// What comes is stored under the digest that it turns out to have, of every size, around the
// ends of segments and of what is in memory too.
func TestReceive(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	sizes := []int{0, 1, 100, 65_418, 65_419, 65_420, 65_536, 130_954, 130_955, 262_143, 262_144, 262_145, 1_500_000}
	for _, n := range sizes {
		content := noise(n)
		digest := receive(t, d, content)
		if got, err := read(t, d, digest); got != content || err != nil {
			t.Errorf("%d bytes: %d came back, %v", n, len(got), err)
		}
		st, err := os.Stat(filepath.Join(path, digest.Hex()[:2], digest.Hex()+".sealed"))
		if err != nil || st.Size() != blob.WrappedSize(int64(n)) || st.Mode().Perm() != 0o400 {
			t.Errorf("%d bytes take %d, %v, want %d", n, st.Size(), st.Mode(), blob.WrappedSize(int64(n)))
		}
		if sizes, err := d.Sizes(t.Context(), []slipway.Digest{digest}); err != nil || sizes[digest] != int64(n) {
			t.Errorf("%d bytes are said to be %v, %v", n, sizes, err)
		}
		unknown, m, err := d.Receive(t.Context(), -1, iotest.HalfReader(strings.NewReader(content)))
		if unknown != digest || m != int64(n) || err != nil {
			t.Errorf("of unknown size: %s, %d, %v", unknown, m, err)
		}
	}
	if all := files(t, path); len(all) != len(sizes) {
		t.Errorf("%d files for %d blobs", len(all), len(sizes))
	}
	for _, n := range sizes {
		put(t, d, noise(n)) // known by its digest: is there
	}
	wantSealed(t, path, noise(1_500_000)[:64])
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.Int64Range(0, 50<<30).Draw(r, "n")
		if got := blob.Unwrapped(blob.WrappedSize(n)); got != n {
			r.Fatalf("%d became %d", n, got)
		}
	})
}

// What an older program, or one that knew the digest, has stored is not stored again.
func TestReceiveWhatIsThere(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	content := noise(200_000)
	digest := put(t, d, content)
	file := filepath.Join(path, digest.Hex()[:2], digest.Hex()+".sealed")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	receive(t, d, content)
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("it was stored again: %v", err)
	}
}

func TestReceiveRefuses(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	large := noise(900_000)
	for _, c := range []struct {
		name string
		ctx  context.Context
		size int64
		r    io.Reader
		code string
	}{
		{"too few", t.Context(), 4, strings.NewReader("abc"), slipway.CodeRequest},
		{"too many", t.Context(), 2, strings.NewReader("abc"), slipway.CodeRequest},
		{"too large", t.Context(), 50<<30 + 1, iotest.ErrReader(errors.New("was read")), slipway.CodeTooLarge},
		{"a broken connection", t.Context(), 3, io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(io.ErrUnexpectedEOF)), slipway.CodeRequest},
		{"a large one that breaks", t.Context(), 900_001, io.MultiReader(strings.NewReader(large), iotest.ErrReader(io.ErrUnexpectedEOF)), slipway.CodeRequest},
		{"a large one that ends early", t.Context(), 900_001, strings.NewReader(large), slipway.CodeRequest},
		{"of unknown size, broken", t.Context(), -1, io.MultiReader(strings.NewReader(large), iotest.ErrReader(io.ErrUnexpectedEOF)), slipway.CodeRequest},
		{"a wrapped end", t.Context(), 3, io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(fmt.Errorf("x: %w", io.EOF))), slipway.CodeRequest},
		{"a call given up", cancelled, 3, strings.NewReader("abc"), slipway.CodeRequest},
	} {
		_, _, err := d.Receive(c.ctx, c.size, c.r)
		wantCode(t, c.name, err, c.code)
	}
	down := openWith(t, t.TempDir(), &memory{keys: map[string][]byte{}, down: &slipway.Error{Code: slipway.CodeKeyService}})
	_, _, err := down.Receive(t.Context(), 3, strings.NewReader("abc"))
	wantCode(t, "without the key service", err, slipway.CodeKeyService)
	if left := files(t, path); len(left) != 0 {
		t.Errorf("%v was left", left)
	}
}

// A blob whose key was destroyed is stored anew, and what was there goes.
func TestReceiveAfterShredding(t *testing.T) {
	path := t.TempDir()
	keys := &memory{keys: map[string][]byte{}}
	d := openWith(t, path, keys)
	digest := receive(t, d, "abc")
	keys.shred(digest)
	_, err := d.OpenAt(t.Context(), digest)
	wantCode(t, "shredded", err, slipway.CodeShredded)
	receive(t, d, "abc")
	if got, err := read(t, d, digest); got != "abc" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// Rot of any byte is found when what it is part of is read, and never read past.
func TestReceivedRot(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	for _, n := range []int{0, 6, 150_000} {
		digest := receive(t, d, noise(n))
		at := filepath.Join(path, digest.Hex()[:2], digest.Hex()+".sealed")
		sound, err := os.ReadFile(at)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range []int{0, 1, 60, 61, 62, 100, 101, len(sound) / 2, len(sound) - 1} {
			rotten := bytes.Clone(sound)
			rotten[i] ^= 4
			if err := errors.Join(os.Chmod(at, 0o600), os.WriteFile(at, rotten, 0o600)); err != nil {
				t.Fatal(err)
			}
			_, err := read(t, d, digest)
			wantCode(t, fmt.Sprintf("%d bytes, rot at %d", n, i), err, slipway.CodeUploadDigest)
		}
		for _, cut := range []int{0, 1, 61, 101, 64 << 10, 2 * 64 << 10, len(sound) - 1} {
			if cut >= len(sound) {
				continue
			}
			if err := os.WriteFile(at, sound[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := read(t, d, digest)
			wantCode(t, fmt.Sprintf("%d bytes, cut to %d", n, cut), err, slipway.CodeUploadDigest)
		}
		receive(t, d, noise(n))
		if got, err := read(t, d, digest); got != noise(n) || err != nil {
			t.Errorf("healed: %d bytes, %v", len(got), err)
		}
	}
}

// A file does not open under another name, even if both are of one owner.
func TestReceivedElsewhere(t *testing.T) {
	path := t.TempDir()
	key := bytes.Repeat([]byte{7}, 32)
	d := openWith(t, path, &memory{keys: map[string][]byte{string(slipway.DigestOf([]byte("abc"))): key, string(slipway.DigestOf([]byte("xyz"))): key}})
	a, b := receive(t, d, "abc"), receive(t, d, "xyz")
	place := func(d slipway.Digest) string { return filepath.Join(path, d.Hex()[:2], d.Hex()+".sealed") }
	if err := os.Rename(place(a), place(b)); err != nil {
		t.Fatal(err)
	}
	_, err := read(t, d, b)
	wantCode(t, "a file under another name", err, slipway.CodeUploadDigest)
}

// Any way through a blob gives what a reader of plain bytes gives, in each of the three forms
// that files have.
func TestOpenAt(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	rapid.Check(t, func(r *rapid.T) {
		content := noise(rapid.SampledFrom([]int{0, 1, 65_418, 65_419, 65_420, 65_480, 131_000, 400_000}).Draw(r, "size") + rapid.IntRange(0, 3).Draw(r, "more"))
		var digest slipway.Digest
		switch rapid.SampledFrom([]string{"received", "put", "in clear"}).Draw(r, "form") {
		case "received":
			digest = receive(r, d, content)
		case "put":
			digest = put(t, d, content)
		default:
			digest = slipway.DigestOf([]byte(content))
			if err := d.Remove(t.Context(), digest); err != nil {
				r.Fatal(err)
			}
			inClear(t, path, content)
			defer d.Remove(t.Context(), digest)
		}
		got, err := d.OpenAt(t.Context(), digest)
		if err != nil {
			r.Fatal(err)
		}
		defer got.Close()
		if got.Size() != int64(len(content)) {
			r.Fatalf("%d bytes, want %d", got.Size(), len(content))
		}
		want := strings.NewReader(content)
		for range rapid.IntRange(1, 6).Draw(r, "steps") {
			if rapid.Bool().Draw(r, "seek") {
				whence := rapid.IntRange(-1, 3).Draw(r, "whence")
				offset := rapid.Int64Range(-10, int64(len(content))+10).Draw(r, "offset")
				if whence == io.SeekEnd {
					offset = -offset
				}
				a, errA := got.Seek(offset, whence)
				b, errB := want.Seek(offset, whence)
				if (errA == nil) != (errB == nil) || errA == nil && a != b {
					r.Fatalf("seek %d, %d: %d, %v; want %d, %v", offset, whence, a, errA, b, errB)
				}
				continue
			}
			n := rapid.SampledFrom([]int{1, 100, 70_000, 500_000}).Draw(r, "n")
			a, b := make([]byte, n), make([]byte, n)
			na, errA := io.ReadFull(got, a)
			nb, errB := io.ReadFull(want, b)
			if na != nb || !errors.Is(errA, errB) || !bytes.Equal(a[:na], b[:nb]) {
				r.Fatalf("read %d: %d, %v; want %d, %v", n, na, errA, nb, errB)
			}
		}
	})
}

// Sound parts of a blob can be read although others have rotted.
func TestOpenAtBesideRot(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	content := noise(500_000)
	digest := receive(t, d, content)
	at := filepath.Join(path, digest.Hex()[:2], digest.Hex()+".sealed")
	b, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	b[200_000] ^= 1
	if err := errors.Join(os.Chmod(at, 0o600), os.WriteFile(at, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	r, err := d.OpenAt(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Seek(300_000, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != content[300_000:] || err != nil {
		t.Errorf("the sound end: %d bytes, %v", len(got), err)
	}
}

func TestReceiveConcurrently(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			content := noise(300_000 + i%3)
			if i%2 == 0 {
				put(t, d, content)
			} else {
				receive(t, d, content)
			}
			if got, err := read(t, d, slipway.DigestOf([]byte(content))); got != content || err != nil {
				t.Errorf("acknowledged, and read with %v", err)
			}
		})
	}
	wg.Wait()
	if left := files(t, path); len(left) != 3 {
		t.Errorf("%v, want three blobs", left)
	}
}
