package signin_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/identity/signin"
)

func TestEnrolment(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	session, _, recovery := w.person("ada")
	p, err := w.Principal(ctx, session)
	if err != nil || p.ID != "ada" || p.Kind != slipway.Person || !p.Elevated || len(recovery) != 10 {
		t.Errorf("%+v, %v", p, err)
	}
	code, _, err := w.Invite(ctx, "owner", "ada", 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Enrol(ctx, here, code, "too short")
	w.wantCode("a bad password", err, slipway.CodePassword)
	half, err := w.Enrol(ctx, here, code, words)
	if err != nil {
		t.Fatal(err)
	}
	other, err := w.Enrol(ctx, here, code, words) // in another browser
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Principal(ctx, half); err == nil {
		t.Error("half an enrolment acts")
	}
	_, _, err = w.Confirm(ctx, here, half, "000000")
	w.wantCode("a wrong code", err, slipway.CodeSignIn)
	_, err = w.Principal(ctx, session)
	if err != nil {
		t.Error("an invitation that was not used has changed something")
	}
	f, err := w.Factor(ctx, half)
	if err != nil {
		t.Fatal(err)
	}
	fresh, _, err := w.Confirm(ctx, here, half, w.code(f.Seed))
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Principal(ctx, session)
	w.wantCode("a session from before", err, slipway.CodeSession)
	if _, err := w.Principal(ctx, fresh); err != nil {
		t.Error(err)
	}
	_, err = w.Enrol(ctx, here, code, words)
	w.wantCode("an invitation that was used", err, slipway.CodeInvitation)
	_, _, err = w.Confirm(ctx, here, other, "000000")
	w.wantCode("the other browser", err, slipway.CodeSession)
	code, _, err = w.Invite(ctx, "owner", "ada", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	w.pass(time.Hour)
	_, err = w.Invited(ctx, code)
	w.wantCode("an invitation that has expired", err, slipway.CodeInvitation)
	if _, err := w.accounts.Create(ctx, "owner", identity.Account{Name: "bot", Kind: slipway.Service, Team: "risk"}); err != nil {
		t.Fatal(err)
	}
	_, _, err = w.Invite(ctx, "owner", "bot", 0)
	w.wantCode("a service", err, slipway.CodeConflict)
}

func TestSignIn(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	_, seed, recovery := w.person("ada")
	half, err := w.Password(ctx, here, "ada", words)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Principal(ctx, half)
	w.wantCode("a password without a second factor", err, slipway.CodeSession)
	_, err = w.StepUp(ctx, here, half, w.code(seed))
	w.wantCode("stepping up from nowhere", err, slipway.CodeSession)
	full, err := w.Second(ctx, here, half, w.code(seed))
	if err != nil || full == half {
		t.Fatal("the session keeps its secret", err)
	}
	_, err = w.Second(ctx, here, half, w.code(seed))
	w.wantCode("the secret from before", err, slipway.CodeSession)
	again, err := w.Password(ctx, here, "ada", words)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Second(ctx, here, again, w.code(seed))
	w.wantCode("a code that was used", err, slipway.CodeSignIn)
	if _, err := w.Second(ctx, here, again, recovery[0]); err != nil {
		t.Error("a recovery code:", err)
	}
	if again, err = w.Password(ctx, here, "ada", words); err != nil {
		t.Fatal(err)
	}
	_, err = w.Second(ctx, here, again, recovery[0])
	w.wantCode("a recovery code that was used", err, slipway.CodeSignIn)
	if n, err := w.RecoveryLeft(ctx, "ada"); n != 9 || err != nil {
		t.Errorf("%d recovery codes left, %v", n, err)
	}
	if w.memory.count("signin.succeeded") != 3 || w.memory.count("signin.failed") != 2 {
		t.Errorf("%d successes and %d failures are recorded", w.memory.count("signin.succeeded"), w.memory.count("signin.failed"))
	}
}

// TestCodeIsUsedOnce: of many who have the same code at once, one gets in.
func TestCodeIsUsedOnce(t *testing.T) {
	w := newWorld(t, nil)
	_, seed, _ := w.person("ada")
	var halves []string
	for range 4 {
		half, err := w.Password(t.Context(), here, "ada", words)
		if err != nil {
			t.Fatal(err)
		}
		halves = append(halves, half)
	}
	code := w.code(seed)
	var wg sync.WaitGroup
	got := make([]error, len(halves))
	for i, half := range halves {
		wg.Go(func() { _, got[i] = w.Second(t.Context(), here, half, code) })
	}
	wg.Wait()
	in := 0
	for _, err := range got {
		if err == nil {
			in++
		}
	}
	if in != 1 {
		t.Errorf("%d got in with one code: %v", in, got)
	}
}

// TestUnknownNames: neither the answer, nor the work, nor the lock tells which names there are.
func TestUnknownNames(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	w.person("ada")
	w.person("gone")
	if _, err := w.accounts.Disable(ctx, "owner", "gone", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.accounts.Create(ctx, "owner", identity.Account{Name: "invited", Kind: slipway.Person}); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i, name := range []string{"ada", "gone", "invited", "eve", "", "4711 no name at all"} {
		var got []string
		for n := range 8 {
			before := w.hasher.Work()
			_, err := w.Password(ctx, signin.Source{Peer: fmt.Sprint(i)}, name, "wrong words")
			got = append(got, fmt.Sprintf("%d: %v, %d hashes", n, err, w.hasher.Work()-before))
		}
		if i == 0 {
			want = got
		} else if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%q is answered otherwise:\n%s\nthan one that there is:\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	for _, e := range w.memory.events {
		if strings.Contains(e.Subject, "4711") || e.Subject == "eve" {
			t.Errorf("what was typed is recorded: %+v", e)
		}
	}
	if _, err := w.Password(ctx, signin.Source{Peer: "z"}, "gone", words); err == nil {
		t.Error("a disabled account signs in")
	}
}

func TestLockout(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	w.person("ada")
	var wg sync.WaitGroup
	var mu sync.Mutex
	tried := 0
	for i := range 50 { // at once, from everywhere
		wg.Go(func() {
			_, err := w.Password(ctx, signin.Source{Peer: fmt.Sprint(i)}, "ada", "wrong words")
			mu.Lock()
			defer mu.Unlock()
			if slipway.AsError(err).Code == slipway.CodeSignIn {
				tried++
			}
		})
	}
	wg.Wait()
	if tried != 5 {
		t.Errorf("%d passwords were tried", tried)
	}
	_, err := w.Password(ctx, here, "ada", words)
	w.wantCode("the right password while locked", err, slipway.CodeLocked)
	if w.memory.count("signin.locked") != 1 {
		t.Errorf("%d lockouts are recorded", w.memory.count("signin.locked"))
	}
	waits := []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 320 * time.Second, 640 * time.Second, 15 * time.Minute, 15 * time.Minute}
	for i, wait := range waits {
		w.pass(wait - time.Second)
		_, err := w.Password(ctx, signin.Source{Peer: "x"}, "ada", "wrong words")
		w.wantCode(fmt.Sprint("too early, ", i), err, slipway.CodeLocked)
		w.pass(time.Second)
		_, err = w.Password(ctx, signin.Source{Peer: "y" + fmt.Sprint(i)}, "ada", "wrong words")
		w.wantCode(fmt.Sprint("after ", wait), err, slipway.CodeSignIn)
	}
	w.pass(15 * time.Minute)
	if _, err := w.Password(ctx, here, "ada", words); err != nil {
		t.Error("the right password after the wait:", err)
	}
	tried = 0
	for i := range 50 { // from one address at many names
		_, err := w.Password(ctx, signin.Source{Peer: "one"}, fmt.Sprint("name", i), "wrong words")
		if slipway.AsError(err).Code == slipway.CodeSignIn {
			tried++
		}
	}
	if tried != 20 {
		t.Errorf("one address tried %d names", tried)
	}
}

func TestSecondFactorIsLocked(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	w.person("ada")
	tried := 0
	for range 20 {
		half, err := w.Password(ctx, here, "ada", words)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Second(ctx, here, half, "000000"); slipway.AsError(err).Code == slipway.CodeSignIn {
			tried++
		}
	}
	if tried != 5 {
		t.Errorf("%d codes were tried by somebody who has the password", tried)
	}
}

func TestSessionsEnd(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	_, seed, _ := w.person("ada")
	idle := w.in("ada", seed)
	w.pass(signin.Idle - time.Second)
	if _, err := w.Principal(ctx, idle); err != nil {
		t.Error("used in time:", err)
	}
	w.pass(signin.Idle)
	_, err := w.Principal(ctx, idle)
	w.wantCode("idle", err, slipway.CodeSession)
	busy := w.in("ada", seed)
	for range 23 {
		w.pass(30 * time.Minute)
		if p, err := w.Principal(ctx, busy); err != nil || p.Elevated {
			t.Fatalf("%+v, %v", p, err)
		}
	}
	w.pass(30 * time.Minute)
	_, err = w.Principal(ctx, busy)
	w.wantCode("after twelve hours", err, slipway.CodeSession)

	one, two := w.in("ada", seed), w.in("ada", seed)
	list, err := w.Sessions(ctx, "ada")
	if err != nil || len(list) != 2 || list[0].Agent != "Firefox" {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := w.End(ctx, "owner", list[0].ID, "stolen"); err != nil { // the newest
		t.Fatal(err)
	}
	_, err = w.Principal(ctx, two)
	w.wantCode("ended by another", err, slipway.CodeSession)
	w.wantCode("ended twice", w.End(ctx, "owner", list[0].ID, ""), slipway.CodeNotFound)
	if _, err := w.accounts.Disable(ctx, "owner", "ada", ""); err != nil {
		t.Fatal(err)
	}
	_, err = w.Principal(ctx, one)
	w.wantCode("of a disabled account", err, slipway.CodeSession)
	w.pass(48 * time.Hour)
	if err := w.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if left, _ := w.memory.RecordsOf(ctx, "session", ""); len(left) != 0 {
		t.Errorf("%d sessions are kept for ever", len(left))
	}
}

func TestStepUp(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	_, seed, _ := w.person("ada")
	s := w.in("ada", seed)
	w.pass(signin.Elevation)
	if p, err := w.Principal(ctx, s); err != nil || p.Elevated {
		t.Fatalf("%+v, %v", p, err)
	}
	_, err := w.StepUp(ctx, here, s, "000000")
	w.wantCode("a wrong code", err, slipway.CodeSignIn)
	up, err := w.StepUp(ctx, here, s, w.code(seed))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := w.Principal(ctx, up); err != nil || !p.Elevated {
		t.Errorf("%+v, %v", p, err)
	}
	_, err = w.Principal(ctx, s)
	w.wantCode("the secret from before", err, slipway.CodeSession)
}

func TestSecretsAreNotKept(t *testing.T) {
	w := newWorld(t, nil)
	session, seed, recovery := w.person("ada")
	for _, r := range w.memory.records {
		for what, secret := range map[string]string{"session": session, "recovery code": recovery[0], "password": words} {
			if strings.Contains(string(r.Document)+r.Key, secret) {
				t.Errorf("a %s is in %s", what, r.Kind)
			}
		}
		if strings.Contains(string(r.Document), seed) {
			t.Errorf("the seed is in %s", r.Kind)
		}
	}
	for _, e := range w.memory.events {
		if text := fmt.Sprint(e); strings.Contains(text, seed) || strings.Contains(text, session) {
			t.Errorf("a secret is in an event: %s", e.Action)
		}
	}
}

// TestReseal: after a rotation who has enrolled before signs in still, also once the older
// key is gone.
func TestReseal(t *testing.T) {
	w := newWorld(t, nil)
	_, seed, _ := w.person("ada")
	old := func(sealed []byte) bool { return sealed[0] < w.sealer.newest }
	w.sealer.newest = '2'
	w.in("ada", seed)
	if err := w.Reseal(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	w.sealer.oldest = '2'
	w.in("ada", seed)
	before := len(w.memory.events)
	if err := w.Reseal(t.Context(), func([]byte) bool { return false }); err != nil || len(w.memory.events) != before {
		t.Errorf("%v, %d events more", err, len(w.memory.events)-before)
	}
	w.sealer.oldest, w.sealer.newest = '3', '3'
	if err := w.Reseal(t.Context(), old); err == nil {
		t.Error("what does not open was sealed again")
	}
}
