package cli_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway/internal/cli"
)

// TestHelp keeps what every command says of itself.
func TestHelp(t *testing.T) {
	m := newMachine(t, nil)
	out, _ := m.run(0, "--help")
	golden(t, "help/platform", out)
	for _, c := range cli.New(m.env).Commands() {
		if c.Example == "" || c.Short == "" {
			t.Errorf("%s lacks a description or an example", c.Name())
		}
		out, _ := m.run(0, c.Name()+" --help")
		golden(t, "help/"+c.Name(), out)
	}
}

func TestHiddenCommands(t *testing.T) {
	m := newMachine(t, nil)
	ran := false
	m.env.Hidden = []*cobra.Command{{Use: "gateway", RunE: func(*cobra.Command, []string) error { ran = true; return nil }}}
	m.run(0, "gateway")
	out, _ := m.run(0, "--help")
	if !ran || strings.Contains(out, "gateway ") {
		t.Errorf("ran: %v\n%s", ran, out)
	}
}

// TestExplainsEveryCode reads the codes from their source: each has a text, and no text
// is about a code that does not exist.
func TestExplainsEveryCode(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "codes.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			code, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			codes = append(codes, code)
		}
		return true
	})
	m := newMachine(t, nil)
	for _, code := range codes {
		out, next := m.run(0, "explain "+code)
		if paragraphs := strings.Count(out, "\n\n"); !strings.HasPrefix(out, code+" ") || paragraphs != 2 || !strings.Contains(next, "next: platform ") {
			t.Errorf("explain %s:\n%s%s", code, out, next)
		}
	}
	out, _ := m.run(0, "explain")
	if n := strings.Count(out, "\n"); n != len(codes) || n < 30 {
		t.Errorf("%d texts for %d codes", n, len(codes))
	}
	for _, short := range []string{"e0301", "0301", "slip-e0301"} {
		out, _ := m.run(0, "explain "+short)
		contains(t, out, "SLIP-E0301 A check failed")
	}
	m.run(4, "explain SLIP-E9999")
}

// TestNextCommandsExist: every text and template that names a command names one there is.
func TestNextCommandsExist(t *testing.T) {
	root := cli.New(newMachine(t, nil).env)
	m := newMachine(t, nil)
	all, _ := m.run(0, "explain --json")
	for _, part := range strings.Split(all, `"next": "platform `)[1:] {
		words := strings.Fields(strings.SplitN(part, `"`, 2)[0])
		if words[0] == "--help" {
			continue
		}
		if c, _, err := root.Find(words[:1]); err != nil || c == root {
			t.Errorf("there is no command %v", words)
		}
	}
}

func TestUsage(t *testing.T) {
	m := newMachine(t, nil)
	for _, tt := range []struct{ line, want string }{
		{"depoly", "next: platform deploy\n"},
		{"depoly --watch", "next: platform deploy\n"},
		{"frobnicate", "next: platform --help\n"},
		{"deploy --wach", "did you mean --watch? See: platform deploy --help"},
		{"deploy --xyzzy", "next: platform deploy --help"},
		{"deploy extra", "next: platform deploy --help"},
		{"status a b", "next: platform status --help"},
		{"logs -n many", "next: platform logs --help"},
		{"logs fraud -n 0", "next: give -n from 1 to 10000"},
		{"deployments -n 201", "next: give -n from 1 to 200"},
		{"deploy --force", "--reason WHY"},
		{"deploy --env Prod", "SLIP-E0001"},
		{"predict fraud --format xml", "--format infer or"},
		{"rollback", "name an endpoint"},
	} {
		out, stderr := m.run(2, tt.line)
		contains(t, stderr, "error: ", tt.want, "more: platform explain SLIP-E0")
		if out != "" {
			t.Errorf("%s: stdout has %q", tt.line, out)
		}
	}
	_, stderr := m.run(2, "--json depoly")
	contains(t, stderr, `"code":"SLIP-E0007"`, `"next":"platform deploy"`)
	_, stderr = m.run(2, "deploy --wach --json")
	contains(t, stderr, `"status":400`)
}
