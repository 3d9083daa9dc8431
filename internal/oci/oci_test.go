package oci_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/oci"
)

func file(path, content string) oci.File {
	return oci.File{Path: path, Size: int64(len(content)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}
}

// sample has every kind of file and path.
func sample() oci.Image {
	serve := file("bin/serve", "#!/bin/sh\n")
	serve.Executable = true
	long := strings.Repeat("d", 150) + "/" + strings.Repeat("f", 200)
	return oci.Image{Files: []oci.File{file("model.ubj", strings.Repeat("\x00\x01", 1000)), serve, file("a/b", "1"), file("a-b", "2"), file("empty", ""),
		file(long, "long"), file("häuser/ä b", "ü"), file("MLmodel", "flavors: {}\n")},
		Labels: map[string]string{"model": "fraud", "version": "7"}, Spec: []byte("name: fraud\n# <ü>\n")}
}

// build also writes the layer of the model into the layout, where other tools look for it.
func build(t *testing.T, dir string, img oci.Image) slipway.Digest {
	t.Helper()
	d, err := oci.Build(t.Context(), dir, img)
	if err != nil {
		t.Fatal(err)
	}
	complete(t, dir, d, img.Files)
	return d
}

func complete(t testing.TB, dir string, d slipway.Digest, files []oci.File) {
	t.Helper()
	var b bytes.Buffer
	if err := oci.WriteModel(t.Context(), dir, d, files, &b); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, "blobs", "sha256", slipway.DigestOf(b.Bytes()).Hex())
	_ = os.Remove(at)
	if err := os.WriteFile(at, b.Bytes(), 0o444); err != nil {
		t.Fatal(err)
	}
}

// layerOf opens what build has written.
func layerOf(dir string, d slipway.Digest) oci.Opener {
	return func() (io.ReadCloser, error) {
		all, err := oci.ModelsInClear(context.Background(), dir)
		for _, c := range all {
			if c.Image == d {
				return os.Open(c.Path)
			}
		}
		return nil, errors.Join(err, fs.ErrNotExist)
	}
}

// contents reads every file below a directory, with its permissions.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		out[filepath.ToSlash(rel)] = fmt.Sprintf("%o %s", st.Mode(), b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// The same input gives the same bytes, today and with the next Go.
func TestReproducible(t *testing.T) {
	const golden = slipway.Digest("sha256:b58bb35e2579655718a3978e008b958850ca0299a45f9c1012c959541f7123c4")
	first, second := t.TempDir(), filepath.Join(t.TempDir(), "other")
	img := sample()
	if d := build(t, first, img); d != golden {
		t.Errorf("%s, want %s: images would get new digests", d, golden)
	}
	rand.Shuffle(len(img.Files), func(i, j int) { img.Files[i], img.Files[j] = img.Files[j], img.Files[i] })
	build(t, second, img)
	if diff := cmp.Diff(contents(t, first), contents(t, second)); diff != "" {
		t.Error(diff)
	}
	before := contents(t, first)
	build(t, first, img)
	if diff := cmp.Diff(before, contents(t, first)); diff != "" {
		t.Errorf("a second time: %s", diff)
	}
	seen := map[slipway.Digest]string{golden: "the sample"}
	for name, change := range map[string]func(*oci.Image){
		"another label":  func(i *oci.Image) { i.Labels = map[string]string{"model": "fraud", "version": "8"} },
		"another spec":   func(i *oci.Image) { i.Spec = []byte("name: claims\n") },
		"no spec":        func(i *oci.Image) { i.Spec = nil },
		"another byte":   func(i *oci.Image) { i.Files[0] = file(i.Files[0].Path, "other") },
		"another path":   func(i *oci.Image) { i.Files[0].Path += "x" },
		"not executable": func(i *oci.Image) { i.Files[1].Executable = false },
		"a file less":    func(i *oci.Image) { i.Files = i.Files[1:] },
	} {
		img := sample()
		change(&img)
		d := build(t, first, img)
		if seen[d] != "" {
			t.Errorf("%s has the digest of %s", name, seen[d])
		}
		seen[d] = name
	}
}

// Other tools can read what we write.
func TestValid(t *testing.T) {
	dir := t.TempDir()
	digest := build(t, dir, sample())
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	// Without Fast it takes every layer for gzip.
	if err := validate.Index(index, validate.Fast); err != nil {
		t.Error(err)
	}
	hash, err := v1.NewHash(string(digest))
	if err != nil {
		t.Fatal(err)
	}
	img, err := index.Image(hash)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	if layers, err := img.Layers(); err != nil || len(layers) != 2 {
		t.Fatalf("%d layers, %v", len(layers), err)
	} else if r, err := layers[0].Uncompressed(); err != nil {
		t.Fatal(err)
	} else {
		for a := tar.NewReader(r); ; {
			h, err := a.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, h.Name)
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return strings.HasSuffix(n, "/") })
	if len(names) != len(sample().Files) || !slices.IsSorted(names) || !strings.HasPrefix(names[0], oci.ModelDir[1:]+"/") {
		t.Errorf("the layer holds %q", names)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"model": "fraud", "version": "7"}
	if diff := cmp.Diff(want, config.Config.Labels); diff != "" {
		t.Error(diff)
	}
}

func TestUnpack(t *testing.T) {
	dir, parent := t.TempDir(), t.TempDir()
	digest, dest := build(t, dir, sample()), filepath.Join(parent, "deep", "fraud-7")
	for range 2 {
		if err := oci.Unpack(t.Context(), dir, digest, sample().Files, dest); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{}
	for _, f := range sample().Files {
		r, _ := f.Open()
		b, _ := io.ReadAll(r)
		mode := map[bool]string{false: "444", true: "555"}[f.Executable]
		want[f.Path] = mode + " " + string(b)
	}
	if diff := cmp.Diff(want, contents(t, dest)); diff != "" {
		t.Error(diff)
	}
	if entries, err := os.ReadDir(filepath.Dir(dest)); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v beside it", entries, err)
	}
	if err := oci.Unpack(t.Context(), dir, slipway.DigestOf(nil), nil, dest); err != nil {
		t.Errorf("what is there is left: %v", err)
	}
	other := filepath.Join(parent, "other")
	wantCode(t, "no image", oci.Unpack(t.Context(), dir, slipway.DigestOf(nil), nil, other), slipway.CodeNotFound)
	wantCode(t, "no digest", oci.Unpack(t.Context(), dir, "sha256:../x", nil, other), slipway.CodeInvalidDigest)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := oci.Unpack(ctx, dir, digest, sample().Files, other); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want to be cancelled", err)
	}
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "a file in the way", oci.Unpack(t.Context(), dir, digest, sample().Files, other), slipway.CodeIO)
}

// Whatever files go in come out.
func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-cä]{1,2}(/[x-z]{1,2}){0,2}`), 0, 6, rapid.ID).Draw(r, "names")
		var img oci.Image
		for _, n := range names {
			if !slices.ContainsFunc(names, func(o string) bool { return strings.HasPrefix(n, o+"/") }) {
				img.Files = append(img.Files, file(n, rapid.StringN(0, 20, 600).Draw(r, "content")))
			}
		}
		dest := filepath.Join(t.TempDir(), "out")
		if err := oci.Unpack(t.Context(), dir, build(t, dir, img), img.Files, dest); err != nil {
			r.Fatal(err)
		}
		got := contents(t, dest)
		for _, f := range img.Files {
			b, _ := f.Open()
			want, _ := io.ReadAll(b)
			if got[f.Path] != "444 "+string(want) || len(got) != len(img.Files) {
				r.Fatalf("%s is %q, want %q", f.Path, got[f.Path], want)
			}
		}
	})
}

func TestBuildRefuses(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, sample())
	before := contents(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	stops := file("c", "xyz")
	stops.Open = func() (io.ReadCloser, error) { cancel(); return io.NopCloser(strings.NewReader("xyz")), nil }
	sized := func(n int64) oci.File { f := file("a", "abc"); f.Size = n; return f }
	with := func(r io.Reader, err error) oci.File {
		return oci.File{Path: "a", Size: 3, Open: func() (io.ReadCloser, error) { return io.NopCloser(r), err }}
	}
	many := make([]oci.File, 10_001)
	for i := range many {
		many[i] = file(fmt.Sprint(i), "")
	}
	rotten := slipway.Errorf(slipway.Internal, slipway.CodeUploadDigest, "", "rotten")
	for _, c := range []struct {
		name  string
		files []oci.File
		code  string
	}{
		{"a path that leads out", []oci.File{file("../a", "")}, slipway.CodeModelDir},
		{"an absolute path", []oci.File{file("/a", "")}, slipway.CodeModelDir},
		{"a path twice", []oci.File{file("a", ""), file("b", ""), file("a", "")}, slipway.CodeModelDir},
		{"a file that is a directory", []oci.File{file("a", ""), file("a-b", ""), file("a/b", "")}, slipway.CodeModelDir},
		{"too many files", many, slipway.CodeModelDir},
		{"too many bytes", []oci.File{{Path: "a", Size: 50 << 30}, {Path: "b", Size: 1}}, slipway.CodeModelDir},
		{"a negative size", []oci.File{sized(-1)}, slipway.CodeModelDir},
		{"a file that is shorter", []oci.File{sized(4)}, slipway.CodeUploadDigest},
		{"a file that is longer", []oci.File{sized(2)}, slipway.CodeUploadDigest},
		{"a file that cannot be opened", []oci.File{with(nil, errors.New("broken"))}, slipway.CodeIO},
		{"a file that cannot be read", []oci.File{with(iotest.ErrReader(errors.New("broken")), nil)}, slipway.CodeIO},
		{"a file whose end says that it is rotten", []oci.File{with(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(rotten)), nil)}, slipway.CodeUploadDigest},
	} {
		_, err := oci.Build(t.Context(), dir, oci.Image{Files: c.files})
		wantCode(t, c.name, err, c.code)
	}
	_, err := oci.Build(t.Context(), dir, oci.Image{Files: sample().Files, Spec: make([]byte, 4<<20+1)})
	wantCode(t, "a spec that is too large", err, slipway.CodeTooLarge)
	_, err = oci.Build(t.Context(), dir, oci.Image{Files: sample().Files, Labels: map[string]string{"long": strings.Repeat("x", 4<<20)}})
	wantCode(t, "a label that is too large", err, slipway.CodeTooLarge)
	if _, err := oci.Build(ctx, dir, oci.Image{Files: []oci.File{stops}}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want to be cancelled", err)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("something was left: %s", diff)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = oci.Build(t.Context(), dir, sample())
	wantCode(t, "a broken index", err, slipway.CodeIO)
}

// Images built at the same time do not get in each other's way, and their order leaves no
// trace.
func TestConcurrently(t *testing.T) {
	const images = 16 // each is built twice
	dir, alone := t.TempDir(), t.TempDir()
	image := func(i int) oci.Image {
		return oci.Image{Files: []oci.File{file("MLmodel", "shared"), file("x", fmt.Sprint(i/2))}}
	}
	var wg sync.WaitGroup
	for i := range 2 * images {
		wg.Go(func() {
			digest, err := oci.Build(t.Context(), dir, image(i))
			if err != nil {
				t.Error(err)
				return
			}
			if err := oci.Unpack(t.Context(), dir, digest, image(i).Files, filepath.Join(dir, "unpacked", digest.Hex())); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := 2*images - 1; i > 0; i -= 2 {
		digest, err := oci.Build(t.Context(), alone, image(i))
		if err != nil {
			t.Fatal(err)
		}
		if got := contents(t, filepath.Join(dir, "unpacked", digest.Hex()))["x"]; got != fmt.Sprint("444 ", i/2) {
			t.Errorf("image %d holds %q", i/2, got)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "unpacked")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(contents(t, alone), contents(t, dir)); diff != "" {
		t.Error(diff)
	}
	var index v1.IndexManifest
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err := errors.Join(err, json.Unmarshal(b, &index)); err != nil || len(index.Manifests) != images {
		t.Errorf("%d images, %v", len(index.Manifests), err)
	}
}

// zeros is a large file.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A model may be larger than memory.
func TestStreams(t *testing.T) {
	const size = 64 << 20
	dir := t.TempDir()
	img := oci.Image{Files: []oci.File{{Path: "model.bin", Size: size, Open: func() (io.ReadCloser, error) { return io.NopCloser(io.LimitReader(zeros{}, size)), nil }}}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	digest, err := oci.Build(t.Context(), dir, img)
	if err != nil {
		t.Fatal(err)
	}
	if err := oci.Unpack(t.Context(), dir, digest, img.Files, filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > size/8 {
		t.Errorf("%d MiB were allocated for a model of %d MiB", used>>20, size>>20)
	}
}

func TestDiskFull(t *testing.T) {
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	img := oci.Image{Files: []oci.File{file("a", strings.Repeat("x", 400<<10))}, Spec: make([]byte, 400<<10)}
	_, err := oci.Build(t.Context(), small, img)
	wantCode(t, "build", err, slipway.CodeDiskFull)
	wantCode(t, "unpack", oci.Unpack(t.Context(), dir, build(t, dir, img), img.Files, filepath.Join(small, "out")), slipway.CodeDiskFull)
	if got := contents(t, small); len(got) != 1 {
		t.Errorf("%d files were left, want only oci-layout", len(got))
	}
	build(t, small, sample())
}
