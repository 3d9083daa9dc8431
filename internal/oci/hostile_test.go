package oci_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/oci"
)

// plant writes a blob as it is.
func plant(t *testing.T, dir string, b []byte, media types.MediaType) v1.Descriptor {
	t.Helper()
	d := slipway.DigestOf(b)
	at := filepath.Join(dir, "blobs", "sha256", d.Hex())
	if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.WriteFile(at, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	return v1.Descriptor{MediaType: media, Size: int64(len(b)), Digest: v1.Hash{Algorithm: "sha256", Hex: d.Hex()}}
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// forge makes an image of a layer, in which all digests are right, after change.
func forge(t *testing.T, dir string, layer []byte, change func(*v1.Manifest, *v1.ConfigFile)) slipway.Digest {
	t.Helper()
	l := plant(t, dir, layer, types.OCIUncompressedLayer)
	l.Annotations = map[string]string{"slipway.layer": "model"}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Layers: []v1.Descriptor{l}}
	c := v1.ConfigFile{RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{l.Digest}}}
	if change != nil {
		change(&m, &c)
	}
	config := plant(t, dir, encode(t, c), types.OCIConfigJSON)
	if m.Config.MediaType == "" {
		m.Config = config
	}
	return slipway.Digest(plant(t, dir, encode(t, m), types.OCIManifestSchema1).Digest.String())
}

// good are the files of the forgeries.
func good() []oci.File { return []oci.File{file("a", "\x00\x00\x00"), file("b/c", "")} }

// archived is the layer that files make.
func archived(t *testing.T, files []oci.File) []byte {
	t.Helper()
	var b bytes.Buffer
	dir := t.TempDir()
	if err := oci.WriteModel(t.Context(), dir, build(t, dir, oci.Image{Files: files}), files, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnpackRefuses(t *testing.T) {
	layer := archived(t, good())
	executable, short := good(), good()
	executable[0].Executable = true
	short[0].Size--
	for _, c := range []struct {
		name, says string
		files      []oci.File
		code       string
		change     func(*v1.Manifest, *v1.ConfigFile)
	}{
		{"another byte", "its files are not", []oci.File{file("a", "\x00\x00\x01"), good()[1]}, "", nil},
		{"another name", "its files are not", []oci.File{file("a.", "\x00\x00\x00"), good()[1]}, "", nil},
		{"another mode", "its files are not", executable, "", nil},
		{"a file less", "its files are not", good()[:1], "", nil},
		{"a file more", "its files are not", append(good(), file("d", "")), "", nil},
		{"another size", "does not have 2 bytes", short, slipway.CodeUploadDigest, nil},
		{"a path that leads out", "do not fit", []oci.File{file("../a", "")}, slipway.CodeModelDir, nil},
		{"a file twice", "do not fit", append(good(), good()...), slipway.CodeModelDir, nil},
		{"two layers", "two models", nil, "", func(m *v1.Manifest, c *v1.ConfigFile) {
			m.Layers, c.RootFS.DiffIDs = append(m.Layers, m.Layers[0]), append(c.RootFS.DiffIDs, c.RootFS.DiffIDs[0])
		}},
		{"too many layers", "not that of a container image", nil, "", func(m *v1.Manifest, _ *v1.ConfigFile) {
			m.Layers = slices.Repeat(m.Layers, 128)
		}},
		{"no layer", "not that of a container image", nil, "", func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers = nil }},
		{"a layer that is none of the model", "no model", nil, "", func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].Annotations = nil }},
		{"a layer of another kind", "not of our making", nil, "", func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].MediaType = types.OCILayer }},
		{"a layer of a kind that is none", "which cannot be used", nil, "", func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].MediaType = types.DockerForeignLayer }},
		{"a layer that is compressed", "not of our making", nil, "", func(_ *v1.Manifest, c *v1.ConfigFile) { c.RootFS.DiffIDs[0].Hex = slipway.DigestOf(nil).Hex() }},
		{"a layer of negative size", "impossible", nil, "", func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].Size = -1 }},
		{"a layer elsewhere", "cannot be read", nil, "", func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].Digest.Hex = "../../x" }},
		{"another layer", "its files are not", nil, "", func(m *v1.Manifest, c *v1.ConfigFile) {
			m.Layers[0].Digest.Hex = slipway.DigestOf(nil).Hex()
			c.RootFS.DiffIDs[0] = m.Layers[0].Digest
		}},
		{"another image's configuration", "of another image", nil, "", func(_ *v1.Manifest, c *v1.ConfigFile) { c.RootFS.DiffIDs = nil }},
		{"a configuration of another kind", "not that of a container image", nil, "", func(m *v1.Manifest, _ *v1.ConfigFile) { m.Config = m.Layers[0] }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, parent := t.TempDir(), t.TempDir()
			digest := forge(t, dir, layer, c.change)
			if c.files == nil {
				c.files = good()
			}
			err := oci.Unpack(t.Context(), dir, digest, c.files, filepath.Join(parent, "out"))
			wantCode(t, "unpack", err, cmp.Or(c.code, slipway.CodeIO))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q says nothing of %q", err, c.says)
			}
			if left, err := os.ReadDir(parent); err != nil || len(left) != 0 {
				t.Errorf("%v was left, %v", left, err)
			}
		})
	}
	images := t.TempDir()
	if err := oci.Unpack(t.Context(), images, forge(t, images, layer, nil), good(), filepath.Join(images, "out")); err != nil {
		t.Errorf("the forgery that all cases start from: %v", err)
	}
}

// No byte of an image can be wrong, missing or added unnoticed.
func TestUnpackNoticesDamage(t *testing.T) {
	dir, parent := t.TempDir(), t.TempDir()
	img := sample()
	img.Spec = nil // no part of what is unpacked
	digest, err := oci.Build(t.Context(), dir, img)
	if err != nil {
		t.Fatal(err)
	}
	dest := filepath.Join(parent, "out")
	names, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil || len(names) != 2 {
		t.Fatalf("%v, %v", names, err)
	}
	for _, name := range names {
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for what, b := range map[string][]byte{
			"cut":     whole[:len(whole)-1],
			"halved":  whole[:len(whole)/2],
			"emptied": nil,
			"longer":  append(bytes.Clone(whole), 0),
			"changed": append(append(bytes.Clone(whole[:len(whole)/2]), whole[len(whole)/2]^1), whole[len(whole)/2+1:]...),
		} {
			if err := errors.Join(os.Chmod(name, 0o600), os.WriteFile(name, b, 0o600)); err != nil {
				t.Fatal(err)
			}
			wantCode(t, what, oci.Unpack(t.Context(), dir, digest, img.Files, dest), slipway.CodeIO)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := oci.Unpack(t.Context(), dir, digest, img.Files, dest); err == nil {
			t.Errorf("%s: it was removed unnoticed", name)
		}
		if left, err := os.ReadDir(parent); err != nil || len(left) != 0 {
			t.Errorf("%v was left, %v", left, err)
		}
		build(t, dir, img) // heals
	}
	if err := oci.Unpack(t.Context(), dir, digest, img.Files, dest); err != nil {
		t.Errorf("healed: %v", err)
	}
}

// A draft that nobody works on is removed, another one is not.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for _, directory := range []bool{false, true} {
		f, err := oci.NewDraft(dir, directory)
		if err != nil {
			t.Fatal(err)
		}
		if directory {
			if err := os.WriteFile(filepath.Join(f.Name(), "x"), nil, 0o444); err != nil {
				t.Fatal(err)
			}
		}
		if err := oci.Sweep(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(f.Name()); err != nil {
			t.Errorf("a draft in work: %v", err)
		}
		f.Close() // as the kernel does after a crash
	}
	if err := os.WriteFile(filepath.Join(dir, "kept"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	build(t, dir, oci.Image{})
	got := contents(t, dir)
	for name := range got {
		if strings.HasPrefix(name, ".") {
			t.Errorf("%s is left", name)
		}
	}
	if _, ok := got["kept"]; !ok {
		t.Error("something else was removed")
	}
}

// FuzzManifest: what is taken for a manifest is within our bounds.
func FuzzManifest(f *testing.F) {
	digest := string(slipway.DigestOf(nil))
	f.Add([]byte(`{"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":1,"digest":"` + digest +
		`"},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":1,"digest":"` + digest + `"}]}`))
	f.Add([]byte(`{"config":{"size":-1},"layers":[null]}`))
	f.Add([]byte(`{"layers":[{"urls":["http://x"]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := oci.ParseManifest(b)
		if err != nil {
			return
		}
		if len(m.Layers) == 0 || len(m.Layers) > 127 {
			t.Errorf("%d layers", len(m.Layers))
		}
		for _, d := range append(m.Layers, m.Config) {
			if _, err := slipway.ParseDigest(d.Digest.String()); err != nil || d.Size < 0 || d.Size > 64<<30 || len(d.URLs) > 0 && d.Digest != m.Config.Digest {
				t.Errorf("%+v was taken", d)
			}
		}
	})
}
