package oci_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log" //nolint:depguard // what the registry of the tests takes
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/oci"
)

// requests counts what a registry was asked, by method and kind.
type requests struct {
	mu sync.Mutex
	n  map[string]int
}

func (r *requests) add(q *http.Request) int {
	kind := "other"
	for _, k := range []string{"/blobs/uploads/", "/blobs/", "/manifests/"} {
		if strings.Contains(q.URL.Path, k) {
			kind = strings.Trim(k, "/")
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n[q.Method+" "+kind]++
	r.n["all"]++
	return r.n["all"]
}

func (r *requests) take(kind string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.n[kind] = 0 }()
	return r.n[kind]
}

// serve runs a registry behind a handler, which may be nil, and gives its address.
func serve(t *testing.T, before func(w http.ResponseWriter, r *http.Request, next http.Handler)) (string, *requests) {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	t.Setenv("REGISTRY_AUTH_FILE", "")
	t.Setenv("XDG_RUNTIME_DIR", "")
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	seen := &requests{n: map[string]int{}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.add(r)
		if before != nil {
			before(w, r, inner)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), seen
}

// quick speaks with the registry of a test.
func quick() oci.Remote {
	return oci.Remote{PlainHTTP: true, Pause: time.Millisecond, Patience: 30 * time.Second}
}

// held reads an image from a registry as others do.
func held(t *testing.T, ref string) v1.Image {
	t.Helper()
	r, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(r)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestPush(t *testing.T) {
	host, seen := serve(t, nil)
	dir := t.TempDir()
	img := runnable(t, dir)
	digest := build(t, dir, img)
	var done, total int64
	r := quick()
	r.Progress = func(d, of int64) { done, total = d, of }
	pinned, err := oci.Push(t.Context(), dir, digest, layerOf(dir, digest), host+"/models/fraud:7", r)
	if want := host + "/models/fraud@" + string(digest); err != nil || pinned != want {
		t.Fatalf("%s, %v, want %s", pinned, err, want)
	}
	if done != total || total < 500_000 {
		t.Errorf("%d of %d bytes", done, total)
	}
	mine, _ := read(t, dir, digest)
	for _, ref := range []string{pinned, host + "/models/fraud:7"} {
		got := held(t, ref)
		if d, err := got.Digest(); err != nil || d.String() != string(digest) {
			t.Errorf("%s is %v, %v", ref, d, err)
		}
		if diff := cmp.Diff(flatten(t, mine), flatten(t, got)); diff != "" {
			t.Error(diff)
		}
	}
	if n := seen.take("PATCH blobs/uploads"); n != 4 {
		t.Errorf("%d blobs were sent, want 3 layers and the configuration", n)
	}
	if _, err := oci.Push(t.Context(), dir, digest, layerOf(dir, digest), host+"/models/fraud:latest", quick()); err != nil {
		t.Fatal(err)
	}
	if n := seen.take("PATCH blobs/uploads"); n != 0 {
		t.Errorf("%d blobs were sent again", n)
	}
	img.Files = img.Files[1:]
	next := build(t, dir, img)
	if pinned, err = oci.Push(t.Context(), dir, next, layerOf(dir, next), host+"/models/fraud", quick()); err != nil {
		t.Fatal(err)
	}
	if n := seen.take("PATCH blobs/uploads"); n != 2 {
		t.Errorf("%d blobs were sent, want the model and the configuration", n)
	}
	if d, err := held(t, pinned).Digest(); err != nil || d.String() != string(next) {
		t.Errorf("%v, %v", d, err)
	}
	if r, err := name.ParseReference(host+"/models/fraud:latest", name.Insecure); err != nil {
		t.Fatal(err)
	} else if d, err := remote.Head(r); err != nil || d.Digest.String() != string(digest) {
		t.Errorf("latest is %v, %v: a name without a tag must not move it", d, err)
	}
}

// Whatever a registry or the network does for a while, the image gets there, and back.
func TestRepeats(t *testing.T) {
	cut := func(w http.ResponseWriter) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.Close()
		}
	}
	for what, before := range map[string]func(n int64, w http.ResponseWriter, r *http.Request, next http.Handler){
		"fails now and then": func(n int64, w http.ResponseWriter, r *http.Request, next http.Handler) {
			if n%7 == 0 {
				_, _ = io.Copy(io.Discard, r.Body)
				http.Error(w, "sorry", http.StatusInternalServerError)
				return
			}
			next.ServeHTTP(w, r)
		},
		"is overloaded": func(n int64, w http.ResponseWriter, r *http.Request, next http.Handler) {
			if n%5 == 0 {
				_, _ = io.Copy(io.Discard, r.Body)
				http.Error(w, `{"errors":[{"code":"TOOMANYREQUESTS"}]}`, http.StatusTooManyRequests)
				return
			}
			next.ServeHTTP(w, r)
		},
		"cuts uploads": func(n int64, w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method == http.MethodPatch && n%2 == 0 {
				_, _ = io.CopyN(io.Discard, r.Body, 1000)
				cut(w)
				return
			}
			next.ServeHTTP(w, r)
		},
		"cuts downloads": func(n int64, w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && n%3 != 0 {
				w.Header().Set("Content-Length", "1000000")
				_, _ = w.Write(make([]byte, 10))
				_ = http.NewResponseController(w).Flush()
				cut(w)
				return
			}
			next.ServeHTTP(w, r)
		},
		"stops answering": func(n int64, w http.ResponseWriter, r *http.Request, next http.Handler) {
			if n == 4 || n == 16 {
				_, _ = io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
				return
			}
			next.ServeHTTP(w, r)
		},
	} {
		t.Run(what, func(t *testing.T) {
			var n atomic.Int64
			host, _ := serve(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) { before(n.Add(1), w, r, next) })
			dir := t.TempDir()
			digest := build(t, dir, runnable(t, dir))
			r := quick()
			if what == "stops answering" {
				r.Patience = 300 * time.Millisecond
			}
			pinned, err := oci.Push(t.Context(), dir, digest, layerOf(dir, digest), host+"/fraud:7", r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := oci.Pull(t.Context(), t.TempDir(), pinned, goruntime.GOARCH, r)
			if err != nil || got != digest {
				t.Errorf("%s, %v, want %s", got, err, digest)
			}
		})
	}
}

// docker writes a configuration of docker with credentials.
func docker(t *testing.T, host, user, password string) {
	t.Helper()
	dir := t.TempDir()
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	if err := os.WriteFile(filepath.Join(dir, "config.json"), fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, auth), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
}

func TestCredentials(t *testing.T) {
	host, _ := serve(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if user, password, ok := r.BasicAuth(); !ok || user != "ci" || password != "right" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"secret detail"}]}`, http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
	dir := t.TempDir()
	digest, ref := build(t, dir, sample()), host+"/fraud:7"
	refused := func(what string, r oci.Remote) {
		t.Helper()
		_, err := oci.Push(t.Context(), dir, digest, layerOf(dir, digest), ref, r)
		wantCode(t, what, err, slipway.CodeDenied)
		if err != nil && (!strings.Contains(err.Error(), "docker login "+host) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v", what, err)
		}
		_, err = oci.Pull(t.Context(), t.TempDir(), ref, goruntime.GOARCH, r)
		wantCode(t, what, err, slipway.CodeDenied)
	}
	refused("no credentials", quick())
	given := quick()
	given.Username, given.Password = "ci", "wrong"
	refused("wrong credentials", given)
	given.Password = "right"
	if _, err := oci.Push(t.Context(), dir, digest, layerOf(dir, digest), ref, given); err != nil {
		t.Error(err)
	}
	docker(t, host, "ci", "wrong")
	refused("docker's are wrong", quick())
	docker(t, host, "ci", "right")
	if _, err := oci.Push(t.Context(), dir, digest, layerOf(dir, digest), host+"/other:7", quick()); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := oci.Push(t.Context(), dir, digest, layerOf(dir, digest), ref, quick())
	wantCode(t, "docker's configuration is broken", err, slipway.CodeInvalid)
}

func TestRegistryRefuses(t *testing.T) {
	var answer atomic.Pointer[func(http.ResponseWriter, *http.Request)]
	host, seen := serve(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		(*answer.Load())(w, r)
	})
	status := func(code int) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/" {
				return
			}
			http.Error(w, `{"errors":[{"code":"X","message":"secret"}]}`, code)
		}
	}
	dir := t.TempDir()
	digest := build(t, dir, sample())
	for _, c := range []struct {
		name, code, says string
		answer           func(http.ResponseWriter, *http.Request)
		most             int // requests
	}{
		{"forbids", slipway.CodeDenied, "ask its owner for access", status(http.StatusForbidden), 20},
		{"has nothing", slipway.CodeNotFound, "has no", status(http.StatusNotFound), 20},
		{"bounds", slipway.CodeTooLarge, "too large for it", status(http.StatusRequestEntityTooLarge), 20},
		{"is asked too often", slipway.CodeUnavailable, "docker login", status(http.StatusTooManyRequests), 500},
		{"does not know our images", slipway.CodeInvalid, "takes OCI images", status(http.StatusUnsupportedMediaType), 20},
		{"never works", slipway.CodeUnavailable, "status 503", status(http.StatusServiceUnavailable), 500},
		{"lies on where to send", slipway.CodeNeedTLS, "without TLS", func(w http.ResponseWriter, r *http.Request) {
			switch r.Method {
			case http.MethodHead:
				w.WriteHeader(http.StatusNotFound)
			case http.MethodPost:
				w.Header().Set("Location", "http://registry.example.com/v2/x")
				w.WriteHeader(http.StatusAccepted)
			}
		}, 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer.Store(&c.answer)
			_, err := oci.Push(t.Context(), dir, digest, layerOf(dir, digest), host+"/fraud:7", quick())
			wantCode(t, "push", err, c.code)
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), host) && c.code != slipway.CodeTooLarge {
				t.Errorf("%v says nothing of %q", err, c.says)
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if strings.Contains(e.Error(), "secret") {
					t.Errorf("%v tells what the registry said", e)
				}
			}
			if n := seen.take("all"); n > c.most {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	host, _ := serve(t, nil)
	dir := t.TempDir()
	digest := build(t, dir, sample())
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	tls := quick()
	tls.PlainHTTP = false
	for _, c := range []struct {
		name, ref, code, says string
		remote                oci.Remote
	}{
		{"nothing listens", gone.Listener.Addr().String() + "/fraud:7", slipway.CodeUnavailable, "nothing listens there", quick()},
		{"no such host", "registry.invalid/fraud:7", slipway.CodeUnavailable, "no such host", tls},
		{"no TLS", host + "/fraud:7", slipway.CodeNeedTLS, "without TLS", tls},
		{"a certificate of nobody", secure.Listener.Addr().String() + "/fraud:7", slipway.CodeUnavailable, "is not trusted", tls},
		{"in the clear to another machine", "registry.example.com/fraud:7", slipway.CodeNeedTLS, "in the clear", quick()},
		{"in the clear to a private network", "10.0.0.1:5000/fraud:7", slipway.CodeNeedTLS, "in the clear", quick()},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := oci.Push(t.Context(), dir, digest, layerOf(dir, digest), c.ref, c.remote)
			wantCode(t, "push", err, c.code)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v says nothing of %q", err, c.says)
			}
		})
	}
}

func TestReferences(t *testing.T) {
	dir := t.TempDir()
	digest := build(t, dir, sample())
	for ref, code := range map[string]string{
		"":                               slipway.CodeInvalidName,
		"fraud":                          slipway.CodeInvalidName,
		"fraud:7":                        slipway.CodeInvalidName,
		"models/fraud:7":                 slipway.CodeInvalidName,
		"localhost:5000":                 slipway.CodeInvalidName,
		"localhost:5000/Fraud:7":         slipway.CodeInvalidName,
		"localhost:5000/fraud:":          slipway.CodeInvalidName,
		"localhost:5000/fraud:a b":       slipway.CodeInvalidName,
		"http://localhost:5000/fraud":    slipway.CodeInvalidName,
		"localhost:5000/a@b:c/fraud:7":   slipway.CodeInvalidName,
		"localhost:5000/fraud@sha256:00": slipway.CodeInvalidName,
		"localhost:5000/fraud@" + string(slipway.DigestOf([]byte("other"))): slipway.CodeInvalidDigest,
	} {
		_, err := oci.Push(t.Context(), dir, digest, layerOf(dir, digest), ref, quick())
		wantCode(t, ref, err, code)
	}
	_, err := oci.Pull(t.Context(), dir, "localhost:5000/python", "amd64", quick())
	wantCode(t, "pull without a tag", err, slipway.CodeInvalidName)
	_, err = oci.Push(t.Context(), dir, slipway.DigestOf(nil), nil, "localhost:5000/fraud:7", quick())
	wantCode(t, "no image", err, slipway.CodeNotFound)
	_, err = oci.Push(t.Context(), dir, "7", nil, "localhost:5000/fraud:7", quick())
	wantCode(t, "no digest", err, slipway.CodeInvalidDigest)
}

// Bytes that rotted are not sent, and are written again by the next build.
func TestPushNoticesDamage(t *testing.T) {
	dir := t.TempDir()
	digest := build(t, dir, runnable(t, dir))
	img, _ := read(t, dir, digest)
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range append(m.Layers, m.Config) {
		at := filepath.Join(dir, "blobs", "sha256", l.Digest.Hex)
		b, err := os.ReadFile(at)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)-1] ^= 1
		if err := errors.Join(os.Chmod(at, 0o600), os.WriteFile(at, b, 0o600)); err != nil {
			t.Fatal(err)
		}
		host, _ := serve(t, nil) // which has no layers yet
		ref := fmt.Sprintf("%s/fraud-%d:7", host, i)
		_, err = oci.Push(t.Context(), dir, digest, layerOf(dir, digest), ref, quick())
		wantCode(t, ref, err, slipway.CodeIO)
		build(t, dir, runnable(t, dir))
		if _, err := oci.Push(t.Context(), dir, digest, layerOf(dir, digest), ref, quick()); err != nil {
			t.Errorf("after it was built again: %v", err)
		}
	}
}

func TestPushIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	host, _ := serve(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPatch {
			cancel()
			_, _ = io.Copy(io.Discard, r.Body) // a server notices only then that the client left
			<-r.Context().Done()
			return
		}
		next.ServeHTTP(w, r)
	})
	dir := t.TempDir()
	digest := build(t, dir, runnable(t, dir))
	if _, err := oci.Push(ctx, dir, digest, layerOf(dir, digest), host+"/fraud:7", quick()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want to be cancelled", err)
	}
}

// Somebody else may move a tag between our writing and our looking.
func TestPushSeesAnotherImage(t *testing.T) {
	var host string
	var other v1.Image
	host, _ = serve(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/manifests/7") {
			b, _ := other.RawManifest()
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			_, _ = w.Write(b)
			return
		}
		next.ServeHTTP(w, r)
	})
	var err error
	if other, err = random.Image(10, 1); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	digest := build(t, dir, sample())
	_, err = oci.Push(t.Context(), dir, digest, layerOf(dir, digest), host+"/fraud:7", quick())
	wantCode(t, "push", err, slipway.CodeConflict)
}
