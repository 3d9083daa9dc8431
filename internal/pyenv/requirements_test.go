package pyenv_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/pyenv"
)

func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

func TestRead(t *testing.T) {
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	r, err := pyenv.Read(files(
		"requirements.txt", "# made by MLflow\nmlflow==3.17.2\n\nscikit-learn==1.9.1  # pinned\nnumpy>=2 ; python_version >= '3.9'\nsix==1.17.0 \\\n    --hash=sha256:"+a+" \\\n    --hash=sha256:"+b+"\nrequests[socks]~=2.34\n",
		"python_env.yaml", "python: 3.11.9\nbuild_dependencies: [pip]\ndependencies: ['-r requirements.txt']\n",
		"conda.yaml", "dependencies: [python=3.10, pip, {pip: [ignored]}]"))
	if err != nil {
		t.Fatal(err)
	}
	want := pyenv.Requirements{Python: "3.11", Lines: []pyenv.Line{
		{Text: "mlflow==3.17.2", File: "requirements.txt", Number: 2}, {Text: "scikit-learn==1.9.1", File: "requirements.txt", Number: 4},
		{Text: "numpy>=2 ; python_version >= '3.9'", File: "requirements.txt", Number: 5}, {Text: "six==1.17.0", File: "requirements.txt", Number: 6, Hashes: []string{"sha256:" + a, "sha256:" + b}},
		{Text: "requests[socks]~=2.34", File: "requirements.txt", Number: 9}}}
	if d := cmp.Diff(want, r); d != "" {
		t.Error(d)
	}
}

func TestReadConda(t *testing.T) {
	r, err := pyenv.Read(files("conda.yaml", "channels: [conda-forge]\ndependencies:\n- python=3.12.1\n- pip<=23\n- pip:\n  - six==1.17.0\n  - numpy\n"))
	want := pyenv.Requirements{Python: "3.12", Lines: []pyenv.Line{{Text: "six==1.17.0", File: "conda.yaml", Number: 6}, {Text: "numpy", File: "conda.yaml", Number: 7}}}
	if d := cmp.Diff(want, r); d != "" || err != nil {
		t.Error(err, d)
	}
}

// TestPython reads the version as it is written.
func TestPython(t *testing.T) {
	for _, tt := range []struct{ file, text, want string }{
		{"python_env.yaml", "python: 3.10", "3.10"}, // a number to YAML
		{"python_env.yaml", "python: '3.10'", "3.10"},
		{"python_env.yaml", "python:", ""},
		{"python_env.yaml", "build_dependencies: [pip]", ""},
		{"conda.yaml", "dependencies: [python=3.11.9=h12_cpython]", "3.11"},
		{"conda.yaml", "dependencies: [python==3.11.*]", "3.11"},
		{"conda.yaml", "dependencies: [conda-forge::python=3.11]", "3.11"},
		{"conda.yaml", "dependencies: [python 3.11]", "3.11"},
		{"conda.yaml", "dependencies: [python, xgboost]", ""}, // the requirements are in requirements.txt
		{"other.txt", "", ""},
	} {
		r, err := pyenv.Read(files("requirements.txt", "six", tt.file, tt.text))
		if err != nil || r.Python != tt.want {
			t.Errorf("%q gives %q, %v, want %q", tt.text, r.Python, err, tt.want)
		}
	}
}

func TestInclude(t *testing.T) {
	r, err := pyenv.Read(files("requirements.txt", "-r more/a.txt\n-c constraints.txt\nsix\n", "more/a.txt", "numpy\n-c b.txt\n",
		"more/b.txt", "scipy<2", "constraints.txt", "\npandas<3\n"))
	want := pyenv.Requirements{Lines: []pyenv.Line{{Text: "numpy", File: "more/a.txt", Number: 1}, {Text: "six", File: "requirements.txt", Number: 3}},
		Constraints: []pyenv.Line{{Text: "scipy<2", File: "more/b.txt", Number: 1}, {Text: "pandas<3", File: "constraints.txt", Number: 2}}}
	if d := cmp.Diff(want, r); d != "" || err != nil {
		t.Error(err, d)
	}
	if other := (pyenv.Requirements{Lines: r.Lines}); other.Digest("x") == r.Digest("x") {
		t.Error("constraints do not count")
	}
}

func TestReadRefuses(t *testing.T) {
	for _, tt := range []struct{ file, text, want string }{
		{"requirements.txt", "six\n-r other.txt\n", "requirements.txt:2: the file it names is not in the model directory"},
		{"requirements.txt", "-r ../other.txt", "requirements.txt:1: the file it names is outside"},
		{"requirements.txt", "-c/etc/passwd", "requirements.txt:1: the file it names is outside"},
		{"requirements.txt", "--constraint=/etc/passwd", "requirements.txt:1: the file it names is outside"},
		{"requirements.txt", "-r https://files.example.com/a.txt", "requirements.txt:1: the file it names is outside"},
		{"requirements.txt", "-r file:a.txt", "requirements.txt:1: the file it names is outside"},
		{"requirements.txt", "-r .", "requirements.txt:1: the file it names is outside"},
		{"requirements.txt", "-r requirements.txt", "requirements.txt:1: the file it names is read already"},
		{"requirements.txt", "--extra-index-url=https://me:secret@packages.example.com", "the option \"--extra-index-url\" is"},
		{"requirements.txt", "six@file:x", "requirements.txt:1: a package by its address or path"},
		{"requirements.txt", "six@./x.whl", "requirements.txt:1: a package by its address or path"},
		{"requirements.txt", "six @\t${HOME}", "requirements.txt:1: a package by its address or path"},
		{"requirements.txt", "local/dir", "requirements.txt:1: a package by its address or path"},
		{"requirements.txt", "x.whl", "requirements.txt:1: a package by its address or path"},
		{"requirements.txt", "x.tar.gz[a]", "requirements.txt:1: a package by its address or path"},
		{"requirements.txt", "six==${HOME}", "requirements.txt:1: is no requirement"},
		{"requirements.txt", "six --global-option=x", "requirements.txt:1: is no requirement"},
		{"requirements.txt", "odd name", "requirements.txt:1: is no requirement"},
		{"requirements.txt", "six==1 --hash=sha256:0", "requirements.txt:1: has a hash"},
		{"requirements.txt", "--index-url https://packages.example.com/simple\n", "requirements.txt:1: the option \"--index-url\""},
		{"requirements.txt", "-e .\n", "requirements.txt:1: the option"},
		{"requirements.txt", "\n\ngit+https://git.example.com/a.git\n", "requirements.txt:3: a package by its address"},
		{"requirements.txt", "six @ https://files.example.com/six.whl\n", "requirements.txt:1: a package by its address"},
		{"requirements.txt", "./local.whl", "requirements.txt:1: a package by its address or path"},
		{"requirements.txt", "/etc/passwd", "requirements.txt:1: a package by its address or path"},
		{"requirements.txt", "a\x1b[31m", "requirements.txt:1: has a control character"},
		{"requirements.txt", "!nonsense", "requirements.txt:1: is no requirement"},
		{"requirements.txt", strings.Repeat("six\n", 1002), "requirements.txt:1001: there are more than 1000"},
		{"requirements.txt", strings.Repeat("x", 1<<20+1), "is larger than"},
		{"conda.yaml", "dependencies: [python=3.11, xgboost]", "conda.yaml:1: the package \"xgboost\" would come from conda"},
		{"conda.yaml", "dependencies: [python=banana]", "conda.yaml:1: \"=banana\" is no version"},
		{"conda.yaml", "dependencies: ['python>=3.9', {pip: [six]}]", "conda.yaml:1: \">=3.9\" is no version"},
		{"conda.yaml", "dependencies: [{pip: [six, '-i https://packages.example.com']}]", "conda.yaml:1: the option"},
		{"conda.yaml", "dependencies: [{pip: six}]", "conda.yaml:1: is no list"},
		{"conda.yaml", "dependencies: {a: b}", "has no list of dependencies"},
		{"conda.yaml", "a: &a [b]\ndependencies: *a", "anchor"},
		{"conda.yaml", "a: [", "conda.yaml"},
		{"other.txt", "", "requirements.txt: is not in the model directory"},
	} {
		_, err := pyenv.Read(files(tt.file, tt.text))
		if e := slipway.AsError(err); err == nil || !strings.Contains(e.Error(), tt.want) || e.Kind != slipway.Invalid || e.Next == "" {
			t.Errorf("%.40q gives %v, want %q", tt.text, err, tt.want)
		}
	}
}

func TestDigest(t *testing.T) {
	line := rapid.Custom(func(t *rapid.T) string {
		return rapid.StringMatching(`[a-z]{1,4}([-_.][a-z]{1,3})?`).Draw(t, "name") + rapid.SampledFrom([]string{"", "==1.2", ">=1, <3"}).Draw(t, "version")
	})
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(line, 1, 6).Draw(t, "lines")
		read := func(lines []string) slipway.Digest {
			r, err := pyenv.Read(files("requirements.txt", strings.Join(lines, "\n# why\n\n")))
			if err != nil {
				t.Fatal(err)
			}
			return r.Digest("linux-amd64")
		}
		digest := read(lines)
		other := rapid.Permutation(lines).Draw(t, "order")
		for i := range other {
			other[i] = strings.ToUpper(strings.ReplaceAll(other[i], "_", "-")) + "   # as before"
		}
		if got := read(other); got != digest {
			t.Fatalf("%q and %q differ", lines, other)
		}
		if read(append(lines, "another==9")) == digest {
			t.Fatal("one more requirement changes nothing")
		}
	})
	r := pyenv.Requirements{Python: "3.11"}
	if r.Digest("linux-amd64") == r.Digest("linux-arm64") || r.Digest("x") == (pyenv.Requirements{Python: "3.12"}).Digest("x") {
		t.Error("Python and platform do not count")
	}
}

func FuzzRead(f *testing.F) {
	f.Add("requirements.txt", "six==1 \\\n # x\n")
	f.Add("conda.yaml", "dependencies:\n- python=3.11\n- pip:\n  - six\n")
	f.Add("python_env.yaml", "python: 3.11.9")
	f.Fuzz(func(t *testing.T, name, text string) {
		if name != "requirements.txt" && name != "conda.yaml" && name != "python_env.yaml" {
			return
		}
		r, err := pyenv.Read(files(name, text))
		if err != nil {
			return
		}
		for _, l := range r.Lines {
			if l.Text == "" || strings.ContainsAny(l.Text, "\n\r") || strings.HasPrefix(l.Text, "-") || strings.ContainsAny(l.Text, "@/$\\") || l.Number < 1 {
				t.Fatalf("%+v", l)
			}
		}
		_ = r.Digest("x")
	})
}
