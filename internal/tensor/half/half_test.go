package half

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// Every 16-bit number is what it was after it was widened and narrowed.
func TestHalfRoundTrips(t *testing.T) {
	for i := range 1 << 16 {
		for name, f := range map[string]Format{"FP16": FP16, "BF16": BF16} {
			h := uint16(i)
			v := f.Widen(h)
			back, tie := f.Narrow(v)
			if math.IsNaN(v) {
				if !math.IsNaN(f.Widen(back)) {
					t.Fatalf("%s %#x: NaN became %#x", name, h, back)
				}
				continue
			}
			if back != h || tie {
				t.Fatalf("%s %#x: %g became %#x", name, h, v, back)
			}
		}
	}
}

// A number becomes the nearest of its type; of two that are as near, the even one.
func TestNarrowIsNearest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom([]Format{FP16, BF16}).Draw(t, "format")
		top := uint16(1<<f.exponent-1)<<f.significand - 1 // the largest
		h := rapid.Uint16Range(0, top-1).Draw(t, "h")
		a, b := f.Widen(h), f.Widen(h+1)
		v := a + (b-a)*rapid.SampledFrom([]float64{0, .1, .25, .5, .75, .999, math.Nextafter(.5, 0), math.Nextafter(.5, 1)}).Draw(t, "between")
		want := h
		switch below, above := v-a, b-v; {
		case below > above, below == above && h&1 == 1:
			want = h + 1
		}
		if got, _ := f.Narrow(v); got != want {
			t.Fatalf("%g is %#x, want %#x", v, got, want)
		}
		if got, _ := f.Narrow(-v); got != want|1<<15 {
			t.Fatalf("%g is %#x, want %#x", -v, got, want|1<<15)
		}
		// A text beyond what FP64 can tell from the middle still has a side.
		middle := new(big.Rat).SetFloat64(a/2 + b/2)
		hair := new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Exp(big.NewInt(10), big.NewInt(90), nil))
		if text := new(big.Rat).Add(middle, hair).FloatString(100); len(text) <= maxExactText {
			if got, ok := f.Parse(text); !ok || got != h+1 {
				t.Fatalf("%s is %#x, want %#x", text, got, h+1)
			}
		}
	})
}

func TestHalfLimits(t *testing.T) {
	for _, c := range []struct {
		f    Format
		text string
		want uint16
		ok   bool
	}{
		{FP16, "65504", 0x7bff, true}, {FP16, "65519.99", 0x7bff, true}, {FP16, "65520", 0, false}, {FP16, "1e400", 0, false}, {FP16, "-1e9", 0, false},
		{FP16, "5.9604645e-8", 1, true}, {FP16, "2.98e-8", 0, true}, {FP16, "-0.0", 0x8000, true}, {FP16, "1e-400", 0, true}, {FP16, "0.1", 0x2e66, true},
		{BF16, "3.3895e38", 0x7f7f, true}, {BF16, "3.4e38", 0, false}, {BF16, "0.1", 0x3dcd, true}, {BF16, "9e-41", 1, true},
	} {
		if got, ok := c.f.Parse(c.text); ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %#x %v", c.text, got, ok)
		}
	}
}
