package artifact

import (
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/slipway-ml/slipway"
)

// Bounds of a path.
const (
	maxPath    = 1500 // bytes: an index of PostgreSQL takes 2,700
	maxDepth   = 64
	maxDecoded = 16 // times that a path may be escaped
)

var driveRE = regexp.MustCompile(`^[A-Za-z]:/`)

// ParsePath reads the path of an artifact, relative and with slashes, which was unescaped as
// often as its sender meant. Whatever it could become for somebody who unescapes it again must
// stay below where it begins: none of these forms has "..", a backslash, "#" or
// NUL, or is absolute, and the first has no control character. Empty segments and "." are left out. It answers Invalid
// otherwise, in MLflow's words.
func ParsePath(text string) (string, error) {
	p, err := parse(text)
	if err == nil && p == "" {
		return "", invalid()
	}
	return p, err
}

// ParseDir is ParsePath for a directory, which may be the one that all paths begin in.
func ParseDir(text string) (string, error) { return parse(text) }

func parse(text string) (string, error) {
	for form, n := text, 0; ; n++ {
		if n > maxDecoded || !confined(form) || n == 0 && strings.ContainsFunc(form, unicode.IsControl) {
			return "", invalid()
		}
		next := unescape(form)
		if next == form {
			break
		}
		form = next
	}
	p := strings.TrimPrefix(path.Clean("/"+text), "/")
	if len(p) > maxPath || strings.Count(p, "/") >= maxDepth {
		return "", slipway.Errorf(slipway.Invalid, slipway.CodeArtifactPath, "choose a shorter path", "Invalid path: it has at most %d bytes and %d directories", maxPath, maxDepth)
	}
	return p, nil
}

var escapedRE = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// unescape is what the most lenient reader makes of a text: a per cent sign that escapes
// nothing stays, as in Python, and does not keep what follows from being unescaped.
func unescape(text string) string {
	return escapedRE.ReplaceAllStringFunc(text, func(s string) string {
		out, _ := url.PathUnescape(s) // matches the expression
		return out
	})
}

// confined says whether one form of a path stays where it begins. A further form may have
// control characters: MLflow names images step%20%timestamp%100%.
func confined(p string) bool {
	if !utf8.ValidString(p) || strings.ContainsAny(p, "\\#\x00") || strings.HasPrefix(p, "/") || driveRE.MatchString(p) || strings.HasPrefix(strings.ToLower(p), "file:") {
		return false
	}
	for s := range strings.SplitSeq(p, "/") {
		if s == ".." {
			return false
		}
	}
	return true
}

func invalid() error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeArtifactPath, "give a relative path without .., backslash and #", "Invalid path")
}

// Root is the first segment of a path.
func Root(p string) string {
	first, _, _ := strings.Cut(p, "/")
	return first
}

// place is what events name: an artifact's run or model, without what people call its files.
func place(p string) string {
	parts := strings.SplitN(p, "/", 4)
	if len(parts) == 4 || len(parts) > 1 && parts[1] == "models" {
		return strings.Join(parts[:min(3, len(parts))], "/")
	}
	return strings.Join(parts[:min(2, len(parts))], "/")
}
