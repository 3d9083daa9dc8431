package arch_test

import (
	"bytes"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/slipway-ml/slipway"
)

// source is one file.
type source struct {
	path    string // from the root
	lines   int
	test    bool
	made    bool // generated
	syntax  *ast.File
	imports []string // of this module, by directory
	foreign []string // of others, the standard library's too
}

// pkg is one package, with its external tests.
type pkg struct {
	dir   string // from the root, "." for the root
	name  string
	doc   string // its documentation
	files []source
}

// code is the files of a package that are no tests.
func (p *pkg) code() []source {
	var out []source
	for _, f := range p.files {
		if !f.test {
			out = append(out, f)
		}
	}
	return out
}

// parseModule parses every package, by directory.
func parseModule(t *testing.T) (map[string]*pkg, *token.FileSet) {
	t.Helper()
	pkgs, fset := map[string]*pkg{}, token.NewFileSet()
	tree := os.DirFS(root)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := path.Base(name); name != "." && (base[0] == '.' || base[0] == '_' || base == "testdata" || base == "node_modules") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		b, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(fset, name, b, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if pkgs[dir] == nil {
			pkgs[dir] = &pkg{dir: dir}
		}
		pkgs[dir].add(name, b, syntax)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pkgs, fset
}

func (p *pkg) add(name string, content []byte, syntax *ast.File) {
	f := source{path: name, lines: bytes.Count(content, []byte("\n")), test: strings.HasSuffix(name, "_test.go"), made: ast.IsGenerated(syntax), syntax: syntax}
	for _, spec := range syntax.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		switch rest, ours := strings.CutPrefix(imported, module); {
		case ours && rest == "":
			f.imports = append(f.imports, ".")
		case ours && rest[0] == '/':
			f.imports = append(f.imports, rest[1:])
		default:
			f.foreign = append(f.foreign, imported)
		}
	}
	p.files = append(p.files, f)
	if f.test {
		return
	}
	p.name = syntax.Name.Name
	if syntax.Doc != nil {
		p.doc = syntax.Doc.Text()
	}
}

// synopsis is the first sentence of a package's documentation, without its name.
func (p *pkg) synopsis() string {
	s := new(doc.Package).Synopsis(p.doc)
	for _, prefix := range []string{"Package " + p.name + " is ", "Package " + p.name + " ", "Command " + path.Base(p.dir) + " is ", "Command " + path.Base(p.dir) + " "} {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			return rest
		}
	}
	return ""
}
