// Package artifacttest is the conformance suite of artifact.Store, artifact.Roots, artifact.Ledger and
// artifact.Uploads.
package artifacttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/artifact"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

// Store is what the suite tests.
type Store interface {
	artifact.Store
	artifact.Roots
	artifact.Ledger
	artifact.Uploads
	Names
}

// Names is what encryption and backups ask.
type Names interface {
	// Teams gives whose files and parts name digests.
	Teams(ctx context.Context, digests []slipway.Digest) (map[slipway.Digest][]string, error)
	// All gives digests that files or parts name, in order.
	All(ctx context.Context, after slipway.Digest, limit int) ([]slipway.Digest, error)
}

// Open gives an empty store and the record of its events.
type Open func(t *testing.T) (Store, eventtest.Reader)

// Run tests a store of artifacts.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(fixture)
	}{
		{"a file comes back as it was put", testFile},
		{"a directory is listed in pages, without what is below", testList},
		{"other bytes in the place of old ones are an event", testReplace},
		{"files and directories are not in each other's way", testInTheWay},
		{"a deletion takes what is below, and empty directories", testDelete},
		{"whose a first segment is does not change", testClaim},
		{"an upload has nothing to show before its end", testUpload},
		{"uploads expire", testExpire},
		{"what is named is found", testNamed},
		{"one of many puts at once is there in the end", testConcurrently},
		{"agrees with a model", testModel},
	} {
		t.Run(c.name, func(t *testing.T) {
			store, events := open(t)
			c.test(fixture{t, store, events})
		})
	}
}

type fixture struct {
	*testing.T
	store  Store
	events eventtest.Reader
}

var start = time.Date(2026, 11, 1, 12, 0, 0, 123456000, time.UTC)

func digest(content string) slipway.Digest { return slipway.DigestOf([]byte(content)) }

func file(path, content string) artifact.File {
	return artifact.File{Path: path, Digest: digest(content), Size: int64(len(content)), Type: "text/plain; charset=utf-8", Team: "risk", By: "ada", Created: start}
}

func replaced(old artifact.File) slipway.Event {
	ev := eventtest.At(start, "1/r/artifacts")
	ev.Detail = map[string]string{"from": string(old.Digest)}
	return ev
}

func (f fixture) put(all ...artifact.File) {
	f.Helper()
	for _, a := range all {
		if err := f.store.Put(f.Context(), a, replaced); err != nil {
			f.Fatal(a.Path, err)
		}
	}
}

func (f fixture) same(what string, want, got any, err error) {
	f.Helper()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		f.Errorf("%s: %v %s", what, err, diff)
	}
}

func (f fixture) code(what string, err error, code string) {
	f.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) {
		f.Errorf("%s: %v, want %s", what, err, code)
	}
}

func (f fixture) recorded() int { return len(eventtest.All(f.T, f.events)) }

func (f fixture) unused() []slipway.Digest {
	f.Helper()
	out, err := f.store.Unused(f.Context(), "", 1000)
	if err != nil {
		f.Fatal(err)
	}
	return out
}

func testFile(f fixture) {
	for _, p := range []string{"a.txt", "1/r/artifacts/ä Ω/MLmodel", strings.Repeat("d/", 60) + "x"} {
		want := file(p, p)
		f.put(want)
		got, err := f.store.File(f.Context(), p)
		f.same(p, want, got, err)
	}
	_, err := f.store.File(f.Context(), "1/r/artifacts")
	f.code("a directory as a file", err, slipway.CodeNotFound)
	f.same("events", 0, f.recorded(), nil)
}

func testList(f fixture) {
	f.put(file("z.txt", "1"), file("1/r/artifacts/b.txt", "22"), file("1/r/artifacts/model/MLmodel", "333"), file("1/r/artifacts/model/data/x", "4"),
		file("1/r/artifacts/model.txt", "5"), file("1/r/artifacts/A", "6"), file("1/r/artifacts-more/x", "7"))
	got, err := f.store.List(f.Context(), "", "", 10)
	f.same("the top", []artifact.Entry{{Name: "1", Dir: true}, {Name: "z.txt", Size: 1}}, got, err)
	want := []artifact.Entry{{Name: "A", Size: 1}, {Name: "b.txt", Size: 2}, {Name: "model", Dir: true}, {Name: "model.txt", Size: 1}}
	got, err = f.store.List(f.Context(), "1/r/artifacts", "", 10)
	slices.SortFunc(got, func(a, b artifact.Entry) int { return strings.Compare(a.Name, b.Name) }) // a database may have another order
	f.same("a directory", want, got, err)
	for _, empty := range []string{"nothing", "1/r/artifacts/b.txt", "1/r/artifacts/model/MLmodel/x"} {
		got, err = f.store.List(f.Context(), empty, "", 10)
		f.same(empty, 0, len(got), err)
	}
	var names []string
	for after := ""; ; after = names[len(names)-1] {
		got, err := f.store.List(f.Context(), "1/r/artifacts", after, 1)
		if err != nil || len(got) == 0 {
			f.same("the last page", 4, len(names), err)
			break
		}
		names = append(names, got[0].Name)
	}
	files, err := f.store.Below(f.Context(), "1/r/artifacts/model", artifact.File{}, 10)
	f.same("below", 2, len(files), err)
	files, err = f.store.Below(f.Context(), "1/r/artifacts/model/MLmodel", artifact.File{}, 10)
	f.same("below a file", []artifact.File{file("1/r/artifacts/model/MLmodel", "333")}, files, err)
	seen := map[string]bool{}
	for last := (artifact.File{}); ; {
		files, err := f.store.Below(f.Context(), "1/r/artifacts", last, 2)
		if err != nil || len(files) == 0 {
			f.same("pages of what is below", 5, len(seen), err)
			break
		}
		for _, last = range files {
			seen[last.Path] = true
		}
	}
}

func testReplace(f fixture) {
	f.put(file("1/r/a", "old"), file("1/r/a", "old"))
	f.same("events of the same bytes", 0, f.recorded(), nil)
	f.put(file("1/r/a", "new"))
	got, err := f.store.File(f.Context(), "1/r/a")
	f.same("the file", file("1/r/a", "new"), got, err)
	f.same("events", 1, f.recorded(), nil)
	f.same("unused", []slipway.Digest{digest("old")}, f.unused(), nil)
	if err := f.store.Forget(f.Context(), f.unused()); err != nil {
		f.Error(err)
	}
	f.same("unused after that", 0, len(f.unused()), nil)
	taken := eventtest.At(start, "x")
	if err := f.store.Put(f.Context(), file("1/r/a", "third"), func(artifact.File) slipway.Event { return taken }); err != nil {
		f.Error(err)
	}
	if err := f.store.Put(f.Context(), file("1/r/a", "fourth"), func(artifact.File) slipway.Event { return taken }); err == nil {
		f.Error("a change whose event cannot be recorded was made")
	}
	got, err = f.store.File(f.Context(), "1/r/a")
	f.same("the file after that", file("1/r/a", "third"), got, err)
}

func testInTheWay(f fixture) {
	f.put(file("1/r/a/b", "x"))
	f.code("a file in the place of a directory", f.store.Put(f.Context(), file("1/r/a", "x"), replaced), slipway.CodeArtifactPath)
	f.code("a directory in the place of a file", f.store.Put(f.Context(), file("1/r/a/b/c/d", "x"), replaced), slipway.CodeArtifactPath)
	got, err := f.store.List(f.Context(), "1/r/a", "", 10)
	f.same("what is there", []artifact.Entry{{Name: "b", Size: 1}}, got, err)
	got, err = f.store.List(f.Context(), "1/r/a/b", "", 10)
	f.same("what is not", 0, len(got), err)
}

func testDelete(f fixture) {
	f.put(file("1/r/artifacts/m/a", "1"), file("1/r/artifacts/m/deep/er/b", "22"), file("1/r/artifacts/m2", "1"), file("2/x", "x"))
	n, size, err := f.store.Delete(f.Context(), "1/r/artifacts/m", eventtest.At(start, "1/r/artifacts"))
	f.same("deleted", []int64{2, 3}, []int64{int64(n), size}, err)
	all := eventtest.All(f.T, f.events)
	f.same("the event", map[string]string{"files": "2", "bytes": "3"}, onlyKeys(all[len(all)-1].Detail), nil)
	f.same("unused", 2, len(f.unused()), nil)
	got, err := f.store.List(f.Context(), "1/r/artifacts", "", 10)
	f.same("what stays", []artifact.Entry{{Name: "m2", Size: 1}}, got, err)
	_, _, err = f.store.Delete(f.Context(), "1/r/artifacts/m", eventtest.At(start, "x"))
	f.code("again", err, slipway.CodeNotFound)
	if _, _, err := f.store.Delete(f.Context(), "1/r/artifacts/m2", eventtest.At(start, "x")); err != nil {
		f.Error(err)
	}
	got, err = f.store.List(f.Context(), "", "", 10)
	f.same("the top", []artifact.Entry{{Name: "2", Dir: true}}, got, err)
	f.put(file("1/r/artifacts/m/a", "1"))
}

func onlyKeys(detail map[string]string) map[string]string {
	return map[string]string{"files": detail["files"], "bytes": detail["bytes"]}
}

func testClaim(f fixture) {
	owner, err := f.store.Owner(f.Context(), "shared")
	f.same("nobody's", "", owner, err)
	for _, team := range []string{"risk", "risk", "growth"} {
		owner, err = f.store.Claim(f.Context(), "shared", team)
		f.same("claimed by "+team, "risk", owner, err)
	}
	owner, err = f.store.Owner(f.Context(), "shared")
	f.same("whose it is", "risk", owner, err)
}

func upload(id string, expires time.Time) artifact.Upload {
	return artifact.Upload{ID: id, Path: "1/r/big", Type: "x/y", Team: "risk", By: "ada", Parts: 2, Expires: expires}
}

func testUpload(f fixture) {
	u := upload("upl_1", start.Add(time.Hour))
	if err := f.store.Begin(f.Context(), u); err != nil {
		f.Fatal(err)
	}
	parts := []artifact.Part{{Number: 1, Digest: digest("a"), Size: 1}, {Number: 2, Digest: digest("b"), Size: 1}}
	for _, p := range []artifact.Part{parts[1], {Number: 1, Digest: digest("wrong"), Size: 5}, parts[0], parts[0]} {
		if err := f.store.AddPart(f.Context(), u.ID, p); err != nil {
			f.Fatal(err)
		}
	}
	got, have, err := f.store.Upload(f.Context(), u.ID)
	f.same("the upload", u, got, err)
	f.same("its parts", parts, have, nil)
	f.same("unused", []slipway.Digest{digest("wrong")}, f.unused(), nil)
	list, err := f.store.List(f.Context(), "", "", 10)
	f.same("what is visible", 0, len(list), err)
	whole := file("1/r/big", "ab")
	if err := f.store.Complete(f.Context(), u.ID, whole, replaced); err != nil {
		f.Fatal(err)
	}
	there, err := f.store.File(f.Context(), "1/r/big")
	f.same("the file", whole, there, err)
	u.Done = whole.Digest
	got, have, err = f.store.Upload(f.Context(), u.ID)
	f.same("the upload after that", u, got, err)
	f.same("its parts", 0, len(have), nil)
	f.same("unused", 3, len(f.unused()), nil)
	f.code("completed again", f.store.Complete(f.Context(), u.ID, whole, replaced), slipway.CodeUpload)
	f.code("a part after the end", f.store.AddPart(f.Context(), u.ID, parts[0]), slipway.CodeUpload)
	f.code("a part of nothing", f.store.AddPart(f.Context(), "upl_2", parts[0]), slipway.CodeUpload)
	_, _, err = f.store.Upload(f.Context(), "upl_2")
	f.code("an unknown upload", err, slipway.CodeUpload)
}

func testExpire(f fixture) {
	for i := range 3 {
		u := upload(fmt.Sprint("upl_", i), start.Add(time.Duration(i)*time.Hour))
		if err := errors.Join(f.store.Begin(f.Context(), u), f.store.AddPart(f.Context(), u.ID, artifact.Part{Number: 1, Digest: digest(u.ID), Size: 1})); err != nil {
			f.Fatal(err)
		}
	}
	n, err := f.store.Abort(f.Context(), "", start.Add(time.Minute))
	f.same("expired", 1, n, err)
	n, err = f.store.Abort(f.Context(), "upl_1", time.Time{})
	f.same("aborted", 1, n, err)
	_, _, err = f.store.Upload(f.Context(), "upl_1")
	f.code("an aborted upload", err, slipway.CodeUpload)
	_, parts, err := f.store.Upload(f.Context(), "upl_2")
	f.same("what stays", 1, len(parts), err)
	f.same("unused", 2, len(f.unused()), nil)
}

func testNamed(f fixture) {
	f.put(file("a", "a"), file("b", "b"))
	if err := errors.Join(f.store.Begin(f.Context(), upload("upl_1", start)), f.store.AddPart(f.Context(), "upl_1", artifact.Part{Number: 1, Digest: digest("p"), Size: 1})); err != nil {
		f.Fatal(err)
	}
	ask := []slipway.Digest{digest("a"), digest("p"), digest("x")}
	for i := range 500 {
		ask = append(ask, digest(fmt.Sprint(i)))
	}
	got, err := f.store.Named(f.Context(), ask)
	f.same("named", map[slipway.Digest]bool{digest("a"): true, digest("p"): true}, got, err)
	teams, err := f.store.Teams(f.Context(), ask)
	f.same("whose they are", map[slipway.Digest][]string{digest("a"): {"risk"}, digest("p"): {"risk"}}, teams, err)
	var all []slipway.Digest
	for after := slipway.Digest(""); ; after = all[len(all)-1] {
		some, err := f.store.All(f.Context(), after, 2)
		if all = append(all, some...); err != nil || len(some) == 0 {
			want := []slipway.Digest{digest("a"), digest("b"), digest("p")}
			slices.Sort(want)
			f.same("all", want, all, err)
			break
		}
	}
	if err := errors.Join(f.store.Release(f.Context(), []slipway.Digest{digest("v"), digest("w")}), f.store.Release(f.Context(), []slipway.Digest{digest("v")})); err != nil {
		f.Error(err)
	}
	f.same("released", 2, len(f.unused()), nil)
}

func testConcurrently(f fixture) {
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			err := f.store.Put(f.Context(), file("1/r/a", fmt.Sprint(i)), replaced)
			if err != nil && slipway.AsError(err).Kind != slipway.Unavailable {
				f.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := f.store.File(f.Context(), "1/r/a")
	if err != nil {
		f.Fatal(err)
	}
	if slices.Contains(f.unused(), got.Digest) {
		f.Error("what is there is said to be unused")
	}
	f.same("events", f.recorded(), len(f.unused()), nil)
}

// testModel does random things to the store and to a plain map.
func testModel(f fixture) {
	run := 0
	rapid.Check(f, func(r *rapid.T) {
		run++
		root := fmt.Sprintf("r%d", run)
		model := map[string]artifact.File{}
		path := rapid.SampledFrom([]string{"a", "b", "a/b", "a/c", "a/b/c", "b/a", "a-b", "a0"})
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			p := root + "/" + path.Draw(r, "path")
			if rapid.IntRange(0, 3).Draw(r, "what") == 0 {
				n, _, err := f.store.Delete(context.Background(), p, eventtest.At(start, p))
				want := 0
				for q := range model {
					if q == p || strings.HasPrefix(q, p+"/") {
						delete(model, q)
						want++
					}
				}
				if n != want || (err == nil) != (want > 0) {
					r.Fatalf("deleted %d, %v, want %d", n, err, want)
				}
				continue
			}
			a := file(p, rapid.SampledFrom([]string{"x", "y"}).Draw(r, "content"))
			blocked := false
			for q := range model {
				blocked = blocked || strings.HasPrefix(q, p+"/") || strings.HasPrefix(p, q+"/")
			}
			if err := f.store.Put(context.Background(), a, replaced); (err == nil) == blocked {
				r.Fatalf("put %s: %v, in the way: %v", p, err, blocked)
			}
			if !blocked {
				model[p] = a
			}
		}
		compare(f, r, root, model)
	})
}

func compare(f fixture, r *rapid.T, root string, model map[string]artifact.File) {
	all, err := f.store.Below(context.Background(), root, artifact.File{}, 100)
	got := map[string]artifact.File{}
	for _, a := range all {
		got[a.Path] = a
	}
	if diff := cmp.Diff(model, got); err != nil || diff != "" {
		r.Fatalf("%v %s", err, diff)
	}
	want := map[string]bool{}
	for q := range model {
		name, rest, _ := strings.Cut(strings.TrimPrefix(q, root+"/"), "/")
		want[name] = rest != ""
	}
	list, err := f.store.List(context.Background(), root, "", 100)
	have := map[string]bool{}
	for _, e := range list {
		have[e.Name] = e.Dir
	}
	if diff := cmp.Diff(want, have); err != nil || diff != "" || len(list) != len(want) {
		r.Fatalf("listed: %v %s", err, diff)
	}
}
