package logfile_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/runtime/logfile"
)

func open(t *testing.T, dir, replica string, limit int64) (*slog.Logger, *logfile.Rotating) {
	t.Helper()
	out, err := logfile.OpenSmall(filepath.Join(dir, replica+".log"), limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	revision, _, _ := strings.Cut(replica, "-r")
	return slog.New(slog.NewJSONHandler(out, nil)).With("replica", replica, "revision", revision), out
}

func messages(lines []api.LogLine) string {
	var out []string
	for _, l := range lines {
		out = append(out, l.Message)
	}
	return strings.Join(out, " ")
}

func newest(t *testing.T, dir string, f logfile.Filter, n int) ([]api.LogLine, string) {
	t.Helper()
	lines, cursor, err := logfile.Newest(dir, f, n)
	if err != nil {
		t.Fatal(err)
	}
	return lines, cursor
}

func after(t *testing.T, dir string, f logfile.Filter, cursor string) ([]api.LogLine, string, bool) {
	t.Helper()
	lines, next, missed, ok, err := logfile.After(dir, f, cursor)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	return lines, next, missed
}

func TestFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a, _ := open(t, dir, "m.1-r0", 8<<20)
		b, out := open(t, dir, "m.1-r1", 8<<20)
		other, _ := open(t, dir, "m.10-r0", 8<<20)
		begin := time.Now()
		for i := range 5 {
			time.Sleep(time.Second)
			a.Info(fmt.Sprint("a", i), "request", fmt.Sprint("q", i, ",p", i), "stream", "stdout")
			time.Sleep(time.Second)
			b.Warn(fmt.Sprint("b", i), "cause", "none", "n", i)
			other.Error("other")
		}
		if _, err := out.Write([]byte("panic: here q3\nunended")); err != nil {
			t.Fatal(err)
		}
		all := []string{"m.1"}
		for _, c := range []struct {
			name string
			f    logfile.Filter
			n    int
			want string
		}{
			{"all, in order", logfile.Filter{Revisions: all}, 100, "a0 b0 a1 b1 a2 b2 a3 b3 a4 b4 panic: here q3"},
			{"newest", logfile.Filter{Revisions: all}, 3, "a4 b4 panic: here q3"},
			{"replica", logfile.Filter{Revisions: all, Replica: "m.1-r0"}, 100, "a0 a1 a2 a3 a4"},
			{"end of its id", logfile.Filter{Revisions: all, Replica: "r0"}, 100, "a0 a1 a2 a3 a4"},
			{"request, and where it is named", logfile.Filter{Revisions: all, Request: "q3"}, 100, "a3 panic: here q3"},
			{"second of a batch", logfile.Filter{Revisions: all, Request: "p2"}, 100, "a2"},
			{"part of an id", logfile.Filter{Revisions: all, Request: "p"}, 1, "panic: here q3"},
			{"level", logfile.Filter{Revisions: all, Level: "warn"}, 2, "b4 panic: here q3"},
			{"time", logfile.Filter{Revisions: all, Since: begin.Add(3 * time.Second), Until: begin.Add(5 * time.Second)}, 100, "a1 b1 a2"},
			{"no revision", logfile.Filter{}, 100, ""},
		} {
			if got, _ := newest(t, dir, c.f, c.n); messages(got) != c.want {
				t.Errorf("%s: %q, want %q", c.name, messages(got), c.want)
			}
		}
		got, _ := newest(t, dir, logfile.Filter{Revisions: all, Replica: "r1"}, 2)
		want := map[string]string{"cause": "none", "n": "4"}
		if fmt.Sprint(got[0].Attributes) != fmt.Sprint(want) || got[1].Stream != "raw" || got[1].Replica != "m.1-r1" || !got[1].Time.Equal(got[0].Time) {
			t.Errorf("%+v", got)
		}
	})
}

// TestFollow: each line comes once and in the order of its replica, whenever one asks, while
// files are moved on and replicas come.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	f := logfile.Filter{Revisions: []string{"m.1"}}
	rnd := rand.New(rand.NewPCG(1, 2))
	logs := []*slog.Logger{}
	written, seen := map[string][]string{}, map[string][]string{}
	_, cursor := newest(t, dir, f, 10)
	for i := range 2000 {
		if len(logs) < 3 && i%500 == 0 {
			l, _ := open(t, dir, fmt.Sprint("m.1-r", len(logs)), 4000) // some 30 lines
			logs = append(logs, l)
		}
		n := rnd.IntN(len(logs))
		replica := fmt.Sprint("m.1-r", n)
		logs[n].Info(fmt.Sprint("line", i))
		written[replica] = append(written[replica], fmt.Sprint("line", i))
		if rnd.IntN(20) == 0 || i == 1999 {
			lines, next, missed := after(t, dir, f, cursor)
			if missed {
				t.Fatalf("line %d: missed", i)
			}
			for _, l := range lines {
				seen[l.Replica] = append(seen[l.Replica], l.Message)
			}
			cursor = next
		}
	}
	for replica, want := range written {
		if !slices.Equal(want, seen[replica]) {
			t.Errorf("%s: %d lines of %d", replica, len(seen[replica]), len(want))
		}
	}
	if again, _, _ := after(t, dir, f, cursor); len(again) != 0 {
		t.Errorf("%d lines came again", len(again))
	}
	for i := range 500 { // more than all files hold
		logs[0].Info(fmt.Sprint("flood", i))
	}
	if lines, _, missed := after(t, dir, f, cursor); !missed || lines[len(lines)-1].Message != "flood499" {
		t.Error(missed, len(lines))
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	_, out := open(t, dir, "m.1-r0", 100)
	for i := range 50 {
		if _, err := fmt.Fprintf(out, "%049d\n", i); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if info, _ := d.Info(); !d.IsDir() && (info.Size() > 100 || info.Mode().Perm() != 0o600) {
			t.Errorf("%s: %d bytes, %v", name, info.Size(), info.Mode())
		}
		names = append(names, name)
		return err
	})
	if want := ". m.1-r0.log m.1-r0.log.1 m.1-r0.log.2 m.1-r0.log.3"; err != nil || strings.Join(names, " ") != want {
		t.Error(names, err)
	}
}

func TestCursors(t *testing.T) {
	for _, bad := range []string{"x", "!", "bnVsbA", strings.Repeat("A", 70<<10)} {
		if _, _, _, ok, _ := logfile.After(t.TempDir(), logfile.Filter{}, bad); ok {
			t.Errorf("%.10s is taken for a cursor", bad)
		}
	}
}

func FuzzAfter(f *testing.F) {
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "m.1-r0.log"), []byte(`{"time":"2026-01-01T00:00:00Z","msg":"x"}`+"\nraw\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	_, cursor, err := logfile.Newest(dir, logfile.Filter{Revisions: []string{"m.1"}}, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cursor, "q")
	f.Add("eyJtLjEtcjAiOnsiaSI6MCwibyI6LTF9fQ", "")
	f.Fuzz(func(t *testing.T, cursor, request string) {
		lines, next, _, ok, err := logfile.After(dir, logfile.Filter{Revisions: []string{"m.1"}, Request: request}, cursor)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, again, _ := logfile.After(dir, logfile.Filter{}, next); ok && !again || len(lines) > 2 {
			t.Errorf("%d lines, next %q", len(lines), next)
		}
	})
}

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		l := logfile.NewLines(slog.New(slog.NewJSONHandler(&out, nil)))
		write := func(s string) {
			if n, err := l.Write([]byte(s)); n != len(s) || err != nil {
				t.Fatal(n, err)
			}
		}
		write("one\r\ntw")
		write("o\n\n\x00q-1\nthree\npart\x00\nfour\n")
		write("\x00" + strings.Repeat("i", 300) + "\nfive\n\x00\n")
		write(strings.Repeat("x", 20<<10) + "\n")
		for range 200 {
			write(strings.Repeat("y", 16<<10) + "\n")
		}
		time.Sleep(time.Hour)
		write("last")
		l.Flush()
		type record struct {
			Msg, Request string
			Dropped      int `json:"lines_dropped"`
		}
		var got []record
		for line := range strings.Lines(out.String()) {
			var r record
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			got = append(got, r)
		}
		for i, want := range []record{{Msg: "one"}, {Msg: "two"}, {Msg: "three", Request: "q-1"}, {Msg: "part", Request: "q-1"}, {Msg: "four"},
			{Msg: "five", Request: strings.Repeat("i", 255)}, {Msg: strings.Repeat("x", 16<<10) + "… [cut]"}} {
			if got[i] != want {
				t.Errorf("%+v, want %+v", got[i], want)
			}
		}
		end := got[len(got)-2:]
		if end[0].Dropped < 70 || end[0].Dropped+len(got) != 200+7+2 || end[1].Msg != "last" {
			t.Errorf("%+v of %d", end, len(got))
		}
	})
}
