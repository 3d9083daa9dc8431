package oci_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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

// tarball writes headers, each with as many bytes as its size says, below the model's
// directory and after the directories that they need.
func tarball(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	made := map[string]bool{}
	var all []tar.Header
	need := func(dir string) {
		for i, c := range dir {
			if c == '/' && !made[dir[:i]] {
				made[dir[:i]] = true
				all = append(all, tar.Header{Name: dir[:i+1], Typeflag: tar.TypeDir, Mode: 0o755})
			}
		}
	}
	need(modelDir)
	for _, h := range headers {
		h.Name = modelDir + h.Name
		need(h.Name[:strings.LastIndex(h.Name, "/")+1])
		all = append(all, h)
	}
	return bare(t, all...)
}

const modelDir = "opt/slipway/model/"

// bare writes headers as they are.
func bare(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o444
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sparse is an archive that describes a file of a MiB, all of it a hole, in GNU's format
// 1.0 (the manual of tar, "Storing Sparse Files"), which the writer of Go does not have.
func sparse(t *testing.T) []byte {
	t.Helper()
	records := ""
	for _, r := range []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=" + modelDir + "big", "GNU.sparse.realsize=1048576"} {
		records += fmt.Sprintf("%d %s\n", len(r)+4, r) // all have two digits
	}
	b := tarball(t)
	b = append(b[:len(b)-1024], raw('x', "pax", records)...)
	b = append(b, raw(tar.TypeReg, "big", "0\n"+strings.Repeat("\x00", 510))...)
	return append(b, make([]byte, 1024)...)
}

// raw is a member of an archive with any type (POSIX ustar).
func raw(typeflag byte, name, content string) []byte {
	h := make([]byte, 512)
	copy(h, name)
	copy(h[100:], "0000444\x000000000\x000000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x0000000000000\x00        ", len(content)))
	h[156] = typeflag
	copy(h[257:], "ustar\x0000")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	b := append(h, content...)
	return append(b, make([]byte, (512-len(b)%512)%512)...)
}

func TestUnpackRefuses(t *testing.T) {
	good := tarball(t, tar.Header{Name: "a", Size: 3}, tar.Header{Name: "b"})
	deep := strings.Repeat("d/", 40) + "f"
	var many []tar.Header
	for i := range 10_001 {
		many = append(many, tar.Header{Name: fmt.Sprintf("%05d", i)})
	}
	head := len(tarball(t)) - 1024 // of the directories that all have
	dir := func(name string, mode int64) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: mode}
	}
	var nest []tar.Header
	for i := range 80 {
		nest = append(nest, dir(modelDir+strings.Repeat("d/", i+1), 0o755))
	}
	above := []tar.Header{dir("opt/", 0o755), dir("opt/slipway/", 0o755), dir(modelDir, 0o755)}
	for _, c := range []struct {
		name, says string
		layer      []byte
		change     func(*v1.Manifest, *v1.ConfigFile)
	}{
		{"a link", "no plain file", tarball(t, tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}), nil},
		{"a link and a file through it", "no plain file", tarball(t, tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: ".."}, tar.Header{Name: "a/b"}), nil},
		{"a hard link", "no plain file", tarball(t, tar.Header{Name: "a"}, tar.Header{Name: "b", Typeflag: tar.TypeLink, Linkname: "a"}), nil},
		{"a device", "no plain file", tarball(t, tar.Header{Name: "a", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}), nil},
		{"a pipe", "no plain file", tarball(t, tar.Header{Name: "a", Typeflag: tar.TypeFifo}), nil},
		{"a directory for nothing", "not those of its files", bare(t, append(slices.Clone(above), dir(modelDir+"a/", 0o755))...), nil},
		{"a directory twice", "not those of its files", bare(t, append(slices.Clone(above), above[2], tar.Header{Name: modelDir + "a"})...), nil},
		{"a directory that is missing", "not those of its files", bare(t, append(slices.Clone(above), tar.Header{Name: modelDir + "a/b"})...), nil},
		{"no directories", "not those of its files", bare(t, tar.Header{Name: modelDir + "a"}), nil},
		{"directories of others", "not those of its files", bare(t, append(slices.Clone(above), dir("etc/", 0o755), tar.Header{Name: modelDir + "a"})...), nil},
		{"a directory that all may write", "no plain directory", bare(t, dir("opt/", 0o777), above[1], above[2]), nil},
		{"endless directories", "no plain directory", bare(t, append(slices.Clone(above), nest...)...), nil},
		{"a file elsewhere", "no file of the model", bare(t, append(slices.Clone(above), tar.Header{Name: "opt/slipway/platform.json"})...), nil},
		{"a path that leads out", "no path", tarball(t, tar.Header{Name: "../a"}), nil},
		{"an absolute path", "no file of the model", bare(t, append(slices.Clone(above), tar.Header{Name: "/" + modelDir + "a"})...), nil},
		{"a path that is not clean", "no path", tarball(t, tar.Header{Name: "a/./b"}), nil},
		{"a path that is too deep", "no path", tarball(t, tar.Header{Name: deep}), nil},
		{"a file twice", "twice", tarball(t, tar.Header{Name: "a"}, tar.Header{Name: "a"}), nil},
		{"files out of order", "not in its place", tarball(t, tar.Header{Name: "b"}, tar.Header{Name: "a"}), nil},
		{"a file that is a directory", "a file and a directory", tarball(t, tar.Header{Name: "a"}, tar.Header{Name: "a-b"}, tar.Header{Name: "a/b"}), nil},
		{"a setuid file", "no plain file", tarball(t, tar.Header{Name: "a", Mode: 0o4555}), nil},
		{"a file that may be written", "no plain file", tarball(t, tar.Header{Name: "a", Mode: 0o666}), nil},
		{"too many files", "more than", tarball(t, many...), nil},
		{"holes", "larger than itself", sparse(t), nil},
		{"half a header", "no whole archive", good[:head+1024+100], nil},
		{"half a file", "no whole archive", good[:head+514], nil},
		{"no archive", "no whole archive", []byte(strings.Repeat("no archive ", 100)), nil},
		{"two layers", "two models", good, func(m *v1.Manifest, c *v1.ConfigFile) {
			m.Layers, c.RootFS.DiffIDs = append(m.Layers, m.Layers[0]), append(c.RootFS.DiffIDs, c.RootFS.DiffIDs[0])
		}},
		{"too many layers", "not that of a container image", good, func(m *v1.Manifest, _ *v1.ConfigFile) {
			m.Layers = slices.Repeat(m.Layers, 128)
		}},
		{"no layer", "not that of a container image", good, func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers = nil }},
		{"a layer that is none of the model", "no model", good, func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].Annotations = nil }},
		{"a layer of another kind", "not of our making", good, func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].MediaType = types.OCILayer }},
		{"a layer of a kind that is none", "which cannot be used", good, func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].MediaType = types.DockerForeignLayer }},
		{"a layer that is compressed", "not of our making", good, func(_ *v1.Manifest, c *v1.ConfigFile) { c.RootFS.DiffIDs[0].Hex = slipway.DigestOf(nil).Hex() }},
		{"a layer of another size", "bytes instead of", good, func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].Size-- }},
		{"a layer of negative size", "impossible", good, func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].Size = -1 }},
		{"a layer elsewhere", "cannot be read", good, func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].Digest.Hex = "../../x" }},
		{"a layer that is not there", "not there", good, func(m *v1.Manifest, c *v1.ConfigFile) {
			m.Layers[0].Digest.Hex = slipway.DigestOf(nil).Hex()
			c.RootFS.DiffIDs[0] = m.Layers[0].Digest
		}},
		{"another image's configuration", "of another image", good, func(_ *v1.Manifest, c *v1.ConfigFile) { c.RootFS.DiffIDs = nil }},
		{"a configuration of another kind", "not that of a container image", good, func(m *v1.Manifest, _ *v1.ConfigFile) { m.Config = m.Layers[0] }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, parent := t.TempDir(), t.TempDir()
			digest := forge(t, dir, c.layer, c.change)
			err := oci.Unpack(t.Context(), dir, digest, filepath.Join(parent, "out"))
			wantCode(t, "unpack", err, slipway.CodeIO)
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q says nothing of %q", err, c.says)
			}
			if left, err := os.ReadDir(parent); err != nil || len(left) != 0 {
				t.Errorf("%v was left, %v", left, err)
			}
		})
	}
	holes := tar.NewReader(bytes.NewReader(sparse(t)[head:]))
	if h, err := holes.Next(); err != nil || h.Size != 1<<20 {
		t.Errorf("the archive with holes has none: %v, %v", h, err)
	}
	images := t.TempDir()
	if err := oci.Unpack(t.Context(), images, forge(t, images, good, nil), filepath.Join(images, "out")); err != nil {
		t.Errorf("the forgery that all cases start from: %v", err)
	}
}

// No byte of an image can be wrong, missing or added unnoticed.
func TestUnpackNoticesDamage(t *testing.T) {
	dir, parent := t.TempDir(), t.TempDir()
	img := sample()
	img.Spec = nil // no part of what is unpacked
	digest, dest := build(t, dir, img), filepath.Join(parent, "out")
	names, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil || len(names) != 3 {
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
			wantCode(t, what, oci.Unpack(t.Context(), dir, digest, dest), slipway.CodeIO)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := oci.Unpack(t.Context(), dir, digest, dest); err == nil {
			t.Errorf("%s: it was removed unnoticed", name)
		}
		if left, err := os.ReadDir(parent); err != nil || len(left) != 0 {
			t.Errorf("%v was left, %v", left, err)
		}
		build(t, dir, img) // heals
	}
	if err := oci.Unpack(t.Context(), dir, digest, dest); err != nil {
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

// Whatever an archive holds, nothing but plain files below the directory is written, and
// no more bytes than it has.
func FuzzExtract(f *testing.F) {
	t := &testing.T{}
	f.Add(tarball(t, tar.Header{Name: "a", Size: 3}, tar.Header{Name: "b/c", Mode: 0o555}))
	f.Add(tarball(t, tar.Header{Name: "../a"}))
	f.Add(tarball(t, tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: ".."}, tar.Header{Name: "a/b"}))
	f.Add(tarball(t, tar.Header{Name: strings.Repeat("long/", 30) + "ä", Size: 1}))
	f.Add(sparse(t))
	f.Add([]byte("no archive"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		inside := filepath.Join(dir, "inside")
		if err := os.Mkdir(inside, 0o700); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(inside)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		taken := oci.Extract(bytes.NewReader(b), int64(len(b)), root)
		var total int64
		err = filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			st, err := e.Info()
			total += st.Size()
			if !strings.HasPrefix(p, inside+"/") || !e.Type().IsRegular() || st.Mode()&^0o555 != 0 {
				t.Errorf("%q was made with mode %v", p, st.Mode())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if total > int64(len(b)) {
			t.Errorf("%d bytes came out of %d", total, len(b))
		}
		if taken != nil {
			if e := (*slipway.Error)(nil); !errors.As(taken, &e) {
				t.Errorf("an error of ours is wanted, not %v", taken)
			}
		}
	})
}
