package arch_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the package table in docs/ARCHITECTURE.md")

// The table lies between these lines of the document.
const (
	document = root + "/docs/ARCHITECTURE.md"
	begin    = "<!-- packages: written by go test ./internal/arch -update -->\n"
	end      = "<!-- end of packages -->\n"
)

func TestDocument(t *testing.T) {
	pkgs, _ := parseModule(t)
	b, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(b), begin)
	old, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has lost the lines %q and %q", document, begin, end)
	}
	table := packageTable(pkgs)
	if *update {
		if err := os.WriteFile(document, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(old, table); diff != "" {
		t.Errorf("the package table is out of date (-document +sources); go test ./internal/arch -update\n%s", diff)
	}
}

// packageTable is the packages by layer, top down, each with the first sentence of its
// documentation.
func packageTable(pkgs map[string]*pkg) string {
	var b strings.Builder
	b.WriteString("\n| layer | package | what it is |\n|---|---|---|\n")
	for i := len(layers) - 1; i >= 0; i-- {
		layer := fmt.Sprintf("**%d** %s", i, layers[i].name)
		for _, dir := range slices.Sorted(maps.Keys(pkgs)) {
			if layerOf(dir) != i || len(pkgs[dir].code()) == 0 {
				continue
			}
			name := dir
			if dir == "." {
				name = pkgs[dir].name
			}
			fmt.Fprintf(&b, "| %s | `%s` | %s |\n", layer, strings.TrimPrefix(name, "internal/"), strings.ReplaceAll(pkgs[dir].synopsis(), "|", `\|`))
			layer = ""
		}
	}
	b.WriteString("\n")
	return b.String()
}
