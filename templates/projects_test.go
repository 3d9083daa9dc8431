package templates_test

import (
	"bytes"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/templates"
)

// TestProjects: each is whole, nothing strays into it, and its platform.yaml is valid and
// names what is there or what train.py writes.
func TestProjects(t *testing.T) {
	common := []string{".github/workflows/ci.yml", ".gitignore", ".gitlab-ci.yml", "README.md", "platform.yaml", "pytest.ini",
		"requirements-dev.txt", "requirements.txt", "train.py"}
	for template, own := range map[string][]string{
		"xgboost": {"golden.jsonl", "holdout.csv", "tests/test_model.py", "model/MLmodel", "model/conda.yaml", "model/input_example.json",
			"model/model.ubj", "model/python_env.yaml", "model/requirements.txt", "model/serving_input_example.json"},
		"sklearn": {"tests/test_model.py"},
		"python":  {"scorer.py", "tests/test_model.py"},
		"custom":  {"server.py", "tests/test_server.py"},
	} {
		t.Run(template, func(t *testing.T) {
			files := list(t, template)
			if diff := cmp.Diff(slices.Sorted(slices.Values(slices.Concat(common, own))), files); diff != "" {
				t.Error(diff)
			}
			about := read(t, template+"/platform.yaml")
			s, err := spec.Load("platform.yaml", about)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(about), "\nname: "+s.Name+" "); n != 1 {
				t.Errorf("%d lines of platform.yaml give the name", n)
			}
			if n := strings.Count(string(read(t, template+"/README.md")), `("`+s.Name+`"`); n != 1 {
				t.Errorf("%d lines of README.md call the model", n)
			}
			train, ignored := read(t, template+"/train.py"), "\n"+string(read(t, template+"/.gitignore"))
			for _, file := range []string{s.Model.Source.Dir, s.Validation.Golden.File, s.Validation.Dataset.File} {
				file = path.Clean(file)
				if !bytes.Contains(train, []byte(`/ "`+file+`"`)) {
					t.Errorf("train.py does not write %s", file)
				}
				_, err := fs.Stat(templates.FS, path.Join(template, file))
				if kept := !strings.Contains(ignored, "\n/"+file); kept != (err == nil) {
					t.Errorf("%s is checked in: %t; it is kept by git: %t", file, err == nil, kept)
				}
			}
			for _, file := range []string{".gitlab-ci.yml", ".github/workflows/ci.yml", "requirements-dev.txt", "pytest.ini"} {
				if !bytes.Equal(read(t, template+"/"+file), read(t, "xgboost/"+file)) {
					t.Errorf("%s differs from that of xgboost", file)
				}
			}
			for line := range strings.Lines(string(read(t, template+"/requirements.txt"))) {
				if !strings.Contains(line, "==") && !strings.HasPrefix(line, "#") {
					t.Errorf("requirements.txt does not pin %q", line)
				}
			}
		})
	}
}

// list is the files below a folder, sorted.
func list(t *testing.T, folder string) (files []string) {
	t.Helper()
	dir, err := fs.Sub(templates.FS, folder)
	if err != nil {
		t.Fatal(err)
	}
	err = fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}
