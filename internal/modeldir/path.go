package modeldir

import (
	"io/fs"
	"slices"
	"strings"
	"unicode"

	"github.com/slipway-ml/slipway"
)

// Bounds of a path: bytes, elements, bytes of an element.
const (
	maxPath    = 4096
	maxDepth   = 32
	maxElement = 255
)

// CheckPath tells whether p names a file inside a model directory, wherever that lies: it
// is relative, slash-separated, clean UTF-8 without control characters and backslashes,
// not too long for common file systems, and at most 32 deep, so that a few files do not
// make very many directories. It answers Invalid otherwise.
func CheckPath(p string) error {
	ok := len(p) <= maxPath && p != "." && fs.ValidPath(p) && !strings.ContainsFunc(p, func(r rune) bool { return r == '\\' || unicode.IsControl(r) })
	if ok {
		elements := strings.Split(p, "/")
		ok = len(elements) <= maxDepth && !slices.ContainsFunc(elements, func(e string) bool { return len(e) > maxElement })
	}
	if !ok {
		return slipway.Errorf(slipway.Invalid, slipway.CodeModelDir, "use a relative path with slashes, not too long or deep, without .., backslashes and control characters",
			"%.80q is no path inside a model directory", p)
	}
	return nil
}
