package bucket_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/bucket"
)

func env(vars map[string]string) func(string) string {
	return func(k string) string { return vars[k] }
}

var credentials = env(map[string]string{"SLIPWAY_BACKUP_ACCESS_KEY_ID": "id", "SLIPWAY_BACKUP_SECRET_ACCESS_KEY": "secret"})

// service is a server that speaks S3, with one bucket.
func service(t *testing.T) string {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("backups"); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(s.Close)
	return s.URL
}

func open(t *testing.T, place string) bucket.Store {
	t.Helper()
	s, err := bucket.Open(t.Context(), place, bucket.Options{Getenv: credentials, Now: time.Now})
	if err != nil {
		t.Fatal(err, slipway.AsError(err).Cause)
	}
	return s
}

// each runs a test against a directory, and against a bucket of another's making.
func each(t *testing.T, test func(t *testing.T, s bucket.Store)) {
	t.Run("directory", func(t *testing.T) { test(t, open(t, filepath.Join(t.TempDir(), "new", "one"))) })
	t.Run("s3", func(t *testing.T) {
		test(t, open(t, "s3://backups/of/one?region=us-east-1&endpoint="+service(t)))
	})
}

func list(t *testing.T, s bucket.Store, prefix string) []string {
	t.Helper()
	var out []string
	if err := s.List(t.Context(), prefix, func(name string, size int64) { out = append(out, fmt.Sprint(name, " ", size)) }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func TestStore(t *testing.T) {
	each(t, func(t *testing.T, s bucket.Store) {
		ctx := t.Context()
		if got := list(t, s, "parts/"); len(got) != 0 {
			t.Errorf("an empty store has %v", got)
		}
		large := bytes.Repeat([]byte("0123456789abcdef"), 2_200_000) // more than one piece
		objects := map[string][]byte{"parts/ab/ab1": []byte("one"), "parts/cd/cd1": []byte("x"), "backups/x.backup": []byte("two"), "parts/ef/ef1": large}
		for name, b := range objects {
			if err := s.Put(ctx, name, int64(len(b)), bytes.NewReader(b)); err != nil {
				t.Fatal(name, err, slipway.AsError(err).Cause)
			}
		}
		for name, want := range objects {
			in, size, err := s.Get(ctx, name)
			if err != nil {
				t.Fatal(name, err)
			}
			got, err := io.ReadAll(in)
			in.Close()
			if err != nil || !bytes.Equal(got, want) || size != int64(len(want)) {
				t.Errorf("%s: %d bytes of %d, %v", name, len(got), size, err)
			}
		}
		if got := strings.Join(list(t, s, "parts/"), ","); got != fmt.Sprintf("parts/ab/ab1 3,parts/cd/cd1 1,parts/ef/ef1 %d", len(large)) {
			t.Error(got)
		}
		if got := list(t, s, "backups/"); len(got) != 1 {
			t.Error(got)
		}
		// What is broken off leaves what was there, or nothing.
		lost := errors.New("lost")
		for _, name := range []string{"parts/ab/ab1", "parts/zz/zz1"} {
			for _, n := range []int{100, 40 << 20} {
				err := s.Put(ctx, name, int64(n), io.MultiReader(bytes.NewReader(large[:min(n, len(large))/2]), iotest.ErrReader(lost)))
				if !errors.Is(err, lost) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if got := list(t, s, "parts/"); len(got) != 3 || got[0] != "parts/ab/ab1 3" {
			t.Error(got)
		}
		for range 2 {
			if err := s.Delete(ctx, "parts/ab/ab1"); err != nil {
				t.Error(err)
			}
		}
		if _, _, err := s.Get(ctx, "parts/ab/ab1"); !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
			t.Errorf("%v, want NotFound", err)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := service(t)
	for _, place := range []string{"", "ftp://host/x", "s3://", "s3:///x", "s3://user:secret@backups", "s3://backups?endpoint=http://192.0.2.1", "s3://backups?other=x", "s3://backups?endpoint=file:///x",
		file, "s3://others?region=us-east-1&endpoint=" + s, "s3://backups?region=us-east-1&endpoint=http://127.0.0.1:1"} {
		_, err := bucket.Open(t.Context(), place, bucket.Options{Getenv: credentials, Now: time.Now})
		e := slipway.AsError(err)
		if e.Code != slipway.CodeBackupTarget || e.Next == "" || strings.Contains(e.Error(), "secret") {
			t.Errorf("%q: %v", place, err)
		}
	}
	if _, err := bucket.Open(t.Context(), filepath.Join(t.TempDir(), "none"), bucket.Options{Existing: true, Now: time.Now}); !errors.Is(err, &slipway.Error{Code: slipway.CodeBackupTarget}) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// A link in the directory leads nowhere else.
func TestDirectoryIsConfined(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "parts")); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir).Put(t.Context(), "parts/ab/ab1", 1, strings.NewReader("x")); err == nil {
		t.Error("written outside of the directory")
	}
}

func TestDiskFull(t *testing.T) {
	path := t.TempDir()
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s, err := bucket.Open(t.Context(), path, bucket.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "parts/ab/ab1", 3, strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	err = s.Put(t.Context(), "parts/ab/ab2", 2<<20, bytes.NewReader(make([]byte, 2<<20)))
	if !errors.Is(err, &slipway.Error{Code: slipway.CodeDiskFull}) {
		t.Errorf("%v", err)
	}
	if got := list(t, s, "parts/"); len(got) != 1 {
		t.Error(got)
	}
}
