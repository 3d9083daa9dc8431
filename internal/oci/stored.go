package oci

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-ml/slipway"
)

// stored is an image of a layout, of anybody's making, whose manifest and configuration
// are checked. As a partial.CompressedImageCore it can be pushed.
type stored struct {
	dir                 string
	model               Opener // nil: the layer of the model is not needed
	manifest            *v1.Manifest
	config              *v1.ConfigFile
	rawManifest, rawCon []byte
}

// open reads the manifest and the configuration of an image.
func open(dir string, digest slipway.Digest) (*stored, error) {
	b, err := readBounded(blobPath(dir, digest), maxDocument)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "deploy the version again", "no image %s", digest.Short())
	}
	if err != nil {
		return nil, ioError("read the image", err)
	}
	if slipway.DigestOf(b) != digest {
		return nil, damaged("its manifest has other bytes")
	}
	m, err := parseManifest(b)
	if err != nil {
		return nil, damaged("%v", err)
	}
	img := &stored{dir: dir, manifest: m, rawManifest: b}
	config := slipway.Digest(m.Config.Digest.String())
	if img.rawCon, err = readBounded(blobPath(dir, config), maxDocument); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, ioError("read the image", err)
	}
	if slipway.DigestOf(img.rawCon) != config || int64(len(img.rawCon)) != m.Config.Size {
		return nil, damaged("its configuration has other bytes")
	}
	if img.config, err = v1.ParseConfigFile(bytes.NewReader(img.rawCon)); err != nil || len(img.config.RootFS.DiffIDs) != len(m.Layers) {
		return nil, damaged("its configuration is of another image")
	}
	return img, nil
}

// parseManifest reads the manifest of an image and holds it to our bounds.
func parseManifest(b []byte) (*v1.Manifest, error) {
	m, err := v1.ParseManifest(bytes.NewReader(b))
	if err != nil {
		return nil, errors.New("its manifest cannot be read")
	}
	if !m.Config.MediaType.IsConfig() || m.Config.Size > maxDocument || len(m.Layers) == 0 || len(m.Layers) > maxLayers {
		return nil, errors.New("its manifest is not that of a container image")
	}
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if _, err := slipway.ParseDigest(d.Digest.String()); err != nil || d.Size < 0 || d.Size > maxLayer {
			return nil, errors.New("its manifest names impossible blobs")
		}
	}
	for _, l := range m.Layers {
		if _, ok := ociLayers[l.MediaType]; !ok || len(l.URLs) > 0 {
			return nil, fmt.Errorf("it has a layer of the kind %.80q, which cannot be used", l.MediaType)
		}
	}
	return m, nil
}

// ociLayers are the names of the kinds of layers in manifests of OCI. The bytes are the
// same.
var ociLayers = map[types.MediaType]types.MediaType{
	types.OCIUncompressedLayer:    types.OCIUncompressedLayer,
	types.OCILayer:                types.OCILayer,
	types.OCILayerZStd:            types.OCILayerZStd,
	types.DockerLayer:             types.OCILayer,
	types.DockerUncompressedLayer: types.OCIUncompressedLayer,
}

// baseOf gives what an image takes from the one that it builds on.
func baseOf(dir string, digest slipway.Digest, architecture string) (v1.Config, []layer, error) {
	none := v1.Config{}
	if _, err := slipway.ParseDigest(string(digest)); err != nil {
		return none, nil, err
	}
	base, err := open(dir, digest)
	if err != nil {
		return none, nil, unusable("%s is not there, or damaged", digest.Short())
	}
	if c := base.config; c.OS != "linux" || c.Architecture != architecture {
		return none, nil, unusable("it is for %.40s/%.40s, and the runtime for linux/%s", c.OS, c.Architecture, architecture)
	}
	layers := make([]layer, len(base.manifest.Layers))
	for i, l := range base.manifest.Layers {
		if l.Annotations[roleKey] != "" { // its model would shine through
			return none, nil, unusable("it is itself the image of a model")
		}
		if !present(dir, l) {
			return none, nil, unusable("%s lacks a layer", digest.Short())
		}
		layers[i] = layer{v1.Descriptor{MediaType: ociLayers[l.MediaType], Size: l.Size, Digest: l.Digest}, base.config.RootFS.DiffIDs[i]}
	}
	return base.config.Config, layers, nil
}

// unusable is the error of an image that nothing can be built on.
func unusable(format string, args ...any) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "pull the base image again, or choose another", "the base image cannot be used: "+format, args...)
}

// RawManifest gives the bytes that the digest is of.
func (s *stored) RawManifest() ([]byte, error) { return s.rawManifest, nil }

// RawConfigFile gives the bytes of the configuration.
func (s *stored) RawConfigFile() ([]byte, error) { return s.rawCon, nil }

// MediaType is the kind of manifest.
func (s *stored) MediaType() (types.MediaType, error) {
	return cmp.Or(s.manifest.MediaType, types.OCIManifestSchema1), nil
}

// LayerByDigest gives the layer or the configuration of a digest.
func (s *stored) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, d := range append([]v1.Descriptor{s.manifest.Config}, s.manifest.Layers...) {
		if d.Digest == h {
			return storedBlob{s, d}, nil
		}
	}
	return nil, damaged("it has no layer %s", h)
}

// storedBlob is a blob of a layout as a partial.CompressedLayer.
type storedBlob struct {
	img  *stored
	desc v1.Descriptor
}

// Digest is the digest of the blob.
func (b storedBlob) Digest() (v1.Hash, error) { return b.desc.Digest, nil }

// Size is the size of the blob in bytes.
func (b storedBlob) Size() (int64, error) { return b.desc.Size, nil }

// MediaType is the kind of layer.
func (b storedBlob) MediaType() (types.MediaType, error) { return b.desc.MediaType, nil }

// Compressed opens the blob, and tells in the end if it has other bytes: one of the layout is
// removed then, so that the next Build or Pull writes it again.
func (b storedBlob) Compressed() (io.ReadCloser, error) {
	if b.desc.Annotations[roleKey] == roleModel && b.img.model != nil {
		in, err := b.img.model()
		if err != nil {
			return nil, ioError("read the model", err)
		}
		return &verified{ReadCloser: in, hash: sha256.New(), left: b.desc.Size, want: b.desc.Digest.Hex, wrong: otherFiles()}, nil
	}
	name := blobPath(b.img.dir, slipway.Digest(b.desc.Digest.String()))
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damaged("a layer is not there")
	}
	if err != nil {
		return nil, ioError("read the image", err)
	}
	return &verified{ReadCloser: f, hash: sha256.New(), left: b.desc.Size, want: b.desc.Digest.Hex, discard: name, wrong: damaged("a layer has other bytes")}, nil
}

// verified reads what has a known size and digest. A file that is another is removed, if
// discard names it.
type verified struct {
	io.ReadCloser
	hash    hash.Hash
	left    int64
	want    string
	discard string
	wrong   error
}

// Read reads, and checks the digest before it gives the last byte.
func (v *verified) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	v.hash.Write(p[:n])
	v.left -= int64(n)
	if v.left < 0 || v.left == 0 && n > 0 && hex.EncodeToString(v.hash.Sum(nil)) != v.want || err == io.EOF && v.left > 0 {
		if v.discard != "" {
			_ = os.Remove(v.discard)
		}
		return 0, v.wrong
	}
	return n, err
}
