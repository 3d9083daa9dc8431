package totp_test

import (
	"encoding/base32"
	"image"
	"image/color"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/internal/identity/signin/totp"
)

// The vectors of RFC 6238, appendix B, in their last six digits.
func TestCode(t *testing.T) {
	seed := base32.StdEncoding.EncodeToString([]byte("12345678901234567890"))
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037"} {
		if got, err := totp.Code(seed, time.Unix(at, 0)); err != nil || got != want {
			t.Errorf("at %d: %s, %v, want %s", at, got, err, want)
		}
	}
}

func TestVerify(t *testing.T) {
	seed, now := totp.NewSeed(), time.Unix(1_800_000_015, 0)
	code := func(steps int) string {
		c, err := totp.Code(seed, now.Add(time.Duration(steps)*30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	step := now.Unix() / 30
	for name, c := range map[string]struct {
		code string
		last int64
		want int64 // 0: refused
	}{
		"now":                  {code(0), 0, step},
		"with a space":         {code(0)[:3] + " " + code(0)[3:], 0, step},
		"a slow clock":         {code(-1), 0, step - 1},
		"a fast clock":         {code(1), 0, step + 1},
		"too slow":             {code(-2), 0, 0},
		"too fast":             {code(2), 0, 0},
		"replayed":             {code(0), step, 0},
		"older than one used":  {code(-1), step, 0},
		"the next after one":   {code(1), step, step + 1},
		"empty":                {"", 0, 0},
		"no number":            {"abcdef", 0, 0},
		"too long":             {code(0) + "0", 0, 0},
		"a guess of all codes": {"000000 111111", 0, 0},
	} {
		got, ok := totp.Verify(seed, c.code, c.last, now)
		if ok != (c.want != 0) || got != c.want {
			t.Errorf("%s: %d, %v", name, got, ok)
		}
	}
	if _, ok := totp.Verify("no base32!", "", 0, now); ok {
		t.Error("a damaged seed takes an empty code")
	}
}

func TestURL(t *testing.T) {
	seed := totp.NewSeed()
	u, err := totp.URL(seed, "Slipway", "ada")
	if err != nil || !strings.HasPrefix(u, "otpauth://totp/Slipway:ada?") || !strings.Contains(u, "secret="+seed) {
		t.Errorf("%s, %v", u, err)
	}
	path, size, err := totp.Picture(u)
	if err != nil || size < 30 || strings.Count(path, "M") < 200 {
		t.Errorf("%d modules, %v", size, err)
	}
	if img := picture(path, size); img.GrayAt(4, 4).Y != 0 || img.GrayAt(5, 5).Y == 0 || img.GrayAt(0, 0).Y == 0 {
		t.Error("the finder pattern is not where it must be")
	}
}

// picture draws a path, as a browser would.
func picture(path string, size int) *image.Gray {
	img := image.NewGray(image.Rect(0, 0, size, size))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	for _, cell := range strings.Split(path, "M")[1:] {
		var x, y int
		xs, rest, _ := strings.Cut(cell, " ")
		ys, _, _ := strings.Cut(rest, "h")
		for _, d := range xs {
			x = x*10 + int(d-'0')
		}
		for _, d := range ys {
			y = y*10 + int(d-'0')
		}
		img.SetGray(x, y, color.Gray{})
	}
	return img
}

func TestRecovery(t *testing.T) {
	codes, hashes := totp.NewRecovery()
	if len(codes) != 10 || len(hashes) != 10 || strings.Contains(strings.Join(hashes, ""), codes[0]) {
		t.Fatal(codes, hashes)
	}
	typed := strings.ToUpper(strings.ReplaceAll(codes[3], "-", " "))
	left, ok := totp.Recover(hashes, typed)
	if !ok || len(left) != 9 || len(hashes) != 10 {
		t.Errorf("%v, %d left", ok, len(left))
	}
	for _, bad := range []string{codes[3], "", "aaaa-aaaa-aaaa-aaaa"} {
		if _, ok := totp.Recover(left, bad); ok {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzVerify(f *testing.F) {
	seed := totp.NewSeed()
	f.Add("287082")
	f.Fuzz(func(t *testing.T, code string) {
		now := time.Unix(1_800_000_015, 0)
		if step, ok := totp.Verify(seed, code, now.Unix()/30+1, now); ok {
			t.Errorf("%q is taken for step %d, which was used", code, step)
		}
	})
}
