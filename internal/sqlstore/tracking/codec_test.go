package tracking

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

func anyState() *rapid.Generator[state] {
	return rapid.Custom(func(t *rapid.T) state {
		n := rapid.IntRange(0, 4).Draw(t, "n")
		var s state
		for i := range n {
			s.Metrics = append(s.Metrics, tracking.Metric{Key: rapid.String().Draw(t, "key"), Value: rapid.Float64().Draw(t, "value"), Timestamp: rapid.Int64().Draw(t, "time"), Step: rapid.Int64().Draw(t, "step")})
			s.ids = append(s.ids, uint64(i+1))
			s.Params = append(s.Params, tracking.Param{Key: rapid.String().Draw(t, "key"), Value: rapid.String().Draw(t, "text")})
			s.Tags = append(s.Tags, tracking.Tag{Key: rapid.String().Draw(t, "key"), Value: rapid.String().Draw(t, "text")})
		}
		return s
	})
}

func TestState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyState().Draw(t, "state")
		got, err := decodeState(want.encode())
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(state{}), cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
		b := want.encode()
		for _, bad := range [][]byte{b[:len(b)-1], append(bytes.Clone(b), 0), append([]byte{9}, b[1:]...)} {
			if _, err := decodeState(bad); !errors.Is(err, errDamaged) {
				t.Fatalf("%x is read", bad)
			}
		}
	})
}

// The ids of metrics never change, whatever comes between them.
func TestIDs(t *testing.T) {
	s := state{}
	for _, keys := range []string{"m", "am", "abmz", "abmz", "abcmz"} {
		var now tracking.State
		for _, k := range keys {
			now.Metrics = append(now.Metrics, tracking.Metric{Key: string(k)})
		}
		s = s.with(now)
	}
	got := map[string]uint64{}
	for _, m := range s.Metrics {
		got[m.Key] = s.id(m.Key)
	}
	if diff := cmp.Diff(map[string]uint64{"m": 1, "a": 2, "b": 3, "z": 4, "c": 5}, got); diff != "" || s.id("x") != 0 {
		t.Error(diff)
	}
}

func TestPoints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.Custom(func(t *rapid.T) point {
			return point{id: rapid.Uint64Min(1).Draw(t, "id"), step: rapid.Int64().Draw(t, "step"), time: rapid.Int64().Draw(t, "time"), value: rapid.Float64().Draw(t, "value")}
		})).Draw(t, "points")
		var b []byte
		last := point{}
		for _, p := range want {
			b = appendPoint(b, last, p)
			last = p
		}
		var got []point
		err := points(b, func(p point) { got = append(got, p) })
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(point{}), cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
	})
}

func TestEvenly(t *testing.T) {
	var all []point
	for i := range int64(103) {
		all = append(all, point{step: i})
	}
	for _, limit := range []int{1, 2, 10, 102, 103, 200} {
		got := evenly(all, limit)
		if len(got) != min(limit, 103) || got[len(got)-1].step != 102 || limit > 1 && got[0].step != 0 {
			t.Errorf("%d of 103: %v", limit, got)
		}
		for i := 1; i < len(got); i++ {
			if gap := got[i].step - got[i-1].step; gap < 1 || gap > int64(2*math.Ceil(103/float64(limit))) {
				t.Errorf("%d of 103: %d after %d", limit, got[i].step, got[i-1].step)
			}
		}
	}
}

// FuzzState: any bytes are a state or damaged, and a state is written as it was read.
func FuzzState(f *testing.F) {
	s := state{State: tracking.State{Metrics: []tracking.Metric{{Key: "a", Value: 1, Timestamp: 2, Step: -3}}, Params: []tracking.Param{{Key: "p", Value: "v"}}, Tags: []tracking.Tag{{Key: "t"}}}, ids: []uint64{1}}
	f.Add(s.encode())
	f.Add([]byte{1, 255, 255, 255, 255, 255, 255, 255, 255, 127})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeState(b)
		if err != nil {
			return
		}
		if _, err := decodeState(s.encode()); err != nil {
			t.Error(err)
		}
	})
}

// FuzzPoints: any bytes are measurements or damaged.
func FuzzPoints(f *testing.F) {
	f.Add(appendPoint(appendPoint(nil, point{}, point{id: 1, step: 2, time: 3, value: 4}), point{id: 1, step: 2, time: 3}, point{id: 2, value: math.NaN()}))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		if err := points(b, func(point) { n++ }); err != nil && !errors.Is(err, errDamaged) || n > len(b)/11 {
			t.Error(n, err)
		}
	})
}
