package audit_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway/internal/audit"
)

// emitted are the names under which the code makes events: functions that take an action,
// and the field of the type.
var emitted = map[string]bool{"event": true, "change": true, "save": true, "Event": true, "record": true}

var (
	actionForm = regexp.MustCompile(`^[a-z_]+\.[a-z-]+$`)
	prefixForm = regexp.MustCompile(`^(rollout|deployment)\.$`)
)

// TestEveryActionHasItsPlace looks for actions in the sources: an event of one that OCSF has
// no place for would be some other activity. Add what is missing to meanings, in ocsf.go.
func TestEveryActionHasItsPlace(t *testing.T) {
	found := map[string]string{}
	fset := token.NewFileSet()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "storetest" || strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(fset, path, b, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			for _, e := range places(n) {
				ast.Inspect(e, func(n ast.Node) bool {
					if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
						if text, err := strconv.Unquote(lit.Value); err == nil && (actionForm.MatchString(text) || prefixForm.MatchString(text)) {
							found[text] = fset.Position(lit.Pos()).String()
						}
					}
					return true
				})
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for action, place := range found {
		if prefixForm.MatchString(action) {
			for _, phase := range []string{"starting", "checking", "stepping", "paused", "promoting", "done", "rolled-back", "failed", "aborted"} {
				if name := action + phase; strings.HasPrefix(action, "rollout") && !audit.Known(name) {
					t.Errorf("%s: %s has no place", place, name)
				}
			}
			continue
		}
		if !audit.Known(action) {
			t.Errorf("%s: %s has no place in OCSF: add it to meanings in ocsf.go", place, action)
		}
	}
	if len(found) < 15 {
		t.Errorf("only %d actions were found: %v", len(found), found)
	}
}

// places are the expressions that may be the action of an event.
func places(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.CallExpr:
		name := ""
		switch f := n.Fun.(type) {
		case *ast.Ident:
			name = f.Name
		case *ast.SelectorExpr:
			name = f.Sel.Name
		}
		if emitted[name] {
			return n.Args
		}
	case *ast.KeyValueExpr:
		if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Action" {
			return []ast.Expr{n.Value}
		}
	case *ast.AssignStmt:
		for i, l := range n.Lhs {
			if s, ok := l.(*ast.SelectorExpr); ok && s.Sel.Name == "Action" && i < len(n.Rhs) {
				return []ast.Expr{n.Rhs[i]}
			}
		}
	}
	return nil
}
