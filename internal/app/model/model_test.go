package model_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/slipway-ml/slipway/internal/app/model"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// TestLightGBM: the text of a Booster is evaluated natively, an object of Python by Python,
// and so is what the evaluator does not know.
func TestLightGBM(t *testing.T) {
	text, err := os.ReadFile("../../tree/lightgbm/testdata/regression.txt")
	if err != nil {
		t.Fatal(err)
	}
	s, err := spec.Load("platform.yaml", []byte("apiVersion: platform/v1\nkind: RealtimeModel\nname: demand\ndescription: Demand of a day.\ntier: 4\nowner: {team: pricing}\nmodel: {source: ./model}\n"))
	if err != nil {
		t.Fatal(err)
	}
	const about = `flavors:
  python_function: {loader_module: mlflow.lightgbm}
  lightgbm: {data: m, model_class: %s, lgb_version: 4.7.0}
signature:
  inputs: '[{"type":"tensor","tensor-spec":{"dtype":"float64","shape":[-1,4]}}]'
  outputs: '[{"type":"tensor","tensor-spec":{"dtype":"float64","shape":[-1]}}]'
`
	for _, c := range []struct {
		class, kind string
		file        []byte
		says        string
	}{
		{"lightgbm.basic.Booster", route.RuntimeTree, text, ""},
		{"lightgbm.sklearn.LGBMRegressor", route.RuntimePython, []byte("\x80\x04"), "model.booster_"},
		{"lightgbm.basic.Booster", route.RuntimePython, append([]byte("tree\nversion=v9\n"), text[len("tree\nversion=v4\n"):]...), "slower"},
	} {
		got, err := model.Describe(fstest.MapFS{"MLmodel": {Data: fmt.Appendf(nil, about, c.class)}, "m": {Data: c.file}}, s)
		if err != nil {
			t.Fatal(err)
		}
		said := ""
		for _, r := range got.Results {
			if r.Check == "runtime" && r.Verdict != verdict.Fail {
				said = r.Message + r.Next
			}
		}
		if got.Runtime.Kind != c.kind || (got.Trees != nil) != (c.kind == route.RuntimeTree) || !strings.Contains(said, c.says) {
			t.Errorf("%s: %s, says %q", c.class, got.Runtime.Kind, said)
		}
	}
}
