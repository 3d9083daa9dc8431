package safe

import (
	"context"
	"errors"
	"io"
	"strconv"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/blob"
	"github.com/slipway-ml/slipway/internal/oci"
	"github.com/slipway-ml/slipway/internal/registry"
)

// Labels by which an image says of which version it is.
const (
	LabelModel   = "slipway.model"
	LabelDigest  = "slipway.version.digest"
	LabelVersion = "org.opencontainers.image.version"
)

// ModelFiles are the files of a version as images take them: decrypted while they are read,
// by whoever makes the model's layer. No image keeps any.
func (s *Safe) ModelFiles(ctx context.Context, v registry.Version) []oci.File {
	return modelFiles(ctx, s.Blobs, v)
}

func modelFiles(ctx context.Context, blobs *blob.Dir, v registry.Version) []oci.File {
	files := make([]oci.File, len(v.Files))
	for i, f := range v.Files {
		files[i] = oci.File{Path: f.Path, Size: f.Size, Executable: f.Executable, Open: func() (io.ReadCloser, error) {
			in, _, err := blobs.Open(ctx, f.Digest)
			return in, err
		}}
	}
	return files
}

// versionOf finds the version that an image was made of, and the size in bytes of its model's
// layer.
func (s *Safe) versionOf(ctx context.Context, image slipway.Digest) (v registry.Version, size int64, err error) {
	labels, size, err := oci.About(s.config.Images(), image)
	if err != nil {
		return v, 0, err
	}
	number, err := strconv.Atoi(labels[LabelVersion])
	if err != nil {
		return v, 0, unknownVersion(image)
	}
	v, err = s.Models.Version(ctx, labels[LabelModel], registry.Ref{Number: number})
	if err == nil && string(v.Digest) != labels[LabelDigest] {
		err = unknownVersion(image)
	}
	return v, size, err
}

func unknownVersion(image slipway.Digest) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform doctor --fix", "no version is known that image %s was made of", image.Short())
}

// Layer makes the layer of the model of an image that was built of a version. Begin is called
// with its size in bytes when the first file could be opened, and gives the writer.
func (s *Safe) Layer(ctx context.Context, v registry.Version, image slipway.Digest, begin func(size int64) (io.Writer, error)) error {
	made, size, err := s.versionOf(ctx, image)
	if err == nil && (made.Model != v.Model || made.Number != v.Number) {
		err = slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform deployments", "image %s was not built of %s:%d", image.Short(), v.Model, v.Number)
	}
	if err != nil {
		return err
	}
	files := s.ModelFiles(ctx, v)
	if len(files) > 0 { // its key is there, and the key service too
		in, err := files[0].Open()
		if err != nil {
			return err
		}
		_ = in.Close()
	}
	w, err := begin(size)
	if err != nil {
		return err
	}
	return oci.WriteModel(ctx, s.config.Images(), image, files, w)
}

// inImages is what older programs have left of models in images.
type inImages struct{ images, kept int }

// thinImages takes the models out of the images of older programs, which had them in clear,
// once it is sure that the same bytes can be made again. The last of them is what a server
// that was killed meanwhile goes on with.
func (s *Safe) thinImages(ctx context.Context) error {
	all, err := oci.ModelsInClear(ctx, s.config.Images())
	left := inImages{images: len(all)}
	for _, c := range all {
		if err = ctx.Err(); err != nil {
			break
		}
		if err = s.thinImage(ctx, c.Image); keeps(err) {
			s.log.WarnContext(ctx, "an image of an older version keeps its model in clear", "image", c.Image.Short(), "error", slipway.AsError(err).Message)
			left.kept, err = left.kept+1, nil
			continue
		}
		if err != nil {
			break
		}
		left.images--
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.images = left
	return err
}

// keeps says that a model cannot be made again from what is there, and that another attempt
// would find the same.
func keeps(err error) bool {
	return errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) || errors.Is(err, &slipway.Error{Code: slipway.CodeUploadDigest}) || errors.Is(err, &slipway.Error{Code: slipway.CodeIO})
}

func (s *Safe) thinImage(ctx context.Context, image slipway.Digest) error {
	v, _, err := s.versionOf(ctx, image)
	if err == nil {
		err = oci.WriteModel(ctx, s.config.Images(), image, s.ModelFiles(ctx, v), io.Discard)
	}
	if err == nil || errors.Is(err, &slipway.Error{Code: slipway.CodeShredded}) {
		err = oci.RemoveModel(s.config.Images(), image)
	}
	return err
}
