//go:build !race

package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// pythonBase makes a container image of the Python of this machine, and pushes it to a
// registry. It gives the image's name there, and a file with the certificates to trust.
func pythonBase(t *testing.T, python string) (base, trust string) {
	t.Helper()
	prefix := strings.TrimSpace(output(t, python, "-c", "import sys; print(sys.base_prefix)"))
	root := t.TempDir()
	for _, args := range [][]string{
		{"mkdir", "-p", root + "/usr/local/bin", root + "/usr/local/lib", root + "/tmp", root + "/lib64"},
		{"sh", "-c", "cp -a " + prefix + "/lib/libpython3* " + root + "/usr/local/lib/"},
		{"sh", "-c", "cd " + prefix + "/lib && tar -c --exclude=site-packages --exclude=test --exclude=__pycache__ --exclude='*.a' --exclude=idlelib --exclude=ensurepip python3.* | tar -x -C " + root + "/usr/local/lib"},
		{"sh", "-c", "cp -aL $(readlink -f " + python + ") " + root + "/usr/local/bin/python3"},
		// What the interpreter, its modules and common wheels are linked against.
		{"sh", "-c", "for f in " + root + "/usr/local/bin/python3 $(find " + root + "/usr/local/lib -name '*.so*') $(ldconfig -p | awk '/x86-64.*(libstdc|libgcc_s|libpthread|libdl|librt|libutil)[.+]/{print $NF}'); do ldd $f; echo x '=>' $f; done 2>/dev/null | awk '$3 ~ /^\\/(usr\\/)?lib/{print $3}' | sort -u | while read f; do mkdir -p " +
			root + "$(dirname $f) && cp -L $f " + root + "$f; done"},
		{"sh", "-c", "cp -L /lib64/ld-linux-x86-64.so.2 " + root + "/lib64/ && chmod 1777 " + root + "/tmp"},
	} {
		output(t, args[0], args[1:]...)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := errors.Join(w.AddFS(os.DirFS(root)), w.Close()); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err == nil {
		img, err = mutate.ConfigFile(img, &v1.ConfigFile{Architecture: "amd64", OS: "linux", RootFS: rootFS(t, img),
			Config: v1.Config{Env: []string{"PATH=/usr/local/bin:/usr/bin", "LD_LIBRARY_PATH=/usr/local/lib"}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	peer := httptest.NewTLSServer(registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo))))
	t.Cleanup(peer.Close)
	ref, err := name.ParseReference(strings.TrimPrefix(peer.URL, "https://") + "/python:3.11")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img, remote.WithTransport(peer.Client().Transport)); err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	certificates, err := os.ReadFile(cmp.Or(os.Getenv("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt"))
	if err != nil {
		t.Fatal(err)
	}
	trust = filepath.Join(t.TempDir(), "trust.pem")
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: peer.Certificate().Raw})
	if err := os.WriteFile(trust, append(certificates, own...), 0o600); err != nil {
		t.Fatal(err)
	}
	return ref.Context().Digest(digest.String()).String(), trust
}

func rootFS(t *testing.T, img v1.Image) v1.RootFS {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return c.RootFS
}

func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		var e *exec.ExitError
		if errors.As(err, &e) {
			out = e.Stderr
		}
		t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// TestPythonImage: the image of a scikit-learn model, built on a base that has Python, is
// unpacked and started by itself, as another user and with another root directory. It
// answers what scikit-learn answered in training.
func TestPythonImage(t *testing.T) {
	unraced(t)
	if os.Geteuid() != 0 {
		t.Skip("only root may change its root directory")
	}
	venv, err := filepath.Abs("../../.venv/bin")
	if err != nil {
		t.Fatal(err)
	}
	python := filepath.Join(venv, "python")
	if _, err := os.Stat(python); err != nil {
		t.Skip("there is no .venv: make venv")
	}
	dir := t.TempDir()
	exe, project := filepath.Join(dir, "platform"), filepath.Join(dir, "churn")
	build := exec.Command("go", "build", "-o", exe, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // else it is no runtime of an image
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	output(t, exe, "init", project, "--template", "sklearn")
	output(t, python, filepath.Join(project, "train.py"))
	base, trust := pythonBase(t, python)
	s := newServerWith(t, exe, []string{"--python-base", base}, "PATH="+venv+":"+os.Getenv("PATH"), "SSL_CERT_FILE="+trust)
	output(t, exe, "deploy", "--home", s.home, "-f", filepath.Join(project, "platform.yaml"), "--watch")
	ds, err := s.c.Deployments(t.Context(), "churn", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	s.thick(ds[0])
	root, config := extract(t, filepath.Join(s.home, "images"), ds[0].Image)
	address := startImage(t, root, config)

	golden, err := os.Open(filepath.Join(project, "golden.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer golden.Close()
	var model struct {
		Inputs []struct{ Name, Datatype string }
	}
	call(t, address, "GET", "/v2/models/churn", nil, &model)
	lines := 0
	for sc := bufio.NewScanner(golden); sc.Scan(); {
		var row struct {
			Inputs  map[string]any
			Outputs map[string]float64
		}
		if err := json.Unmarshal(sc.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		if row.Inputs["data_used_gb"] == nil { // Open Inference has nothing that is missing
			continue
		}
		lines++
		var inputs []any
		for _, in := range model.Inputs {
			inputs = append(inputs, map[string]any{"name": in.Name, "datatype": in.Datatype, "shape": []int{1}, "data": []any{row.Inputs[in.Name]}})
		}
		var got struct {
			Outputs []struct {
				Name string
				Data []float64
			}
		}
		call(t, address, "POST", "/v2/models/churn/infer", map[string]any{"inputs": inputs}, &got)
		for _, out := range got.Outputs {
			if want := row.Outputs[out.Name]; len(out.Data) != 1 || math.Abs(out.Data[0]-want) > 1e-12 {
				t.Errorf("row %d: %s is %v, want %v", lines, out.Name, out.Data, want)
			}
		}
		if len(got.Outputs) != 2 {
			t.Errorf("row %d has %d outputs", lines, len(got.Outputs))
		}
	}
	if lines < 30 {
		t.Errorf("%d golden rows", lines)
	}
}

// call asks a server with JSON.
func call(t *testing.T, address, method, path string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if err := json.Unmarshal(answer, out); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", answer, err)
	}
}

// extract unpacks an image of a layout as a container runtime does.
func extract(t *testing.T, dir, digest string) (root string, config v1.Config) {
	t.Helper()
	p, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := v1.NewHash(digest)
	if err != nil {
		t.Fatal(err)
	}
	img, err := p.Image(hash)
	if err != nil {
		t.Fatal(err)
	}
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	files := mutate.Extract(img)
	defer files.Close()
	untar := exec.Command("tar", "-x", "-p", "-C", root)
	untar.Stdin = files
	if out, err := untar.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for up := root; up != os.TempDir(); up = filepath.Dir(up) { // the user of the image comes through here
		if err := os.Chmod(up, 0o755); err != nil { //nolint:gosec // it is the root directory of a container
			t.Fatal(err)
		}
	}
	return root, c.Config
}

// startImage starts an image and waits until it is ready.
func startImage(t *testing.T, root string, config v1.Config) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = ln.Addr().String()
	ln.Close()
	var out strings.Builder
	// A container has /proc and /dev/null, too; these mounts end with the process.
	const contain = `root=$1; shift; mkdir -p $root/proc $root/dev && mount -t proc proc $root/proc && mknod -m 666 $root/dev/null c 1 3 &&
		exec env -i "$@"`
	args := append([]string{"-m", "sh", "-c", contain, "sh", root, "SLIPWAY_LISTEN=" + address}, config.Env...)
	args = append(args, "/usr/sbin/chroot", "--userspec=65532:65532", root)
	cmd := exec.Command("unshare", append(args, config.Entrypoint...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("the image ended with %d: %s", code, &out)
		}
	})
	for range 600 {
		resp, err := http.Get("http://" + address + "/v2/health/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return address
			}
		}
		select {
		case <-ended:
			t.Fatalf("the image ended: %s", &out)
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatalf("the image is not ready: %s", &out)
	return ""
}
