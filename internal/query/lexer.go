package query

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind int

const (
	end    tokenKind = iota
	name             // a key with its entity, or a word
	text             // in single quotes
	number           // as SQL writes them, with a sign
	symbol           // =, !=, …
	mark             // one of ( ) , ;
	broken           // what is none of these, such as a quote that is never closed
)

// token is one word of a filter. Of a name, parts are its segments between dots, without
// their quotes, and quotes says which those were: ` " ' or 0.
type token struct {
	kind   tokenKind
	raw    string
	value  string // of a text
	parts  []string
	quotes []byte
}

// is says whether a token is a word, in any case.
func (t token) is(word string) bool {
	return t.kind == name && len(t.parts) == 1 && t.quotes[0] == 0 && strings.EqualFold(t.raw, word)
}

// lexer cuts a text into tokens.
type lexer struct {
	in  string
	pos int
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

func (l *lexer) next() token {
	rest := strings.TrimLeftFunc(l.in[l.pos:], unicode.IsSpace)
	l.pos = len(l.in) - len(rest)
	if rest == "" {
		return token{kind: end}
	}
	t := scan(rest)
	l.pos += len(t.raw)
	return t
}

// rest is what was not read yet, from a token on.
func (l *lexer) rest(from token) string { return from.raw + l.in[l.pos:] }

func scan(s string) token {
	first, size := utf8.DecodeRuneInString(s)
	switch {
	case first == '\'':
		if content, n, ok := quoted(s); ok {
			return token{kind: text, raw: s[:n], value: content}
		}
		return token{kind: broken, raw: s}
	case strings.ContainsRune("(),;", first):
		return token{kind: mark, raw: s[:1]}
	case strings.ContainsRune("=<>!~", first):
		n := len(s) - len(strings.TrimLeft(s, "=<>!~"))
		return token{kind: symbol, raw: s[:n]}
	case strings.ContainsRune("+-.0123456789", first):
		return scanNumber(s)
	case isWord(first) || first == '`' || first == '"':
		return scanName(s)
	}
	return token{kind: broken, raw: s[:size]}
}

// quoted reads a text in quotes; a doubled quote stands for one.
func quoted(s string) (content string, n int, ok bool) {
	q := s[0]
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != q {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == q {
			b.WriteByte(q)
			i++
			continue
		}
		return b.String(), i + 1, true
	}
	return "", 0, false
}

func scanNumber(s string) token {
	i := 0
	digits := func() (n int) {
		for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
			n++
		}
		return n
	}
	if s[0] == '+' || s[0] == '-' {
		i++
	}
	n := digits()
	if i < len(s) && s[i] == '.' {
		i++
		n += digits()
	}
	if n == 0 {
		return token{kind: broken, raw: s[:max(i, 1)]}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		mantissa := i
		if i++; i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if digits() == 0 {
			i = mantissa
		}
	}
	if r, _ := utf8.DecodeRuneInString(s[i:]); i < len(s) && isWord(r) {
		for _, r := range s[i:] {
			if !isWord(r) {
				break
			}
			i += utf8.RuneLen(r)
		}
		return token{kind: broken, raw: s[:i]}
	}
	return token{kind: number, raw: s[:i]}
}

func scanName(s string) token {
	t := token{kind: name}
	for i := 0; ; i++ { // past the dot
		if i < len(s) && (s[i] == '`' || s[i] == '"' || s[i] == '\'' && i > 0) {
			content, n, ok := quoted(s[i:])
			if !ok {
				return token{kind: broken, raw: s}
			}
			t.parts, t.quotes = append(t.parts, content), append(t.quotes, s[i])
			i += n
		} else {
			from := i
			for i < len(s) {
				r, size := utf8.DecodeRuneInString(s[i:])
				if !isWord(r) {
					break
				}
				i += size
			}
			if i == from {
				return token{kind: broken, raw: s[:max(i, 1)]}
			}
			t.parts, t.quotes = append(t.parts, s[from:i]), append(t.quotes, 0)
		}
		if i >= len(s) || s[i] != '.' {
			t.raw = s[:i]
			if i < len(s) && (s[i] == '`' || s[i] == '"' || s[i] == '\'') {
				return token{kind: broken, raw: s}
			}
			return t
		}
	}
}
