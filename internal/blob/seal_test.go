package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/blob"
)

// inClear stores a blob as programs before encryption did.
func inClear(t *testing.T, path, content string) slipway.Digest {
	t.Helper()
	digest := slipway.DigestOf([]byte(content))
	if err := os.WriteFile(filepath.Join(path, digest.Hex()[:2], digest.Hex()), []byte(content), 0o400); err != nil {
		t.Fatal(err)
	}
	return digest
}

// wantSealed fails when a text is anywhere below a directory.
func wantSealed(t *testing.T, path, text string) {
	t.Helper()
	for _, name := range files(t, path) {
		if b, err := os.ReadFile(filepath.Join(path, name)); err != nil || bytes.Contains(b, []byte(text)) {
			t.Errorf("%s: %v, or the text is in it", name, err)
		}
	}
}

// Of every size, around the ends of segments too, the length says how many bytes there are.
func TestSizes(t *testing.T) {
	for _, n := range []int64{0, 1, 40, 65479, 65480, 65481, 65536, 131000, 131016, 131017, 200_000} {
		content := strings.Repeat("x", int(n))
		path := t.TempDir()
		d := open(t, path)
		digest := put(t, d, content)
		st, err := os.Stat(filepath.Join(path, files(t, path)[0]))
		if err != nil || st.Size() != blob.SealedSize(n) {
			t.Errorf("%d bytes take %d, want %d, %v", n, st.Size(), blob.SealedSize(n), err)
		}
		if got, err := read(t, d, digest); err != nil || got != content {
			t.Errorf("%d bytes: %d came, %v", n, len(got), err)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.Int64Range(0, 50<<30).Draw(r, "n")
		if got := blob.PlainSize(blob.SealedSize(n)); got != n {
			r.Fatalf("%d became %d", n, got)
		}
	})
}

// Blobs of an older program are read as before, and encrypted one after the other; a stop in
// between loses nothing.
func TestEncrypt(t *testing.T) {
	path := t.TempDir()
	keys := &memory{keys: map[string][]byte{}}
	d := openWith(t, path, keys)
	const person = "Mabel Oakenshield, 555-0134"
	want := map[slipway.Digest]string{}
	for i := range 9 {
		content := strings.Repeat(fmt.Sprint(person, i), 7000)
		want[inClear(t, path, content)] = content
	}
	rotten := inClear(t, path, "rotten")
	if err := os.Rename(filepath.Join(path, rotten.Hex()[:2], rotten.Hex()), filepath.Join(path, rotten.Hex()[:2], rotten.Hex()[:2]+strings.Repeat("0", 62))); err != nil {
		t.Fatal(err)
	}
	same := func() {
		t.Helper()
		for digest, content := range want {
			if got, err := read(t, d, digest); err != nil || got != content {
				t.Errorf("%s: %d bytes, %v", digest.Short(), len(got), err)
			}
			put(t, d, content)
		}
	}
	same()
	ctx, stop := context.WithCancel(t.Context())
	var steps []blob.Progress
	err := d.Encrypt(ctx, func(p blob.Progress) {
		if steps = append(steps, p); len(steps) == 5 {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("stopped with %v", err)
	}
	d = openWith(t, path, keys)
	same()
	keys.down = &slipway.Error{Code: slipway.CodeKeyService}
	wantCode(t, "without the key service", d.Encrypt(t.Context(), func(blob.Progress) {}), slipway.CodeKeyService)
	keys.down = nil
	if err := d.Encrypt(t.Context(), func(p blob.Progress) { steps = append(steps, p) }); err != nil {
		t.Fatal(err)
	}
	same()
	wantSealed(t, path, person)
	if diff := cmp.Diff(blob.Progress{Blobs: 1, Bytes: 6, Rotten: 1}, steps[len(steps)-1]); diff != "" {
		t.Error(diff)
	}
	if n := len(files(t, path)); n != len(want)+1 {
		t.Errorf("%d files for %d blobs", n, len(want)+1)
	}
}

// Whatever a process that was killed has left of the two files, the next one goes on.
func TestEncryptInterrupted(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	put(t, d, "both are there")
	digest := inClear(t, path, "both are there")
	if err := d.Encrypt(t.Context(), func(blob.Progress) {}); err != nil {
		t.Fatal(err)
	}
	if left := files(t, path); len(left) != 1 || !strings.HasSuffix(left[0], ".sealed") {
		t.Errorf("%v", left)
	}
	if got, err := read(t, d, digest); got != "both are there" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// Without the key service nothing is stored, not in clear either.
func TestPutWithoutKeys(t *testing.T) {
	path := t.TempDir()
	d := openWith(t, path, &memory{down: &slipway.Error{Code: slipway.CodeKeyService, Kind: slipway.Unavailable}})
	content := "Mabel Oakenshield"
	err := d.Put(t.Context(), slipway.DigestOf([]byte(content)), int64(len(content)), strings.NewReader(content))
	wantCode(t, "storing", err, slipway.CodeKeyService)
	if left := files(t, path); len(left) != 0 {
		t.Errorf("%v", left)
	}
}

// A blob whose key was destroyed does not open, and what is uploaded again does.
func TestShredded(t *testing.T) {
	path := t.TempDir()
	keys := &memory{keys: map[string][]byte{}}
	d := openWith(t, path, keys)
	digest := put(t, d, "abc")
	keys.shred(digest)
	_, err := read(t, d, digest)
	wantCode(t, "opening", err, slipway.CodeShredded)
	put(t, d, "abc")
	if got, err := read(t, d, digest); got != "abc" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for range 2 {
		if err := d.Remove(t.Context(), digest); err != nil {
			t.Fatal(err)
		}
	}
	if left := files(t, path); len(left) != 0 {
		t.Errorf("%v", left)
	}
}

// A file that was moved to another name does not open, though both keys be the same.
func TestMoved(t *testing.T) {
	path := t.TempDir()
	key := bytes.Repeat([]byte{7}, 32)
	a, b := slipway.DigestOf([]byte("abc")), slipway.DigestOf([]byte("abd"))
	d := openWith(t, path, &memory{keys: map[string][]byte{string(a): key, string(b): key}})
	put(t, d, "abc")
	put(t, d, "abd")
	at := func(g slipway.Digest) string { return filepath.Join(path, g.Hex()[:2], g.Hex()+".sealed") }
	if err := os.Rename(at(a), at(b)); err != nil {
		t.Fatal(err)
	}
	got, err := read(t, d, b)
	wantCode(t, "read as "+got, err, slipway.CodeUploadDigest)
}
