package arch_test

import (
	"slices"
	"strings"
	"testing"
)

// TestStatic holds the platform to one static program: nothing that it is made of imports what
// has a program linked to the C library.
func TestStatic(t *testing.T) {
	pkgs, _ := parseModule(t)
	from := map[string]string{"cmd/platform": ""} // who imports a package
	for next := []string{"cmd/platform"}; len(next) > 0; next = next[1:] {
		for _, f := range pkgs[next[0]].code() {
			for _, to := range f.foreign {
				if to == "C" || strings.HasPrefix(to, "github.com/ebitengine/purego") {
					t.Errorf("%s imports %s, and cmd/platform gets there by %s", f.path, to, way(from, next[0]))
				}
			}
			for _, to := range f.imports {
				if _, seen := from[to]; !seen && pkgs[to] != nil {
					from[to] = next[0]
					next = append(next, to)
				}
			}
		}
	}
	if len(from) < 50 {
		t.Errorf("the platform is made of %d packages: the imports are not followed", len(from))
	}
}

func way(from map[string]string, dir string) string {
	var out []string
	for ; dir != ""; dir = from[dir] {
		out = append(out, dir)
	}
	slices.Reverse(out)
	return strings.Join(out, " > ")
}
