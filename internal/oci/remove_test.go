package oci_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/oci"
)

// The layer of a model is in a layout only if an older program has left it there. What was
// removed is nowhere any more, and the same image can be built and unpacked again.
func TestRemove(t *testing.T) {
	home := t.TempDir()
	dir, dest := filepath.Join(home, "images"), filepath.Join(home, "unpacked")
	const content = "Mabel Oakenshield"
	img := oci.Image{Files: []oci.File{{Path: "data", Size: int64(len(content)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}}, Spec: []byte("{}")}
	var first slipway.Digest
	for range 2 {
		digest, err := oci.Build(t.Context(), dir, img)
		if all, e := oci.ModelsInClear(t.Context(), dir); len(all) > 0 || err == nil && e != nil {
			t.Errorf("%v, %v lie in clear", all, e)
		}
		if err == nil {
			complete(t, dir, digest, img.Files)
			if all, e := oci.ModelsInClear(t.Context(), dir); len(all) != 1 || all[0].Image != digest || e != nil {
				t.Errorf("%v, %v, want one", all, e)
			}
			err = oci.Unpack(t.Context(), dir, digest, img.Files, dest)
		}
		if err != nil || first != "" && first != digest {
			t.Fatal(first, digest, err)
		}
		first = digest
		if b, err := os.ReadFile(filepath.Join(dest, "data")); err != nil || string(b) != content {
			t.Fatalf("%q, %v", b, err)
		}
		for range 2 {
			if err := errors.Join(oci.RemoveModel(dir, digest), oci.RemoveUnpacked(dest)); err != nil {
				t.Fatal(err)
			}
		}
		err = filepath.WalkDir(home, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			if strings.Contains(string(b), content) {
				t.Errorf("%s has it still", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if err := oci.RemoveModel(dir, slipway.DigestOf(nil)); err != nil {
		t.Errorf("no such image: %v", err)
	}
}
