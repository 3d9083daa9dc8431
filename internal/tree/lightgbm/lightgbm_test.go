package lightgbm_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tree/lightgbm"
)

// files are models that the library wrote, by their names.
func files(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(names) < 5 {
		t.Fatalf("%d models, %v", len(names), err)
	}
	out := map[string][]byte{}
	for _, n := range names {
		if out[filepath.Base(n)], err = os.ReadFile(n); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// drawn is a tree as a test makes it: splits, and leaves by their complement.
type drawn struct {
	left, right, feature, decision []int
	threshold, leaf                []float64
	sets                           [][]int
}

func draw(t *rapid.T, features int) *drawn {
	d := &drawn{leaf: []float64{1}}
	for range rapid.IntRange(0, 20).Draw(t, "splits") {
		// A leaf becomes a split, as in the library: it stays the left leaf, the right one is new.
		at, split, fresh := rapid.IntRange(0, len(d.leaf)-1).Draw(t, "leaf"), len(d.left), len(d.leaf)
		for i := range d.left {
			if d.left[i] == ^at {
				d.left[i] = split
			} else if d.right[i] == ^at {
				d.right[i] = split
			}
		}
		d.left, d.right, d.leaf = append(d.left, ^at), append(d.right, ^fresh), append(d.leaf, float64(fresh+1))
		f := rapid.IntRange(0, features-1).Draw(t, "feature")
		d.feature = append(d.feature, f)
		if f == 0 { // the column of categories
			d.decision, d.threshold = append(d.decision, 1+4*rapid.IntRange(0, 2).Draw(t, "missing")), append(d.threshold, float64(len(d.sets)))
			d.sets = append(d.sets, rapid.SliceOfNDistinct(rapid.SampledFrom([]int{0, 1, 2, 5, 31, 32, 63, 1000}), 1, 5, rapid.ID).Draw(t, "set"))
			continue
		}
		d.decision = append(d.decision, 2*rapid.IntRange(0, 5).Draw(t, "decision"))
		d.threshold = append(d.threshold, rapid.SampledFrom([]float64{-2, -1, -1e-35, 0, 1e-35, 1, 2, math.Inf(1)}).Draw(t, "threshold"))
	}
	return d
}

// text is the tree in a file.
func (d *drawn) text(index int) string {
	list := func(v any) string { return strings.Trim(fmt.Sprint(v), "[]") }
	thresholds := strings.ReplaceAll(list(d.threshold), "+Inf", "inf")
	s := fmt.Sprintf("Tree=%d\nnum_leaves=%d\nnum_cat=%d\nsplit_feature=%s\nthreshold=%s\ndecision_type=%s\nleft_child=%s\nright_child=%s\nleaf_value=%s\n",
		index, len(d.leaf), len(d.sets), list(d.feature), thresholds, list(d.decision), list(d.left), list(d.right), list(d.leaf))
	if len(d.sets) > 0 {
		bounds, words := []int{0}, []uint32{}
		for _, set := range d.sets {
			w := make([]uint32, 32)
			for _, c := range set {
				w[c/32] |= 1 << (c % 32)
			}
			words = append(words, w...)
			bounds = append(bounds, len(words))
		}
		s += fmt.Sprintf("cat_boundaries=%s\ncat_threshold=%s\n", list(bounds), list(words))
	}
	return s + "is_linear=0\nshrinkage=1\n\n\n"
}

// walk is the plain definition of a tree's answer (Tree::NumericalDecision and
// Tree::CategoricalDecision in LightGBM's tree.h).
func (d *drawn) walk(row []float64) float64 {
	const tiny = float64(float32(1e-35))
	at := 0
	if len(d.left) == 0 {
		at = ^0
	}
	for at >= 0 {
		x, kind := row[d.feature[at]], d.decision[at]
		if math.Abs(x) <= tiny {
			x = 0
		}
		left := false
		if kind&1 != 0 {
			for _, c := range d.sets[int(d.threshold[at])] {
				left = left || x > -1 && x < 1<<31 && int(x) == c
			}
		} else {
			missing := kind >> 2
			if math.IsNaN(x) && missing != 2 {
				x = 0
			}
			left = x <= d.threshold[at]
			if missing == 1 && x == 0 || missing == 2 && math.IsNaN(x) {
				left = kind&2 != 0
			}
		}
		if left {
			at = d.left[at]
		} else {
			at = d.right[at]
		}
	}
	return d.leaf[^at]
}

// header is what comes before the trees of a model of some features and one group.
func header(features int) string {
	names := strings.TrimSpace(strings.Repeat("x ", features))
	return fmt.Sprintf("tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=%d\nobjective=regression\nfeature_names=%s\nfeature_infos=%s\n\n", features-1, names, names)
}

// TestPredictIsTheDefinition holds the compiled walk against the plain one, for any number of
// rows, and of features, of which thousands are looked at in another way.
func TestPredictIsTheDefinition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		features := rapid.SampledFrom([]int{1, 3, 5000}).Draw(rt, "features")
		trees := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *drawn { return draw(t, min(features, 3)) }), 1, 9).Draw(rt, "trees")
		text := header(features)
		if features == 5000 { // a split on each feature makes the model a wide one
			wide := &drawn{leaf: []float64{0}}
			for f := range features {
				wide.left, wide.right, wide.leaf = append(wide.left, f+1), append(wide.right, ^f), append(wide.leaf, float64(f))
				wide.feature, wide.decision, wide.threshold = append(wide.feature, f), append(wide.decision, 8), append(wide.threshold, 3)
			}
			wide.left[features-1] = ^features
			trees = append(trees, wide)
		}
		for i, d := range trees {
			text += d.text(i)
		}
		m, err := lightgbm.Load([]byte(text+"end of trees\n"), "m")
		if err != nil {
			rt.Fatal(err)
		}
		n := rapid.SampledFrom([]int{0, 1, 3, 4, 65, 130}).Draw(rt, "rows")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		odd := []float64{0, math.Copysign(0, -1), 1e-36, -1e-36, 1e-35, float64(float32(1e-35)), -1, -0.5, 1, 2, 5.9, 31, 32, 63, 64, 1000, 1 << 31, 1e300, math.Inf(1), math.Inf(-1), math.NaN()}
		rows := make([]float64, n*features)
		for i := range rows {
			rows[i] = odd[rng.IntN(len(odd))]
		}
		out := make([]float64, n)
		if err := m.Predict(rows, n, out); err != nil {
			rt.Fatal(err)
		}
		for r, got := range out {
			want := 0.0
			for _, d := range trees {
				want += d.walk(rows[r*features : (r+1)*features])
			}
			if got != want {
				rt.Fatalf("row %d: %v, want %v", r, got, want)
			}
		}
	})
}

func TestLoadRefuses(t *testing.T) {
	models := files(t)
	tests := []struct{ name, file, from, to, want string }{
		{"no model", "regression.txt", "tree\n", "trees\n", "no text file"},
		{"old version", "regression.txt", "version=v4", "version=v2", `"v2" of the file is not supported`},
		{"objective", "regression.txt", "objective=regression", "objective=survival", `"survival" is not supported`},
		{"sigmoid", "multiclass.txt", "sigmoid:0.5", "sigmoid:-1", "sigmoid"},
		{"classes", "multiclass.txt", "num_class=3", "num_class=2", "num_class is 2"},
		{"many classes", "multiclass.txt", "num_class=3", "num_class=2000000000", "num_class"},
		{"trees of an iteration", "multiclass.txt", "num_tree_per_iteration=3", "num_tree_per_iteration=4", "num_tree_per_iteration 4"},
		{"features", "regression.txt", "max_feature_idx=3", "max_feature_idx=4", "4 for 5 features"},
		{"huge features", "regression.txt", "max_feature_idx=3", "max_feature_idx=999999999999", "max_feature_idx"},
		{"key twice", "regression.txt", "label_index=0", "num_class=1", "given twice"},
		{"member twice", "regression.txt", "num_cat=0", "num_leaves=5", "given twice"},
		{"leaves", "regression.txt", "num_leaves=5", "num_leaves=6", "5 numbers for 6 leaves"},
		{"no leaves", "regression.txt", "num_leaves=5", "num_leafs=5", "num_leaves"},
		{"hostile leaves", "regression.txt", "num_leaves=5", "num_leaves=2000000000", "num_leaves"},
		{"leaf", "regression.txt", "leaf_value=", "leaf_value=nan ", "no number"},
		{"infinite leaf", "regression.txt", "leaf_value=", "leaf_value=inf ", "not finite"},
		{"missing type", "regression.txt", "decision_type=8", "decision_type=12", "not known"},
		{"feature", "regression.txt", "split_feature=3", "split_feature=9", "feature 9 of 4"},
		{"threshold", "regression.txt", "threshold=", "threshold=0x1p2 ", "no number"},
		{"set", "category.txt", "num_cat=1", "num_cat=2", "cat_boundaries"},
		{"word", "category.txt", "cat_threshold=", "cat_threshold=4294967296 ", "no whole number"},
		{"terms", "linear.txt", "num_features=", "num_features=1 ", "num_features"},
		{"term", "linear.txt", "leaf_coeff=", "leaf_coeff=1 ", "leaf_coeff"},
		{"sizes", "regression.txt", "tree_sizes=", "tree_sizes=1 ", "tree_sizes"},
		{"end", "regression.txt", "end of trees", "end", "neither a tree nor their end"},
		{"categories", "regression.txt", "pandas_categorical:null", "pandas_categorical:[", "pandas_categorical"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(string(models[tt.file]), tt.from, tt.to, 1)
			if text == string(models[tt.file]) {
				t.Fatalf("%s has no %q", tt.file, tt.from)
			}
			_, err := lightgbm.Load([]byte(text), "m.txt")
			if !errors.Is(err, &slipway.Error{Code: slipway.CodeModelFormat}) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	for name, children := range map[string][2]string{"cycle": {"0 -1", "-2 -3"}, "two parents": {"1 -1", "1 -2"}, "beyond": {"1 -1", "-2 -9"}, "unreached": {"-1 -2", "-3 -3"}} {
		d := "Tree=0\nnum_leaves=3\nnum_cat=0\nsplit_feature=0 0\nthreshold=1 2\nleft_child=" + children[0] + "\nright_child=" + children[1] + "\nleaf_value=1 2 3\n\n\nend of trees\n"
		if _, err := lightgbm.Load([]byte(header(1)+d), "m"); !errors.Is(err, &slipway.Error{Code: slipway.CodeModelFormat}) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOneSetForEachSplit: many splits of one large set would make a small file a large model.
func TestOneSetForEachSplit(t *testing.T) {
	const splits, words = 100, 10_000
	list := func(n int, word func(i int) string) string {
		all := make([]string, n)
		for i := range all {
			all[i] = word(i)
		}
		return strings.Join(all, " ")
	}
	always := func(word string) func(int) string { return func(int) string { return word } }
	tree := func(threshold func(int) string) string {
		return header(1) + fmt.Sprintf("Tree=0\nnum_leaves=%d\nnum_cat=1\nsplit_feature=%s\nthreshold=%s\ndecision_type=%s\nleft_child=%s\nright_child=%s\nleaf_value=%s\ncat_boundaries=0 %d\ncat_threshold=%s\n\n\nend of trees\n",
			splits+1, list(splits, always("0")), list(splits, threshold), list(splits, always("1")), list(splits, func(i int) string { return fmt.Sprint(-1 - i) }),
			list(splits, func(i int) string {
				if i == splits-1 {
					return fmt.Sprint(-1 - splits)
				}
				return fmt.Sprint(i + 1)
			}), list(splits+1, always("1")), words, list(words, always("4294967295")))
	}
	for want, threshold := range map[string]func(int) string{"the set of another split": always("0"), "no set of categories": func(i int) string { return fmt.Sprint(i) }} {
		if _, err := lightgbm.Load([]byte(tree(threshold)), "m"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// load loads bytes; what loads must answer without a panic.
func load(t *testing.T, b []byte) error {
	m, err := lightgbm.Load(b, "m")
	if err != nil {
		if slipway.AsError(err).Code != slipway.CodeModelFormat {
			t.Errorf("unclassified: %v", err)
		}
		return err
	}
	rows := make([]float64, 5*m.NumFeature())
	for i := range rows {
		rows[i] = [...]float64{0, float64(i), -1, 1 << 40, math.NaN(), math.Inf(-1), math.MaxInt32}[i%7]
	}
	for _, n := range []int{1, 5} {
		if err := m.Predict(rows[:n*m.NumFeature()], n, make([]float64, n*m.Width())); err != nil {
			t.Error(err)
		}
	}
	return nil
}

// TestMutated changes and cuts the library's own files.
func TestMutated(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var before, after runtime.MemStats
	for name, b := range files(t) {
		if err := load(t, b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		end := strings.Index(string(b), "end of trees") + len("end of trees")
		for n := range end {
			if load(t, b[:n]) == nil {
				t.Fatalf("%s: no error for the first %d of %d bytes", name, n, len(b))
			}
		}
		const bytes = "0123456789-+.e =\n\x00inf"
		for range 3000 {
			c := append([]byte(nil), b...)
			for range 1 + rng.IntN(4) {
				switch at := rng.IntN(len(c) - 20); rng.IntN(4) {
				case 0:
					c[at] = bytes[rng.IntN(len(bytes))]
				case 1:
					c[at] ^= 1 << rng.IntN(8)
				case 2:
					c = append(c[:at], c[min(len(c), at+rng.IntN(20)):]...)
				default:
					c = append(c[:at], append([]byte(string(b[at/2:at/2+20])), c[at:]...)...)
				}
			}
			runtime.ReadMemStats(&before)
			_ = load(t, c)
			runtime.ReadMemStats(&after)
			if used, most := after.TotalAlloc-before.TotalAlloc, uint64(256<<10+200*len(c)); used > most {
				t.Errorf("used %d bytes for a file of %d", used, len(c))
			}
		}
	}
}

func TestPredictAllocatesNothing(t *testing.T) {
	for name, b := range files(t) {
		m, err := lightgbm.Load(b, name)
		if err != nil {
			t.Fatal(err)
		}
		rows, out := make([]float64, 70*m.NumFeature()), make([]float64, 70*m.Width())
		if n := testing.AllocsPerRun(100, func() { _ = m.Predict(rows, 70, out) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestPredictRefuses(t *testing.T) {
	m, err := lightgbm.Load(files(t)["regression.txt"], "m")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ values, n, out int }{{3, 1, 1}, {4, 1, 0}, {0, -1, 0}} {
		if err := m.Predict(make([]float64, c.values), c.n, make([]float64, c.out)); !errors.Is(err, &slipway.Error{Code: slipway.CodeInvalid}) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, b := range files(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { _ = load(t, b) })
}
