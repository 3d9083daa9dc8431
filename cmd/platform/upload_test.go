package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/slipway-ml/slipway/api"
)

// stopping reads a file and calls stop in the middle.
type stopping struct {
	io.Reader
	half int
	stop func()
}

func (r *stopping) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p[:min(len(p), 4096)])
	if r.half -= n; r.half <= 0 && r.stop != nil {
		r.stop()
		r.stop = nil
	}
	return n, err
}

func (*stopping) Close() error { return nil }

// TestUploadResumes: an upload that ends in the middle, with its client or with the server,
// goes on where it was: what has arrived is not sent again, and no half file is kept.
func TestUploadResumes(t *testing.T) {
	s := newServer(t)
	contents := map[string][]byte{}
	var r api.RegisterVersion
	for i := range 6 {
		b := bytes.Repeat(fmt.Appendf(nil, "file %d of the model. ", i), 50000)
		name := fmt.Sprint("part", i)
		contents[name] = b
		r.Files = append(r.Files, api.File{Path: name, Digest: digest(b), Size: int64(len(b))})
	}
	var mu sync.Mutex
	var opened []string
	upload := func(ctx context.Context, at string, stop func()) (api.Version, error) {
		opened = nil
		return s.c.UploadVersion(ctx, "parts", r, func(f api.File) (io.ReadCloser, error) {
			mu.Lock()
			defer mu.Unlock()
			opened = append(opened, f.Path)
			in := &stopping{Reader: bytes.NewReader(contents[f.Path]), half: len(contents[f.Path]) / 2}
			if f.Path == at {
				in.stop = stop
			}
			return in, nil
		}, func(int64, int64) {})
	}
	whole := func() map[string]bool { // the digests of blobs
		t.Helper()
		found := map[string]bool{}
		err := filepath.WalkDir(filepath.Join(s.home, "blobs"), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.Contains(p, "incoming") {
				return err
			}
			b, err := os.ReadFile(p)
			if bytes.Contains(b, []byte("of the model")) {
				t.Errorf("%s is not encrypted", p)
			}
			found["sha256:"+strings.TrimSuffix(d.Name(), ".sealed")] = true
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := upload(ctx, "part2", cancel); err == nil {
		t.Fatal("an upload that was broken off has succeeded")
	}
	arrived := whole() // more may come: what was sent whole is kept
	crash := sync.OnceFunc(func() {
		if err := s.cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = s.cmd.Wait()
		if err := s.start(strings.TrimPrefix(s.url, "http://")); err != nil {
			t.Error(err)
		}
	})
	v, err := upload(t.Context(), "part5", crash) // the client goes on by itself
	if err != nil || len(v.Files) != 0 && len(v.Files) != 6 {
		t.Fatal(v, err)
	}
	for _, name := range opened {
		if arrived[digest(contents[name])] {
			t.Errorf("%s had arrived, and was sent again", name)
		}
	}
	for _, f := range r.Files {
		if !whole()[f.Digest] {
			t.Errorf("%s is not there", f.Path)
		}
	}
	// One whose acknowledgement was lost is sent again: it is there, and nothing breaks.
	part := contents["part0"]
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(part)), nil }
	if err := s.c.PutBlob(t.Context(), digest(part), int64(len(part)), open); err != nil {
		t.Errorf("a blob that is there: %v", err)
	}
	again, err := upload(t.Context(), "", nil)
	if err != nil || again.Number != v.Number || len(opened) != 0 {
		t.Errorf("the same again: %+v, %v sent, %v", again, opened, err)
	}
}
