package plan_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/plan"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/tensor"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with a file, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", name, diff)
	}
}

const before = `apiVersion: platform/v1
kind: RealtimeModel
name: fraud
tier: 3
owner: {team: risk}
model: {source: ./model}
data: {classification: internal, pii: [email]}
validation:
  golden: ./golden.jsonl
  dataset: {file: ./holdout.csv, target: fraud}
  metrics:
    - {name: roc_auc, min: 0.9}
    - {name: log_loss, max: 0.2}
resources: {cpu: 500m}
rollout:
  steps: [{weight: 5, hold: 30s}, {weight: 25, hold: 30s}, {weight: 100}]
`

const after = `apiVersion: platform/v1
kind: RealtimeModel
name: fraud
tier: 2
owner: {team: risk, contact: "#risk"}
model: {source: ./model, python: "3.11"}
data:
  classification: confidential
  pii: [email, postcode]
  training: [{uri: "s3://lake/train/", digest: sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef}]
validation:
  golden: ./golden.jsonl
  dataset: {file: ./holdout.csv, target: fraud}
  metrics:
    - {name: log_loss, max: 0.2}
    - {name: roc_auc, min: 0.9, max_regression_vs_production: 0.005}
  slices: [{by: country, metric: roc_auc, max_gap: 0.05}]
  latency: {p95: 40ms}
network: {callers: [billing]}
environments:
  staging: {resources: {cpu: 1500m}, scaling: {replicas: 1}}
`

func resolve(t testing.TB, src, environment string) *spec.Spec {
	t.Helper()
	s, err := spec.Load("platform.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	if s, err = s.In(environment); err != nil {
		t.Fatal(err)
	}
	return s
}

func version(number int, content string) plan.Version {
	return plan.Version{Model: "fraud", Number: number, Digest: slipway.DigestOf([]byte(content))}
}

func schema() tensor.Schema {
	return tensor.Schema{
		Inputs: []tensor.Field{{Name: "amount", Type: tensor.FP64, Required: true}, {Name: "age", Type: tensor.Int32, Required: true},
			{Name: "a\x1b[2Jb", Type: tensor.Bytes, Required: true}},
		Outputs: []tensor.Field{{Name: "predict", Type: tensor.Int64}, {Name: "probability", Type: tensor.FP32, Shape: []int{-1, 2}}},
	}
}

func live(t testing.TB, environment string) *plan.Live {
	return &plan.Live{Revision: "fraud-3", Version: version(3, "three"), Schema: schema(), Scores: map[string]float64{"roc_auc": 0.976, "log_loss": 0.083}, Spec: resolve(t, before, environment)}
}

func next(t testing.TB, environment string) plan.Next {
	s := schema()
	s.Inputs = append(s.Inputs[:2], tensor.Field{Name: "rent", Type: tensor.FP32})
	s.Inputs[1].Type = tensor.Int64
	s.Outputs = append(s.Outputs, tensor.Field{Name: "leaf", Type: tensor.Int64})
	return plan.Next{Version: version(4, "four"), Schema: s, Scores: map[string]float64{"roc_auc": 0.9755}, Spec: resolve(t, after, environment)}
}

func document(t testing.TB, p plan.Plan) string {
	t.Helper()
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

func TestGolden(t *testing.T) {
	same := live(t, "production")
	again := plan.Next{Version: version(7, "three"), Schema: same.Schema, Spec: same.Spec}
	unregistered := again
	unregistered.Version.Number, unregistered.Version.Digest = 0, slipway.DigestOf([]byte("new"))
	for name, p := range map[string]plan.Plan{
		"first":   plan.Make(nil, next(t, "production")),
		"changed": plan.Make(live(t, "production"), next(t, "production")),
		"staging": plan.Make(live(t, "staging"), next(t, "staging")),
		"empty":   plan.Make(same, again),
		"digest":  plan.Make(same, unregistered),
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, "testdata/"+name+".golden", p.Text())
			golden(t, "testdata/"+name+".json", document(t, p))
			if strings.ContainsRune(p.Text(), '\x1b') {
				t.Error("a column's name reaches the terminal")
			}
			if p.Empty() != (name == "empty") {
				t.Errorf("empty: %t", p.Empty())
			}
		})
	}
}

// TestRecord: what is live may be known by its record only.
func TestRecord(t *testing.T) {
	was, n := live(t, "staging"), next(t, "staging")
	want := plan.Make(was, n)
	record, err := spec.ReadRecord(was.Spec.Canonical())
	if err != nil {
		t.Fatal(err)
	}
	was.Spec = record
	if diff := cmp.Diff(want, plan.Make(was, n)); diff != "" {
		t.Error(diff)
	}
}

// TestScores: a figure that is none is not known, and JSON can be written all the same.
func TestScores(t *testing.T) {
	was := live(t, "production")
	was.Scores = map[string]float64{"roc_auc": math.NaN(), "f1": math.Inf(1), "r2": 0.5}
	p := plan.Make(was, next(t, "production"))
	var names []string
	for _, m := range p.Metrics {
		names = append(names, m.Name)
		if (m.Live != nil) != (m.Name == "r2") {
			t.Errorf("%s of the live version: %v", m.Name, m.Live)
		}
	}
	if diff := cmp.Diff([]string{"log_loss", "r2", "roc_auc"}, names); diff != "" {
		t.Error(diff)
	}
	document(t, p)
}

// TestDeterministic: the same input, in any order of what has none, gives the same bytes.
func TestDeterministic(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		was, n := drawLive(rt), drawNext(rt)
		want := plan.Make(was, n)
		other := *was
		other.Schema, other.Scores = shuffled(rt, was.Schema), maps.Clone(was.Scores)
		m := n
		m.Schema, m.Scores = shuffled(rt, n.Schema), maps.Clone(n.Scores)
		got := plan.Make(&other, m)
		if got.Text() != want.Text() || document(t, got) != document(t, want) {
			rt.Fatalf("%s\n%s", want.Text(), got.Text())
		}
	})
}

// TestComplete: a plan is empty for what is live, and what it says leads from the old
// values to the new ones.
func TestComplete(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		was, n := drawLive(rt), drawNext(rt)
		self := plan.Make(was, plan.Next{Version: was.Version, Schema: was.Schema, Scores: n.Scores, Spec: was.Spec})
		if !self.Empty() || len(self.Sections) != 0 {
			rt.Fatalf("%s", self.Text())
		}
		p := plan.Make(was, n)
		same := was.Version.Digest == n.Version.Digest && cmp.Equal(values(was.Spec), values(n.Spec)) && cmp.Equal(fields(was.Schema), fields(n.Schema))
		if p.Empty() != same {
			rt.Fatalf("empty is %t\n%s", p.Empty(), p.Text())
		}
		got := values(was.Spec)
		for _, s := range p.Sections {
			if len(s.Changes) == 0 {
				rt.Fatalf("section %s has no changes", s.Name)
			}
			if s.Name == "version" || s.Name == "schema" {
				continue
			}
			for _, c := range s.Changes {
				if old, had := got[c.Path]; old != c.Old || had != (c.Kind != plan.Added) {
					rt.Fatalf("%+v, but it was %q", c, old)
				}
				if c.Kind == plan.Removed {
					delete(got, c.Path)
				} else {
					got[c.Path] = c.New
				}
			}
		}
		if diff := cmp.Diff(values(n.Spec), got); diff != "" {
			rt.Fatalf("%s", diff)
		}
	})
}

func values(s *spec.Spec) map[string]string {
	out := map[string]string{}
	for _, v := range s.Values() {
		out[v.Path] = v.Text
	}
	return out
}

func fields(s tensor.Schema) map[string]tensor.Field {
	out := map[string]tensor.Field{}
	for _, f := range s.Inputs {
		out["in "+f.Name] = f
	}
	for _, f := range s.Outputs {
		f.Required = false
		out["out "+f.Name] = f
	}
	return out
}

func shuffled(t *rapid.T, s tensor.Schema) tensor.Schema {
	return tensor.Schema{Inputs: rapid.Permutation(s.Inputs).Draw(t, "inputs"), Outputs: rapid.Permutation(s.Outputs).Draw(t, "outputs")}
}

func drawLive(t *rapid.T) *plan.Live {
	n := drawNext(t)
	return &plan.Live{Revision: "fraud-3", Version: n.Version, Schema: n.Schema, Scores: n.Scores, Spec: n.Spec}
}

func drawNext(t *rapid.T) plan.Next {
	n := plan.Next{Version: version(rapid.IntRange(0, 3).Draw(t, "number"), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "content")), Scores: map[string]float64{}}
	n.Schema.Inputs, n.Schema.Outputs = drawFields(t), drawFields(t)
	for _, m := range rapid.SliceOfDistinct(rapid.SampledFrom(spec.MetricNames()), rapid.ID).Draw(t, "scores") {
		n.Scores[m] = rapid.Float64().Draw(t, "score")
	}
	var b bytes.Buffer
	b.WriteString("apiVersion: platform/v1\nkind: RealtimeModel\nname: fraud\nowner: {team: risk}\nmodel: {source: ./model}\n")
	for _, line := range []string{"tier: 4", "tier: 3", "resources: {cpu: 2}", "scaling: {replicas: 3}", "network: {callers: [b, a]}", "network: {callers: [a, b]}",
		"data: {pii: [x, y]}", "data: {classification: public}", "rollout: {steps: [{weight: 10}, {weight: 100}]}", "rollout: {on_failure: pause}",
		"validation: {golden: ./g.jsonl}", "validation: {golden: ./h.jsonl, latency: {p95: 10ms}}"} {
		key, _, _ := strings.Cut(line, ":")
		wanted := key == "tier" && line == "tier: 3" || key == "validation" && line == "validation: {golden: ./h.jsonl, latency: {p95: 10ms}}" || rapid.Bool().Draw(t, line)
		if wanted && !strings.Contains(b.String(), "\n"+key+":") {
			b.WriteString(line + "\n")
		}
	}
	s, err := spec.Load("platform.yaml", b.Bytes())
	if err != nil {
		t.Fatalf("%v", err)
	}
	if n.Spec, err = s.In("production"); err != nil {
		t.Fatalf("%v", err)
	}
	return n
}

func drawFields(t *rapid.T) []tensor.Field {
	names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c1", "c2", "c10", ""}), 0, 5, rapid.ID).Draw(t, "fields")
	var all []tensor.Field
	for _, n := range names {
		all = append(all, tensor.Field{Name: n, Type: tensor.Type(rapid.IntRange(1, 12).Draw(t, "type")), Required: rapid.Bool().Draw(t, "required")})
	}
	return slices.Clip(all)
}
