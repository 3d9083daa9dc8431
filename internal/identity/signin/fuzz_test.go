package signin_test

import (
	"errors"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity/signin"
)

func TestNameOf(t *testing.T) {
	for suggested, want := range map[string]string{
		"ada":                         "ada",
		"Ada.Lovelace@example.com":    "ada-lovelace",
		"ada_lovelace+slipway@x.test": "ada-lovelace-slipway",
		"..ada..":                     "ada",
		"42ada":                       "ada",
		"":                            "",
		"@example.com":                "",
		"4711":                        "",
		"\u0430da":                    "da", // a letter that looks like another is none of ours
		"../../owner":                 "owner",
		"a@b@c":                       "a",
	} {
		got, err := signin.NameOf(suggested)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", suggested, got, err, want)
		}
	}
}

func FuzzNameOf(f *testing.F) {
	f.Add("Ada.Lovelace@example.com")
	f.Fuzz(func(t *testing.T, suggested string) {
		name, err := signin.NameOf(suggested)
		if err != nil {
			if !errors.Is(err, &slipway.Error{Code: slipway.CodeForeign}) {
				t.Error(err)
			}
			return
		}
		if _, err := slipway.ParseName(name); err != nil {
			t.Errorf("%q becomes %q: %v", suggested, name, err)
		}
	})
}
