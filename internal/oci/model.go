package oci

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
)

// Opener gives the layer of a model from its first byte, each time that it is called.
type Opener func() (io.ReadCloser, error)

// inOrder gives files as they lie in an archive.
func inOrder(files []File) ([]File, error) {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	var t tree
	for _, f := range files {
		if err := t.add(f.Path, f.Size); err != nil {
			return nil, slipway.Errorf(slipway.Invalid, slipway.CodeModelDir, "give the files of one model directory", "the files do not fit an image: %v", err)
		}
	}
	return files, nil
}

// modelOf writes the archive that is the layer of a model, and describes it.
func modelOf(ctx context.Context, files []File, w io.Writer) (layer, error) {
	h, n := sha256.New(), counter(0)
	b := bufio.NewWriterSize(io.MultiWriter(w, h, &n), 256<<10)
	err := writeArchive(ctx, b, func(a *archive) error { return a.files(within(ModelDir), files) })
	if err == nil {
		err = b.Flush()
	}
	d := v1.Descriptor{MediaType: types.OCIUncompressedLayer, Size: int64(n), Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))},
		Annotations: map[string]string{roleKey: roleModel}}
	return layer{d, d.Digest}, err
}

// counter counts bytes.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// WriteModel writes the layer of the model of an image, made again of its files, to w. It
// answers CodeIO in the end when the files are not those that the image was built of, the
// error of a file that cannot be read, and NotFound when there is no such image.
func WriteModel(ctx context.Context, dir string, digest slipway.Digest, files []File, w io.Writer) error {
	files, err := inOrder(files)
	if err != nil {
		return err
	}
	want, err := findLayer(dir, digest)
	if err != nil {
		return err
	}
	got, err := modelOf(ctx, files, w)
	if err == nil && got.Blob.Digest != want.Digest {
		err = otherFiles()
	}
	return ioError("write the model", err)
}

func otherFiles() error { return damaged("its files are not those that it was built of") }

// About gives the labels of an image, and the size in bytes of the layer of its model. It
// answers NotFound when there is none.
func About(dir string, digest slipway.Digest) (labels map[string]string, model int64, err error) {
	img, err := open(dir, digest)
	if err != nil {
		return nil, 0, err
	}
	l, err := findLayer(dir, digest)
	return img.config.Config.Labels, l.Size, err
}

// InClear is the layer of a model that an older program has left in a layout, and an image
// that has it.
type InClear struct {
	Image slipway.Digest
	Path  string
	Bytes int64
}

// ModelsInClear lists the layers of models that lie in a layout: Build leaves none.
func ModelsInClear(ctx context.Context, dir string) ([]InClear, error) {
	b, err := readBounded(filepath.Join(dir, "index.json"), maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var index v1.IndexManifest
	if err == nil {
		err = json.Unmarshal(b, &index)
	}
	if err != nil {
		return nil, ioError("read the images", err)
	}
	var out []InClear
	for _, m := range index.Manifests {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		image := slipway.Digest(m.Digest.String())
		l, err := findLayer(dir, image)
		if err != nil {
			continue // a base, or one that nothing can be made of
		}
		name := blobPath(dir, slipway.Digest(l.Digest.String()))
		if st, err := os.Stat(name); err == nil {
			out = append(out, InClear{image, name, st.Size()})
		}
	}
	return out, nil
}

// RemoveModel takes the layer of the model out of the layout, where an older program has left
// it. One that is not there is no error.
func RemoveModel(dir string, digest slipway.Digest) error {
	layer, err := findLayer(dir, digest)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.Remove(blobPath(dir, slipway.Digest(layer.Digest.String()))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ioError("remove the files of the image", err)
	}
	return ioError("remove the files of the image", disk.Sync(blobs(dir)))
}
