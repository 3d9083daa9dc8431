package identity_test

import (
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
)

// people makes accounts without roles.
func (f *fixture) people(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := f.Create(t.Context(), "owner", identity.Account{Name: name, Kind: slipway.Person}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBreakGlass(t *testing.T) {
	f := newFixture()
	ctx := t.Context()
	f.people(t, "ada", "grace")
	_, err := f.BreakGlass(ctx, "ada", "", time.Hour, false)
	want(t, "without a reason", err, slipway.CodeInvalid)
	for _, length := range []time.Duration{0, time.Second, 5 * time.Hour} {
		_, err = f.BreakGlass(ctx, "ada", "checkout is down", length, true)
		want(t, length.String(), err, slipway.CodeInvalid)
	}
	a, err := f.BreakGlass(ctx, "ada", "checkout is down", time.Hour, false)
	if err != nil || a.Emergency == nil || len(a.Roles) != 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	id := a.Emergency.ID
	_, err = f.Confirm(ctx, "ada", id)
	want(t, "by oneself", err, slipway.CodeDenied)
	_, err = f.Confirm(ctx, "grace", "bgl_unknown")
	want(t, "an unknown one", err, slipway.CodeNotFound)
	a, err = f.Confirm(ctx, "grace", id)
	if err != nil || len(a.Roles) != 1 || a.Roles[0].Name != slipway.RoleOwner || !a.Roles[0].Until.Equal(f.now.Add(time.Hour)) || identity.EmergencyAt(a.Roles, f.now) != id {
		t.Fatalf("%+v, %v", a, err)
	}
	_, err = f.Confirm(ctx, "grace", id)
	want(t, "confirmed twice", err, slipway.CodeConflict)
	_, err = f.BreakGlass(ctx, "ada", "again", time.Hour, true)
	want(t, "while it goes on", err, slipway.CodeConflict)
	if got := identity.EmergencyAt(a.Roles, f.now.Add(time.Hour)); got != "" {
		t.Errorf("%s does not end by itself", got)
	}
	if a, err = f.EndEmergency(ctx, "ada", id); err != nil || len(a.Roles) != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	last := f.memory.events[len(f.memory.events)-1]
	if last.Action != "break_glass.ended" || last.Detail["break_glass"] != id {
		t.Errorf("%+v", last)
	}
}

func TestBreakGlassAlone(t *testing.T) {
	f := newFixture()
	ctx := t.Context()
	f.people(t, "ada")
	a, err := f.BreakGlass(ctx, "ada", "nobody else is awake", 30*time.Minute, true)
	if err != nil || identity.EmergencyAt(a.Roles, f.now) == "" {
		t.Fatalf("%+v, %v", a, err)
	}
	last := f.memory.events[len(f.memory.events)-1]
	if last.Action != "break_glass.started" || last.Detail["severity"] != "high" || last.Detail["alone"] != "true" || last.Detail["reason"] == "" {
		t.Errorf("no alert: %+v", last)
	}
	f.now = f.now.Add(30 * time.Minute)
	if _, err := f.BreakGlass(ctx, "ada", "again", time.Hour, true); err != nil {
		t.Error("after it has ended:", err)
	}
}

func TestConfirmTooLate(t *testing.T) {
	f := newFixture()
	f.people(t, "ada", "grace")
	a, err := f.BreakGlass(t.Context(), "ada", "checkout is down", time.Hour, false)
	if err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(time.Hour)
	_, err = f.Confirm(t.Context(), "grace", a.Emergency.ID)
	want(t, "after an hour", err, slipway.CodeConflict)
}

// TestOwnerForAWhile: whoever is an owner for an hour is not the last one.
func TestOwnerForAWhile(t *testing.T) {
	f := newFixture()
	ctx := t.Context()
	f.people(t, "grace")
	if _, err := f.BreakGlass(ctx, "grace", "checkout is down", time.Hour, true); err != nil {
		t.Fatal(err)
	}
	_, err := f.Withdraw(ctx, "grace", "owner", slipway.Role{Name: slipway.RoleOwner}, "")
	want(t, "the last real owner", err, slipway.CodeConflict)
}

func TestAdopt(t *testing.T) {
	f := newFixture()
	ctx := t.Context()
	f.people(t, "ada")
	lead := slipway.Role{Name: slipway.RoleTeamLead, Team: "risk"}
	engineer := slipway.Role{Name: slipway.RoleEngineer, Team: "risk"}
	if _, err := f.Grant(ctx, "owner", "ada", lead, ""); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct{ given, want []slipway.Role }{
		{[]slipway.Role{engineer}, []slipway.Role{lead, engineer}},
		{[]slipway.Role{engineer}, []slipway.Role{lead, engineer}},
		{nil, []slipway.Role{lead}},
		{[]slipway.Role{lead}, []slipway.Role{lead}}, // has it by hand too
		{nil, []slipway.Role{lead}},                  // and keeps it
	} {
		a, err := f.Adopt(ctx, "ada", c.given)
		if err != nil || len(a.Roles) != len(c.want) {
			t.Fatalf("%d: %+v, %v", i, a.Roles, err)
		}
		for k := range c.want {
			if a.Roles[k] != c.want[k] {
				t.Errorf("%d: %+v, want %+v", i, a.Roles, c.want)
			}
		}
	}
}
