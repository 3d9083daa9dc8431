package client_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
)

// registry is a server that keeps blobs, and may fail the first attempt at each.
type registry struct {
	mu    sync.Mutex
	blobs map[string][]byte
	tried map[string]int
	flaky bool
	most  int // uploads at once
	now   int
}

func (s *registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/v1/blobs/missing":
		var in, out api.MissingBlobs
		_ = json.NewDecoder(r.Body).Decode(&in)
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, d := range in.Digests {
			if s.blobs[d] == nil {
				out.Digests = append(out.Digests, d)
			}
		}
		_ = json.NewEncoder(w).Encode(out)
	case r.Method == http.MethodPut:
		s.put(w, r)
	default:
		var in api.RegisterVersion
		_ = json.NewDecoder(r.Body).Decode(&in)
		_ = json.NewEncoder(w).Encode(api.Version{Model: "m", Number: 1, Files: in.Files, New: true})
	}
}

func (s *registry) put(w http.ResponseWriter, r *http.Request) {
	digest := strings.TrimPrefix(r.URL.Path, "/v1/blobs/")
	s.mu.Lock()
	s.tried[digest]++
	s.now++
	s.most = max(s.most, s.now)
	fail := s.flaky && s.tried[digest] == 1
	s.mu.Unlock()
	b, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	switch {
	case fail:
		w.WriteHeader(http.StatusServiceUnavailable)
	case err != nil || int64(len(b)) != r.ContentLength || string(slipway.DigestOf(b)) != digest:
		w.WriteHeader(http.StatusBadRequest)
	default:
		s.blobs[digest] = append([]byte{}, b...)
		w.WriteHeader(http.StatusNoContent)
	}
}

func TestUploadVersion(t *testing.T) {
	for _, flaky := range []bool{false, true} {
		content := map[string][]byte{"empty": {}, "same1": []byte("same"), "same2": []byte("same"), "there": []byte("there")}
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			content[name] = bytes.Repeat([]byte(name), 100_000)
		}
		s := &registry{blobs: map[string][]byte{string(slipway.DigestOf([]byte("there"))): []byte("there")}, tried: map[string]int{}, flaky: flaky}
		server := httptest.NewServer(s)
		var files []api.File
		for _, p := range slices.Sorted(maps.Keys(content)) {
			files = append(files, api.File{Path: p, Digest: string(slipway.DigestOf(content[p])), Size: int64(len(content[p]))})
		}
		c, err := client.New(client.Config{BaseURL: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		var done, total int64
		v, err := c.UploadVersion(t.Context(), "m", api.RegisterVersion{Files: files},
			func(f api.File) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content[f.Path])), nil },
			func(d, n int64) { done, total = d, n })
		server.Close()
		if err != nil || len(v.Files) != len(files) || done != 600_004 || total != done {
			t.Errorf("flaky %v: %v, %d files, %d of %d bytes", flaky, err, len(v.Files), done, total)
		}
		for p, b := range content {
			if got, ok := s.blobs[string(slipway.DigestOf(b))]; !ok || !bytes.Equal(got, b) {
				t.Errorf("flaky %v: %s did not arrive", flaky, p)
			}
		}
		if s.most > 4 {
			t.Errorf("%d uploads at once", s.most)
		}
	}
}

func TestUploadOfAChangedFile(t *testing.T) {
	s := &registry{blobs: map[string][]byte{}, tried: map[string]int{}}
	server := httptest.NewServer(s)
	c, err := client.New(client.Config{BaseURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	digest := string(slipway.DigestOf([]byte("four")))
	for name, tt := range map[string]struct {
		open func() (io.ReadCloser, error)
		code string
	}{
		"shorter":    {func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("fou")), nil }, slipway.CodeUploadDigest},
		"unreadable": {func() (io.ReadCloser, error) { return io.NopCloser(brokenReader{}), nil }, slipway.CodeIO},
		"gone":       {func() (io.ReadCloser, error) { return nil, errors.New("gone") }, slipway.CodeIO},
	} {
		if err := c.PutBlob(t.Context(), digest, 4, tt.open); codeOf(err) != tt.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	server.Close()
	if len(s.blobs) != 0 {
		t.Error("something arrived")
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("disk") }
