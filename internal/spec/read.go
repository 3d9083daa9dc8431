package spec

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	maxBytes  = 256 << 10
	maxTokens = 3_000 // bounds depth and work of the parser
)

// document is a file while it is read: the values that were well-formed by path, the
// place of every key seen, and the mistakes. A list's value is its length.
type document struct {
	name     string
	lines    []string
	values   map[string]any
	at       map[string]place
	origin   map[string]string
	defaults string // origin of a value that the file does not give
	problems []Problem
}

// mistake is what is wrong with a value and what to do; code is CodeSpec when empty.
type mistake struct{ message, next, code string }

// readDocument checks the file against the field table. A file that cannot be parsed at
// all gives an error at once; mistakes in single fields are kept in the document.
func readDocument(name string, src []byte) (*document, error) {
	d := &document{name: name, values: map[string]any{}, at: map[string]place{}, origin: map[string]string{}}
	if len(src) > maxBytes {
		d.report(place{1, 1}, "", mistake{message: fmt.Sprintf("is larger than %d KiB", maxBytes>>10),
			next: "keep data in files of their own and name them here"})
		return nil, d.err()
	}
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	text := strings.ReplaceAll(string(src), "\r\n", "\n")
	d.lines = strings.Split(text, "\n")
	d.checkCharacters()
	if err := d.err(); err != nil {
		return nil, err
	}
	root := d.parse(text)
	if root == nil {
		return nil, d.err()
	}
	d.read(table(), "", root)
	return d, nil
}

// checkCharacters refuses what YAML forbids but parsers report poorly.
func (d *document) checkCharacters() {
	for i, line := range d.lines {
		at := place{i + 1, 1}
		if !utf8.ValidString(line) {
			d.report(at, "", mistake{message: "is not valid UTF-8", next: "save the file as UTF-8"})
			continue
		}
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 && len(indent) < len(line) {
			at.column = tab + 1
			d.report(at, "", mistake{message: "has a tab as indentation", next: "indent with spaces"})
		}
		if j := strings.IndexFunc(line, isControl); j >= 0 {
			at.column = utf8.RuneCountInString(line[:j]) + 1
			d.report(at, "", mistake{message: "has a control character", next: "remove it"})
		}
	}
}

// isControl is true for C0 and C1 controls, except tab, and for separators that some
// readers take as line ends.
func isControl(r rune) bool {
	return r < 0x20 && r != '\t' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == '\ufeff'
}

// parse gives the root node, or nil after it reported why there is none.
func (d *document) parse(text string) ast.Node {
	tokens := lexer.Tokenize(text)
	if len(tokens) > maxTokens {
		d.report(place{1, 1}, "", mistake{message: "has too many elements", next: "a platform.yaml needs less than a hundred lines"})
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		at := place{1, 1}
		message := "it is no YAML"
		var syntax yaml.Error
		if errors.As(err, &syntax) {
			message = syntax.GetMessage()
			if t := syntax.GetToken(); t != nil {
				at = placeOf(t)
			}
		}
		d.report(at, "", mistake{message: "cannot be read as YAML: " + message, next: "check indentation, quotes and brackets from here upwards"})
		return nil
	}
	var roots []ast.Node
	for _, doc := range file.Docs {
		if _, directive := doc.Body.(*ast.DirectiveNode); doc.Body != nil && !directive {
			roots = append(roots, doc.Body)
		}
	}
	switch len(roots) {
	case 1:
		return roots[0]
	case 0:
		d.report(place{1, 1}, "", mistake{message: "is empty", next: "platform init writes a file to start from"})
	default:
		d.report(placeOf(first(roots[1])), "", mistake{message: "has a second document", next: "keep one document in a file: remove the --- line and what follows"})
	}
	return nil
}

// read checks one node against its field. Depth is bounded by the table.
func (d *document) read(f *field, path string, n ast.Node) {
	if tag := special(n); tag != "" {
		d.report(placeOf(first(n)), path, mistake{message: "uses " + tag, next: "write the value out"})
		return
	}
	if _, null := n.(*ast.NullNode); null {
		d.report(d.placeFor(path, n), path, mistake{message: "is empty", next: "give a value or remove the key"})
		return
	}
	switch {
	case f.kind != nil:
		d.readValue(f, path, n)
	case f.item != nil:
		d.readList(f, path, n)
	default:
		d.readObject(f, path, n)
	}
}

// special names the YAML feature that a node uses and that has no place here.
func special(n ast.Node) string {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode:
		return "an anchor or alias"
	case *ast.TagNode:
		return "a tag"
	case *ast.MergeKeyNode:
		return "a merge key"
	}
	return ""
}

func (d *document) readValue(f *field, path string, n ast.Node) {
	at := placeOf(first(n))
	d.at[path] = at
	value, m := f.kind.value(n)
	if m.message != "" {
		d.report(at, path, m)
		return
	}
	d.values[path] = value
}

func (d *document) readList(f *field, path string, n ast.Node) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		d.report(placeOf(first(n)), path, mistake{message: "must be a list", next: "start each item on its own line with a dash, or use [a, b]"})
		return
	}
	if len(list.Values) == 0 {
		d.report(placeOf(first(n)), path, mistake{message: "is empty", next: "add an item or remove the key"})
		return
	}
	if len(list.Values) > f.items {
		d.report(placeOf(first(list.Values[f.items])), path, mistake{message: fmt.Sprintf("has more than %d items", f.items), next: "remove some"})
		return
	}
	for i, item := range list.Values {
		d.at[index(path, i)] = placeOf(first(item))
		d.read(f.item, index(path, i), item)
	}
	d.values[path] = len(list.Values)
}

func (d *document) readObject(f *field, path string, n ast.Node) {
	if f.short != "" {
		if _, scalar := n.(ast.ScalarNode); scalar {
			d.read(f.child(f.short), join(path, f.short), n)
			return
		}
	}
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		d.report(placeOf(first(n)), path, mistake{message: "must have keys and values", next: "the keys here are " + f.keys()})
		return
	}
	seen := map[string]int{}
	for _, pair := range pairs {
		d.readPair(f, path, pair, seen)
	}
	for i := range f.fields {
		if c := &f.fields[i]; c.required && !d.has(join(path, c.key)) {
			d.report(d.placeFor(path, n), join(path, c.key), mistake{message: "is missing", next: "add " + join(path, c.key) + ": " + c.doc})
		}
	}
}

// readPair reads one key and its value; seen holds the line of each key so far.
func (d *document) readPair(f *field, path string, pair *ast.MappingValueNode, seen map[string]int) {
	at := placeOf(pair.Key.GetToken())
	if tag := special(pair.Key); tag != "" {
		d.report(at, path, mistake{message: "uses " + tag, next: "write the keys out"})
		return
	}
	name, ok := pair.Key.(*ast.StringNode)
	if !ok {
		d.report(at, path, mistake{message: "has a key that is no plain text", next: "the keys here are " + f.keys()})
		return
	}
	child := f.child(name.Value)
	if child == nil {
		meant, m := unknownKey(f, name.Value)
		d.report(at, path, m)
		if full := join(path, meant); meant != "" && !d.has(full) {
			d.at[full] = at // so that it is not reported as missing too
		}
		return
	}
	full := join(path, child.key)
	if line := seen[child.key]; line > 0 {
		d.report(at, full, mistake{message: "is given twice, first in line " + itoa(line), next: "remove one of the two"})
		return
	}
	seen[child.key] = at.line
	d.at[full] = at
	if pair.Value == nil {
		d.report(at, full, mistake{message: "is empty", next: "give a value or remove the key"})
		return
	}
	d.read(child, full, pair.Value)
}

// has is true when the file names the path, rightly or not.
func (d *document) has(path string) bool { _, ok := d.at[path]; return ok }

// length is the number of items of a list, 0 when it is absent.
func (d *document) length(path string) int { n, _ := d.values[path].(int); return n }

// placeFor is the place of a path, of the nearest key above it, or of the node.
func (d *document) placeFor(path string, n ast.Node) place {
	for p := path; p != ""; p = parent(p) {
		if at, ok := d.at[p]; ok {
			return at
		}
	}
	return placeOf(first(n))
}

// first is the token with which a node starts in the source. A block mapping's own token
// is a colon, so its first key is taken.
func first(n ast.Node) *token.Token {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return n.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	return n.GetToken()
}

func placeOf(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{1, 1}
	}
	return place{max(1, t.Position.Line), max(1, t.Position.Column)}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
