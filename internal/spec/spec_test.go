package spec_test

import (
	"errors"
	"flag"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/templates"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func glob(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(files), err)
	}
	return files
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// golden compares with a file, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, name)), got); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", name, diff)
	}
}

// TestBad: each file's mistakes, all at once, as a terminal shows them.
func TestBad(t *testing.T) {
	for _, file := range glob(t, "testdata/bad/*.yaml") {
		base := filepath.Base(file)
		t.Run(base, func(t *testing.T) {
			s, err := spec.Load(base, read(t, file))
			if err == nil || s != nil {
				t.Fatalf("loaded: %s", s.Canonical())
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", err.Error())
			checkErrors(t, err, read(t, file))
		})
	}
}

// checkErrors holds what is true of every refusal.
func checkErrors(t testing.TB, err error, src []byte) {
	t.Helper()
	var many *spec.Errors
	if !errors.As(err, &many) || len(many.Problems) == 0 || len(many.Problems) > 50 {
		t.Fatalf("%T: %v", err, err)
	}
	lines := strings.Count(string(src), "\n") + 1
	for i, p := range many.Problems {
		if p.Line < 1 || p.Line > lines || p.Column < 1 || p.Message == "" || p.Next == "" {
			t.Errorf("problem %d is not whole: %+v", i, p)
		}
		if p.Code != slipway.CodeSpec && p.Code != slipway.CodeSpecPolicy {
			t.Errorf("code %q", p.Code)
		}
		if i > 0 && p.Line < many.Problems[i-1].Line {
			t.Errorf("problem %d is not in the order of the file", i)
		}
	}
	var one *slipway.Error
	if !errors.As(err, &one) || one.Kind != slipway.Invalid || one.Next == "" || !strings.HasPrefix(one.Message, many.File+":") {
		t.Errorf("as the one error type: %+v", one)
	}
}

func TestTenMistakes(t *testing.T) {
	_, err := spec.Load("ten-mistakes.yaml", read(t, "testdata/bad/ten-mistakes.yaml"))
	var many *spec.Errors
	if !errors.As(err, &many) {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range many.Problems {
		seen[p.Message] = true
	}
	if len(many.Problems) != 10 || len(seen) != 10 {
		t.Errorf("%d mistakes, %d of them different", len(many.Problems), len(seen))
	}
}

// TestCode: only a file whose every mistake is against its tier's policy has that code.
func TestCode(t *testing.T) {
	for file, want := range map[string]string{"tier-1": slipway.CodeSpecPolicy, "ten-mistakes": slipway.CodeSpec, "name": slipway.CodeSpec} {
		_, err := spec.Load("platform.yaml", read(t, "testdata/bad/"+file+".yaml"))
		if got := slipway.AsError(err).Code; got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}

// TestGood: each file's stored record, with all defaults.
func TestGood(t *testing.T) {
	for _, file := range glob(t, "testdata/good/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			s, err := spec.Load(filepath.Base(file), read(t, file))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", string(s.Canonical()))
			checkRoundTrip(t, s)
		})
	}
}

func TestOrigin(t *testing.T) {
	s, err := spec.Load("platform.yaml", read(t, "testdata/good/tier-2-defaults.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"name": "file", "model.name": "model.source", "validation.golden.file": "file",
		"validation.golden.tolerance": "default of tier 2", "validation.metrics[0].max": "file",
		"rollout.steps": "default of tier 2", "scaling.replicas": "default of tier 2", "description": "",
	} {
		if got := s.Origin[path]; got != want {
			t.Errorf("%s comes from %q, want %q", path, got, want)
		}
	}
}

// TestBounds: what is refused before it is parsed.
func TestBounds(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"large":          {"# " + strings.Repeat("x", 256<<10), "larger than 256 KiB"},
		"deep flow":      {"name: " + strings.Repeat("[", 100_000), "too many elements"},
		"deep block":     {strings.Repeat("- ", 100_000), "too many elements"},
		"many aliases":   {"a: &a x\nb: [" + strings.Repeat("*a, ", 10_000) + "]", "too many elements"},
		"many mistakes":  {strings.Repeat("x: 1\n", 500), "and 456 more"},
		"many documents": {strings.Repeat("---\na: 1\n", 200), "second document"},
	} {
		_, err := spec.Load("platform.yaml", []byte(c.src))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %.200v", name, err)
		} else if len(err.Error()) > 32<<10 {
			t.Errorf("%s: a message of %d bytes", name, len(err.Error()))
		}
	}
}

// TestLineEnds: neither Windows' line ends nor a byte order mark move a place.
func TestLineEnds(t *testing.T) {
	src := string(read(t, "testdata/bad/ten-mistakes.yaml"))
	_, want := spec.Load("platform.yaml", []byte(src))
	_, got := spec.Load("platform.yaml", []byte("\xef\xbb\xbf"+strings.ReplaceAll(src, "\n", "\r\n")))
	if diff := cmp.Diff(want.Error(), got.Error()); diff != "" {
		t.Error(diff)
	}
}

// TestTemplate: what `platform init` writes is valid, goes in three steps, and ends
// without traffic.
func TestTemplate(t *testing.T) {
	src, err := templates.FS.ReadFile("xgboost/platform.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := spec.Load("platform.yaml", src)
	if err != nil {
		t.Fatal(err)
	}
	var weights []float64
	var held time.Duration
	for _, st := range s.Rollout.Steps {
		weights = append(weights, st.Weight)
		held += st.Hold
	}
	if diff := cmp.Diff([]float64{5, 25, 100}, weights); diff != "" || held > 5*time.Minute || s.Tier != 3 || s.Rollout.OnNoData != spec.OnNoDataContinue {
		t.Errorf("tier %d, weights %v for %s, on_no_data %s", s.Tier, weights, held, s.Rollout.OnNoData)
	}
	for _, file := range []string{path.Join(s.Model.Source.Dir, "MLmodel"), s.Validation.Golden.File, s.Validation.Dataset.File} {
		if _, err := templates.FS.ReadFile(path.Join("xgboost", file)); err != nil {
			t.Error(err)
		}
	}
	header, _, _ := strings.Cut(string(must(t)(templates.FS.ReadFile(path.Join("xgboost", s.Validation.Dataset.File)))), "\n")
	if !strings.Contains(","+header+",", ","+s.Validation.Dataset.Target+",") {
		t.Errorf("the hold-out file has no column %s", s.Validation.Dataset.Target)
	}
}

func must(t *testing.T) func([]byte, error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}
