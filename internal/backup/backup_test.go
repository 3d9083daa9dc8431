package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/backup"
)

// memory is a target.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	puts    int // so many succeed; negative: all
}

func newMemory() *memory { return &memory{objects: map[string][]byte{}, puts: -1} }

func (m *memory) Put(_ context.Context, name string, size int64, r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if int64(len(b)) != size {
		return fmt.Errorf("%s has %d bytes, %d were announced", name, len(b), size)
	}
	if m.puts == 0 {
		return slipway.Errorf(slipway.Exhausted, slipway.CodeDiskFull, "free space", "full")
	}
	m.puts--
	m.objects[name] = b
	return nil
}

func (m *memory) Get(_ context.Context, name string) (io.ReadCloser, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.objects[name]
	if !ok {
		return nil, 0, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "", "no %s", name)
	}
	return io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
}

func (m *memory) List(_ context.Context, prefix string, each func(string, int64)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, b := range m.objects {
		if strings.HasPrefix(name, prefix) {
			each(name, int64(len(b)))
		}
	}
	return nil
}

func (m *memory) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	return nil
}

func (m *memory) String() string { return "memory" }

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func newKey(t testing.TB) *backup.Recovery {
	t.Helper()
	r, err := backup.NewRecovery()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func fileOf(path string, content []byte) backup.File {
	return backup.File{Entry: backup.Entry{Path: path, Size: int64(len(content)), Mode: 0o400},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }}
}

// state is a small installation: a database and blobs, two of them the same.
func state(seed uint64) map[string][]byte {
	rng := rand.New(rand.NewPCG(seed, 7))
	big := make([]byte, 150_000)
	for i := range big {
		big[i] = byte(rng.Uint32())
	}
	return map[string][]byte{backup.DatabasePath: fmt.Appendf(nil, "rows %d", seed), "blobs/aa/a": big, "blobs/bb/b": []byte("small"), "images/blobs/b": []byte("small"),
		"blobs/cc/c": {}, "blobs/dd/d": big[:64<<10]}
}

func job(m *memory, s *backup.Seal, at time.Time, files map[string][]byte) backup.Job {
	j := backup.Job{Target: m, Seal: s, Build: "v1", Created: at, Progress: &backup.Progress{},
		Contents: backup.Contents{Home: "/old", Database: "sqlite", Schema: 3, Seq: 17}}
	for _, path := range slices.Sorted(maps.Keys(files)) { // "//" sorts first
		j.Files = append(j.Files, fileOf(path, files[path]))
	}
	return j
}

func create(t *testing.T, m *memory, s *backup.Seal, at time.Time, files map[string][]byte) backup.Index {
	t.Helper()
	x, err := backup.Create(t.Context(), job(m, s, at, files))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func same(a, b map[string][]byte) bool { return maps.EqualFunc(a, b, bytes.Equal) }

type kept struct {
	bytes.Buffer

	keep func([]byte)
}

func (k *kept) Keep() error { k.keep(k.Bytes()); return nil }
func (k *kept) Abandon()    {}

func fetch(t *testing.T, m *memory, r *backup.Recovery, id string) (map[string][]byte, error) {
	t.Helper()
	x, c, err := backup.Open(t.Context(), m, r, id)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	out := map[string][]byte{}
	err = backup.Fetch(t.Context(), m, r, x, c, &backup.Progress{}, func(backup.Entry) bool { return false }, func(e backup.Entry) (backup.Sink, error) {
		return &kept{keep: func(b []byte) { mu.Lock(); defer mu.Unlock(); out[e.Path] = append([]byte{}, b...) }}, nil
	})
	return out, err
}

func verify(t *testing.T, m *memory, r *backup.Recovery, id string) []string {
	t.Helper()
	x, c, err := backup.Open(t.Context(), m, r, id)
	if err != nil {
		return []string{slipway.AsError(err).What()}
	}
	bad, err := backup.Verify(t.Context(), m, r, x, c, &backup.Progress{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range bad {
		out = append(out, slipway.AsError(e).What())
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	m, r, files := newMemory(), newKey(t), state(1)
	x := create(t, m, &r.Seal, noon, files)
	got, err := fetch(t, m, r, "")
	if err != nil || !same(files, got) {
		t.Fatalf("%d files of %d, or others: %v", len(got), len(files), err)
	}
	if len(x.Parts) != 5 || x.Bytes != 150_000+64<<10+6+10 {
		t.Errorf("%d parts, %d bytes", len(x.Parts), x.Bytes)
	}
	// Nothing of what is in it shows: no content, no path, no digest.
	for name, b := range m.objects {
		for path, content := range files {
			d := slipway.DigestOf(content).Hex()
			for _, open := range [][]byte{[]byte(path), []byte(d), content} {
				if len(open) > 4 && (bytes.Contains(b, open) || strings.Contains(name, string(open))) {
					t.Errorf("%s shows %.40q", name, open)
				}
			}
		}
	}
	// The next one copies what is new, and the first one stays as it was.
	next := maps.Clone(files)
	next[backup.DatabasePath] = []byte("more rows")
	before := len(m.objects)
	y := create(t, m, &r.Seal, noon.Add(time.Hour), next)
	if len(m.objects) != before+2 {
		t.Errorf("%d objects more, want the database and the backup", len(m.objects)-before)
	}
	for id, want := range map[string]map[string][]byte{x.ID: files, y.ID: next, "": next} {
		got, err := fetch(t, m, r, id)
		if err != nil || !same(want, got) {
			t.Errorf("%q: other files: %v", id, err)
		}
	}
	if bad := verify(t, m, r, ""); len(bad) != 0 {
		t.Errorf("%q", bad)
	}
}

// Whatever is done to an object, it is found by its name, and never restored.
func TestDamage(t *testing.T) {
	r := newKey(t)
	whole := newMemory()
	x := create(t, whole, &r.Seal, noon, state(1))
	names := slices.Sorted(maps.Keys(whole.objects))
	rng := rand.New(rand.NewPCG(3, 4))
	for _, name := range names {
		b := whole.objects[name]
		other := names[(slices.Index(names, name)+1)%len(names)]
		damage := map[string][]byte{"missing": nil, "cut": b[:len(b)-1], "empty": {}, "longer": append(bytes.Clone(b), 0), "swapped": whole.objects[other]}
		for range 4 {
			at := rng.IntN(len(b))
			flipped := bytes.Clone(b)
			flipped[at] ^= 1 << rng.IntN(8)
			damage[fmt.Sprint("byte ", at)] = flipped
		}
		for _, at := range []int{0, len(b) / 2, len(b) - 1} {
			flipped := bytes.Clone(b)
			flipped[at]++
			damage[fmt.Sprint("byte ", at)] = flipped
		}
		for how, bytes := range damage {
			m := newMemory()
			maps.Copy(m.objects, whole.objects)
			if m.objects[name] = bytes; bytes == nil {
				delete(m.objects, name)
			}
			bad := verify(t, m, r, x.ID)
			if how == "missing" && strings.HasPrefix(name, "backups/") {
				if len(bad) != 1 {
					t.Errorf("%s %s: %q", name, how, bad)
				}
				continue
			}
			// A header of an index that names another key is answered with that.
			if len(bad) != 1 || !strings.Contains(bad[0], name) && !strings.Contains(bad[0], "was sealed for the key") {
				t.Errorf("%s, %s: %q", name, how, bad)
			}
			if _, err := fetch(t, m, r, x.ID); err == nil {
				t.Errorf("%s, %s: restored", name, how)
			}
		}
	}
}

// Who can write the target, and even seal, cannot make a backup that another key's secret
// has not authenticated, nor pass one off as another.
func TestForgery(t *testing.T) {
	m, r, thief := newMemory(), newKey(t), newKey(t)
	x := create(t, m, &r.Seal, noon, state(1))
	y := create(t, m, &r.Seal, noon.Add(time.Hour), state(2))
	m.objects["backups/"+y.ID+".backup"] = m.objects["backups/"+x.ID+".backup"]
	if _, err := fetch(t, m, r, y.ID); !errors.Is(err, &slipway.Error{Code: slipway.CodeBackupDamaged}) {
		t.Errorf("an older backup under a newer name: %v", err)
	}
	if _, err := fetch(t, m, thief, x.ID); !errors.Is(err, &slipway.Error{Code: slipway.CodeBackupKey}) {
		t.Errorf("another key: %v", err)
	}
	forged := create(t, m, &thief.Seal, noon.Add(2*time.Hour), state(3))
	if _, err := fetch(t, m, r, forged.ID); !errors.Is(err, &slipway.Error{Code: slipway.CodeBackupKey}) {
		t.Errorf("a backup of another key: %v", err)
	}
	renamed := bytes.Replace(m.objects["backups/"+forged.ID+".backup"], []byte(thief.ID()), []byte(r.ID()), 1)
	m.objects["backups/"+forged.ID+".backup"] = renamed
	if _, err := fetch(t, m, r, forged.ID); !errors.Is(err, &slipway.Error{Code: slipway.CodeBackupDamaged}) {
		t.Errorf("a backup that claims our key: %v", err)
	}
}

// A backup that breaks off at any object is none, and the next one goes on.
func TestBreaksOff(t *testing.T) {
	r, files := newKey(t), state(1)
	for n := range 6 {
		m := newMemory()
		m.puts = n
		if _, err := backup.Create(t.Context(), job(m, &r.Seal, noon, files)); !errors.Is(err, &slipway.Error{Code: slipway.CodeDiskFull}) {
			t.Fatalf("after %d objects: %v", n, err)
		}
		if all, err := backup.List(t.Context(), m, &r.Seal); err != nil || len(all) != 0 {
			t.Errorf("after %d objects there are %v, %v", n, all, err)
		}
		m.puts = -1
		j := job(m, &r.Seal, noon.Add(time.Minute), files)
		if _, err := backup.Create(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		if got, err := fetch(t, m, r, ""); err != nil || !same(files, got) {
			t.Errorf("after %d objects the next one: %v", n, err)
		}
	}
}

// A file that changes while it is copied is not taken for what it was.
func TestChanges(t *testing.T) {
	m, r, opened := newMemory(), newKey(t), 0
	j := job(m, &r.Seal, noon, map[string][]byte{backup.DatabasePath: []byte("x")})
	j.Files = append(j.Files, backup.File{Entry: backup.Entry{Path: "blobs/aa/a", Size: 4}, Open: func() (io.ReadCloser, error) {
		opened++
		return io.NopCloser(strings.NewReader(fmt.Sprintf("abc%d", opened))), nil
	}})
	if _, err := backup.Create(t.Context(), j); !errors.Is(err, &slipway.Error{Code: slipway.CodeUnavailable}) {
		t.Errorf("%v", err)
	}
	for name := range m.objects {
		if strings.HasPrefix(name, "backups/") {
			t.Error("there is a backup")
		}
	}
}

func TestPrune(t *testing.T) {
	m, r := newMemory(), newKey(t)
	var made []backup.Index
	for i := range 4 {
		made = append(made, create(t, m, &r.Seal, noon.Add(time.Duration(i)*time.Hour), state(uint64(i))))
	}
	m.objects["parts/ab/"+strings.Repeat("ab", 32)] = []byte("of one that broke off")
	removed, err := backup.Prune(t.Context(), m, &r.Seal, 2)
	if err != nil || !slices.Equal(removed, []string{made[1].ID, made[0].ID}) {
		t.Fatalf("%v, %v", removed, err)
	}
	for i, x := range made {
		_, err := fetch(t, m, r, x.ID)
		if (err == nil) != (i >= 2) {
			t.Errorf("backup %d: %v", i, err)
		}
	}
	if want := len(made[2].Parts) + len(made[3].Parts) - 2 + 2; len(m.objects) != want { // "small" and "" are in both
		t.Errorf("%d objects, want %d", len(m.objects), want)
	}
	// With a backup that is not understood, nothing that it may need goes.
	create(t, m, &newKey(t).Seal, noon.Add(5*time.Hour), state(9))
	before := len(m.objects)
	if removed, err := backup.Prune(t.Context(), m, &r.Seal, 1); err != nil || len(removed) != 1 || len(m.objects) != before-1 {
		t.Errorf("%v, %v, %d objects of %d", removed, err, len(m.objects), before)
	}
}

// cheaply seals by a passphrase as age does, with less work than a real one costs.
func cheaply(t *testing.T, plain []byte, passphrase string) []byte {
	t.Helper()
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	to.SetWorkFactor(8)
	var b bytes.Buffer
	text := armor.NewWriter(&b)
	w, err := age.Encrypt(text, to)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err = errors.Join(err, w.Close(), text.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestKeyFiles(t *testing.T) {
	r := newKey(t)
	whole, err := r.Text("")
	if err != nil {
		t.Fatal(err)
	}
	if sealed, err := r.Text("correct horse"); err != nil || !backup.SealedByPassphrase(sealed) || backup.SealedByPassphrase(whole) || !bytes.HasPrefix(sealed, cheaply(t, nil, "x")[:40]) {
		t.Errorf("%s, %v", sealed, err)
	}
	for pass, text := range map[string][]byte{"": whole, "correct horse": cheaply(t, whole, "correct horse")} {
		again, err := backup.ParseRecovery(text, pass)
		if err != nil || again.ID() != r.ID() {
			t.Errorf("%q: %v", pass, err)
		}
		if pass == "" {
			continue
		}
		for _, wrong := range []string{"", "wrong"} {
			if _, err := backup.ParseRecovery(text, wrong); !errors.Is(err, &slipway.Error{Code: slipway.CodeBackupKey}) {
				t.Errorf("opened by %q: %v", wrong, err)
			}
		}
	}
	seal, err := backup.ParseSeal(r.Seal.Text())
	if err != nil || seal.ID() != r.ID() {
		t.Fatal(err)
	}
	if bytes.Contains(r.Seal.Text(), []byte("AGE-SECRET")) {
		t.Error("the seal can read")
	}
	plain, _ := r.Text("")
	for name, text := range map[string][]byte{"a seal for a key": r.Seal.Text(), "nothing": nil, "a line": []byte("x\n"), "cut": plain[:len(plain)-9], "large": make([]byte, 1<<20)} {
		if _, err := backup.ParseRecovery(text, ""); !errors.Is(err, &slipway.Error{Code: slipway.CodeBackupKey}) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDecode: whatever lies in a target under the name of a backup, it is refused with an
// error of ours.
func FuzzDecode(f *testing.F) {
	r, m := newKey(f), newMemory()
	x, err := backup.Create(f.Context(), job(m, &r.Seal, noon, state(1)))
	if err != nil {
		f.Fatal(err)
	}
	name := "backups/" + x.ID + ".backup"
	whole := m.objects[name]
	f.Add(whole)
	f.Add([]byte("slipway-backup 1\n{}\n00\n"))
	f.Add([]byte("slipway-backup 1\n" + `{"id":"` + x.ID + `","key":"` + r.ID() + `","parts":[{"name":"x"}]}` + "\n00\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := newMemory()
		m.objects[name] = b
		_, _, err := backup.Open(t.Context(), m, r, x.ID)
		if e := new(slipway.Error); (err == nil) != bytes.Equal(b, whole) || err != nil && !errors.As(err, &e) {
			t.Errorf("%v", err)
		}
	})
}
