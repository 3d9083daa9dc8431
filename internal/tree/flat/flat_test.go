package flat

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestKey: keys have the order of the floats, both zeros are one, and none is a key that
// missing values or leaves have.
func TestKey(t *testing.T) {
	floats := rapid.OneOf(rapid.Float32(), rapid.SampledFrom([]float32{0, float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32,
		-math.SmallestNonzeroFloat32, math.MaxFloat32, float32(math.Inf(1)), float32(math.Inf(-1))}))
	rapid.Check(t, func(t *rapid.T) {
		x, y := floats.Draw(t, "x"), floats.Draw(t, "y")
		if x != x || y != y {
			return
		}
		if (x < y) != (Key(x) < Key(y)) || (x == y) != (Key(x) == Key(y)) {
			t.Fatalf("%v, %v: %d, %d", x, y, Key(x), Key(y))
		}
		if k := Key(x); k <= least || k >= most {
			t.Fatalf("%v: %d", x, k)
		}
	})
}

func TestRank(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cuts := rapid.SliceOf(rapid.Float64Range(-3, 3)).Draw(t, "cuts")
		cuts = append(cuts, math.Inf(1))
		slices.Sort(cuts)
		cuts = slices.Compact(cuts)
		x := rapid.OneOf(rapid.Float64(), rapid.SampledFrom(cuts)).Draw(t, "x")
		if want, _ := slices.BinarySearch(cuts, x); Rank(cuts, x) != int32(want) {
			t.Fatalf("%d, want %d", Rank(cuts, x), want)
		}
	})
}

// TestSet: what is in a set is, and its size is held to the number of its codes.
func TestSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		codes := rapid.SliceOfDistinct(rapid.OneOf(rapid.Int32Range(0, 70), rapid.Int32Range(0, math.MaxInt32)), rapid.ID).Draw(t, "codes")
		slices.Sort(codes)
		sets := appendSet([]uint32{7, 7}, codes)
		if len(sets) > 2*len(codes)+5 {
			t.Fatalf("%d words for %d codes", len(sets), len(codes))
		}
		sets = append(sets, math.MaxUint32)
		for _, c := range append([]int32{0, 1, 31, 32, 64, 95, 96, math.MaxInt32}, codes...) {
			if got := inSet(sets, 2, uint32(c)); got != one(slices.Contains(codes, c)) {
				t.Fatalf("%d: %d", c, got)
			}
		}
	})
}

// TestDeep: a chain of a thousand splits, and one that is deeper than is taken.
func TestDeep(t *testing.T) {
	plant := func(f *Forest, splits int32) error {
		_, err := f.Plant(int(2*splits+1), func(name int32) (Node, error) {
			if name < 0 || name == splits {
				return Node{Leaf: true}, nil
			}
			return Node{Left: -name - 1, Right: name + 1, As: NaNRight, Key: Key(float32(name))}, nil
		}, func(int32, uint32) error { return nil })
		return err
	}
	var f Forest
	if err := plant(&f, 1000); err != nil {
		t.Fatal(err)
	}
	f.Done()
	rows := make([]float32, 70)
	for i := range rows {
		rows[i] = float32(i * 14)
	}
	Walk(&f, Singles{Forest: &f, Rows: rows, Features: 1}, len(rows), f.Scratch(), func(_, first int, leaves []uint32) {
		for r, at := range leaves {
			// The left leaf of split k is node 2k+1; the first split that is not passed counts.
			if want := uint32(2*((first+r)*14+1) + 1); at != want {
				t.Errorf("row %d: leaf %d, want %d", first+r, at, want)
			}
		}
	})
	if err := plant(&f, maxSteps+1); err == nil {
		t.Error("a path of any length is taken")
	}
}
