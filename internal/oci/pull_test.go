package oci_test

import (
	"archive/tar"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/oci"
)

// onRegistry puts an image of others under a name.
func onRegistry(t *testing.T, ref string, what remote.Taggable) slipway.Digest {
	t.Helper()
	r, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Push(r, what); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Get(r)
	if err != nil {
		t.Fatal(err)
	}
	return slipway.Digest(got.Digest.String())
}

// python is an image for an architecture, as Docker has them: compressed layers.
func python(t *testing.T, architecture string, media types.MediaType) v1.Image {
	t.Helper()
	img, err := random.Image(1000, 3) // layers of Docker's kind, gzip
	if err != nil {
		t.Fatal(err)
	}
	if media != "" {
		b := bare(t, tar.Header{Name: "x", Size: 3, ModTime: time.Unix(0, 0)})
		if img, err = mutate.AppendLayers(img, static.NewLayer(b, media)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Config.Env = "linux", architecture, []string{"PATH=/python"}
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	return img
}

func TestPull(t *testing.T) {
	var down atomic.Bool
	host, seen := serve(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
	mine, foreign := python(t, goruntime.GOARCH, ""), python(t, "mips", "")
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: foreign, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "mips"}}},
		mutate.IndexAddendum{Add: mine, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: goruntime.GOARCH}}})
	all := onRegistry(t, host+"/python:3.12", index)
	want, err := mine.Digest()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var done, total int64
	r := quick()
	r.Progress = func(d, of int64) { done, total = d, of }
	base, err := oci.Pull(t.Context(), dir, host+"/python:3.12", goruntime.GOARCH, r)
	if err != nil || string(base) != want.String() || done != total || done == 0 {
		t.Fatalf("%s, %v, %d of %d bytes, want %s", base, err, done, total, want)
	}
	seen.take("GET blobs")
	if _, err := oci.Pull(t.Context(), dir, host+"/python:3.12", goruntime.GOARCH, quick()); err != nil {
		t.Fatal(err)
	}
	if n := seen.take("GET blobs"); n > 1 {
		t.Errorf("%d blobs were fetched again", n)
	}
	_, err = oci.Pull(t.Context(), dir, host+"/python:3.12", "riscv64", quick())
	wantCode(t, "no image for the machine", err, slipway.CodeInvalid)
	_, err = oci.Pull(t.Context(), dir, host+"/python:3.13", goruntime.GOARCH, quick())
	wantCode(t, "no such tag", err, slipway.CodeNotFound)

	img := runnable(t, dir)
	img.Base, img.Environment = base, packages(t, false)
	whole := build(t, dir, img)
	pinned, err := oci.Push(t.Context(), dir, whole, layerOf(dir, whole), host+"/fraud:7", quick())
	if err != nil {
		t.Fatal(err)
	}
	got := flatten(t, held(t, pinned))
	for name, m := range flattenForeign(t, mine) {
		if got[name] != m {
			t.Errorf("%s of the base is not in the image", name)
		}
	}
	if got["usr/local/bin/platform"].Mode != 0o755 || got["opt/slipway/model/MLmodel"].Content == "" {
		t.Error("the image lacks what is its own")
	}

	down.Store(true)
	for _, digest := range []slipway.Digest{base, all} {
		if got, err := oci.Pull(t.Context(), dir, host+"/python@"+string(digest), goruntime.GOARCH, quick()); err != nil || got != base {
			t.Errorf("%s, %v: what is there needs no registry", got, err)
		}
	}
	_, err = oci.Pull(t.Context(), dir, host+"/python@"+string(slipway.DigestOf(nil)), goruntime.GOARCH, quick())
	wantCode(t, "what is not there", err, slipway.CodeUnavailable)
}

// flattenForeign is flatten for an image whose files have times and owners.
func flattenForeign(t *testing.T, img v1.Image) map[string]member {
	t.Helper()
	in := mutate.Extract(img)
	defer in.Close()
	out := map[string]member{}
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		b, err2 := io.ReadAll(r)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		out[h.Name] = member{h.Mode, string(b)}
	}
}

func TestPullRefuses(t *testing.T) {
	var wrong atomic.Value // the digest of a blob that is not what it should be
	wrong.Store("")
	host, _ := serve(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if d := wrong.Load().(string); d != "" && strings.HasSuffix(r.URL.Path, d) && r.Method == http.MethodGet {
			_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
			return
		}
		next.ServeHTTP(w, r)
	})
	onRegistry(t, host+"/foreign:1", python(t, goruntime.GOARCH, types.DockerForeignLayer))
	onRegistry(t, host+"/odd:1", python(t, goruntime.GOARCH, "application/vnd.example.layer"))
	good := python(t, goruntime.GOARCH, "")
	onRegistry(t, host+"/good:1", good)
	layers, err := good.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var many []v1.Layer
	for range 130 {
		many = append(many, layers[0])
	}
	deep, err := mutate.AppendLayers(empty.Image, many...)
	if err != nil {
		t.Fatal(err)
	}
	onRegistry(t, host+"/deep:1", deep)
	config, err := good.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	first, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, ref, wrong, code string }{
		{"a layer that may not be copied", "/foreign:1", "", slipway.CodeInvalid},
		{"a layer of another kind", "/odd:1", "", slipway.CodeInvalid},
		{"too many layers", "/deep:1", "", slipway.CodeInvalid},
		{"a layer with other bytes", "/good:1", first.String(), slipway.CodeInvalid},
		{"a configuration with other bytes", "/good:1", config.String(), slipway.CodeInvalid},
		{"nothing wrong", "/good:1", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			wrong.Store(c.wrong)
			dir := t.TempDir()
			digest, err := oci.Pull(t.Context(), dir, host+c.ref, goruntime.GOARCH, quick())
			if c.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCode(t, c.ref, err, c.code)
			if _, err := os.Stat(filepath.Join(dir, "index.json")); err == nil {
				t.Errorf("%s is in the index", digest)
			}
		})
	}
}

// FuzzChoose: no index leads to a panic, nor to anything but a digest.
func FuzzChoose(f *testing.F) {
	f.Add([]byte(`{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,"digest":"` + string(slipway.DigestOf(nil)) + `","platform":{"os":"linux","architecture":"amd64"}}]}`))
	f.Add([]byte(`{"manifests":[{"platform":null},{}]}`))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, b []byte) {
		digest, err := oci.Choose(b, "amd64")
		if err != nil {
			return
		}
		if _, err := v1.NewHash(digest.String()); err != nil {
			t.Errorf("%q leads to %v", b, digest)
		}
	})
}
