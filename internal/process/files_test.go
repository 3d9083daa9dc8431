package process

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("17 (a) b) (c) S 1 17 17 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 1000 12 0\n"))
	f.Add([]byte("17 ()"))
	f.Add([]byte(") S 1 1 x 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := parseStat(b)
		if err != nil {
			return
		}
		again := fmt.Appendf(nil, "1 (x) %c 0 0 %d%s %d 0 %d", st.state, st.session, strings.Repeat(" 0", 15), st.start, st.rss)
		if back, err := parseStat(again); err != nil || back != st {
			t.Errorf("%+v became %+v, %v", st, back, err)
		}
	})
}

func TestParseStat(t *testing.T) {
	const line = "17 (a) b) (c) S 1 17 18 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 1000 12 0\n"
	got, err := parseStat([]byte(line))
	if want := (procStat{state: 'S', session: 18, start: 4711, rss: 12}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if st, err := readStat(os.Getpid()); err != nil || !(proc{os.Getpid(), st.start}).alive() || (proc{os.Getpid(), st.start + 1}).alive() {
		t.Errorf("this process: %+v, %v", st, err)
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"id":"fraud-1-r0","revision":"fraud-1","pid":17,"start_ticks":4711,"socket":"/run/x.sock","image_digest":"sha256:00","restarts":2,"exe":"/bin/platform"}`))
	f.Add([]byte(`{"id":"../x-r0","revision":"../x","pid":17,"socket":"/run/x.sock"}`))
	f.Add([]byte(`{"pid":-1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		l := layout{"/home", "/run"}
		if r.PID < 0 || r.PID == 1 || filepath.Dir(l.record(r.ID)) != l.records() || filepath.Dir(l.config(r.ID)) != l.configs() {
			t.Errorf("accepted %+v", r)
		}
		again, err := json.Marshal(r)
		if err != nil {
			return // a time of year 10000
		}
		if back, err := parseRecord(again); err != nil || !cmp.Equal(back, r) {
			t.Errorf("%+v became %+v, %v", r, back, err)
		}
	})
}

func TestSlotOf(t *testing.T) {
	tests := []struct {
		id, revision string
		slot         int
		ok           bool
	}{
		{"fraud-1-r0", "fraud-1", 0, true},
		{"fraud.staging-1-r12", "fraud.staging-1", 12, true},
		{"fraud-1-r01", "fraud-1", 0, false},
		{"fraud-1-r-1", "fraud-1", 0, false},
		{"fraud-1-r0", "fraud-2", 0, false},
		{"a/b-r0", "a/b", 0, false},
		{"..-r0", "..", 0, false},
		{"", "", 0, false},
	}
	for _, tt := range tests {
		if slot, ok := slotOf(tt.id, tt.revision); ok != tt.ok || ok && slot != tt.slot {
			t.Errorf("slotOf(%q, %q) = %d, %v", tt.id, tt.revision, slot, ok)
		}
	}
}

func FuzzLastLines(f *testing.F) {
	f.Add([]byte("one\ntwo\r\n\x1b[31mthree\xff"), true)
	f.Add([]byte("\n\n"), false)
	f.Fuzz(func(t *testing.T, b []byte, cut bool) {
		lines := lastLines(b, cut)
		if len(lines) > tailLines {
			t.Errorf("%d lines", len(lines))
		}
		for _, l := range lines {
			if len([]rune(l)) > tailWidth || strings.ContainsFunc(l, unicode.IsControl) {
				t.Errorf("line %q", l)
			}
		}
	})
}

func TestReadTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if got := readTail(path); got != nil {
		t.Errorf("no file: %q", got)
	}
	var log bytes.Buffer
	for i := range 5000 {
		fmt.Fprintf(&log, "line %d\n", i)
	}
	if err := os.WriteFile(path, log.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := lastLines([]byte(`{"time":"x","msg":"the server ended\u001b[31m"}`+"\n{}\n"), false); len(got) != 2 || got[0] != "the server ended\ufffd[31m" || got[1] != "{}" {
		t.Errorf("tail of a runtime's log: %q", got)
	}
	if got := readTail(path); len(got) != tailLines || got[0] != "line 4980" || got[tailLines-1] != "line 4999" {
		t.Errorf("tail %q", got)
	}
	// One endless line is cut at its start and shows nothing rather than a part.
	crash := "{\"msg\":\"ready\"}\nSIGSEGV: segmentation violation\nsignal arrived during cgo execution\n\ngoroutine 1 [running]:\n" + strings.Repeat("rax 0x0\n", 99)
	if err := os.WriteFile(path, []byte(crash), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := readTail(path); !slices.Equal(got, []string{"ready", "SIGSEGV: segmentation violation", "signal arrived during cgo execution"}) {
		t.Errorf("of a crash: %q", got)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), tailBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := readTail(path); len(got) != 0 {
		t.Errorf("tail %q", got)
	}
}

// tree makes files that look like a cgroup mount.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	mount := t.TempDir()
	for name, text := range files {
		path := filepath.Join(mount, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return mount
}

func TestLimiterFindsItsPlace(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		self  string
		root  string // under the mount; empty: soft
		kind  string
	}{
		"v2, delegated by an ancestor": {
			map[string]string{"cgroup.controllers": "cpu memory", "cgroup.subtree_control": "",
				"user/cgroup.subtree_control": "cpu memory", "user/app/cgroup.subtree_control": "cpu"},
			"0::/user/app\n", "user/slipway", "cgroup v2"},
		"v2, not delegated": {
			map[string]string{"cgroup.controllers": "cpu memory", "cgroup.subtree_control": "cpu"}, "0::/\n", "", "soft"},
		"v1":                            {map[string]string{"memory/a/b/tasks": ""}, "4:cpu:/\n3:memory:/a/b\n", "memory/a/b/slipway", "cgroup v1"},
		"v1, path of another namespace": {map[string]string{"memory/tasks": ""}, "3:memory,cpu:/docker/1\n", "memory/slipway", "cgroup v1"},
		"v1, no controller":             {map[string]string{"cpu/tasks": ""}, "3:cpu:/\n", "", "soft"},
		"v1, path that climbs":          {map[string]string{"memory/tasks": ""}, "3:memory:/../../x\n", "memory/slipway", "cgroup v1"},
		"nothing":                       {nil, "", "", "soft"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			mount := tree(t, tt.files)
			want := ""
			if tt.root != "" {
				want = filepath.Join(mount, tt.root)
			}
			l, err := newLimiter(mount, tt.self, "tag")
			if l.root != want || l.String() != tt.kind || (err == nil) != (tt.root != "") {
				t.Errorf("%s at %q, %v", l, l.root, err)
			}
		})
	}
}

func TestLimiterGroup(t *testing.T) {
	mount := tree(t, map[string]string{"cgroup.controllers": "memory", "cgroup.subtree_control": "memory"})
	l, err := newLimiter(mount, "0::/\n", "tag")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.place("fraud-1-r0", 17, 1<<20); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	files, _ := filepath.Glob(filepath.Join(mount, "slipway", "tag-fraud-1-r0", "*"))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		got[filepath.Base(f)] = string(b)
	}
	if diff := cmp.Diff(map[string]string{"memory.max": "1048576", "cgroup.procs": "17"}, got); diff != "" {
		t.Error(diff)
	}
	for text, want := range map[string]bool{"oom 3\noom_kill 2\n": true, "oom 3\noom_kill 0\n": false, "": false} {
		if err := os.WriteFile(filepath.Join(l.group("fraud-1-r0"), "memory.events"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if l.outOfMemory("fraud-1-r0") != want {
			t.Errorf("outOfMemory of %q is not %v", text, want)
		}
	}
	if err := l.place("fraud-1-r1", 17, 0); err != nil || len(files) == 0 {
		t.Errorf("no limit: %v", err)
	}
	if _, err := os.Stat(l.group("fraud-1-r1")); err == nil {
		t.Error("a group without a limit was made")
	}
}

func TestLogThatNobodyRotatesIsCut(t *testing.T) {
	dir := t.TempDir()
	s := &Supervisor{o: Options{Command: []string{"/nonexistent"}}, files: layout{dir, dir}}
	path := s.files.log("x")
	if err := os.MkdirAll(s.files.logs(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, logBytes+1); err != nil {
		t.Fatal(err)
	}
	_, _ = s.spawn("x", nil) // cannot start, but prepares the log
	now, err1 := os.Stat(path)
	old, err2 := os.Stat(path + ".1")
	if err1 != nil || err2 != nil || now.Size() != 0 || old.Size() != logBytes+1 {
		t.Errorf("after a start: %v, %v", err1, err2)
	}
}
