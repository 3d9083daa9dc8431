package spec_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// checkRoundTrip: the stored record reads back as the same Spec and prints the same bytes,
// before and after an environment is chosen.
func checkRoundTrip(t testing.TB, s *spec.Spec) {
	t.Helper()
	staging, err := s.In("staging")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*spec.Spec{s, staging} {
		b := s.Canonical()
		back, err := spec.ReadRecord(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if diff := cmp.Diff(s, back, cmpopts.IgnoreFields(spec.Spec{}, "Origin")); diff != "" {
			t.Errorf("(-written +read):\n%s", diff)
		}
		if again := back.Canonical(); !bytes.Equal(b, again) {
			t.Errorf("\n%s\n%s", b, again)
		}
		for path, origin := range back.Origin {
			if _, foreign := slipway.ParseName(s.Model.Name); foreign != nil && path == "model.name" {
				continue // a name of MLflow's stands in model.source alone
			}
			if origin != "record" {
				t.Errorf("%s comes from %q", path, origin)
			}
		}
		checkValues(t, back)
	}
	if staging.Environment != "staging" || staging.Environments != nil || staging.Endpoint() != s.Name+".staging" {
		t.Errorf("%q, %d environments, endpoint %s", staging.Environment, len(staging.Environments), staging.Endpoint())
	}
}

// checkValues: no two values of a record have one path, and every one has an origin but
// what every file has.
func checkValues(t testing.TB, s *spec.Spec) {
	t.Helper()
	seen := map[string]bool{}
	for _, v := range s.Values() {
		if seen[v.Path] {
			t.Errorf("%s has two values", v.Path)
		}
		seen[v.Path] = true
		if fixed := v.Path == "apiVersion" || v.Path == "kind"; fixed != (v.Origin == "") {
			t.Errorf("%s comes from %q", v.Path, v.Origin)
		}
	}
}

func TestCanonicalRoundTrip(t *testing.T) {
	schema := compile(t)
	rapid.Check(t, func(rt *rapid.T) {
		s := drawSpec(rt)
		checkRoundTrip(&reporter{TB: t, rt: rt}, s)
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(s.Canonical()))
		if err != nil {
			rt.Fatal(err)
		}
		if err := schema.Validate(document); err != nil {
			rt.Fatalf("the schema refuses what Load accepts: %v\n%s", err, s.Canonical())
		}
	})
}

// reporter lets helpers of tests fail a property.
type reporter struct {
	testing.TB
	rt *rapid.T
}

func (r *reporter) Errorf(format string, args ...any) { r.rt.Errorf(format, args...) }
func (r *reporter) Fatalf(format string, args ...any) { r.rt.Fatalf(format, args...) }

func drawSpec(t *rapid.T) *spec.Spec {
	name := rapid.StringMatching(`[a-z]([a-z0-9-]{0,20}[a-z0-9])?`)
	text := rapid.StringMatching(`[\x{21}-\x{7e}äß€漢😀\t\n '"\\:#{}&*!|>%@-]{1,40}`).Filter(func(s string) bool { return strings.TrimSpace(s) != "" })
	line := text.Filter(func(s string) bool { return !strings.Contains(s, "://") })
	s := &spec.Spec{Tier: spec.Tier(rapid.IntRange(1, 4).Draw(t, "tier")), Name: name.Draw(t, "name"),
		Owner: spec.Owner{Team: name.Draw(t, "team")}, Origin: map[string]string{}}
	if rapid.Bool().Draw(t, "has text") {
		s.Description, s.Owner.Contact = text.Draw(t, "description"), text.Draw(t, "contact")
	}
	switch rapid.IntRange(0, 2).Draw(t, "source") {
	case 0:
		s.Model = spec.Model{Name: name.Draw(t, "model"), Source: spec.Source{Dir: "./" + line.Draw(t, "dir")}}
	case 1:
		n := name.Draw(t, "model")
		s.Model = spec.Model{Name: n, Source: spec.Source{Model: n, Version: rapid.IntRange(1, 1e6).Draw(t, "version")}}
	default:
		n := name.Draw(t, "model")
		s.Model = spec.Model{Name: n, Source: spec.Source{Model: n, Alias: name.Draw(t, "alias")}}
	}
	policy := s.Tier.Policy()
	s.Resources = spec.Resources{MilliCPU: rapid.IntRange(1, 256_000).Draw(t, "cpu"), MemoryBytes: rapid.Int64Range(16<<20, 16<<40).Draw(t, "memory")}
	switch rapid.IntRange(0, 2).Draw(t, "runs") {
	case 0:
		s.Model.Python = rapid.SampledFrom([]string{"", "3.8", "3.11", "3.12.13"}).Draw(t, "python")
		s.Model.Workers = rapid.IntRange(1, 64).Draw(t, "workers")
		s.Model.Placement = rapid.SampledFrom([]string{spec.PlacementOwn, spec.PlacementShared}).Draw(t, "placement")
		s.Model.Batching = spec.Batching{MaxRows: rapid.IntRange(1, 65_536).Draw(t, "max rows")}
	case 1:
		s.Model.External = &spec.External{URL: rapid.StringMatching(`https?://[a-z][a-z0-9.-]{0,20}[a-z](:[1-9][0-9]{0,3})?(/[a-z/]*)?`).Draw(t, "url"), Protocol: spec.ProtocolMLflow}
		if rapid.Bool().Draw(t, "open inference") {
			s.Model.External.Protocol, s.Model.External.Model = spec.ProtocolOpenInference, rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,20}`).Draw(t, "remote")
		}
	default:
		s.Model.Command = append(rapid.SliceOfN(line, 0, 4).Draw(t, "args"), "{socket}")
		if strings.Contains(strings.Join(s.Model.Command, " "), "{port}") {
			s.Model.Command = []string{"{socket}"}
		}
		s.Model.Protocol, s.Model.Health = spec.ProtocolOpenInference, "/"+name.Draw(t, "health")
		if rapid.Bool().Draw(t, "proxied") {
			s.Model.Proxy = []string{"/v1/" + name.Draw(t, "proxied path"), "/v2/*"}
		}
	}
	s.Limits = drawLimits(t)
	s.Limits.Queue.Length, s.Limits.Body = rapid.IntRange(1, 10_000).Draw(t, "queue"), rapid.Int64Range(1<<10, 16<<20).Draw(t, "body")
	s.Resources.GPU = spec.GPU{Count: rapid.IntRange(0, 16).Draw(t, "gpus")}
	if s.Resources.GPU.Count > 0 {
		s.Resources.GPU.Type = rapid.SampledFrom([]string{"", "nvidia-l4"}).Draw(t, "gpu type")
	}
	s.Data = drawData(t, line, policy)
	s.Inputs = drawInputs(t, line)
	s.Validation = drawValidation(t, line, policy)
	s.Network.Callers = drawCallers(t, name)
	s.Environments = drawEnvironments(t, name)
	s.Replicas = rapid.IntRange(policy.MinReplicas, 32).Draw(t, "replicas")
	s.Rollout = drawRollout(t, policy)
	return s
}

// drawLimits gives some of what is optional in every place.
func drawLimits(t *rapid.T) (l spec.Limits) {
	for _, r := range []*spec.Rate{&l.Rate, &l.CallerRate} {
		if rapid.Bool().Draw(t, "rate") {
			*r = spec.Rate{PerSecond: rapid.Float64Range(0.01, 1e6).Draw(t, "per second"), Burst: rapid.IntRange(1, 1e6).Draw(t, "burst")}
		}
	}
	if rapid.Bool().Draw(t, "bounded") {
		l.Concurrency, l.Queue.Wait = rapid.IntRange(1, 10_000).Draw(t, "concurrency"), time.Duration(rapid.IntRange(1, 60_000).Draw(t, "wait"))*time.Millisecond
	}
	return l
}

func drawData(t *rapid.T, column *rapid.Generator[string], policy spec.Policy) (d spec.Data) {
	if policy.NeedsClassification || rapid.Bool().Draw(t, "classified") {
		d.Classification = rapid.SampledFrom([]string{"public", "internal", "confidential", "restricted"}).Draw(t, "classification")
	}
	if rapid.Bool().Draw(t, "pii") {
		d.PII = rapid.SliceOfNDistinct(column, 1, 4, rapid.ID).Draw(t, "pii columns")
	}
	uris := rapid.SliceOfNDistinct(rapid.StringMatching(`(s3|gs|https|models|jdbc:postgresql)://[a-z0-9.-]{1,20}(/[a-z0-9=_.-]{1,9}){0,3}`), 0, 3, rapid.ID).Draw(t, "uris")
	for _, u := range uris {
		d.Training = append(d.Training, spec.Training{URI: u, Digest: slipway.DigestOf([]byte(u)), Basis: rapid.SampledFrom([]string{"", "contract"}).Draw(t, "basis")})
	}
	return d
}

func drawInputs(t *rapid.T, text *rapid.Generator[string]) (d tensor.Declared) {
	d.Unknown = rapid.SampledFrom([]string{"", tensor.Refuse, tensor.Drop}).Draw(t, "unknown")
	for _, name := range rapid.SliceOfNDistinct(text.Filter(func(s string) bool { return !strings.ContainsAny(s, ".[]\n\t") }), 0, 3, rapid.ID).Draw(t, "columns") {
		if d.Columns == nil {
			d.Columns = map[string]tensor.Bounds{}
		}
		b := tensor.Bounds{Missing: tensor.Refuse}
		if rapid.Bool().Draw(t, "range") {
			low := rapid.Float64Range(-1e12, 1e12).Draw(t, "min")
			high := low + rapid.Float64Range(0, 1e6).Draw(t, "more")
			b.Min, b.Max = &low, &high
		} else {
			b.Enum = rapid.SliceOfNDistinct(text, 1, 4, rapid.ID).Draw(t, "enum")
		}
		d.Columns[name] = b
	}
	return d
}

func drawCallers(t *rapid.T, name *rapid.Generator[string]) []string {
	if rapid.Bool().Draw(t, "no callers") {
		return nil
	}
	return rapid.SliceOfNDistinct(name, 1, 3, rapid.ID).Draw(t, "callers")
}

func drawEnvironments(t *rapid.T, name *rapid.Generator[string]) (all map[string]spec.Overlay) {
	names := rapid.SliceOfNDistinct(rapid.OneOf(name, rapid.Just("staging"), rapid.Just("production")), 0, 3, rapid.ID).Draw(t, "environments")
	for _, n := range names {
		if all == nil {
			all = map[string]spec.Overlay{}
		}
		o := spec.Overlay{Network: spec.Network{Callers: drawCallers(t, name)}, Limits: drawLimits(t)}
		if rapid.Bool().Draw(t, "sized") {
			o.Resources.MilliCPU, o.Replicas = rapid.IntRange(1, 256_000).Draw(t, "cpu"), rapid.IntRange(2, 32).Draw(t, "replicas")
		} else {
			o.Resources.MemoryBytes = rapid.Int64Range(16<<20, 16<<40).Draw(t, "memory")
		}
		all[n] = o
	}
	return all
}

func drawValidation(t *rapid.T, file *rapid.Generator[string], policy spec.Policy) (v spec.Validation) {
	if policy.NeedsBoth || policy.NeedsOne || rapid.Bool().Draw(t, "golden") {
		v.Golden = &spec.Golden{File: file.Draw(t, "golden file"), Tolerance: rapid.Float64Range(0, 1).Draw(t, "tolerance")}
	}
	if policy.NeedsBoth || rapid.Bool().Draw(t, "dataset") {
		v.Dataset = &spec.Dataset{File: file.Draw(t, "dataset file"), Target: file.Draw(t, "target"), MinRows: rapid.IntRange(1, 2_000_000).Draw(t, "rows")}
		names := rapid.SliceOfNDistinct(rapid.SampledFrom(spec.MetricNames()), 1, 4, rapid.ID).Draw(t, "metrics")
		for _, n := range names {
			lower := slices.Contains([]string{"log_loss", "rmse", "mae"}, n)
			m := spec.Metric{Name: n, HigherIsBetter: !lower, Bound: rapid.Float64Range(1e-300, 1).Draw(t, "bound")}
			if rapid.Bool().Draw(t, "regression") {
				v := rapid.Float64Range(0, 0.999).Draw(t, "max regression")
				m.MaxRegression = &v
			}
			v.Metrics = append(v.Metrics, m)
			if rapid.Bool().Draw(t, "slice") {
				v.Slices = append(v.Slices, spec.Slice{By: "by " + v.Dataset.Target, Metric: n, HigherIsBetter: !lower,
					MaxGap: rapid.Float64Range(0, 0.999).Draw(t, "gap"), MinRows: rapid.IntRange(1, 2_000_000).Draw(t, "slice rows")})
			}
		}
	}
	v.Compatible = rapid.SampledFrom([]string{spec.CompatibleBackward, spec.CompatibleNone}).Draw(t, "compatible")
	if rapid.Bool().Draw(t, "latency") {
		v.Latency = &spec.Latency{P95: time.Duration(rapid.IntRange(1, 60_000).Draw(t, "p95")) * time.Millisecond, Requests: rapid.IntRange(20, 10_000).Draw(t, "requests")}
	}
	return v
}

func drawRollout(t *rapid.T, policy spec.Policy) spec.Rollout {
	milliseconds := func(low, high time.Duration, label string) time.Duration {
		return time.Duration(rapid.Int64Range(low.Milliseconds(), high.Milliseconds()).Draw(t, label)) * time.Millisecond
	}
	week := 7 * 24 * time.Hour
	r := spec.Rollout{OnFailure: spec.OnFailureRollback, OnNoData: spec.OnNoDataPause,
		KeepPreviousWarm: milliseconds(policy.MinKeepWarm, week, "warm"), Deadline: milliseconds(100*time.Millisecond, time.Minute, "deadline")}
	if !policy.MustRollBack && rapid.Bool().Draw(t, "pauses") {
		r.OnFailure = spec.OnFailurePause
	}
	if !policy.MustPause && rapid.Bool().Draw(t, "continues") {
		r.OnNoData = spec.OnNoDataContinue
	}
	weights := rapid.SliceOfNDistinct(rapid.Float64Range(0.01, 99.9), policy.MinSteps-1, 5, rapid.ID).Draw(t, "weights")
	slices.Sort(weights)
	if len(weights) > 0 {
		weights[0] = min(weights[0], policy.MaxFirstWeight)
	} else if policy.MaxFirstWeight < 100 {
		weights = []float64{policy.MaxFirstWeight}
	}
	for _, w := range append(weights, 100) {
		least := policy.MinHold
		if w == 100 {
			least = 0
		}
		r.Steps = append(r.Steps, spec.Step{Weight: w, Hold: milliseconds(least, week, "hold"), MinRequests: rapid.IntRange(0, 10_000_000).Draw(t, "requests")})
	}
	return r
}

func compile(t testing.TB) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(spec.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("platform.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("platform.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// asJSON is what an editor's YAML reader gives to its schema validator.
func asJSON(t testing.TB, src []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(src, &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// TestSchema: an editor accepts what Load accepts, and marks what it can.
func TestSchema(t *testing.T) {
	schema := compile(t)
	for _, file := range append(glob(t, "testdata/good/*.yaml"), glob(t, "../../templates/*/platform.yaml")...) {
		if err := schema.Validate(asJSON(t, read(t, file))); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	marked := []string{"key-misplaced", "key-misspelled", "key-unknown", "key-wrong-case", "api-version", "empty-values",
		"list-for-object", "memory", "memory-range", "data", "environments-file", "external", "metric-unknown", "missing", "name", "number-quoted", "object-for-value",
		"scalar", "source", "source-bare", "source-version", "text-as-number", "tier-1", "tier-3-unchecked", "too-many", "ten-mistakes"}
	for _, name := range marked {
		if err := schema.Validate(asJSON(t, read(t, filepath.Join("testdata/bad", name+".yaml")))); err == nil {
			t.Errorf("%s passes the schema", name)
		}
	}
	golden(t, "testdata/platform.schema.json", string(spec.Schema()))
}

// FuzzLoad: no bytes make it panic; what it accepts round-trips, what it refuses is told
// with places and next steps.
func FuzzLoad(f *testing.F) {
	for _, file := range append(glob(f, "testdata/good/*.yaml"), glob(f, "testdata/bad/*.yaml")...) {
		f.Add(read(f, file))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		s, err := spec.Load("platform.yaml", src)
		if err != nil {
			checkErrors(t, err, src)
			return
		}
		checkRoundTrip(t, s)
	})
}
