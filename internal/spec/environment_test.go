package spec_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/spec"
)

func load(t testing.TB, file string) *spec.Spec {
	t.Helper()
	s, err := spec.Load(file, read(t, file))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func in(t testing.TB, s *spec.Spec, environment string) *spec.Spec {
	t.Helper()
	out, err := s.In(environment)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestIn: an environment changes sizing and callers, says so, and leaves the file as it is.
func TestIn(t *testing.T) {
	s := load(t, "testdata/good/tier-1.yaml")
	before := string(s.Canonical())
	type values struct {
		Endpoint          string
		CPU               int
		Memory            int64
		Replicas, Workers int
		Callers           []string
		Origin            string // of cpu, memory, replicas and the first caller
	}
	all := []string{"billing-api", "crm-web"}
	for environment, want := range map[string]values{
		"production": {"payments-risk", 500, 1536 << 20, 3, 3, all, "file, file, file, file"},
		"staging":    {"payments-risk.staging", 250, 1536 << 20, 1, 3, []string{"load-test"}, "environment staging, file, environment staging, environment staging"},
		"eu-west":    {"payments-risk.eu-west", 500, 2 << 30, 3, 3, all, "file, environment eu-west, file, file"},
	} {
		r := in(t, s, environment)
		var origins []string
		for _, path := range []string{"resources.cpu", "resources.memory", "scaling.replicas", "network.callers[0]"} {
			origins = append(origins, r.Origin[path])
		}
		got := values{r.Endpoint(), r.Resources.MilliCPU, r.Resources.MemoryBytes, r.Replicas, r.Model.Workers, r.Network.Callers, strings.Join(origins, ", ")}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", environment, diff)
		}
		for path := range r.Origin {
			if strings.HasPrefix(path, "environments.") {
				t.Errorf("%s: an origin of %s", environment, path)
			}
		}
		if again := in(t, r, environment); !cmp.Equal(r, again) {
			t.Errorf("%s: resolving it again changes it", environment)
		}
	}
	if after := string(s.Canonical()); after != before || s.Endpoint() != "payments-risk" {
		t.Errorf("the file has changed: %s", after)
	}
	_, staging := in(t, s, "staging").Origin["network.callers[1]"]
	if staging {
		t.Error("an origin of a caller that is not there")
	}
}

// TestInWorkers: workers that the file does not give follow the cores of the environment.
func TestInWorkers(t *testing.T) {
	src := strings.ReplaceAll(string(read(t, "testdata/good/tier-1.yaml")), "  workers: 3\n", "")
	src = strings.ReplaceAll(src, "cpu: 250m", "cpu: 3500m")
	s, err := spec.Load("platform.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	staging := in(t, s, "staging")
	if s.Model.Workers != 1 || staging.Model.Workers != 4 || staging.Origin["model.workers"] != "resources.cpu" {
		t.Errorf("%d in the file, %d in staging from %s", s.Model.Workers, staging.Model.Workers, staging.Origin["model.workers"])
	}
}

func TestInRefuses(t *testing.T) {
	s := load(t, "testdata/good/tier-1.yaml")
	for environment, want := range map[string]struct {
		s    *spec.Spec
		kind slipway.Kind
		next string
	}{
		"stagign": {s, slipway.NotFound, "did you mean staging?"},
		"qa":      {s, slipway.NotFound, "use eu-west, production, staging, or add it"},
		"":        {s, slipway.NotFound, "use eu-west"},
		"eu-west": {in(t, s, "staging"), slipway.Conflict, "platform.yaml"},
	} {
		_, err := want.s.In(environment)
		var e *slipway.Error
		if !errors.As(err, &e) || e.Kind != want.kind || !strings.Contains(e.Next, want.next) {
			t.Errorf("%q: %v", environment, err)
		}
	}
}

// TestReadRecord: the record of an environment is readable though it has fewer replicas
// than the file may have, and says nothing that it does not hold.
func TestReadRecord(t *testing.T) {
	staging := in(t, load(t, "testdata/good/tier-1.yaml"), "staging")
	back, err := spec.ReadRecord(staging.Canonical())
	if err != nil || back.Environment != "staging" || back.Replicas != 1 {
		t.Fatalf("%+v %v", back, err)
	}
	if _, err := spec.Load("platform.yaml", staging.Canonical()); err == nil {
		t.Error("a record is taken for a file")
	}
	both := strings.Replace(string(staging.Canonical()), `"rollout":`, `"environments":{"staging":{}},"rollout":`, 1)
	if _, err := spec.ReadRecord([]byte(both)); err == nil || !strings.Contains(err.Error(), "resolved") {
		t.Errorf("%v", err)
	}
}

// TestValues: what two people call the same is the same, whatever its order in the file.
func TestValues(t *testing.T) {
	s := load(t, "testdata/good/tier-1.yaml")
	src := string(read(t, "testdata/good/tier-1.yaml"))
	swapped := strings.NewReplacer(
		"[iban, postcode]", "[postcode, iban]", "[billing-api, crm-web]", "[crm-web, billing-api]",
		"    - {name: roc_auc, min: 0.92, max_regression_vs_production: 0.005}\n    - {name: log_loss, max: 0.2}\n",
		"    - {name: log_loss, max: 0.2}\n    - {name: roc_auc, min: 0.92, max_regression_vs_production: 0.005}\n").Replace(src)
	other, err := spec.Load("platform.yaml", []byte(swapped))
	if err != nil || swapped == src {
		t.Fatal(err)
	}
	values := func(s *spec.Spec) map[string]string {
		out := map[string]string{}
		for _, v := range s.Values() {
			out[v.Path] = v.Text + " from " + v.Origin
		}
		return out
	}
	if diff := cmp.Diff(values(s), values(other)); diff != "" {
		t.Error(diff)
	}
	for path, want := range map[string]string{
		"data.pii": "iban, postcode from file", "validation.metrics[roc_auc].max_regression_vs_production": "0.005 from file",
		"validation.slices[log_loss by channel].min_rows":                      "300 from default of tier 1",
		"data.training[s3://lake/payments/train/2026-06-01/].licence_or_basis": "contract from file",
		"rollout.steps[2].weight":                                              "100 from file",
		"resources.cpu":                                                        "500m from file",
		"description":                                                          "Scores payments.\nTier 1: it can stop money.\n from file",
	} {
		if got := values(s)[path]; got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	command := values(load(t, "testdata/good/command.yaml"))
	if got := command["model.command"]; got != `["python","-m","serve","--socket","{socket}"] from file` {
		t.Error(got)
	}
	if got := values(load(t, "testdata/good/minimal.yaml"))["rollout.steps[0].weight"]; got != "100 from default of tier 4" {
		t.Error(got)
	}
}
