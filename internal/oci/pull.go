package oci

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
	"github.com/slipway-ml/slipway/internal/oci/transfer"
)

// Pull copies an image for Linux and an architecture, "amd64" or "arm64", from a registry
// into the layout at dir, and gives the digest of its manifest: the one to build on, today
// and later. A reference by digest that is in the layout already needs no registry. It
// answers NotFound for an image that is not there, Invalid for one that cannot be built on,
// and otherwise as Push does.
func Pull(ctx context.Context, dir, ref, architecture string, o Remote) (slipway.Digest, error) {
	_, at, err := o.Parse(ref)
	if err != nil {
		return "", err
	}
	if at == nil {
		return "", slipway.Errorf(slipway.Invalid, slipway.CodeInvalidName, "add :TAG, or better @sha256:DIGEST", "%.200q does not say which image", ref)
	}
	if err := prepare(dir); err != nil {
		return "", ioError("make the directory of images", err)
	}
	if d, ok := at.(name.Digest); ok {
		if digest, ok := local(dir, slipway.Digest(d.DigestStr()), architecture); ok {
			return digest, nil
		}
	}
	s, err := o.Begin(ctx, at)
	if err != nil {
		return "", err
	}
	defer s.End()
	return (&puller{s, dir, o.Progress}).pull(ctx, architecture)
}

// local finds an image, by its own digest or that of an index, whose layers are all there.
func local(dir string, digest slipway.Digest, architecture string) (slipway.Digest, bool) {
	b, err := readBounded(blobPath(dir, digest), maxDocument)
	if err != nil || slipway.DigestOf(b) != digest {
		return "", false
	}
	if chosen, err := choose(b, architecture); err == nil {
		digest = slipway.Digest(chosen.String())
	}
	img, err := open(dir, digest)
	if err != nil {
		return "", false
	}
	for _, l := range img.manifest.Layers {
		if !present(dir, l) {
			return "", false
		}
	}
	return digest, true
}

// choose finds the image for an architecture in an index.
func choose(index []byte, architecture string) (v1.Hash, error) {
	parsed, err := v1.ParseIndexManifest(bytes.NewReader(index))
	if err != nil {
		return v1.Hash{}, unusable("its index cannot be read")
	}
	for _, m := range parsed.Manifests {
		if p := m.Platform; p != nil && p.OS == "linux" && p.Architecture == architecture && m.MediaType.IsImage() {
			return m.Digest, nil
		}
	}
	return v1.Hash{}, unusable("it has no image for linux/%s", architecture)
}

// puller fetches an image into a layout.
type puller struct {
	*transfer.Session
	dir      string
	progress func(done, total int64)
}

// pull fetches an image. The manifest is written last, so that an image that is in the
// layout is whole.
func (p *puller) pull(ctx context.Context, architecture string) (slipway.Digest, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTransfer)
	defer cancel()
	got, err := p.get(ctx, p.Ref)
	if err != nil {
		return "", err
	}
	if got.MediaType.IsIndex() {
		chosen, err := choose(got.Manifest, architecture)
		if err != nil {
			return "", err
		}
		if err := keep(p.dir, got.Digest, bytes.NewReader(got.Manifest)); err != nil {
			return "", err
		}
		if got, err = p.get(ctx, p.Ref.Context().Digest(chosen.String())); err != nil {
			return "", err
		}
	}
	if !got.MediaType.IsImage() {
		return "", unusable("it is a %.80q", got.MediaType)
	}
	m, err := parseManifest(got.Manifest)
	if err != nil {
		return "", unusable("%v", err)
	}
	if err := p.blobs(ctx, m); err != nil {
		return "", err
	}
	if err := keep(p.dir, got.Digest, bytes.NewReader(got.Manifest)); err != nil {
		return "", err
	}
	digest := slipway.Digest(got.Digest.String())
	if _, err := open(p.dir, digest); err != nil {
		return "", unusable("its configuration is of another image")
	}
	desc := v1.Descriptor{MediaType: got.MediaType, Size: got.Size, Digest: got.Digest}
	return digest, ioError("write the index of images", errors.Join(disk.Sync(blobs(p.dir)), addToIndex(p.dir, desc)))
}

// get reads a manifest or an index.
func (p *puller) get(ctx context.Context, ref name.Reference) (got *remote.Descriptor, err error) {
	err = p.Repeat(ctx, func(ctx context.Context) error {
		got, err = remote.Get(ref, p.Remote(ctx)...)
		return err
	})
	return got, err
}

// blobs fetches the configuration and the layers that are not there.
func (p *puller) blobs(ctx context.Context, m *v1.Manifest) error {
	parts := append([]v1.Descriptor{m.Config}, m.Layers...)
	var done, total int64
	for _, d := range parts {
		total += d.Size
	}
	for _, d := range parts {
		if !present(p.dir, d) {
			if err := p.Repeat(ctx, func(ctx context.Context) error { return p.fetch(ctx, d) }); err != nil {
				return err
			}
		}
		if done += d.Size; p.progress != nil {
			p.progress(done, total)
		}
	}
	return nil
}

func (p *puller) fetch(ctx context.Context, d v1.Descriptor) error {
	blob, err := remote.Layer(p.Ref.Context().Digest(d.Digest.String()), p.Remote(ctx)...)
	if err != nil {
		return err
	}
	in, err := blob.Compressed()
	if err != nil {
		return err
	}
	defer in.Close()
	return keep(p.dir, d.Digest, io.LimitReader(contextReader{ctx, in}, d.Size))
}

// keep writes a blob that must have a digest.
func keep(dir string, want v1.Hash, in io.Reader) error {
	from := &source{r: in}
	_, err := writeBlobAs(dir, want.Hex, func(w io.Writer) error {
		_, err := io.Copy(w, from)
		return err
	})
	if from.err != nil {
		return from.err
	}
	return ioError("write the base image", err)
}

// source remembers the error of its reader, to tell it from those of writing.
type source struct {
	r   io.Reader
	err error
}

// Read reads.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
