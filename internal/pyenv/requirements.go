// Package pyenv builds the Python environments that models ask for, with the program uv,
// and keeps them by the digest of what they hold.
package pyenv

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/slipway-ml/slipway"
)

// Files of a model directory that say what it needs, as MLflow writes them.
const (
	RequirementsFile = "requirements.txt"
	PythonFile       = "python_env.yaml"
	CondaFile        = "conda.yaml"
)

// Bounds of these files.
const (
	maxFile   = 1 << 20
	maxLines  = 1000
	maxTokens = 20_000
)

// Requirements are what a model asks for.
type Requirements struct {
	Python      string // "3.11"; empty: whatever the host has
	Lines       []Line
	Constraints []Line // they bound versions, and ask for nothing
}

// Line is one requirement (PEP 508) and where it stands.
type Line struct {
	Text   string // without hashes
	File   string
	Number int      // from 1
	Hashes []string // "sha256:…": the files that may be installed; none: any
}

func (l Line) place() string { return fmt.Sprintf("%s:%d", l.File, l.Number) }

const pinAgain = "save the model again with pip_requirements=[...], or correct the line"

func bad(file string, line int, next, format string, args ...any) error {
	e := slipway.Errorf(slipway.Invalid, slipway.CodeModelDir, next, format, args...)
	e.Field = file
	if line > 0 {
		e.Field = fmt.Sprintf("%s:%d", file, line)
	}
	return e
}

// Read reads requirements.txt, else the part of conda.yaml that pip installs, and the
// version of Python from python_env.yaml, else from conda.yaml. It answers Invalid with
// CodeModelDir, and the line as the field, for what no environment is built from.
func Read(dir fs.FS) (Requirements, error) {
	var r Requirements
	x := &reader{dir: dir, r: &r}
	lines := x.file(RequirementsFile, false)
	if lines != nil && !errors.Is(lines, fs.ErrNotExist) {
		return r, lines
	}
	version, python := readPython(dir)
	if python != nil && !errors.Is(python, fs.ErrNotExist) {
		return r, python
	}
	r.Python = version
	if lines == nil && python == nil {
		return r, nil
	}
	c, err := readConda(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && lines == nil:
		return r, nil
	case errors.Is(err, fs.ErrNotExist):
		return r, bad(RequirementsFile, 0, "save the model again with mlflow.*.save_model, which writes it", "is not in the model directory")
	case err != nil:
		return r, err
	}
	if python != nil {
		if r.Python, err = c.version(); err != nil {
			return r, err
		}
	}
	if lines == nil {
		return r, nil
	}
	if len(c.other) > 0 {
		l := c.other[0]
		return r, bad(l.File, l.Number, "give the package in requirements.txt", "the package %.80q would come from conda, which the platform does not use", l.Text)
	}
	for _, l := range c.pip {
		if err := x.add(l, false); err != nil {
			return r, err
		}
	}
	return r, nil
}

// all is every line that bears on the solution.
func (r Requirements) all() []Line { return slices.Concat(r.Lines, r.Constraints) }

// Digest names the environment: the same requirements, in whatever order and with whatever
// comments, for the same Python and platform.
func (r Requirements) Digest(platform string) slipway.Digest {
	text := "python " + r.Python + "\nplatform " + platform + "\n" + canonical("", r.Lines) + canonical("constraint ", r.Constraints)
	return slipway.DigestOf([]byte(text))
}

// canonical is the set of lines.
func canonical(prefix string, lines []Line) string {
	out := make([]string, 0, len(lines))
	for _, l := range lines {
		allowed := slices.Sorted(slices.Values(l.Hashes))
		text := prefix + strings.ReplaceAll(l.canonical(), " ", "")
		out = append(out, strings.Join(append([]string{text}, slices.Compact(allowed)...), " ")+"\n")
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), "")
}

var pythonRE = regexp.MustCompile(`^([23]\.\d{1,2})(\.\d{1,3})?$`)

// minor cuts a version of Python to what packages depend on: "3.11.9" gives "3.11".
func minor(file string, line int, version string) (string, error) {
	m := pythonRE.FindStringSubmatch(version)
	if m == nil {
		return "", bad(file, line, "write a version such as 3.11", "%.40q is no version of Python", version)
	}
	return m[1], nil
}

// readPython reads python_env.yaml. A version that YAML takes for a number is read as it
// is written: 3.10 is not 3.1.
func readPython(dir fs.FS) (string, error) {
	node, err := readYAML(dir, PythonFile, "$.python")
	if err != nil || node == nil || node.Type() == ast.NullType {
		return "", err
	}
	t := node.GetToken()
	return minor(PythonFile, t.Position.Line, t.Value)
}

// conda is what conda.yaml says.
type conda struct {
	python *Line // what it says of Python
	pip    []Line
	other  []Line // packages that conda itself would install
}

func readConda(dir fs.FS) (conda, error) {
	var c conda
	node, err := readYAML(dir, CondaFile, "$.dependencies")
	if err != nil {
		return c, err
	}
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		return c, bad(CondaFile, 0, pinAgain, "has no list of dependencies")
	}
	for _, item := range list.Values {
		if err := c.add(item); err != nil {
			return c, err
		}
	}
	return c, nil
}

// condaRE takes a package of conda apart: channel, name, and what versions it may have.
var condaRE = regexp.MustCompile(`^(?:[A-Za-z0-9._/-]+::)?([A-Za-z0-9._-]+)\s*(.*)$`)

// add takes one dependency: a package of conda, or the list that pip installs.
func (c *conda) add(item ast.Node) error {
	line := item.GetToken().Position.Line
	switch item := item.(type) {
	case *ast.StringNode:
		m := condaRE.FindStringSubmatch(item.Value)
		if m == nil {
			break
		}
		switch m[1] {
		case "python":
			c.python = &Line{Text: m[2], File: CondaFile, Number: line}
		case "pip", "setuptools", "wheel":
		default:
			c.other = append(c.other, Line{Text: item.Value, File: CondaFile, Number: line})
		}
		return nil
	case *ast.MappingNode:
		if len(item.Values) == 1 && item.Values[0].Key.String() == "pip" {
			return c.list(item.Values[0].Value)
		}
	}
	return bad(CondaFile, line, pinAgain, "is no dependency")
}

// exactRE is one version, after which conda may name a build.
var exactRE = regexp.MustCompile(`^={0,2}\s*([0-9.]*[0-9])(?:\.\*)?(?:=\S*)?$`)

// version is the minor version of Python; empty: any. A range is refused, for the version
// that a model was saved with is the one that reads it.
func (c *conda) version() (string, error) {
	if c.python == nil || c.python.Text == "" {
		return "", nil
	}
	if m := exactRE.FindStringSubmatch(c.python.Text); m != nil {
		return minor(CondaFile, c.python.Number, m[1])
	}
	return minor(CondaFile, c.python.Number, c.python.Text)
}

func (c *conda) list(node ast.Node) error {
	list, ok := node.(*ast.SequenceNode)
	if !ok || len(list.Values) > maxLines {
		return bad(CondaFile, node.GetToken().Position.Line, pinAgain, "is no list of at most %d requirements", maxLines)
	}
	for _, item := range list.Values {
		line := item.GetToken().Position.Line
		s, ok := item.(*ast.StringNode)
		if !ok {
			return bad(CondaFile, line, pinAgain, "is no requirement")
		}
		c.pip = append(c.pip, newLine(s.Value, CondaFile, line))
	}
	return nil
}

// readYAML gives what a path leads to in a file, nil if it leads nowhere.
func readYAML(dir fs.FS, name, where string) (ast.Node, error) {
	text, err := readFile(dir, name)
	if err != nil {
		return nil, err
	}
	if err := simple(name, text); err != nil {
		return nil, err
	}
	file, err := parser.ParseBytes([]byte(text), 0)
	if err != nil || len(file.Docs) != 1 {
		return nil, unreadable(name, err)
	}
	at, err := yaml.PathString(where)
	if err != nil {
		return nil, err
	}
	node, err := at.FilterFile(file)
	if errors.Is(err, yaml.ErrNotFoundNode) {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(name, err)
	}
	return node, nil
}

// simple refuses text that would make the YAML parser work without bound.
func simple(file, text string) error {
	tokens := lexer.Tokenize(text)
	if len(tokens) > maxTokens {
		return bad(file, 0, pinAgain, "has more than %d elements", maxTokens)
	}
	for _, t := range tokens {
		if t.Type == token.AnchorType || t.Type == token.AliasType || t.Type == token.MergeKeyType {
			return bad(file, t.Position.Line, pinAgain, "has an anchor or an alias")
		}
	}
	return nil
}

func unreadable(file string, cause error) error {
	return &slipway.Error{Code: slipway.CodeModelDir, Kind: slipway.Invalid, Field: file, Message: "cannot be read as YAML", Next: pinAgain, Cause: cause}
}

func readFile(dir fs.FS, name string) (string, error) {
	f, err := dir.Open(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if len(b) > maxFile {
		return "", bad(name, 0, pinAgain, "is larger than %d bytes", maxFile)
	}
	return string(b), nil
}
