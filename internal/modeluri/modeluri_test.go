package modeluri_test

import (
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/modeluri"
)

func TestParse(t *testing.T) {
	for s, want := range map[string]modeluri.URI{
		"models:/fraud/7":               {Model: "fraud", Version: 7},
		"models:/My model/7":            {Model: "My model", Version: 7},
		"models:///fraud/7":             {Model: "fraud", Version: 7},
		"models:/fraud@champion":        {Model: "fraud", Alias: "champion"},
		"models:/a@b@champion":          {Model: "a@b", Alias: "champion"},
		"models:/fraud/latest":          {Model: "fraud", Latest: true},
		"models:/fraud/Latest":          {Model: "fraud", Latest: true},
		"models:/fraud/Production":      {Model: "fraud", Stage: "Production"},
		"models:/m-0123":                {Logged: "m-0123"},
		"runs:/abc/model":               {Run: "abc", Path: "model"},
		"runs:/abc/a/b/":                {Run: "abc", Path: "a/b"},
		"runs:/abc":                     {Run: "abc"},
		"mlflow-artifacts:/1/abc//x":    {Artifact: "1/abc/x"},
		"mlflow-artifacts:/1/a%2Fb":     {Artifact: "1/a%2Fb"},
		"MLFLOW-ARTIFACTS:/1/a":         {Artifact: "1/a"},
		"mlflow-artifacts:///1/models/": {Artifact: "1/models"},
	} {
		if got, err := modeluri.Parse(s); err != nil || got != want {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "fraud:3", "s3://bucket/x", "models:/", "models:/a/b/c", "models:/a/", "models:/@x", "models:/a@", "models:/a/0",
		"models:/a/99999999999999999999", "models://host/a/1", "runs:/", "runs://host/x/y", "runs:/a/../b", "runs:/a/%2e%2e/b", "runs:/a/%252e%252e/b",
		`mlflow-artifacts:/a\b`, "mlflow-artifacts:/..", "mlflow-artifacts:/a%00", "models:"} {
		if u, err := modeluri.Parse(s); err == nil {
			t.Errorf("%q is %+v", s, u)
		}
	}
}

// The sources are those that MLflow's own tests try.
func TestCheckSource(t *testing.T) {
	for _, s := range []string{"mlflow-artifacts:/models", "mlflow-artifacts://host:9000/models", "https://host/api/2.0/mlflow-artifacts/artifacts/models", "s3://bucket/a/b", "s3://bucket",
		"dbfs:/a", "runs:/a/b", "models:/a/1", "mlflow-artifacts://host:9000/models/"} {
		if err := modeluri.CheckSource(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"mlflow-artifacts://host:9000/models/../../../", "http://host:9000/models/../../../", "https://host/..", "s3a://bucket/a/../../b", "ftp://host/models/../../../x",
		"/models/artifacts/../../../", "s3:/my_bucket/models/path/../../other/path", "file://path/to/../../../../some/where/you/should/not/be",
		"mlflow-artifacts://host:9000/..%2f..%2f..%2f", "http://host:9000/models/artifact%00", "mlflow-artifacts://host/..%252f..", "mlflow-artifacts:a/./b"} {
		if err := modeluri.CheckSource(s); err == nil || slipway.AsError(err).Kind != slipway.Invalid {
			t.Errorf("%s: %v", s, err)
		}
	}
	for s, want := range map[string]bool{"/tmp": true, "file:///tmp": true, "path/to/x": true, "./a": true, "s3://b": false, "runs:/a": false, "../a:b": true} {
		if got := modeluri.IsLocal(s); got != want {
			t.Errorf("%s is local: %v", s, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"models:/a/1", "models:/a@b", "runs:/a/b%2f..", "mlflow-artifacts:/a//b", "models:/m-1", "models:/a/Production"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_ = modeluri.CheckSource(s)
		u, err := modeluri.Parse(s)
		if err != nil {
			if slipway.AsError(err).Kind != slipway.Invalid {
				t.Errorf("%q: %v, want Invalid", s, err)
			}
			return
		}
		if again, err := modeluri.Parse(u.String()); err != nil || again != u {
			t.Errorf("%q is %+v, which prints as %q: %+v, %v", s, u, u, again, err)
		}
	})
}
