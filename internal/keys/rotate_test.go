package keys_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/keys"
)

// states of the versions of a space.
func (f *fixture) states(t *testing.T, s keys.Space) (out []keys.State) {
	t.Helper()
	for _, k := range must(f.store.Keys(t.Context(), s))(t) {
		out = append(out, k.State)
	}
	return out
}

// settle is what a server does in the background until nothing changes any more.
func (f *fixture) settle(t *testing.T) []keys.Progress {
	t.Helper()
	var p []keys.Progress
	for range 4 {
		p = must(f.Advance(t.Context()))(t)
		f.clock.pass(keys.Settle)
	}
	return p
}

// A rotation moves the keys of objects, destroys the old key when nothing needs it, and keeps
// one that something needs which nobody moves.
func TestRotate(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	key, _, err := f.objects.Make(ctx, "sha256:one")
	if err == nil {
		err = f.objects.Adopt(ctx, risk, "sha256:one")
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Rotate(ctx, risk, "ada"); err != nil {
		t.Fatal(err)
	}
	f.settle(t)
	if got := f.states(t, risk); !slices.Equal(got, []keys.State{keys.DecryptOnly, keys.Active}) {
		t.Errorf("%v: a backup may need the old one", got)
	}
	f.restart()
	if err := f.Leave(ctx, risk, "ada"); err != nil {
		t.Fatal(err)
	}
	if p := must(f.Advance(ctx))(t); len(p) != 1 || p[0].Left != 0 {
		t.Errorf("%v", p)
	}
	if got := f.states(t, risk); !slices.Equal(got, []keys.State{keys.Leaving, keys.Active}) {
		t.Errorf("%v at once: somebody may be about to store what the old one sealed", got)
	}
	f.settle(t)
	if got := f.states(t, risk); !slices.Equal(got, []keys.State{keys.Destroyed, keys.Active}) {
		t.Errorf("%v", got)
	}
	if got := must(f.objects.Key(ctx, "sha256:one"))(t); !bytes.Equal(got, key) {
		t.Error("the object's key is another one")
	}

	sealed := must(f.Seal(ctx, risk, label, []byte("seed")))(t)
	if _, err := f.Rotate(ctx, risk, "ada"); err != nil {
		t.Fatal(err)
	}
	if err := f.Leave(ctx, risk, "ada"); err != nil {
		t.Fatal(err)
	}
	p := f.settle(t)
	if len(p) != 1 || p[0].Blocked == "" || !slices.Equal(f.states(t, risk), []keys.State{keys.Destroyed, keys.Leaving, keys.Active}) {
		t.Errorf("%v, %v", p, f.states(t, risk))
	}
	f.restart()
	if got, err := f.Open(ctx, risk, label, sealed); err != nil || string(got) != "seed" {
		t.Errorf("%q, %v", got, err)
	}
}

// A key that the service has lost, or another service never had, is not taken for shredded:
// nothing is thrown away.
func TestLost(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	sealed := must(f.Seal(ctx, risk, label, []byte("seed")))(t)
	if _, _, err := f.objects.Make(ctx, "sha256:one"); err != nil {
		t.Fatal(err)
	}
	if err := f.service.Destroy(ctx, must(f.store.Keys(ctx, risk))(t)[0].Wrapper, must(f.store.Keys(ctx, keys.Uploads))(t)[0].Wrapper); err != nil {
		t.Fatal(err)
	}
	f.restart()
	_, err := f.Open(ctx, risk, label, sealed)
	wantCode(t, "opening", err, slipway.CodeKeyLost)
	_, _, err = f.objects.Make(ctx, "sha256:one")
	wantCode(t, "making", err, slipway.CodeKeyLost)
	_, err = f.objects.Key(ctx, "sha256:one")
	wantCode(t, "the object's key", err, slipway.CodeKeyLost)
}

func TestShred(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	sealed := must(f.Seal(ctx, risk, label, []byte("seed")))(t)
	other := must(f.Seal(ctx, keys.Team("other"), label, []byte("stays")))(t)
	copied, err := f.Shred(ctx, risk, "ada")
	if err != nil || len(copied) != 1 || len(copied[0].Wrapped) == 0 {
		t.Fatalf("%v, %v", copied, err)
	}
	for range 2 { // from memory, and after a restart
		_, err = f.Open(ctx, risk, label, sealed)
		wantCode(t, "what was sealed", err, slipway.CodeShredded)
		f.restart()
	}
	if err := f.Probe(ctx, copied[0]); err != nil {
		t.Errorf("the probe: %v", err)
	}
	f.service.down.Store(true)
	wantCode(t, "a probe while the service is down", f.Probe(ctx, copied[0]), slipway.CodeKeyService)
	f.service.down.Store(false)
	if got, err := f.Open(ctx, "team/other", label, other); err != nil || string(got) != "stays" {
		t.Errorf("another space: %q, %v", got, err)
	}
	wantCode(t, "a probe of a key that lives", f.Probe(ctx, must(f.store.Keys(ctx, "team/other"))(t)[0]), slipway.CodeSealed)
	if _, err := f.Seal(ctx, risk, label, []byte("new")); err != nil {
		t.Errorf("the team goes on: %v", err)
	}
	_, err = f.Shred(ctx, keys.Team("nobody"), "ada")
	wantCode(t, "a space without a key", err, slipway.CodeNotFound)
}

// What was condemned while the key service was down opens nothing, and is destroyed later.
func TestShredWhileDown(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	sealed := must(f.Seal(ctx, risk, label, []byte("seed")))(t)
	f.service.down.Store(true)
	copied, err := f.Shred(ctx, risk, "ada")
	wantCode(t, "shredding", err, slipway.CodeKeyService)
	_, err = f.Open(ctx, risk, label, sealed)
	wantCode(t, "opening", err, slipway.CodeShredded)
	f.restart()
	if _, err := f.Advance(ctx); err == nil {
		t.Error("it went on while the service is down")
	}
	f.service.down.Store(false)
	if _, err := f.Advance(ctx); err != nil {
		t.Error(err)
	}
	if got := f.states(t, risk); !slices.Equal(got, []keys.State{keys.Destroyed}) {
		t.Errorf("%v", got)
	}
	if err := f.Probe(ctx, copied[0]); err != nil {
		t.Error(err)
	}
}

// A team's key opens an object though another team's was shredded; with the last the object
// is removed, and can be uploaded again.
func TestObjectOfTwoTeams(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	first, fresh, err := f.objects.Make(ctx, "sha256:one")
	if err != nil || !fresh {
		t.Fatal(fresh, err)
	}
	for _, s := range []keys.Space{risk, risk, keys.Team("two")} {
		if err := f.objects.Adopt(ctx, s, "sha256:one", "sha256:in-clear"); err != nil {
			t.Fatal(err)
		}
	}
	if again, fresh, err := f.objects.Make(ctx, "sha256:one"); err != nil || fresh || !bytes.Equal(again, first) {
		t.Errorf("another key for what is there: %v, %v", fresh, err)
	}
	removed := 0
	drop := func(s keys.Space) {
		t.Helper()
		if _, err := f.Shred(ctx, s, "ada"); err != nil {
			t.Fatal(err)
		}
		if left, err := f.objects.Drop(ctx, s, 99, func(context.Context, string) error { removed++; return nil }); err != nil || left != 0 {
			t.Fatal(left, err)
		}
	}
	drop(risk)
	if got, err := f.objects.Key(ctx, "sha256:one"); err != nil || !bytes.Equal(got, first) || removed != 0 {
		t.Errorf("the other team's: %v, %d removed", err, removed)
	}
	if _, err := f.Shred(ctx, keys.Team("two"), "ada"); err != nil {
		t.Fatal(err)
	}
	_, err = f.objects.Key(ctx, "sha256:one")
	wantCode(t, "shredded for both", err, slipway.CodeShredded)
	if key, fresh, err := f.objects.Make(ctx, "sha256:one"); err != nil || !fresh || bytes.Equal(key, first) {
		t.Errorf("uploaded again: %v, %v", fresh, err)
	}
}

// Renewing a space under uploads loses none, and leaves nothing that an older copy opens.
func TestRenewUnderLoad(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	made := make([][]byte, 60)
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := w; i < len(made); i += 3 {
				key, _, err := f.objects.Make(ctx, fmt.Sprint(i))
				if err != nil {
					t.Error(err)
				}
				made[i] = key
			}
		})
	}
	wg.Go(func() {
		for range 3 {
			if err := f.Renew(ctx, keys.Uploads, "ada"); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	f.restart()
	for i, want := range made {
		if got, err := f.objects.Key(ctx, fmt.Sprint(i)); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d: %v", i, err)
		}
	}
	states := f.states(t, keys.Uploads)
	if n := len(states); n < 3 || states[n-1] != keys.Active || slices.ContainsFunc(states[:n-1], func(s keys.State) bool { return s != keys.Destroyed }) {
		t.Errorf("%v", states)
	}
}

// However uploads, registrations, rotations, shreddings, restarts and failures of the service
// follow each other, an object opens with its key as long as a space has it that was not
// shredded, and then never more.
func TestModel(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	run := 0
	rapid.Check(t, func(r *rapid.T) {
		run++
		spaces := []keys.Space{keys.Team(fmt.Sprintf("a%d", run)), keys.Team(fmt.Sprintf("b%d", run))}
		type object struct {
			key []byte
			in  map[keys.Space]bool
		}
		objects := map[string]*object{}
		f.service.down.Store(false)
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			name := fmt.Sprintf("%d-%d", run, rapid.IntRange(0, 2).Draw(r, "object"))
			s := rapid.SampledFrom(spaces).Draw(r, "space")
			o := objects[name]
			var err error
			switch rapid.SampledFrom([]string{"make", "adopt", "rotate", "shred", "advance", "restart", "down", "up"}).Draw(r, "step") {
			case "make":
				var key []byte
				var fresh bool
				key, fresh, err = f.objects.Make(ctx, name)
				if err == nil && fresh != (o == nil || len(o.in) == 0) {
					r.Fatalf("fresh: %v", fresh)
				}
				if err == nil && fresh {
					objects[name] = &object{key, map[keys.Space]bool{keys.Uploads: true}}
				}
			case "adopt":
				if o == nil || len(o.in) == 0 {
					continue
				}
				if err = f.objects.Adopt(ctx, s, name); err == nil {
					o.in[s] = true
					delete(o.in, keys.Uploads)
				}
			case "rotate":
				if _, err = f.Rotate(ctx, s, "ada"); err == nil && rapid.Bool().Draw(r, "leave") {
					err = f.Leave(ctx, s, "ada")
				}
			case "shred":
				_, err = f.Shred(ctx, s, "ada")
				if err == nil || errors.Is(err, &slipway.Error{Code: slipway.CodeKeyService}) {
					for _, o := range objects {
						delete(o.in, s)
					}
				}
			case "advance":
				_, err = f.Advance(ctx)
				f.clock.pass(keys.Settle)
			case "restart":
				f.restart()
			case "down":
				f.service.down.Store(true)
			case "up":
				f.service.down.Store(false)
			}
			if err != nil && !f.service.down.Load() && !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) && !errors.Is(err, &slipway.Error{Code: slipway.CodeShredded}) {
				r.Fatal(err)
			}
		}
		f.service.down.Store(false)
		f.clock.pass(keys.Fresh)
		if _, err := f.Advance(ctx); err != nil {
			r.Fatal(err)
		}
		for name, o := range objects {
			got, err := f.objects.Key(ctx, name)
			if want := len(o.in) > 0; want != (err == nil && bytes.Equal(got, o.key)) {
				r.Fatalf("%s is in %v: %v", name, o.in, err)
			}
		}
	})
}
