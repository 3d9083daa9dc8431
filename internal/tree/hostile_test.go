package tree_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tree"
)

// stump is a split of feature 0 at 1 with leaves of 2 and 3.
func stump() []rawNode {
	return []rawNode{{1, 2, 0, 1, 1}, {-1, -1, 0, 2, 0}, {-1, -1, 0, 3, 0}}
}

// at is the object at a path of keys.
func at(doc map[string]any, path ...string) map[string]any {
	for _, k := range path {
		doc = doc[k].(map[string]any)
	}
	return doc
}

func TestLoadRefuses(t *testing.T) {
	chain := func(n ...rawNode) [][]rawNode { return [][]rawNode{n} }
	model := func(doc map[string]any) map[string]any { return at(doc, "learner", "gradient_booster", "model") }
	first := func(doc map[string]any) map[string]any { return model(doc)["trees"].([]any)[0].(map[string]any) }
	leaf := rawNode{-1, -1, 0, 1, 0}
	tests := []struct {
		name  string
		trees [][]rawNode
		edit  func(doc map[string]any)
		want  string
	}{
		{"cycle", chain(rawNode{1, 2, 0, 1, 0}, rawNode{1, 2, 0, 1, 0}, leaf), nil, "reached twice"},
		{"cycle to the root", chain(rawNode{1, 2, 0, 1, 0}, rawNode{0, 2, 0, 1, 0}, leaf), nil, "out of range"},
		{"two parents", chain(rawNode{1, 2, 0, 1, 0}, rawNode{3, 4, 0, 1, 0}, rawNode{3, 4, 0, 1, 0}, leaf, leaf), nil, "reached twice"},
		{"same child twice", chain(rawNode{1, 1, 0, 1, 0}, leaf), nil, "out of range"},
		{"child beyond the end", chain(rawNode{1, 3, 0, 1, 0}, leaf, leaf), nil, "out of range"},
		{"negative child", chain(rawNode{1, -2, 0, 1, 0}, leaf, leaf), nil, "out of range"},
		{"one child", chain(rawNode{-1, 2, 0, 1, 0}, leaf, leaf), nil, "one child"},
		{"unreached nodes", chain(leaf, leaf, leaf), nil, "reached"},
		{"feature beyond the end", chain(rawNode{1, 2, 3, 1, 0}, leaf, leaf), nil, "feature 3 of 3"},
		{"negative feature", chain(rawNode{1, 2, -1, 1, 0}, leaf, leaf), nil, "feature -1 of 3"},
		{"default_left", chain(rawNode{1, 2, 0, 1, 2}, leaf, leaf), nil, "default_left"},
		{"no nodes", [][]rawNode{{}}, nil, "no nodes"},
		{"leaf overflows", chain(rawNode{-1, -1, 0, 1e300, 0}), nil, "out of range"},
		{"sizes", nil, func(d map[string]any) { first(d)["left_children"] = []int{1, -1} }, "an array has 2"},
		{"fraction", nil, func(d map[string]any) { first(d)["left_children"] = []float64{1.5, -1, -1} }, "no whole number"},
		{"num_nodes", nil, func(d map[string]any) { at(first(d), "tree_param")["num_nodes"] = "99999999999" }, "num_nodes"},
		{"num_deleted", nil, func(d map[string]any) { at(first(d), "tree_param")["num_deleted"] = "1" }, "1 deleted"},
		{"condition", nil, func(d map[string]any) { first(d)["split_conditions"] = []any{json.RawMessage(`"N"`), 1, 1} }, "not a number"},
		{"tree_info range", nil, func(d map[string]any) { model(d)["tree_info"] = []int{1} }, "group 1 of 1"},
		{"tree_info size", nil, func(d map[string]any) { model(d)["tree_info"] = []int{0, 0} }, "num_trees"},
		{"num_trees", nil, func(d map[string]any) { at(model(d), "gbtree_model_param")["num_trees"] = "2" }, "num_trees"},
		{"booster", nil, func(d map[string]any) { at(d, "learner", "gradient_booster")["name"] = "gbforest" }, `"gbforest" is not supported`},
		{"two models", nil, func(d map[string]any) {
			at(d, "learner", "gradient_booster")["gbtree"] = map[string]any{"model": model(d)}
		}, "model: given twice"},
		{"objective", nil, func(d map[string]any) { at(d, "learner", "objective")["name"] = "reg:unheard" }, `"reg:unheard" is not supported`},
		{"targets and classes", nil, func(d map[string]any) {
			at(d, "learner", "learner_model_param")["num_target"] = "2"
			at(d, "learner", "learner_model_param")["num_class"] = "3"
		}, "several classes and several targets is not supported"},
		{"many targets", nil, func(d map[string]any) { at(d, "learner", "learner_model_param")["num_target"] = "4097" }, "num_target"},
		{"types", nil, func(d map[string]any) { at(d, "learner")["feature_types"] = []string{"c"} }, "1 types"},
		{"classes", nil, func(d map[string]any) { at(d, "learner", "learner_model_param")["num_class"] = "3" }, "num_class is 3"},
		{"many classes", nil, func(d map[string]any) { at(d, "learner", "learner_model_param")["num_class"] = "2000000000" }, "num_class"},
		{"no features", nil, func(d map[string]any) { at(d, "learner", "learner_model_param")["num_feature"] = "0" }, "num_feature"},
		{"names", nil, func(d map[string]any) { at(d, "learner")["feature_names"] = []string{"a"} }, "1 names"},
		{"base_score", nil, func(d map[string]any) { at(d, "learner", "learner_model_param")["base_score"] = "[1E0,2E0]" }, "2 numbers for 1 groups"},
		{"base_score text", nil, func(d map[string]any) { at(d, "learner", "learner_model_param")["base_score"] = "half" }, "no number"},
		{"base_score domain", nil, func(d map[string]any) {
			at(d, "learner", "objective")["name"] = "binary:logistic"
			at(d, "learner", "learner_model_param")["base_score"] = "1"
			d["version"] = []int{3, 0, 0}
		}, "not between 0 and 1"},
		{"base_score beyond 1", nil, func(d map[string]any) {
			at(d, "learner", "objective")["name"] = "binary:logistic"
			at(d, "learner", "learner_model_param")["base_score"] = "1.01"
		}, "not between 0 and 1"},
		{"base_score domain of log", nil, func(d map[string]any) {
			at(d, "learner", "objective")["name"] = "count:poisson"
			at(d, "learner", "learner_model_param")["base_score"] = "0"
		}, "not above 0"},
		{"base_score infinite", nil, func(d map[string]any) { at(d, "learner", "learner_model_param")["base_score"] = "Inf" }, "not finite"},
		{"version", nil, func(d map[string]any) { d["version"] = []int{4, 0, 0} }, "version"},
		{"no version", nil, func(d map[string]any) { delete(d, "version") }, "version"},
		{"best_iteration", nil, func(d map[string]any) { at(d, "learner")["attributes"] = map[string]any{"best_iteration": "7"} }, "beyond the trees"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.trees == nil {
				tt.trees = [][]rawNode{stump()}
			}
			_, err := tree.Load(modelJSON(t, 3, tt.trees, tt.edit), tree.Options{Name: "m.json", Wrapper: true})
			if !errors.Is(err, &slipway.Error{Code: slipway.CodeModelFormat}) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestLoadRefusesBytes(t *testing.T) {
	long := func(tail string) string { return "{L\x00\x00\x00\x00\x00\x00\x00\x01v" + tail }
	huge := string(binary.BigEndian.AppendUint64(nil, 1<<62))
	tests := []struct{ name, file, want string }{
		{"empty", "", "neither"},
		{"pickle", "\x80\x04\x95", "neither"},
		{"bomb of nulls", long("[$Z#L" + huge), "typed array"},
		{"bomb of no-ops", long("[$N#L" + huge), "typed array"},
		{"bomb of trues", long("[$T#l\x7f\xff\xff\xff]"), "typed array"},
		{"bomb of objects", long("[$[#L" + huge), "typed array"},
		{"huge typed array", long("[$d#L" + huge), "beyond the end"},
		{"huge array", long("[#L" + huge), "beyond the end"},
		{"negative length", long("[#i\xff"), "beyond the end"},
		{"length of a float", long("[#d\x7f\x80\x00\x00"), "instead of a length"},
		{"huge string", long("SL" + huge), "beyond the end"},
		{"huge key", "{L" + huge, "beyond the end"},
		{"typed without length", long("[$d]"), "without a length"},
		{"counted object", long("{#i\x01"), "instead of a length"},
		{"unknown marker", long("?"), "unknown marker"},
		{"deep arrays", long(strings.Repeat("[", 100000)), "nested deeper"},
		{"deep objects", strings.Repeat("{i\x01a", 100000), "nested deeper"},
		{"deep JSON", `{"a":` + strings.Repeat("[", 100000), "nested deeper"},
		{"deep JSON objects", strings.Repeat(`{"a":`, 100000), "nested deeper"},
		{"NaN for an index", `{"version":[NaN]}`, "no whole number"},
		{"infinity", `{"version":[Infinity]}`, "no JSON at byte"},
		{"text for a number", `{"version":["NaN"]}`, "instead of a number"},
		{"JSON twice", `{"version":[3],"version":[3]}`, "given twice"},
		{"JSON kinds", `{"version":"3"}`, `instead of "["`},
		{"short JSON", `{"version":[3`, "ends early"},
		{"JSON and more", string(modelJSON(t, 3, [][]rawNode{stump()}, nil)) + "{}", "bytes follow"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := tree.Load([]byte(tt.file), tree.Options{})
			runtime.ReadMemStats(&after)
			if !errors.Is(err, &slipway.Error{Code: slipway.CodeModelFormat}) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
				t.Errorf("used %d bytes for a file of %d", used, len(tt.file))
			}
		})
	}
}

func TestLegacyFormat(t *testing.T) {
	_, err := tree.Load([]byte("binf\x00\x00\x00?"), tree.Options{Name: "model.xgb"})
	if !errors.Is(err, &slipway.Error{Code: slipway.CodeLegacyModel}) {
		t.Fatalf("error %v", err)
	}
	if _, odd := tree.Load([]byte("binf"), tree.Options{Name: "'); import os #.xgb"}); strings.Contains(odd.Error(), "b.load_model(''); import") {
		t.Errorf("a file name became part of the command: %v", odd)
	}
	want := `python -c "import xgboost; b = xgboost.Booster(); b.load_model('model.xgb'); b.save_model('model.ubj')"`
	if !strings.Contains(err.Error(), want) {
		t.Errorf("error %v lacks the command", err)
	}
}

// TestTruncated cuts small models of both formats everywhere: an error each time.
func TestTruncated(t *testing.T) {
	for _, file := range []string{"v32_rank_pairwise.ubj", "v17_logistic_1.json"} {
		b, err := os.ReadFile(filepath.Join(testdata, "models", file))
		if err != nil {
			t.Fatal(err)
		}
		b = bytes.TrimSpace(b)
		step := 1 + len(b)/4000 // every offset of the head, a sample of the rest
		for n := range b {
			if n > 3000 && n%step != 0 {
				continue
			}
			if _, err := tree.Load(b[:n], tree.Options{}); err == nil {
				t.Fatalf("%s: no error for the first %d of %d bytes", file, n, len(b))
			}
		}
	}
}

// TestMutated changes the library's own files: no panic, and no more memory than the file pays
// for.
func TestMutated(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var before, after runtime.MemStats
	for _, file := range []string{"v32_rank_pairwise.ubj", "v17_logistic_1.json", "v32_cat_names.ubj", "v32_vector_forest.ubj", "v32_linear_targets.ubj", "v32_dart_poisson.ubj"} {
		b, err := os.ReadFile(filepath.Join(testdata, "models", file))
		if err != nil {
			t.Fatal(err)
		}
		loaded := 0
		for range 400 {
			c := bytes.Clone(b)
			for range 1 + rng.IntN(3) {
				switch at := rng.IntN(len(c) - 20); rng.IntN(4) {
				case 0:
					c[at] = byte(rng.IntN(256))
				case 1:
					c[at] ^= 1 << rng.IntN(8)
				case 2:
					copy(c[at:], "\x7f\xff\xff\xff\xff\xff\xff\xff")
				default:
					c = append(c[:at], c[at+rng.IntN(9):]...)
				}
			}
			runtime.ReadMemStats(&before)
			m, err := tree.Load(c, tree.Options{})
			runtime.ReadMemStats(&after)
			if used, most := after.TotalAlloc-before.TotalAlloc, uint64(1<<20+100*len(c)); used > most {
				t.Errorf("%s: used %d bytes for a file of %d", file, used, len(c))
			}
			if err != nil {
				continue
			}
			loaded++
			rows := make([]float32, 5*m.NumFeature())
			if _, err := m.Predict(rows, 5, make([]float32, 5*m.Groups())); err != nil {
				t.Error(err)
			}
		}
		if loaded == 0 || loaded == 400 {
			t.Errorf("%s: %d of 400 load", file, loaded)
		}
	}
}

// fuzz loads bytes; what loads must answer without a panic.
func fuzz(f *testing.F, format tree.Format, seeds ...string) {
	for _, s := range seeds {
		b, err := os.ReadFile(filepath.Join(testdata, "models", s))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := tree.Load(b, tree.Options{Format: format, Wrapper: true})
		if err != nil {
			if slipway.AsError(err).Code == slipway.CodeInternal {
				t.Errorf("unclassified: %v", err)
			}
			return
		}
		rows := make([]float32, 3*m.NumFeature())
		for i := range rows {
			rows[i] = [...]float32{0, float32(i), -1, 1 << 24, float32(math.NaN())}[i%5]
		}
		if _, err := m.Predict(rows, 3, make([]float32, 3*m.Groups())); err != nil {
			t.Error(err)
		}
	})
}

func FuzzUBJSON(f *testing.F) {
	fuzz(f, tree.UBJSON, "v32_logitraw.ubj", "v21_sq_lossguide.ubj", "v17_rank_pairwise.ubj",
		"v32_cat_names.ubj", "v21_vector_lossguide.ubj", "v32_vector_forest.ubj", "v32_dart_poisson.ubj", "v32_linear_targets.ubj")
}

func FuzzJSON(f *testing.F) {
	fuzz(f, tree.JSON, "v32_rank_ndcg.json", "v17_logistic_1.json",
		"v17_cat_missing.json", "v32_vector_stump.json", "v21_quantiles_dart.json", "v17_linear_sq.json")
}
