package signin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity/signin"
)

// login lets a command line in.
func (w *world) login(session string) (signin.Grant, signin.Codes) {
	w.t.Helper()
	ctx := w.t.Context()
	codes, err := w.Begin(ctx, signin.Source{Peer: "192.0.2.9", Agent: "platform on laptop"})
	if err != nil {
		w.t.Fatal(err)
	}
	d, err := w.Waiting(ctx, here, "ada", strings.ToLower(strings.ReplaceAll(codes.User, "-", " ")))
	if err != nil || d.Agent != "platform on laptop" {
		w.t.Fatal(d, err)
	}
	if err := w.Decide(ctx, session, d.ID, true); err != nil {
		w.t.Fatal(err)
	}
	g, err := w.Fetch(ctx, codes.Device)
	if err != nil {
		w.t.Fatal(err)
	}
	return g, codes
}

func TestDevice(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	session, _, _ := w.person("ada")
	codes, err := w.Begin(ctx, here)
	if err != nil || len(codes.User) != 9 {
		t.Fatal(codes, err)
	}
	if _, err := w.Fetch(ctx, codes.Device); slipway.AsError(err) != signin.ErrPending {
		t.Error(err)
	}
	if _, err := w.Fetch(ctx, codes.Device); slipway.AsError(err) != signin.ErrSlowDown {
		t.Error("asked at once again:", err)
	}
	if _, err := w.Fetch(ctx, "slipd_unknown"); slipway.AsError(err) != signin.ErrExpired {
		t.Error(err)
	}
	_, err = w.Waiting(ctx, here, "ada", "BBBB-BBBB")
	w.wantCode("an unknown code", err, slipway.CodeDevice)
	d, err := w.Waiting(ctx, here, "ada", codes.User)
	if err != nil {
		t.Fatal(err)
	}
	w.wantCode("allowed by nobody", w.Decide(ctx, "slips_nobody", d.ID, true), slipway.CodeSession)
	if err := w.Decide(ctx, session, d.ID, true); err != nil {
		t.Fatal(err)
	}
	w.wantCode("decided twice", w.Decide(ctx, session, d.ID, false), slipway.CodeDevice)
	g, err := w.Fetch(ctx, codes.Device)
	if err != nil || g.Account != "ada" || g.Expires.Sub(w.now) != 2*time.Hour {
		t.Fatalf("%+v, %v", g, err)
	}
	p, err := w.accounts.Authenticate(ctx, g.Access)
	if err != nil || p.ID != "ada" || p.MFA.IsZero() {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := w.Fetch(ctx, codes.Device); slipway.AsError(err) != signin.ErrExpired {
		t.Error("fetched twice:", err)
	}

	denied, err := w.Begin(ctx, here)
	if err != nil {
		t.Fatal(err)
	}
	if d, err = w.Waiting(ctx, here, "ada", denied.User); err != nil {
		t.Fatal(err)
	}
	if err := w.Decide(ctx, session, d.ID, false); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Fetch(ctx, denied.Device); slipway.AsError(err) != signin.ErrDenied {
		t.Error(err)
	}
	late, err := w.Begin(ctx, here)
	if err != nil {
		t.Fatal(err)
	}
	w.pass(signin.DeviceLife)
	_, err = w.Waiting(ctx, here, "ada", late.User)
	w.wantCode("too late", err, slipway.CodeDevice)
	if _, err := w.Fetch(ctx, late.Device); slipway.AsError(err) != signin.ErrExpired {
		t.Error(err)
	}
}

func TestCodesAreNotGuessed(t *testing.T) {
	w := newWorld(t, nil)
	w.person("ada")
	tried := 0
	for range 100 {
		if _, err := w.Waiting(t.Context(), here, "ada", "BBBB-BBBB"); slipway.AsError(err).Code == slipway.CodeDevice {
			tried++
		}
	}
	if tried != 5 {
		t.Errorf("%d codes were tried", tried)
	}
	begun := 0
	for range 200 {
		if _, err := w.Begin(t.Context(), here); err == nil {
			begun++
		}
	}
	if begun != 50 {
		t.Errorf("%d command lines wait", begun)
	}
}

func TestRefresh(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	session, seed, _ := w.person("ada")
	first, _ := w.login(session)
	other, _ := w.login(session)
	w.pass(time.Hour)
	second, err := w.Refresh(ctx, first.Refresh)
	if err != nil || second.Refresh == first.Refresh || !second.Ends.Equal(first.Ends) {
		t.Fatalf("%+v, %v", second, err)
	}
	if _, err := w.accounts.Authenticate(ctx, second.Access); err != nil {
		t.Error(err)
	}
	_, err = w.Refresh(ctx, first.Refresh)
	w.wantCode("used twice", err, slipway.CodeSession)
	_, err = w.Refresh(ctx, second.Refresh)
	w.wantCode("of a line that ended", err, slipway.CodeSession)
	if _, err := w.accounts.Authenticate(ctx, second.Access); err == nil {
		t.Error("the thief's token is good")
	}
	if _, err := w.accounts.Authenticate(ctx, other.Access); err != nil {
		t.Error("another command line ended too:", err)
	}
	high := 0
	for _, e := range w.memory.events {
		if e.Detail["severity"] == "high" {
			high++
		}
	}
	if high != 1 {
		t.Errorf("%d alerts", high)
	}
	if err := w.Leave(ctx, other.Refresh); err != nil {
		t.Fatal(err)
	}
	if _, err := w.accounts.Authenticate(ctx, other.Access); err == nil {
		t.Error("the token of a line that has left is good")
	}
	if err := w.Leave(ctx, "slipr_unknown"); err != nil {
		t.Error(err)
	}
	third, _ := w.login(w.in("ada", seed))
	w.pass(24 * time.Hour)
	_, err = w.Refresh(ctx, third.Refresh)
	w.wantCode("after a day", err, slipway.CodeSession)
}

func TestEnrollingEndsCommandLines(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	session, _, _ := w.person("ada")
	g, _ := w.login(session)
	if err := w.EndAll(ctx, "owner", "ada", "the laptop was stolen"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.accounts.Authenticate(ctx, g.Access); err == nil {
		t.Error("its token is good")
	}
	_, err := w.Principal(ctx, session)
	w.wantCode("its session", err, slipway.CodeSession)
}
