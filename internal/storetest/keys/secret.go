package keystest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/keys"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

func testSecrets(t *testing.T, open func(t *testing.T) (Store, eventtest.Reader)) {
	s, events := open(t)
	ctx := t.Context()
	add(t, s, key("team/a", 1))
	first := keys.Secret{Team: "a", Name: "x", Sealed: sealed("1", "team/a", 1).Sealed, Number: 1, Changed: start, By: "ada"}
	second := first
	second.Sealed, second.Number, second.Changed, second.By = sealed("2", "team/a", 1).Sealed, 2, start.Add(time.Hour), "bob"
	reference := keys.Secret{Team: "b", Name: "x", From: "vault:b/x#y", Sealed: []byte{}, Number: 1, Changed: start, By: "ada"}
	save := func(what, code string, k keys.Secret, was *keys.Secret) {
		t.Helper()
		err := s.SaveSecret(ctx, k, was, eventtest.At(start, k.Name))
		if code == "" && err != nil {
			t.Errorf("%s: %v", what, err)
		} else if code != "" {
			wantCode(t, what, err, code)
		}
	}
	save("one that is not there any more", slipway.CodeConflict, second, &first)
	save("the first", "", first, nil)
	save("the first again", slipway.CodeConflict, second, nil)
	save("a reference", "", reference, nil)
	save("the second", "", second, &first)
	save("in place of one that was replaced", slipway.CodeConflict, first, &first)
	for team, want := range map[string][]keys.Secret{"": {second, reference}, "a": {second}, "b": {reference}, "c": nil} {
		got, err := s.Secrets(ctx, team)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v %s", team, err, diff)
		}
	}
	add(t, s, key("team/a", 2))
	save("sealed with a key that is not active any more", slipway.CodeConflict, first, &second)
	if err := s.DeleteSecret(ctx, "a", "x", eventtest.At(start, "x")); err != nil {
		t.Error(err)
	}
	wantCode(t, "again", s.DeleteSecret(ctx, "a", "x", eventtest.At(start, "x")), slipway.CodeNotFound)
	if n := len(eventtest.All(t, events)); n != 2+3+1 { // two keys, three secrets, one deletion
		t.Errorf("%d events", n)
	}
}
