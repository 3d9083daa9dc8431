package oci_test

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/oci"
)

// programDir holds program; the tests end by removing it.
var programDir string

// program is a static program that tells how it was started, built once.
var program = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "oci-program-")
	if err != nil {
		panic(err)
	}
	programDir = dir
	source, out := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	text := `package main

import (
	"encoding/json"
	"os"
)

func main() {
	dir, _ := os.Getwd()
	model, _ := os.ReadFile(os.Getenv("SLIPWAY_MODEL_DIR") + "/MLmodel")
	spec, _ := os.ReadFile(os.Getenv("SLIPWAY_SPEC"))
	temp := os.WriteFile(os.TempDir()+"/x", nil, 0o600)
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"args": os.Args, "dir": dir, "user": os.Getuid(), "group": os.Getgid(),
		"model": string(model), "spec": string(spec), "temp": temp == nil, "own": os.WriteFile("x", nil, 0o600) == nil})
}
`
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		panic(err)
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if b, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v: %s", err, b))
	}
	return out
})

var sampleLabels = map[string]string{"org.opencontainers.image.title": "fraud", "org.opencontainers.image.version": "7"}

// prepared is the program for the images of a layout.
func prepared(t *testing.T, dir, name string) oci.Program {
	t.Helper()
	p, err := oci.Prepare(t.Context(), dir, name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// runnable is an image of the sample that runs, for a layout.
func runnable(t *testing.T, dir string) oci.Image {
	t.Helper()
	img := sample()
	img.Runtime = prepared(t, dir, program())
	img.Env = map[string]string{"SLIPWAY_MODEL": "fraud", "SLIPWAY_VERSION": "7"}
	img.Labels = sampleLabels
	return img
}

// read opens an image as other tools do.
func read(t *testing.T, dir string, digest slipway.Digest) (v1.Image, *v1.ConfigFile) {
	t.Helper()
	hash, err := v1.NewHash(string(digest))
	if err != nil {
		t.Fatal(err)
	}
	img, err := layout.Path(dir).Image(hash)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return img, config
}

// member is a file or a directory of a container.
type member struct {
	Mode    int64
	Content string
}

// flatten applies all layers, as a container runtime does.
func flatten(t *testing.T, img v1.Image) map[string]member {
	t.Helper()
	in := mutate.Extract(img)
	defer in.Close()
	return members(t, in)
}

func members(t *testing.T, in io.Reader) map[string]member {
	t.Helper()
	out := map[string]member{}
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || !h.ModTime.Equal(time.Unix(0, 0)) {
			t.Errorf("%s is of %d:%d and of %v", h.Name, h.Uid, h.Gid, h.ModTime)
		}
		if name := strings.TrimSuffix(h.Name, "/"); h.Typeflag == tar.TypeDir {
			h.Name = name + "/"
		}
		out[h.Name] = member{h.Mode, string(b)}
	}
}

// unpackAll makes the root of a container.
func unpackAll(t *testing.T, img v1.Image) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	all := flatten(t, img)
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names) // directories come before what is in them
	for _, name := range names {
		m, at := all[name], filepath.Join(root, name)
		if strings.HasSuffix(name, "/") {
			mode := os.FileMode(m.Mode & 0o777)
			if m.Mode&0o1000 != 0 {
				mode |= os.ModeSticky
			}
			if err := errors.Join(os.Mkdir(at, 0o755), os.Chmod(at, mode)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := errors.Join(os.WriteFile(at, []byte(m.Content), 0o600), os.Chmod(at, os.FileMode(m.Mode))); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// The image runs in a container: its program is there, starts as the user that the image
// names, and finds what it needs.
func TestRuns(t *testing.T) {
	dir := t.TempDir()
	img, config := read(t, dir, build(t, dir, runnable(t, dir)))
	if err := validate.Image(img, validate.Fast); err != nil {
		t.Error(err)
	}
	want := &v1.ConfigFile{Architecture: goruntime.GOARCH, OS: "linux", Created: v1.Time{Time: time.Unix(0, 0).UTC()}, RootFS: config.RootFS,
		Config: v1.Config{Entrypoint: []string{"/usr/local/bin/platform", "runtime", "serve"}, User: "65532:65532", WorkingDir: "/opt/slipway/model",
			ExposedPorts: map[string]struct{}{"8080/tcp": {}}, Labels: sampleLabels,
			Env: []string{"HOME=/tmp", "PATH=/usr/local/bin:/usr/bin:/bin", "SLIPWAY_MODEL=fraud", "SLIPWAY_MODEL_DIR=/opt/slipway/model",
				"SLIPWAY_SPEC=/opt/slipway/platform.json", "SLIPWAY_VERSION=7"}}}
	if diff := cmp.Diff(want, config); diff != "" {
		t.Error(diff)
	}
	root := unpackAll(t, img)
	entry := filepath.Join(root, config.Config.Entrypoint[0])
	if st, err := os.Stat(entry); err != nil || st.Mode() != 0o755 {
		t.Errorf("%v, %v: the program cannot be started", st.Mode(), err)
	}
	f, err := elf.Open(entry)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if libraries, err := f.ImportedLibraries(); err == nil && len(libraries) > 0 {
		t.Errorf("the program needs %q", libraries)
	}
	if os.Getuid() != 0 {
		t.Skip("only root can change into the root of a container")
	}
	cmd := exec.Command(config.Config.Entrypoint[0], config.Config.Entrypoint[1:]...)
	cmd.Err = nil // the path is that of the container
	cmd.Dir, cmd.Env = config.Config.WorkingDir, config.Config.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	b, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	told := map[string]any{"args": []any{"/usr/local/bin/platform", "runtime", "serve"}, "dir": "/opt/slipway/model", "user": 65532.0, "group": 65532.0,
		"model": "flavors: {}\n", "spec": "name: fraud\n# <ü>\n", "temp": true, "own": false}
	if diff := cmp.Diff(any(told), got); diff != "" {
		t.Error(diff)
	}
}

// packages makes an environment as an installer does, with what differs each time.
func packages(t *testing.T, again bool) oci.Environment {
	t.Helper()
	dir := t.TempDir()
	script := "#!/env/one/bin/python"
	if again {
		script = "#!/env/two/bin/python"
	}
	record := []string{"numpy/__init__.py,sha256=x,5", "numpy-2.0.dist-info/RECORD,,", "../../../bin/f2py," + slipway.DigestOf([]byte(script)).Hex() + ",9",
		"numpy/__pycache__/__init__.cpython-312.pyc,,", "numpy-2.0.dist-info/direct_url.json,,", `"../../../bin/a,b",,`}
	if again {
		slices.Reverse(record)
	}
	files := map[string]string{"numpy/__init__.py": "hello", "numpy/core.so": "\x7fELF", "numpy-2.0.dist-info/RECORD": strings.Join(record, "\n") + "\n",
		"six.py": "six", "numpy/__pycache__/__init__.cpython-312.pyc": script, "numpy-2.0.dist-info/direct_url.json": script,
		"numpy-2.0.dist-info/uv_cache.json": script, "data/RECORD": "../x\n", "ä b.py": "1"}
	for name, content := range files {
		at := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.WriteFile(at, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	at := filepath.Join(dir, "numpy", "core.so")
	if err := errors.Join(os.Chmod(at, 0o755), os.Symlink("core.so", filepath.Join(dir, "numpy", "core.so.1"))); err != nil {
		t.Fatal(err)
	}
	if again {
		if err := errors.Join(os.Remove(filepath.Join(dir, "numpy", "__pycache__", "__init__.cpython-312.pyc")), os.Chtimes(at, time.Unix(1, 0), time.Unix(1, 0))); err != nil {
			t.Fatal(err)
		}
	}
	return oci.Environment{Dir: dir, Key: slipway.DigestOf([]byte("numpy==2.0"))}
}

// bare is an archive of headers as they are, each with as many bytes as its size says.
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

// baseImage writes an image of others into a layout.
func baseImage(t *testing.T, dir string, change func(*v1.ConfigFile), media ...types.MediaType) slipway.Digest {
	t.Helper()
	var img v1.Image = empty.Image
	var err error
	for i, m := range media {
		b := bare(t, tar.Header{Name: "usr/", Typeflag: tar.TypeDir, Mode: 0o755}, tar.Header{Name: fmt.Sprint("usr/", i), Size: 3, ModTime: time.Unix(0, 0)})
		if img, err = mutate.AppendLayers(img, static.NewLayer(b, m)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture = "linux", goruntime.GOARCH
	c.Config = v1.Config{Env: []string{"LANG=C.UTF-8", "PATH=/opt/python/bin:/bin", "PYTHONPATH=/old", "HOME=/root"}, Cmd: []string{"python3"},
		Entrypoint: []string{"sh"}, User: "root", Labels: map[string]string{"maintainer": "others"}}
	if change != nil {
		change(c)
	}
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	p, err := layout.FromPath(dir)
	if err != nil {
		if p, err = layout.Write(dir, empty.Index); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return slipway.Digest(d.String())
}

// A Python model's image builds on a base and has the packages, and says so.
func TestBaseAndEnvironment(t *testing.T) {
	dir := t.TempDir()
	img := runnable(t, dir)
	img.Base = baseImage(t, dir, nil, types.DockerUncompressedLayer, types.OCIUncompressedLayer)
	img.Environment = packages(t, false)
	digest := build(t, dir, img)
	got, config := read(t, dir, digest)
	manifest, err := got.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, l := range manifest.Layers {
		kinds = append(kinds, path.Base(string(l.MediaType))+" "+l.Annotations["slipway.layer"])
	}
	const tarred, zipped = "vnd.oci.image.layer.v1.tar", "vnd.oci.image.layer.v1.tar+gzip"
	if diff := cmp.Diff([]string{tarred + " ", tarred + " ", zipped + " runtime", zipped + " environment", tarred + " model", tarred + " spec"}, kinds); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"org.opencontainers.image.base.digest": string(img.Base)}, manifest.Annotations); diff != "" {
		t.Error(diff)
	}
	want := []string{"LANG=C.UTF-8", "PATH=/opt/python/bin:/bin", "HOME=/tmp", "PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH=/opt/slipway/site-packages",
		"SLIPWAY_MODEL=fraud", "SLIPWAY_MODEL_DIR=/opt/slipway/model", "SLIPWAY_SPEC=/opt/slipway/platform.json", "SLIPWAY_VERSION=7"}
	if diff := cmp.Diff(want, config.Config.Env); diff != "" {
		t.Error(diff)
	}
	if c := config.Config; len(c.Cmd) != 0 || c.Entrypoint[0] != oci.RuntimePath || c.User != "65532:65532" || c.Labels["maintainer"] != "" {
		t.Errorf("%+v is of the base", c)
	}
	all := flatten(t, got)
	const packages = "opt/slipway/site-packages/"
	for name, want := range map[string]member{"usr/0": {0o444, "\x00\x00\x00"}, "usr/1": {0o444, "\x00\x00\x00"}, "tmp/": {0o1777, ""},
		packages + "numpy/core.so": {0o555, "\x7fELF"}, packages + "numpy/core.so.1": {0o555, "\x7fELF"}, packages + "six.py": {0o444, "six"},
		packages + "ä b.py": {0o444, "1"}, packages + "data/RECORD": {0o444, "../x\n"},
		packages + "numpy-2.0.dist-info/RECORD": {0o444, "numpy-2.0.dist-info/RECORD,,\nnumpy/__init__.py,sha256=x,5\n"},
		"opt/slipway/model/bin/serve":           {0o555, "#!/bin/sh\n"}, "opt/slipway/platform.json": {0o444, "name: fraud\n# <ü>\n"}} {
		if all[name] != want {
			t.Errorf("%s is %.99v, want %.99v", name, all[name], want)
		}
	}
	for name := range all {
		if strings.Contains(name, "__pycache__") || strings.Contains(name, "direct_url") || strings.Contains(name, "uv_cache") {
			t.Errorf("%s is in the image", name)
		}
	}
	dest := filepath.Join(t.TempDir(), "out")
	if err := oci.Unpack(t.Context(), dir, digest, img.Files, dest); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, dest); len(got) != len(sample().Files) || got["MLmodel"] != "444 flavors: {}\n" {
		t.Errorf("%d files were unpacked: not those of the model", len(got))
	}
}

// The same parts give the same bytes, wherever they lie and whenever they were written.
func TestReproducibleWhole(t *testing.T) {
	other := filepath.Join(t.TempDir(), "elsewhere")
	b, err := os.ReadFile(program())
	if err := errors.Join(err, os.WriteFile(other, b, 0o700), os.Chtimes(other, time.Unix(1, 0), time.Unix(1, 0))); err != nil {
		t.Fatal(err)
	}
	var digests []slipway.Digest
	var layouts []map[string]string
	for i, runtime := range []string{program(), other} {
		dir := filepath.Join(t.TempDir(), strings.Repeat("d", i), "images")
		img := runnable(t, dir)
		img.Base = baseImage(t, dir, nil, types.OCIUncompressedLayer)
		img.Runtime, img.Environment = prepared(t, dir, runtime), packages(t, i > 0)
		if i > 0 {
			slices.Reverse(img.Files)
		}
		digests, layouts = append(digests, build(t, dir, img)), append(layouts, contents(t, filepath.Join(dir, "blobs")))
	}
	if digests[0] != digests[1] {
		t.Errorf("%s and %s", digests[0], digests[1])
	}
	if diff := cmp.Diff(layouts[0], layouts[1]); diff != "" {
		t.Error(diff)
	}
}

// What revisions share is written once, and again when it is gone or not whole.
func TestSharedLayers(t *testing.T) {
	dir := t.TempDir()
	img := runnable(t, dir)
	img.Base = baseImage(t, dir, nil, types.OCIUncompressedLayer)
	img.Environment = packages(t, false)
	first := build(t, dir, img)
	manifest := func(d slipway.Digest) *v1.Manifest {
		m, _ := read(t, dir, d)
		got, err := m.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	m := manifest(first)
	blob := func(i int) string { return filepath.Join(dir, "blobs", "sha256", m.Layers[i].Digest.Hex) }
	stat := func(i int) os.FileInfo {
		st, err := os.Stat(blob(i))
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	before := []os.FileInfo{stat(0), stat(1), stat(2)}
	img.Files, img.Spec = img.Files[1:], []byte("other")
	img.Environment.Dir = "/nowhere" // it is not looked at again
	second := manifest(build(t, dir, img))
	if diff := cmp.Diff(m.Layers[:3], second.Layers[:3]); diff != "" {
		t.Error(diff)
	}
	for i, st := range before {
		if !os.SameFile(st, stat(i)) {
			t.Errorf("layer %d was written again", i)
		}
	}
	img.Environment = packages(t, false)
	for _, i := range []int{1, 2} {
		for what, damage := range map[string]func() error{
			"gone":   func() error { return os.Remove(blob(i)) },
			"cut":    func() error { return errors.Join(os.Chmod(blob(i), 0o600), os.Truncate(blob(i), 5)) },
			"a link": func() error { return errors.Join(os.Remove(blob(i)), os.Symlink("/etc/passwd", blob(i))) },
		} {
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(second, manifest(build(t, dir, img))); diff != "" {
				t.Errorf("%s: %s", what, diff)
			}
			if got, _ := os.ReadFile(blob(i)); slipway.DigestOf(got).Hex() != m.Layers[i].Digest.Hex {
				t.Errorf("layer %d, which was %s, is not healed", i, what)
			}
		}
	}
	if notes, err := filepath.Glob(filepath.Join(dir, "layers", "*")); err != nil || len(notes) != 2 {
		t.Errorf("%v, %v, want two notes", notes, err)
	} else if err := errors.Join(os.Chmod(notes[0], 0o600), os.WriteFile(notes[0], []byte(`{"blob":{"digest":"sha256:../../x"}}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(second, manifest(build(t, dir, img))); diff != "" {
		t.Errorf("a note that is broken: %s", diff)
	}
}

// Whatever an environment has comes out, but for what is left out.
func TestEnvironmentRoundTrip(t *testing.T) {
	dir := t.TempDir()
	base := baseImage(t, dir, nil, types.OCIUncompressedLayer)
	runtime, n := prepared(t, dir, program()), 0
	rapid.Check(t, func(r *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-c]{1,2}(/[x-z]{1,2}|/__pycache__){0,2}(/RECORD)?`), 0, 6, rapid.ID).Draw(r, "names")
		n++
		env := oci.Environment{Dir: t.TempDir(), Key: slipway.DigestOf(fmt.Append(nil, n))}
		want := map[string]string{}
		for _, name := range names {
			if slices.ContainsFunc(names, func(o string) bool { return strings.HasPrefix(name, o+"/") || strings.HasPrefix(o, name+"/") }) || strings.HasSuffix(name, "__pycache__") {
				continue
			}
			content := rapid.StringN(0, 20, 600).Draw(r, "content")
			at := filepath.Join(env.Dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.WriteFile(at, []byte(content), 0o600)); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(name, "__pycache__") {
				want["opt/slipway/site-packages/"+name] = content
			}
		}
		img, _ := read(t, dir, build(t, dir, oci.Image{Runtime: runtime, Base: base, Environment: env}))
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		in, err := layers[2].Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		got := map[string]string{}
		for name, m := range members(t, in) {
			if !strings.HasSuffix(name, "/") {
				got[name] = m.Content
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			r.Fatal(diff)
		}
	})
}
