package registry_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/registry"
)

var (
	now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	ada = slipway.Principal{ID: "ada"}
)

func file(path, content string) registry.File {
	return registry.File{Path: path, Digest: slipway.DigestOf([]byte(content)), Size: int64(len(content))}
}

// service knows the bytes of some contents.
func service(contents ...string) (*registry.Service, *memory) {
	m := &memory{versions: map[string][]registry.Version{}, aliases: map[string]int{}, blobs: map[slipway.Digest]int64{}}
	for _, c := range contents {
		m.blobs[slipway.DigestOf([]byte(c))] = int64(len(c))
	}
	return registry.New(m, m, func() time.Time { return now }), m
}

// check compares an error with a code and the field it should name.
func check(t *testing.T, what string, err error, code, field string) {
	t.Helper()
	var e *slipway.Error
	if !errors.As(err, &e) || e.Code != code || e.Field != field {
		t.Errorf("%s: %v, want %s at %q", what, err, code, field)
	}
}

// The text that a version's digest is taken of is part of what audits rely on.
func TestDigestOf(t *testing.T) {
	serve := file("bin/serve", "go")
	serve.Executable = true
	files := []registry.File{file("MLmodel", "flavors"), serve}
	// printf of the two lines "<digest> 7 - MLmodel" and "<digest> 2 x bin/serve", through sha256sum
	const golden = slipway.Digest("sha256:b527d1cc1b54c7804a4719e9d7069e9ca2b8d535fbf2c6d3abe207e4f59c9dcc")
	if got := registry.DigestOf(files); got != golden {
		t.Errorf("%s, want %s", got, golden)
	}
}

func TestRegister(t *testing.T) {
	s, m := service("flavors", "weights")
	files := []registry.File{file("model.ubj", "weights"), file("MLmodel", "flavors"), file("a/model.ubj", "weights")}
	given := slices.Clone(files)
	v, added, err := s.Register(t.Context(), ada, "fraud", "risk", files, "git 1234")
	if err != nil {
		t.Fatal(err)
	}
	sorted := []registry.File{files[1], files[2], files[0]}
	want := registry.Version{Model: "fraud", Team: "risk", Number: 1, Digest: registry.DigestOf(sorted), Files: sorted, Source: "git 1234", Created: now, By: "ada", Updated: now, Stage: registry.StageNone}
	if diff := cmp.Diff(want, v); diff != "" || !added {
		t.Errorf("added %v: %s", added, diff)
	}
	if diff := cmp.Diff(given, files); diff != "" {
		t.Errorf("the caller's list was changed: %s", diff)
	}
	wantEvent := slipway.Event{Time: now, Actor: "ada", Action: "version.registered", Subject: "fraud",
		Detail: map[string]string{"digest": string(want.Digest), "source": "git 1234", "number": "1"}}
	if diff := cmp.Diff([]slipway.Event{wantEvent}, m.events, cmpopts.IgnoreFields(slipway.Event{}, "ID")); diff != "" {
		t.Error(diff)
	}
	if f := v.File("model.ubj"); f == nil || *f != files[0] || v.File("none") != nil {
		t.Errorf("model.ubj is %v, and none %v", f, v.File("none"))
	}
	again, added, err := s.Register(t.Context(), slipway.Principal{ID: "bob"}, "fraud", "risk", sorted, "elsewhere")
	if diff := cmp.Diff(v, again); diff != "" || added || err != nil || len(m.events) != 1 {
		t.Errorf("again: added %v, %v, %d events: %s", added, err, len(m.events), diff)
	}
}

func TestRegisterRefuses(t *testing.T) {
	digest := slipway.DigestOf([]byte("weights"))
	many := make([]registry.File, 10_001)
	for i := range many {
		many[i] = file(fmt.Sprint(i), "weights")
	}
	huge := []registry.File{{Path: "a", Digest: digest, Size: 50 << 30}, {Path: "b", Digest: digest, Size: 1}}
	overflow := []registry.File{{Path: "a", Digest: digest, Size: 1<<63 - 1}, {Path: "b", Digest: digest, Size: 1<<63 - 1}}
	for _, c := range []struct {
		name, model string
		files       []registry.File
		code, field string
	}{
		{"a name that is none", "Fraud", []registry.File{file("a", "weights")}, slipway.CodeInvalidName, ""},
		{"no files", "fraud", nil, slipway.CodeModelDir, "files"},
		{"too many files", "fraud", many, slipway.CodeModelDir, "files"},
		{"too many bytes", "fraud", huge, slipway.CodeModelDir, "files"},
		{"sizes beyond 64 bits", "fraud", overflow, slipway.CodeModelDir, "files"},
		{"a path that leads out", "fraud", []registry.File{file("b", "weights"), file("../a", "weights")}, slipway.CodeModelDir, "files[1].path"},
		{"an absolute path", "fraud", []registry.File{file("/a", "weights")}, slipway.CodeModelDir, "files[0].path"},
		{"a path with a line break", "fraud", []registry.File{file("a\nb", "weights")}, slipway.CodeModelDir, "files[0].path"},
		{"a path with NUL", "fraud", []registry.File{file("a\x00b", "weights")}, slipway.CodeModelDir, "files[0].path"},
		{"a path that is not UTF-8", "fraud", []registry.File{file("\xff", "weights")}, slipway.CodeModelDir, "files[0].path"},
		{"a path that is too long", "fraud", []registry.File{file(strings.Repeat("a/", 2048)+"b", "weights")}, slipway.CodeModelDir, "files[0].path"},
		{"the same path twice", "fraud", []registry.File{file("b", "weights"), file("a", "weights"), file("b", "weights")}, slipway.CodeModelDir, "files[2].path"},
		{"a file that is a directory", "fraud", []registry.File{file("a-b", "weights"), file("a/b/c", "weights"), file("a", "weights")}, slipway.CodeModelDir, "files[1].path"},
		{"a digest that is none", "fraud", []registry.File{{Path: "a", Digest: "md5:1", Size: 1}}, slipway.CodeInvalidDigest, "files[0].digest"},
		{"a negative size", "fraud", []registry.File{{Path: "a", Digest: digest, Size: -1}}, slipway.CodeModelDir, "files[0].size"},
		{"another size than was uploaded", "fraud", []registry.File{file("b", "weights"), {Path: "a", Digest: digest, Size: 1}}, slipway.CodeModelDir, "files[1].size"},
		{"bytes that were not uploaded", "fraud", []registry.File{file("a", "weights"), file("b", "none")}, slipway.CodeUploadMissing, ""},
	} {
		s, m := service("weights")
		_, added, err := s.Register(t.Context(), ada, c.model, "risk", c.files, "")
		check(t, c.name, err, c.code, c.field)
		if added || len(m.versions) != 0 || len(m.events) != 0 {
			t.Errorf("%s: something was kept", c.name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, _ := service("weights")
	if _, _, err := s.Register(ctx, ada, "fraud", "risk", []registry.File{file("a", "weights")}, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want to be cancelled", err)
	}
}

// The digest depends on every part of every file, and not on their order.
func TestDigestProperty(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		paths := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,3}( [-x] [a-z])?`), 1, 6, rapid.ID).Draw(r, "paths")
		var files []registry.File
		for i, p := range paths {
			files = append(files, file(p, fmt.Sprint(i)))
		}
		register := func(files []registry.File) slipway.Digest {
			s, m := service()
			for _, f := range files {
				m.blobs[f.Digest] = f.Size
			}
			v, _, err := s.Register(t.Context(), ada, "fraud", "risk", files, "")
			if err != nil {
				r.Fatal(err)
			}
			return v.Digest
		}
		want := register(files)
		shuffled := slices.Clone(files)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if got := register(shuffled); got != want {
			r.Errorf("the order matters")
		}
		i := rapid.IntRange(0, len(files)-1).Draw(r, "changed")
		for what, change := range map[string]func(f *registry.File){
			"path":       func(f *registry.File) { f.Path += "+" },
			"digest":     func(f *registry.File) { f.Digest = slipway.DigestOf([]byte(f.Digest)) },
			"size":       func(f *registry.File) { f.Size++ },
			"executable": func(f *registry.File) { f.Executable = true },
		} {
			changed := slices.Clone(files)
			change(&changed[i])
			if register(changed) == want {
				r.Errorf("the %s does not matter", what)
			}
		}
	})
}

func TestVersion(t *testing.T) {
	s, _ := service("a", "b")
	for _, content := range []string{"a", "b"} {
		if _, _, err := s.Register(t.Context(), ada, "fraud", "risk", []registry.File{file("MLmodel", content)}, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetAlias(t.Context(), ada, "fraud", "champion", 1, ""); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]int{"1": 1, "2": 2, "latest": 2, "@champion": 1} {
		r, err := registry.ParseRef(ref)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := s.Version(t.Context(), "fraud", r); err != nil || v.Number != want {
			t.Errorf("%s is %d, %v, want %d", ref, v.Number, err, want)
		}
		if r.String() != ref {
			t.Errorf("%s prints as %s", ref, r)
		}
	}
	for _, ref := range []registry.Ref{{Number: 3}, {Alias: "none"}} {
		_, err := s.Version(t.Context(), "fraud", ref)
		check(t, ref.String(), err, slipway.CodeNotFound, "")
	}
	_, err := s.Version(t.Context(), "../fraud", registry.Ref{})
	check(t, "a model that cannot be", err, slipway.CodeInvalidName, "")
}

func TestSetAlias(t *testing.T) {
	s, m := service("a", "b")
	for _, content := range []string{"a", "b"} {
		if _, _, err := s.Register(t.Context(), ada, "fraud", "risk", []registry.File{file("MLmodel", content)}, ""); err != nil {
			t.Fatal(err)
		}
	}
	m.events = nil
	for _, to := range []int{1, 1, 2} { // a call may be repeated
		if err := s.SetAlias(t.Context(), ada, "fraud", "champion", to, "better"); err != nil {
			t.Fatal(err)
		}
	}
	move := func(from, to int) registry.AliasChange {
		return registry.AliasChange{Model: "fraud", Alias: "champion", From: from, To: to, By: "ada", Reason: "better", Time: now}
	}
	if diff := cmp.Diff([]registry.AliasChange{move(0, 1), move(1, 2)}, m.history); diff != "" {
		t.Error(diff)
	}
	want := slipway.Event{Time: now, Actor: "ada", Action: "alias.moved", Subject: "fraud@champion", Detail: map[string]string{"to": "2", "reason": "better"}}
	if diff := cmp.Diff(want, m.events[1], cmpopts.IgnoreFields(slipway.Event{}, "ID")); diff != "" || len(m.events) != 2 {
		t.Errorf("%d events: %s", len(m.events), diff)
	}
	for _, c := range []struct {
		name, model, alias string
		version            int
		code               string
	}{
		{"no such version", "fraud", "champion", 3, slipway.CodeNotFound},
		{"no such model", "claims", "champion", 1, slipway.CodeNotFound},
		{"no number", "fraud", "champion", 0, slipway.CodeInvalid},
		{"no name", "fraud", "The Best", 1, slipway.CodeInvalidName},
		{"the newest", "fraud", "latest", 1, slipway.CodeInvalidName},
		{"a number", "fraud", "v2", 1, slipway.CodeInvalidName},
	} {
		check(t, c.name, s.SetAlias(t.Context(), ada, c.model, c.alias, c.version, ""), c.code, "")
	}
	m.broken = slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, "", "busy")
	check(t, "a store that is busy", s.SetAlias(t.Context(), ada, "fraud", "champion", 1, ""), slipway.CodeUnavailable, "")
	if len(m.history) != 2 {
		t.Errorf("a refused move was kept: %v", m.history)
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"7", "@champion", "latest", "", "@", "0", "-1", "+7", "07", "9999999999", "v7", "@latest", "@v7", "1e3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := registry.ParseRef(s)
		if err != nil {
			if slipway.AsError(err).Kind != slipway.Invalid {
				t.Errorf("%q: %v, want Invalid", s, err)
			}
			return
		}
		if r.String() != s || r.Number < 0 || r.Number > 0 && r.Alias != "" {
			t.Errorf("%q is %+v, which prints as %q", s, r, r)
		}
	})
}

func TestParseRefRefuses(t *testing.T) {
	for _, s := range []string{"", "@", "0", "-1", "+7", "07", "1.0", "9999999999", "v7", "champion", "@latest", "@v7", "@The Best", " 7"} {
		if r, err := registry.ParseRef(s); err == nil {
			t.Errorf("%q is %+v", s, r)
		}
	}
}
