package modeldir_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/modeldir"
)

// write makes files with their names as contents, or the given ones.
func write(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		name, content, _ := strings.Cut(name, "=")
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

// hole makes a file of which nothing is on disk.
func hole(t *testing.T, dir, name string, size int64) {
	t.Helper()
	write(t, dir, name)
	if err := os.Truncate(filepath.Join(dir, name), size); err != nil {
		t.Fatal(err)
	}
}

func TestScan(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "MLmodel=flavors", "a/b=1", "a-b=2", "empty=", "data/x.bin=0123", ".git/HEAD=ref", "a/__pycache__/m.pyc=c", ".DS_Store=d", "code/.git=gitdir", "häuser/ä b=ok")
	if err := os.Chmod(filepath.Join(dir, "a-b"), 0o755); err != nil {
		t.Fatal(err)
	}
	link(t, "data/x.bin", filepath.Join(dir, "alias.bin"))
	link(t, "../data/../alias.bin", filepath.Join(dir, "a", "alias.bin"))
	var mu sync.Mutex
	var most int64
	m, err := modeldir.Scan(t.Context(), dir, func(done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		most = max(most, done)
		if total != 23 {
			t.Errorf("total %d, want 23", total)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	file := func(path, content string) modeldir.File {
		return modeldir.File{Path: path, Digest: slipway.DigestOf([]byte(content)), Size: int64(len(content)), Executable: path == "a-b"}
	}
	want := modeldir.Manifest{Total: 23, Files: []modeldir.File{file("MLmodel", "flavors"), file("a-b", "2"), file("a/alias.bin", "0123"), file("a/b", "1"),
		file("alias.bin", "0123"), file("data/x.bin", "0123"), file("empty", ""), file("häuser/ä b", "ok")}}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if most != 23 {
		t.Errorf("progress ended at %d of 23", most)
	}
}

func TestScanRefuses(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, "secret=s")
	for _, c := range []struct {
		name  string
		make  func(t *testing.T, dir string)
		field string // "" is the directory
		say   string
	}{
		{"nothing", func(*testing.T, string) {}, "", "no files"},
		{"only what is ignored", func(t *testing.T, dir string) { write(t, dir, ".git/HEAD", ".DS_Store") }, "", "no files"},
		{"a link that leads out", func(t *testing.T, dir string) {
			link(t, filepath.Join(outside, "secret"), filepath.Join(dir, "weights"))
		}, "weights", "leads out"},
		{"a relative link that leads out", func(t *testing.T, dir string) {
			write(t, dir, "sub/x")
			rel, err := filepath.Rel(filepath.Join(dir, "sub"), filepath.Join(outside, "secret"))
			if err != nil {
				t.Fatal(err)
			}
			link(t, rel, filepath.Join(dir, "sub", "weights"))
		}, "sub/weights", "leads out"},
		{"a link to itself", func(t *testing.T, dir string) { link(t, "loop", filepath.Join(dir, "loop")) }, "loop", "in a circle"},
		{"a link to its directory", func(t *testing.T, dir string) { write(t, dir, "x"); link(t, ".", filepath.Join(dir, "self")) }, "self", "link to a directory"},
		{"a link to nothing", func(t *testing.T, dir string) { link(t, "gone", filepath.Join(dir, "dangling")) }, "dangling", "nowhere"},
		{"a link to a directory outside", func(t *testing.T, dir string) { link(t, outside, filepath.Join(dir, "more")) }, "more", "leads out"},
		{"a socket", func(t *testing.T, dir string) {
			l, err := net.Listen("unix", filepath.Join(dir, "s"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}, "s", "no regular file"},
		{"a pipe", func(t *testing.T, dir string) {
			if err := syscall.Mkfifo(filepath.Join(dir, "p"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "p", "no regular file"},
		{"a sparse file", func(t *testing.T, dir string) { hole(t, dir, "big.bin", 100<<30) }, "big.bin", "100 GiB"},
		{"too much together", func(t *testing.T, dir string) {
			for i := range 51 {
				hole(t, dir, fmt.Sprintf("part-%02d", i), 1<<30)
			}
		}, "", `50 GiB, at "part-50"`},
		{"a path with a line break", func(t *testing.T, dir string) { write(t, dir, "a\nb") }, "-", `"a\nb" is no path`},
		{"a path that is not UTF-8", func(t *testing.T, dir string) { write(t, dir, "a\xff") }, "-", `"a\xff" is no path`},
		{"too many files", func(t *testing.T, dir string) {
			for i := range 10_001 {
				write(t, dir, fmt.Sprint(i))
			}
		}, "", "10000 files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := short(t)
			c.make(t, dir)
			m, err := modeldir.Scan(t.Context(), dir, func(int64, int64) { t.Error("something was read") })
			var e *slipway.Error
			if !errors.As(err, &e) || e.Code != slipway.CodeModelDir || e.Kind != slipway.Invalid {
				t.Fatalf("%v, %v, want %s", m, err, slipway.CodeModelDir)
			}
			want := map[string]string{"": dir, "-": ""}[c.field]
			if c.field != "" && c.field != "-" {
				want = c.field
			}
			if e.Field != want || !strings.Contains(e.Message, c.say) || e.Next == "" {
				t.Errorf("at %q: %v; want %q at %q, and a next step", e.Field, e, c.say, want)
			}
		})
	}
}

// short is a temporary directory whose name leaves room for a socket.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "md")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestScanOfNoDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file")
	for name, say := range map[string]string{"gone": "does not exist", "file": "is no directory"} {
		_, err := modeldir.Scan(t.Context(), filepath.Join(dir, name), nil)
		var e *slipway.Error
		if !errors.As(err, &e) || e.Message != say || e.Field != filepath.Join(dir, name) {
			t.Errorf("%s: %v, want %q", name, err, say)
		}
	}
}

func TestScanOfWhatMayNotBeRead(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	for _, name := range []string{"secret", "closed/x"} {
		dir := t.TempDir()
		write(t, dir, "secret", "closed/x")
		at := filepath.Join(dir, strings.TrimSuffix(name, "/x"))
		if err := os.Chmod(at, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(at, 0o700) })
		_, err := modeldir.Scan(t.Context(), dir, nil)
		var e *slipway.Error
		if !errors.As(err, &e) || e.Field != strings.TrimSuffix(name, "/x") || e.Message != "cannot be read" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever happens to a file between listing it and its last byte is noticed.
func TestScanNoticesChanges(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	for name, change := range map[string]func(p string) error{
		"grown": func(p string) error {
			f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("more")
			return errors.Join(err, f.Close())
		},
		"cut":       func(p string) error { return os.Truncate(p, 10) },
		"rewritten": func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("y", 1<<20)), 0o644) },
		"made a program": func(p string) error {
			return os.Chmod(p, 0o755)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "model.bin="+big)
			p := filepath.Join(dir, "model.bin")
			old, err := os.Stat(p)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(p, old.ModTime().Add(-1e9), old.ModTime().Add(-1e9)); err != nil {
				t.Fatal(err)
			}
			var once sync.Once
			_, err = modeldir.Scan(t.Context(), dir, func(int64, int64) {
				once.Do(func() {
					if err := change(p); err != nil {
						t.Error(err)
					}
				})
			})
			var e *slipway.Error
			if !errors.As(err, &e) || e.Field != "model.bin" || !strings.Contains(e.Message, "changed") {
				t.Errorf("%v, want that it changed", err)
			}
		})
	}
}

// A file that another one replaces before it is opened is not the one that was checked.
func TestScanNoticesReplacement(t *testing.T) {
	for name, replace := range map[string]func(p string, old fs.FileInfo) error{
		"by a pipe": func(p string, _ fs.FileInfo) error { return errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o600)) },
		"by a file of the same size and time": func(p string, old fs.FileInfo) error {
			return errors.Join(os.WriteFile(p+".new", []byte("y"), 0o644), os.Chtimes(p+".new", old.ModTime(), old.ModTime()), os.Rename(p+".new", p))
		},
		"by nothing": func(p string, _ fs.FileInfo) error { return os.Remove(p) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var names []string
			for i := range 200 {
				names = append(names, fmt.Sprintf("%03d=x", i))
			}
			write(t, dir, names...)
			last := filepath.Join(dir, "199")
			old, err := os.Stat(last)
			if err != nil {
				t.Fatal(err)
			}
			var once sync.Once
			_, err = modeldir.Scan(t.Context(), dir, func(int64, int64) {
				once.Do(func() {
					if err := replace(last, old); err != nil {
						t.Error(err)
					}
				})
			})
			var e *slipway.Error
			if !errors.As(err, &e) || e.Field != "199" {
				t.Errorf("%v, want that 199 changed", err)
			}
		})
	}
}

func TestScanStops(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a="+strings.Repeat("x", 1<<20))
	ctx, cancel := context.WithCancel(t.Context())
	var calls atomic.Int64
	_, err := modeldir.Scan(ctx, dir, func(int64, int64) { calls.Add(1); cancel() })
	if !errors.Is(err, context.Canceled) || calls.Load() != 1 {
		t.Errorf("%v after %d reads, want to be cancelled after one", err, calls.Load())
	}
	if _, err = modeldir.Scan(ctx, dir, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want to be cancelled at once", err)
	}
}

func TestCheckPath(t *testing.T) {
	deep, long := strings.Repeat("d/", 31), strings.Repeat(strings.Repeat("d", 200)+"/", 20)
	for p, want := range map[string]bool{
		"a": true, "a/b.c": true, "..a": true, "a..b/...": true, ".hidden": true, "ä ö": true, deep + "a": true, long + strings.Repeat("e", 76): true, strings.Repeat("e", 255): true,
		"": false, ".": false, "..": false, "../a": false, "a/../b": false, "/a": false, "a/": false, "a//b": false, "./a": false, "a\\b": false,
		"a\x00": false, "a\nb": false, "a\x7f": false, "\u0085": false, "\xff": false, deep + "a/b": false, long + strings.Repeat("e", 77): false, "d/" + strings.Repeat("e", 256): false,
	} {
		if err := modeldir.CheckPath(p); (err == nil) != want {
			t.Errorf("%.40q: %v, want ok: %v", p, err, want)
		}
	}
}

// What CheckPath lets pass can be made in a directory, and stays in it.
func FuzzCheckPath(f *testing.F) {
	for _, p := range []string{"a/b", "../a", "a\x00", "\xff", "a\\..\\b", "con", "a/./b"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if modeldir.CheckPath(p) != nil {
			return
		}
		if !filepath.IsLocal(p) || filepath.Clean(p) != p || !fs.ValidPath(p) {
			t.Errorf("%q was let pass", p)
		}
	})
}

// The manifest does not depend on the order in which files were made.
func TestScanOrder(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-c.-]{0,2}[a-c]/?[a-c-]`), 1, 8, func(s string) string { return strings.ToLower(s) }).Draw(r, "names")
		dir := short(t)
		var made []string
		for _, n := range names {
			p := filepath.Join(dir, n)
			if os.MkdirAll(filepath.Dir(p), 0o755) == nil && os.WriteFile(p, []byte(n), 0o644) == nil {
				made = append(made, n)
			}
		}
		m, err := modeldir.Scan(t.Context(), dir, nil)
		if err != nil {
			r.Fatal(err)
		}
		var got []string
		for _, f := range m.Files {
			got = append(got, f.Path)
			if f.Digest != slipway.DigestOf([]byte(f.Path)) {
				r.Errorf("%s has another file's digest", f.Path)
			}
		}
		slices.Sort(made)
		if diff := cmp.Diff(made, got); diff != "" {
			r.Error(diff)
		}
	})
}
