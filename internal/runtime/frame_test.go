package runtime_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/runtime"
)

func TestFramesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 240, 65522, 65523, 65524, 1 << 20, 3<<20 + 7}), 0, 6).Draw(t, "sizes")
		var stream []byte
		var wantIDs []uint64
		var want [][]byte
		for i, n := range sizes {
			body := bytes.Repeat([]byte{byte(i + 1)}, n)
			stream = runtime.AppendFrame(stream, 2, uint64(i)<<40, body)
			wantIDs, want = append(wantIDs, uint64(i)<<40), append(want, body)
		}
		var r io.Reader = bytes.NewReader(stream)
		if rapid.Bool().Draw(t, "in pieces") {
			r = iotest.HalfReader(r)
		}
		_, ids, bodies, err := runtime.Frames(r, math.MaxInt)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(wantIDs, ids) + cmp.Diff(len(want), len(bodies)); d != "" {
			t.Fatal(d)
		}
		for i := range want {
			if !bytes.Equal(want[i], bodies[i]) {
				t.Fatalf("frame %d differs", i)
			}
		}
	})
}

func TestFramesRefuse(t *testing.T) {
	whole := runtime.AppendFrame(nil, 2, 7, []byte("body"))
	long := runtime.AppendFrame(nil, 2, 7, make([]byte, 2<<20))
	for name, stream := range map[string][]byte{
		"cut in the header":  whole[:5],
		"cut in the body":    whole[:len(whole)-1],
		"cut in a long body": long[:len(long)-1],
		"too short":          {8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0},
		"too long":           {0, 0, 0, 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		if _, _, _, err := runtime.Frames(bytes.NewReader(stream), math.MaxInt); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestErrorRoundTrip(t *testing.T) {
	e := &slipway.Error{Code: slipway.CodeSchema, Kind: slipway.Unprocessable, Field: "inputs[0]", Message: "too\tlong\nand secret", Next: "shorten"}
	_, ids, bodies, err := runtime.Frames(bytes.NewReader(runtime.AppendError(nil, 9, e)), math.MaxInt)
	if err != nil || ids[0] != 9 {
		t.Fatal(ids, err)
	}
	got, err := runtime.ParseError(bodies[0])
	if err != nil {
		t.Fatal(err)
	}
	want := *e
	want.Message = "too long"
	if d := cmp.Diff(&want, got); d != "" {
		t.Fatal(d)
	}
	for cut := range bodies[0] {
		if _, err := runtime.ParseError(bodies[0][:cut]); err == nil {
			t.Fatalf("an error cut to %d bytes was read", cut)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(runtime.AppendFrame(runtime.AppendHello(1), 2, 1, []byte{0, 0, 0, 0, 1}))
	f.Add(runtime.AppendFrame(nil, 3, 1, make([]byte, 70000)))
	f.Add([]byte{0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, stream []byte) {
		kinds, ids, bodies, err := runtime.Frames(bytes.NewReader(stream), math.MaxInt)
		var again []byte
		for i := range kinds {
			again = runtime.AppendFrame(again, kinds[i], ids[i], bodies[i])
		}
		if !bytes.HasPrefix(stream, again) || err == nil && len(again) != len(stream) {
			t.Fatal("the frames are not what the stream holds")
		}
	})
}

func FuzzParseError(f *testing.F) {
	f.Add([]byte{8, 1, 0, 'c', 0, 0, 0, 0, 0, 0})
	f.Add([]byte{200, 255, 255})
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := runtime.ParseError(body)
		if err != nil {
			return
		}
		_, _, bodies, err := runtime.Frames(bytes.NewReader(runtime.AppendError(nil, 1, e)), math.MaxInt)
		if err != nil {
			t.Fatal(err)
		}
		again, err := runtime.ParseError(bodies[0])
		if d := cmp.Diff(e, again); err != nil || d != "" {
			t.Fatal(err, d)
		}
	})
}
