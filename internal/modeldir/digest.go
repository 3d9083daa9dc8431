package modeldir

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
)

// Digest is the digest of a set of files: the SHA-256 of one line for each, in the order of
// the bytes of their paths, in which they are given:
//
//	<digest> SP <size in decimal> SP <"x" if executable, else "-"> SP <path> LF
//
// The text is unambiguous, for a path has no line break and comes last.
func Digest(files []File) slipway.Digest {
	h := sha256.New()
	for _, f := range files {
		mode := "-"
		if f.Executable {
			mode = "x"
		}
		fmt.Fprintf(h, "%s %d %s %s\n", f.Digest, f.Size, mode, f.Path)
	}
	return slipway.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
}

// Unpacked is the digest of all files of a directory that the platform has unpacked, which
// has nothing but them. It answers Invalid for one that cannot be read, or whose files are
// together larger than limit, 0 for none; these are not read.
func Unpacked(dir string, limit int64) (slipway.Digest, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", unreadable(dir, err)
	}
	defer root.Close()
	var files []File
	var total int64
	err = fs.WalkDir(root.FS(), ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		files = append(files, File{Path: p, Size: st.Size(), Executable: st.Mode()&0o100 != 0})
		total += st.Size()
		return nil
	})
	if err != nil {
		return "", unreadable(dir, err)
	}
	if limit > 0 && total > limit {
		return "", slipway.Errorf(slipway.Exhausted, slipway.CodeTooLarge, "see the limit", "its files have %d KiB", total>>10)
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	for i := range files {
		f, err := root.Open(files[i].Path)
		if err != nil {
			return "", unreadable(files[i].Path, err)
		}
		files[i].Digest, _, err = slipway.DigestReader(f)
		f.Close()
		if err != nil {
			return "", unreadable(files[i].Path, err)
		}
	}
	return Digest(files), nil
}
