package artifact_test

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/artifact"
)

func TestParsePath(t *testing.T) {
	for in, want := range map[string]string{
		"a": "a", "a/b.txt": "a/b.txt", "1/r/artifacts/ä Ω.png": "1/r/artifacts/ä Ω.png", "a//b/": "a/b", "./a/./b": "a/b",
		"100%": "100%", "a%20b": "a%20b", "..a": "..a", "a..": "a..", "a/...": "a/...", "x:y": "x:y", "C:x": "C:x",
	} {
		if got, err := artifact.ParsePath(in); got != want || err != nil {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", ".", "/", "/etc/passwd", "..", "../a", "a/../../b", "a/..", `a\b`, `..\a`, "a#b", "a\x00b", "a\nb", "\xff", "file:///etc/passwd", "FILE:/x", "C:/x", "c:/",
		"%2e%2e", "%2e%2e/a", "%252e%252e/a", "%25252e%25252e%25252fa", "%2fetc/passwd", "%252fetc", "a%5cb", "a%255cb", "a%23b", "a%2523", "a%00", "a%2500", "file%3a/x", "a%2f..%2fb",
		"%" + strings.Repeat("25", 40) + "2e", "%%2e%2e/x/%2e%2e", "a/%/%2e%2e/b", strings.Repeat("a/", 64) + "a", strings.Repeat("a", 1501),
	} {
		got, err := artifact.ParsePath(in)
		if e := slipway.AsError(err); err == nil || e.Code != slipway.CodeArtifactPath || e.Kind != slipway.Invalid || !strings.HasPrefix(e.Message, "Invalid path") {
			t.Errorf("%q became %q, %v", in, got, err)
		}
	}
	if got, err := artifact.ParseDir(""); got != "" || err != nil {
		t.Errorf("the top directory: %q, %v", got, err)
	}
}

// lenient unescapes as Python's urllib.parse.unquote does.
func lenient(s string) string {
	var out strings.Builder
	for len(s) > 0 {
		if len(s) >= 3 && s[0] == '%' {
			if c, err := url.PathUnescape(s[:3]); err == nil {
				out.WriteString(c)
				s = s[3:]
				continue
			}
		}
		out.WriteByte(s[0])
		s = s[1:]
	}
	return out.String()
}

// However often somebody unescapes what was accepted, it stays below where it begins.
func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"a/b", "..", "%2e%2e/x", "%252e", "a\\b", "a#b", "file:x", "C:/x", "%25%32%65", "a/./b//c", "%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		p, err := artifact.ParsePath(in)
		if err != nil {
			return
		}
		again, err := artifact.ParsePath(p)
		if err != nil || again != p {
			t.Fatalf("%q became %q, and that %q, %v", in, p, again, err)
		}
		for form := p; ; {
			clean := path.Clean("/root/" + form)
			if clean+"/" != "/root/" && !strings.HasPrefix(clean, "/root/") || strings.ContainsAny(form, "\\#\x00") {
				t.Fatalf("%q leads to %q", in, clean)
			}
			next := lenient(form)
			if next == form {
				break
			}
			form = next
		}
	})
}
