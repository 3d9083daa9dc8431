package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/spec"
)

// projectFile is what describes a project.
const projectFile = "platform.yaml"

// maxProject bounds what is read of it; spec refuses far less with a better message.
const maxProject = 1 << 20

// project is a platform.yaml and the directory that its paths are relative to.
type project struct {
	file   string // as the user named it
	dir    string // absolute
	source []byte
	spec   *spec.Spec
}

// project reads a platform.yaml, relative to the working directory.
func (s *session) project(file string) (*project, error) {
	full := file
	if !filepath.IsAbs(full) {
		full = filepath.Join(s.env.Dir, file)
	}
	f, err := os.Open(full)
	if err != nil {
		return nil, unreadable(file, err, "platform init, or name the file with -f")
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxProject))
	if err != nil {
		return nil, unreadable(file, err, "name the file with -f")
	}
	p := &project{file: file, dir: filepath.Dir(full), source: src}
	p.spec, err = spec.Load(file, src)
	return p, err
}

// endpoint is the endpoint that the arguments name, or that of the project in the working
// directory.
func (s *session) endpoint(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	p, err := s.project(projectFile)
	var e *slipway.Error
	if errors.As(err, &e) && e.Code == slipway.CodeIO {
		return "", misuse("platform status", "name an endpoint: there is no %s here", projectFile)
	}
	if err != nil {
		return "", err
	}
	return p.spec.Name, nil
}

// path makes a path of the file absolute.
func (p *project) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(p.dir, filepath.FromSlash(name))
}

// validationFiles are the files that checks need, by the role that the server knows.
func (p *project) validationFiles() map[string]string {
	files := map[string]string{}
	if g := p.spec.Validation.Golden; g != nil {
		files["golden"] = g.File
	}
	if d := p.spec.Validation.Dataset; d != nil {
		files["dataset"] = d.File
	}
	return files
}

// checkFiles reports every file that platform.yaml names and that is not there.
func (p *project) checkFiles() error {
	out := &spec.Errors{File: p.file}
	check := func(path, name, kind string, isDir bool) {
		info, err := os.Stat(p.path(name))
		problem := spec.Problem{Code: slipway.CodeSpec, Path: path}
		switch {
		case err != nil && errors.Is(err, os.ErrNotExist):
			problem.Message = "names " + name + ", which does not exist"
			problem.Next = "make it, or name another; paths are relative to " + p.file
		case err != nil:
			problem.Message, problem.Next = "names "+name+", which cannot be read", "check its permissions"
		case info.IsDir() != isDir:
			problem.Message, problem.Next = "names "+name+", which is no "+kind, "name a "+kind
		default:
			return
		}
		problem.Line, problem.Column, problem.Excerpt = p.find(name)
		out.Problems = append(out.Problems, problem)
	}
	if dir := p.spec.Model.Source.Dir; dir != "" {
		check("model.source", dir, "directory", true)
	}
	for _, role := range []string{"golden", "dataset"} {
		if name, ok := p.validationFiles()[role]; ok {
			check("validation."+role+".file", name, "file", false)
		}
	}
	if len(out.Problems) == 0 {
		return nil
	}
	return out
}

// find gives the place of a value in the source, both from 1, and its line.
func (p *project) find(value string) (line, column int, excerpt string) {
	n := 0
	for text := range strings.Lines(string(p.source)) {
		n++
		content, _, _ := strings.Cut(text, " #")
		if i := strings.Index(content, value); i >= 0 && !strings.HasPrefix(strings.TrimSpace(content), "#") {
			column = utf8.RuneCountInString(content[:i]) + 1
			number := strconv.Itoa(n)
			return n, column, fmt.Sprintf("%s | %s\n%s | %s^", number, strings.TrimRight(text, "\r\n"),
				strings.Repeat(" ", len(number)), strings.Repeat(" ", column-1))
		}
	}
	return 1, 1, ""
}
