package arch_test

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// unlisted is the layer of a package that is in no layer.
const unlisted = -1

// layerOf finds the layer of a package by its directory.
func layerOf(dir string) int {
	return slices.IndexFunc(layers, func(l layer) bool {
		return slices.ContainsFunc(l.packages, func(pattern string) bool { return match(pattern, dir) })
	})
}

func match(pattern, dir string) bool {
	above, all := strings.CutSuffix(pattern, "/...")
	return dir == above || all && below(dir, above)
}

func below(dir, above string) bool { return strings.HasPrefix(dir, above+"/") }

// reach is the highest layer that a package may import.
func reach(dir string) int {
	for _, n := range narrow {
		if dir == n.pkg || below(dir, n.pkg) {
			return n.reach
		}
	}
	return layerOf(dir) - 1
}

// refuse says why a package may not import another, or nothing. The tests of a package may
// import its neighbours too, to be tested with what is real.
func refuse(from, to string, test bool) string {
	switch at := layerOf(to); {
	case from == to, at <= reach(from):
		return ""
	case at == layerOf(from) && (test || below(to, from) || below(from, to)):
		return ""
	case at > layerOf(from):
		return "upwards"
	case at < layerOf(from):
		return "beyond its reach"
	}
	if slices.ContainsFunc(sideways, func(s exception) bool { return s.allows(from, to) }) {
		return ""
	}
	return "sideways"
}

func TestRefuse(t *testing.T) {
	for _, c := range []struct {
		from, to string
		test     bool
		want     string
	}{
		{"internal/spec", ".", false, ""},
		{".", "internal/spec", false, "upwards"},
		{"api", ".", false, "sideways"},
		{"internal/gateway", "internal/route", false, ""},
		{"internal/gateway", "internal/gateway/handover", false, ""},
		{"internal/gateway/handover", "internal/gateway", false, ""},
		{"internal/gateway", "internal/rollout", false, "sideways"},
		{"internal/gateway", "internal/rollout", true, ""},
		{"internal/gateway", "internal/process", true, "upwards"},
		{"internal/mlmodel", "internal/tree", false, ""},
		{"internal/tree", "internal/mlmodel", false, "sideways"},
		{"internal/sqlstore/rollout", "internal/sqlstore", false, ""},
		{"internal/sqlstore/rollout", "internal/sqlstore/registry", false, "sideways"},
		{"internal/storetest/rollout", "internal/sqlstore/event", false, ""},
		{"internal/cli", "client", false, ""},
		{"internal/clip", "internal/spec", false, "upwards"},
		{"internal/cli", "internal/cli/screen", false, ""},
		{"internal/cli", "internal/rollout", false, "beyond its reach"},
		{"internal/cli/screen", "internal/gateway", false, "beyond its reach"},
		{"client", "internal/spec", false, "beyond its reach"},
		{"cmd/platform", "internal/app", false, ""},
	} {
		if got := refuse(c.from, c.to, c.test); got != c.want {
			t.Errorf("refuse(%s, %s, %v) = %q, want %q", c.from, c.to, c.test, got, c.want)
		}
	}
}

func TestImports(t *testing.T) {
	pkgs, _ := parseModule(t)
	var used [][2]string
	for dir, p := range pkgs {
		if layerOf(dir) == unlisted {
			t.Errorf("%s is in no layer: give it a place in internal/arch/table_test.go", dir)
			continue
		}
		for _, f := range p.files {
			for _, to := range f.imports {
				if layerOf(to) == unlisted {
					continue // said once, above
				}
				used = append(used, [2]string{dir, to})
				if why := refuse(dir, to, f.test); why != "" {
					t.Errorf("%s imports %s: %s, from layer %d to layer %d", f.path, to, why, layerOf(dir), layerOf(to))
				}
			}
			if layerOf(dir) == 0 && !f.test {
				for _, to := range f.foreign {
					if first, _, _ := strings.Cut(to, "/"); strings.Contains(first, ".") {
						t.Errorf("%s imports %s: layer 0 has the standard library only", f.path, to)
					}
				}
			}
		}
	}
	for _, s := range sideways {
		if s.why == "" {
			t.Errorf("%s may import %s for no reason", s.from, s.to)
		}
		if !slices.ContainsFunc(used, func(u [2]string) bool { return s.allows(u[0], u[1]) }) {
			t.Errorf("%s does not import %s: take the exception out", s.from, s.to)
		}
	}
}

func TestPackages(t *testing.T) {
	pkgs, _ := parseModule(t)
	for dir, p := range pkgs {
		if slices.Contains(forbidden, path.Base(dir)) || slices.Contains(forbidden, p.name) {
			t.Errorf("%s: a package is named for what it does", dir)
		}
		if len(p.code()) > 0 && p.synopsis() == "" {
			t.Errorf("%s: no file has a comment that begins with \"Package %s\" (of a program: \"Command %s\")", dir, p.name, path.Base(dir))
		}
	}
}

func TestSizes(t *testing.T) {
	pkgs, fset := parseModule(t)
	large := map[string]bool{}
	check := func(what string, size, limit int, unit string) {
		if size <= limit {
			return
		}
		large[what] = true
		if o, ok := oversized[what]; ok {
			limit = o.limit
		}
		if size > limit {
			t.Errorf("%s has %d %s, more than %d", what, size, unit, limit)
		}
	}
	var sizes []int
	for dir, p := range pkgs {
		sum := 0
		for _, f := range p.files {
			if f.made { // nobody reads it
				continue
			}
			check(f.path, f.lines, maxFile, "lines")
			if f.test {
				continue
			}
			sum += f.lines
			sizes = append(sizes, f.lines)
			if !slices.Contains(f.foreign, "testing") {
				for what, n := range functions(f.syntax, fset) {
					check(dir+"."+what, n, maxFunction, "lines")
				}
			}
			for what, n := range interfaces(f.syntax) {
				check(dir+"."+what, n, maxMethods, "methods")
			}
		}
		check(dir, sum, maxPackage, "lines")
	}
	slices.Sort(sizes)
	check("the median file", sizes[len(sizes)/2], maxMedianFile, "lines")
	for what, o := range oversized {
		if !large[what] || o.why == "" {
			t.Errorf("%s is not too large, or for no reason: take the exception out", what)
		}
	}
}

// functions gives the lines of each function and method, from "func" to its last brace.
func functions(f *ast.File, fset *token.FileSet) map[string]int {
	out := map[string]int{}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		name := fn.Name.Name
		if fn.Recv != nil {
			name = receiver(fn.Recv.List[0].Type) + "." + name
		}
		out[name] = fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1
	}
	return out
}

// receiver is the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	default:
		return "?"
	}
}

// interfaces gives the number of methods of each named interface.
func interfaces(f *ast.File) map[string]int {
	out := map[string]int{}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if it, ok := spec.Type.(*ast.InterfaceType); ok {
			out[spec.Name.Name] = 0
			for _, m := range it.Methods.List {
				out[spec.Name.Name] += max(1, len(m.Names))
			}
		}
		return true
	})
	return out
}
