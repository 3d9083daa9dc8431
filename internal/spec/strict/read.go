package strict

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
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

// Document is a file that was read: the values that were well-formed by path, the place of
// every key seen, and the mistakes. A path is "rollout.steps[0].hold".
type Document struct {
	name     string
	table    *Field
	lines    []string
	values   map[string]any // a list's is its length, a map's its keys
	at       map[string]place
	problems []Problem
}

// Read checks a file against a table; name is the file's in messages. A file that cannot
// be parsed at all gives an *Errors at once; mistakes in single fields are kept in the
// document.
func Read(name string, src []byte, table *Field) (*Document, error) {
	d := &Document{name: name, table: table, values: map[string]any{}, at: map[string]place{}}
	if len(src) > maxBytes {
		d.report(place{1, 1}, "", Mistake{Message: fmt.Sprintf("is larger than %d KiB", maxBytes>>10),
			Next: "keep data in files of their own and name them here"})
		return nil, d.Err()
	}
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	text := strings.ReplaceAll(string(src), "\r\n", "\n")
	d.lines = strings.Split(text, "\n")
	d.checkCharacters()
	if err := d.Err(); err != nil {
		return nil, err
	}
	root := d.parse(text)
	if root == nil {
		return nil, d.Err()
	}
	d.read(table, "", root)
	return d, nil
}

// Has is true when the file names the path, rightly or not.
func (d *Document) Has(path string) bool { _, ok := d.at[path]; return ok }

// Len is the number of items of a list, 0 when it is absent.
func (d *Document) Len(path string) int { n, _ := d.values[path].(int); return n }

// Keys lists the names in a map in the order of the file.
func (d *Document) Keys(path string) []string { keys, _ := d.values[path].([]string); return keys }

// Value gives a value of the file, if it is there and well-formed.
func Value[T any](d *Document, path string) (T, bool) {
	v, ok := d.values[path].(T)
	return v, ok
}

// checkCharacters refuses what YAML forbids but parsers report poorly.
func (d *Document) checkCharacters() {
	for i, line := range d.lines {
		at := place{i + 1, 1}
		if !utf8.ValidString(line) {
			d.report(at, "", Mistake{Message: "is not valid UTF-8", Next: "save the file as UTF-8"})
			continue
		}
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 && len(indent) < len(line) {
			at.column = tab + 1
			d.report(at, "", Mistake{Message: "has a tab as indentation", Next: "indent with spaces"})
		}
		if j := strings.IndexFunc(line, isControl); j >= 0 {
			at.column = utf8.RuneCountInString(line[:j]) + 1
			d.report(at, "", Mistake{Message: "has a control character", Next: "remove it"})
		}
	}
}

// isControl is true for C0 and C1 controls, except tab, and for separators that some
// readers take as line ends.
func isControl(r rune) bool {
	return r < 0x20 && r != '\t' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == '\ufeff'
}

// parse gives the root node, or nil after it reported why there is none.
func (d *Document) parse(text string) ast.Node {
	tokens := lexer.Tokenize(text)
	if len(tokens) > maxTokens {
		d.report(place{1, 1}, "", Mistake{Message: "has too many elements", Next: "a platform.yaml needs less than a hundred lines"})
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
		d.report(at, "", Mistake{Message: "cannot be read as YAML: " + message, Next: "check indentation, quotes and brackets from here upwards"})
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
		d.report(place{1, 1}, "", Mistake{Message: "is empty", Next: "platform init writes a file to start from"})
	default:
		d.report(placeOf(first(roots[1])), "", Mistake{Message: "has a second document", Next: "keep one document in a file: remove the --- line and what follows"})
	}
	return nil
}

// read checks one node against its field. Depth is bounded by the table.
func (d *Document) read(f *Field, path string, n ast.Node) {
	if tag := special(n); tag != "" {
		d.report(placeOf(first(n)), path, Mistake{Message: "uses " + tag, Next: "write the value out"})
		return
	}
	if _, null := n.(*ast.NullNode); null {
		d.report(d.placeFor(path, placeOf(first(n))), path, Mistake{Message: "is empty", Next: "give a value or remove the key"})
		return
	}
	switch {
	case f.Kind != nil:
		d.readValue(f, path, n)
	case f.Item != nil:
		d.readList(f, path, n)
	case f.Each != nil:
		d.readMap(f, path, n)
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

func (d *Document) readValue(f *Field, path string, n ast.Node) {
	at := placeOf(first(n))
	d.at[path] = at
	value, m := f.Kind.value(n)
	if m.Message != "" {
		d.report(at, path, m)
		return
	}
	d.values[path] = value
}

func (d *Document) readList(f *Field, path string, n ast.Node) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		d.report(placeOf(first(n)), path, Mistake{Message: "must be a list", Next: "start each item on its own line with a dash, or use [a, b]"})
		return
	}
	if len(list.Values) == 0 {
		d.report(placeOf(first(n)), path, Mistake{Message: "is empty", Next: "add an item or remove the key"})
		return
	}
	if len(list.Values) > f.Items {
		d.report(placeOf(first(list.Values[f.Items])), path, Mistake{Message: fmt.Sprintf("has more than %d items", f.Items), Next: "remove some"})
		return
	}
	for i, item := range list.Values {
		d.at[Index(path, i)] = placeOf(first(item))
		d.read(f.Item, Index(path, i), item)
	}
	d.values[path] = len(list.Values)
}

func (d *Document) readObject(f *Field, path string, n ast.Node) {
	if f.Short != "" {
		if _, scalar := n.(ast.ScalarNode); scalar {
			d.read(f.child(f.Short), Join(path, f.Short), n)
			return
		}
	}
	pairs, ok := pairsOf(n)
	if !ok {
		d.report(placeOf(first(n)), path, Mistake{Message: "must have keys and values", Next: "the keys here are " + f.keys()})
		return
	}
	seen := map[string]int{}
	for _, pair := range pairs {
		d.readPair(f, path, pair, seen)
	}
	for i := range f.Fields {
		if c := &f.Fields[i]; c.Required && !d.Has(Join(path, c.Key)) {
			d.report(d.placeFor(path, placeOf(first(n))), Join(path, c.Key), Mistake{Message: "is missing", Next: "add " + Join(path, c.Key) + ": " + c.Doc})
		}
	}
}

// pairsOf gives the keys and values of an object.
func pairsOf(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// readPair reads one key and its value; seen holds the line of each path so far.
func (d *Document) readPair(f *Field, path string, pair *ast.MappingValueNode, seen map[string]int) {
	name, at, ok := d.key(path, pair, "the keys here are "+f.keys())
	if !ok {
		return
	}
	if child := f.child(name); child != nil {
		d.readChild(child, Join(path, name), at, pair, seen)
		return
	}
	if f.Others.Message != "" && d.table.child(name) != nil {
		d.report(at, Join(path, name), f.Others)
		return
	}
	meant, m := unknownKey(d.table, f, name)
	d.report(at, path, m)
	if full := Join(path, meant); meant != "" && !d.Has(full) {
		d.at[full] = at // so that it is not reported as missing too
	}
}

// key reads the key of a pair and gives its place.
func (d *Document) key(path string, pair *ast.MappingValueNode, next string) (name string, at place, ok bool) {
	at = placeOf(pair.Key.GetToken())
	if tag := special(pair.Key); tag != "" {
		d.report(at, path, Mistake{Message: "uses " + tag, Next: "write the keys out"})
		return "", at, false
	}
	text, ok := pair.Key.(*ast.StringNode)
	if !ok {
		d.report(at, path, Mistake{Message: "has a key that is no plain text", Next: next})
		return "", at, false
	}
	return text.Value, at, true
}

// readChild reads the value of a key that is known.
func (d *Document) readChild(f *Field, full string, at place, pair *ast.MappingValueNode, seen map[string]int) {
	if line := seen[full]; line > 0 {
		d.report(at, full, Mistake{Message: "is given twice, first in line " + strconv.Itoa(line), Next: "remove one of the two"})
		return
	}
	seen[full] = at.line
	d.at[full] = at
	if pair.Value == nil {
		d.report(at, full, Mistake{Message: "is empty", Next: "give a value or remove the key"})
		return
	}
	d.read(f, full, pair.Value)
}

// readMap reads an object whose keys are names of the file's choosing.
func (d *Document) readMap(f *Field, path string, n ast.Node) {
	const next = "write names as keys, such as staging: {}"
	pairs, ok := pairsOf(n)
	switch {
	case !ok:
		d.report(placeOf(first(n)), path, Mistake{Message: "must have names as keys", Next: next})
		return
	case len(pairs) == 0:
		d.report(placeOf(first(n)), path, Mistake{Message: "is empty", Next: "add a name or remove the key"})
		return
	case len(pairs) > f.Items:
		d.report(placeOf(first(pairs[f.Items])), path, Mistake{Message: fmt.Sprintf("has more than %d names", f.Items), Next: "remove some"})
		return
	}
	seen := map[string]int{}
	var keys []string
	for _, pair := range pairs {
		name, at, ok := d.key(path, pair, next)
		if !ok {
			continue
		}
		if _, m := f.names().Parse(name); m.Message != "" {
			d.report(at, path, Mistake{Message: fmt.Sprintf("has the key %.60q, which %s", name, m.Message), Next: m.Next})
			continue
		}
		full := Join(path, name)
		if seen[full] == 0 {
			keys = append(keys, name)
		}
		d.readChild(f.Each, full, at, pair, seen)
	}
	d.values[path] = keys
}

// placeFor is the place of a path, of the nearest key above it, or the last resort.
func (d *Document) placeFor(path string, last place) place {
	for p := path; p != ""; p = Parent(p) {
		if at, ok := d.at[p]; ok {
			return at
		}
	}
	return last
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

// Join is the path of a key of an object.
func Join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Index is the path of an item of a list.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// Parent is the path above one: "rollout.steps[0]" of "rollout.steps[0].hold", and empty
// above a key of the file.
func Parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}
