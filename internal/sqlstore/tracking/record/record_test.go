package record

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway/internal/tracking"
)

func anyState() *rapid.Generator[State] {
	return rapid.Custom(func(t *rapid.T) State {
		n := rapid.IntRange(0, 4).Draw(t, "n")
		var s State
		for i := range n {
			s.Metrics = append(s.Metrics, tracking.Metric{Key: rapid.String().Draw(t, "key"), Value: rapid.Float64().Draw(t, "value"), Timestamp: rapid.Int64().Draw(t, "time"), Step: rapid.Int64().Draw(t, "step")})
			s.IDs = append(s.IDs, uint64(i+1))
			s.Params = append(s.Params, tracking.Param{Key: rapid.String().Draw(t, "key"), Value: rapid.String().Draw(t, "text")})
			s.Tags = append(s.Tags, tracking.Tag{Key: rapid.String().Draw(t, "key"), Value: rapid.String().Draw(t, "text")})
		}
		return s
	})
}

func TestState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyState().Draw(t, "state")
		got, err := DecodeState(want.Encode())
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
		b := want.Encode()
		for _, bad := range [][]byte{b[:len(b)-1], append(bytes.Clone(b), 0), append([]byte{9}, b[1:]...)} {
			if _, err := DecodeState(bad); !errors.Is(err, ErrDamaged) {
				t.Fatalf("%x is read", bad)
			}
		}
	})
}

// The ids of metrics never change, whatever comes between them.
func TestIDs(t *testing.T) {
	s := State{}
	for _, keys := range []string{"m", "am", "abmz", "abmz", "abcmz"} {
		var now tracking.State
		for _, k := range keys {
			now.Metrics = append(now.Metrics, tracking.Metric{Key: string(k)})
		}
		s = s.With(now)
	}
	got := map[string]uint64{}
	for _, m := range s.Metrics {
		got[m.Key] = s.ID(m.Key)
	}
	if diff := cmp.Diff(map[string]uint64{"m": 1, "a": 2, "b": 3, "z": 4, "c": 5}, got); diff != "" || s.ID("x") != 0 {
		t.Error(diff)
	}
}

func TestPoints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.Custom(func(t *rapid.T) Point {
			return Point{ID: rapid.Uint64Min(1).Draw(t, "id"), Step: rapid.Int64().Draw(t, "step"), Time: rapid.Int64().Draw(t, "time"), Value: rapid.Float64().Draw(t, "value")}
		})).Draw(t, "points")
		var b []byte
		last := Point{}
		for _, p := range want {
			b = AppendPoint(b, last, p)
			last = p
		}
		var got []Point
		err := Points(b, func(p Point) { got = append(got, p) })
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
	})
}

// FuzzState: any bytes are a State or damaged, and a State is written as it was read.
func FuzzState(f *testing.F) {
	s := State{State: tracking.State{Metrics: []tracking.Metric{{Key: "a", Value: 1, Timestamp: 2, Step: -3}}, Params: []tracking.Param{{Key: "p", Value: "v"}}, Tags: []tracking.Tag{{Key: "t"}}}, IDs: []uint64{1}}
	f.Add(s.Encode())
	f.Add([]byte{1, 255, 255, 255, 255, 255, 255, 255, 255, 127})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeState(b)
		if err != nil {
			return
		}
		if _, err := DecodeState(s.Encode()); err != nil {
			t.Error(err)
		}
	})
}

// FuzzPoints: any bytes are measurements or damaged.
func FuzzPoints(f *testing.F) {
	f.Add(AppendPoint(AppendPoint(nil, Point{}, Point{ID: 1, Step: 2, Time: 3, Value: 4}), Point{ID: 1, Step: 2, Time: 3}, Point{ID: 2, Value: math.NaN()}))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		if err := Points(b, func(Point) { n++ }); err != nil && !errors.Is(err, ErrDamaged) || n > len(b)/11 {
			t.Error(n, err)
		}
	})
}
