package modeldir

import (
	"io/fs"
	"strings"
	"unicode"

	"github.com/slipway-ml/slipway"
)

// Bounds of a path and of each of its elements, in bytes.
const (
	maxPath    = 4096
	maxElement = 255
)

// CheckPath tells whether p names a file inside a model directory, wherever that lies: it
// is relative, slash-separated, clean UTF-8 without control characters and backslashes,
// and not too long for common file systems. It answers Invalid otherwise.
func CheckPath(p string) error {
	ok := len(p) <= maxPath && p != "." && fs.ValidPath(p) && !strings.ContainsFunc(p, func(r rune) bool { return r == '\\' || unicode.IsControl(r) })
	if ok {
		for element := range strings.SplitSeq(p, "/") {
			ok = ok && len(element) <= maxElement
		}
	}
	if !ok {
		return slipway.Errorf(slipway.Invalid, slipway.CodeModelDir, "use a relative path with slashes, without .., backslashes and control characters",
			"%.80q is no path inside a model directory", p)
	}
	return nil
}
