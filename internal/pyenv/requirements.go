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
	Python string // "3.11"; empty: whatever the host has
	Lines  []Line
}

// Line is one requirement (PEP 508) and where it stands.
type Line struct {
	Text   string
	File   string
	Number int // from 1
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
	conda, condaErr := readConda(dir)
	if condaErr != nil && !errors.Is(condaErr, fs.ErrNotExist) {
		return r, condaErr
	}
	python, err := readPython(dir)
	switch {
	case err == nil:
		r.Python = python
	case errors.Is(err, fs.ErrNotExist):
		r.Python = conda.Python
	default:
		return r, err
	}
	text, err := readFile(dir, RequirementsFile)
	switch {
	case err == nil:
		r.Lines, err = parseLines(RequirementsFile, text)
		return r, err
	case !errors.Is(err, fs.ErrNotExist):
		return r, err
	case condaErr != nil:
		return r, bad(RequirementsFile, 0, "save the model again with mlflow.*.save_model, which writes it", "is not in the model directory")
	case len(conda.other) > 0:
		l := conda.other[0]
		return r, bad(l.File, l.Number, "give the package in requirements.txt", "the package %.80q would come from conda, which the platform does not use", l.Text)
	}
	r.Lines = conda.Lines
	for _, l := range r.Lines {
		if err := l.check(); err != nil {
			return r, err
		}
	}
	return r, nil
}

// parseLines reads the format of pip's requirements files: comments, lines that go on
// after a backslash, and hashes, which are dropped since the lock has its own.
func parseLines(file, text string) ([]Line, error) {
	var out []Line
	pending, start := "", 0
	for i, raw := range strings.Split(text, "\n") {
		line := strings.TrimRight(raw, "\r")
		if start == 0 {
			start = i + 1
		}
		if strings.HasSuffix(line, `\`) && !strings.HasPrefix(strings.TrimSpace(line), "#") {
			pending += strings.TrimSuffix(line, `\`) + " "
			continue
		}
		l := Line{Text: clean(pending + line), File: file, Number: start}
		pending, start = "", 0
		if l.Text == "" {
			continue
		}
		if err := l.check(); err != nil {
			return nil, err
		}
		if out = append(out, l); len(out) > maxLines {
			return nil, bad(file, l.Number, "ask for fewer packages", "there are more than %d requirements", maxLines)
		}
	}
	if l := (Line{Text: clean(pending), File: file, Number: start}); l.Text != "" {
		if err := l.check(); err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

var (
	comment   = regexp.MustCompile(`(^|\s)#.*$`)
	hashes    = regexp.MustCompile(`\s--hash[= ]\S+`)
	spaces    = regexp.MustCompile(`\s+`)
	packageRE = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?`)
)

func clean(line string) string {
	line = hashes.ReplaceAllString(comment.ReplaceAllString(line, ""), "")
	return strings.TrimSpace(spaces.ReplaceAllString(line, " "))
}

// check refuses what would let a model choose where code comes from.
func (l Line) check() error {
	text := strings.ToLower(l.Text)
	switch {
	case len(l.Text) > 1024:
		return bad(l.File, l.Number, pinAgain, "is longer than 1024 bytes")
	case strings.ContainsFunc(l.Text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return bad(l.File, l.Number, pinAgain, "has a control character")
	case strings.HasPrefix(text, "-"):
		option, _, _ := strings.Cut(l.Text, " ")
		return bad(l.File, l.Number, "remove it: the platform's operator says where packages come from", "the option %.40q is not allowed", option)
	case strings.Contains(text, "://"), strings.Contains(text, " @ "), strings.HasPrefix(text, "."), strings.HasPrefix(text, "/"):
		return bad(l.File, l.Number, "publish the package in your index and pin its version", "a package by its address or path is not allowed")
	case !packageRE.MatchString(l.Text):
		return bad(l.File, l.Number, pinAgain, "is no requirement")
	}
	return nil
}

// name is the normalized name of the package (PEP 503).
func (l Line) name() string {
	return normalize(packageRE.FindString(l.Text))
}

var separators = regexp.MustCompile(`[-_.]+`)

func normalize(name string) string {
	return strings.ToLower(separators.ReplaceAllString(name, "-"))
}

// Digest names the environment: the same requirements, in whatever order and with whatever
// comments, for the same Python and platform.
func (r Requirements) Digest(platform string) slipway.Digest {
	lines := make([]string, 0, len(r.Lines))
	for _, l := range r.Lines {
		name := packageRE.FindString(l.Text)
		lines = append(lines, normalize(name)+strings.ReplaceAll(l.Text[len(name):], " ", ""))
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	return slipway.DigestOf([]byte("python " + r.Python + "\nplatform " + platform + "\n" + strings.Join(lines, "\n") + "\n"))
}

var pythonRE = regexp.MustCompile(`^([23]\.\d{1,2})(\.\d{1,3})?$`)

// minor cuts a version of Python to what packages depend on: "3.11.9" gives "3.11".
func minor(file string, line int, version string) (string, error) {
	m := pythonRE.FindStringSubmatch(strings.TrimLeft(version, "="))
	if m == nil {
		return "", bad(file, line, "write a version such as 3.11", "%.40q is no version of Python", version)
	}
	return m[1], nil
}

func readPython(dir fs.FS) (string, error) {
	text, err := readFile(dir, PythonFile)
	if err != nil {
		return "", err
	}
	if err := simple(PythonFile, text); err != nil {
		return "", err
	}
	var doc struct {
		Python string `yaml:"python"`
	}
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return "", unreadable(PythonFile, err)
	}
	if doc.Python == "" {
		return "", nil
	}
	return minor(PythonFile, 0, doc.Python)
}

// conda is what conda.yaml says.
type conda struct {
	Requirements
	other []Line // packages that conda itself would install
}

func readConda(dir fs.FS) (conda, error) {
	var c conda
	text, err := readFile(dir, CondaFile)
	if err != nil {
		return c, err
	}
	if err := simple(CondaFile, text); err != nil {
		return c, err
	}
	file, err := parser.ParseBytes([]byte(text), 0)
	if err != nil || len(file.Docs) != 1 {
		return c, unreadable(CondaFile, err)
	}
	path, err := yaml.PathString("$.dependencies")
	if err != nil {
		return c, err
	}
	node, err := path.FilterFile(file)
	list, ok := node.(*ast.SequenceNode)
	if err != nil || !ok {
		return c, bad(CondaFile, 0, pinAgain, "has no list of dependencies")
	}
	for _, item := range list.Values {
		if err := c.add(item); err != nil {
			return c, err
		}
	}
	return c, nil
}

// add takes one dependency: a package of conda, or the list that pip installs.
func (c *conda) add(item ast.Node) error {
	line := item.GetToken().Position.Line
	switch item := item.(type) {
	case *ast.StringNode:
		name, version, _ := strings.Cut(item.Value, "=")
		switch name = strings.TrimRight(name, "<>!~ "); name {
		case "python":
			v, err := minor(CondaFile, line, version)
			c.Python = v
			return err
		case "pip", "setuptools", "wheel":
		default:
			c.other = append(c.other, Line{Text: item.Value, File: CondaFile, Number: line})
		}
		return nil
	case *ast.MappingNode:
		if len(item.Values) == 1 && item.Values[0].Key.String() == "pip" {
			return c.pip(item.Values[0].Value)
		}
	}
	return bad(CondaFile, line, pinAgain, "is no dependency")
}

func (c *conda) pip(node ast.Node) error {
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
		if text := clean(s.Value); text != "" {
			c.Lines = append(c.Lines, Line{Text: text, File: CondaFile, Number: line})
		}
	}
	return nil
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
