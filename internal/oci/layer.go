package oci

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	goruntime "runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
)

// layer is one layer of an image: its blob, and the digest of the archive that a
// compressed blob holds.
type layer struct {
	Blob v1.Descriptor `json:"blob"`
	Diff v1.Hash       `json:"diff_id"`
}

// archive writes a layer's archive (POSIX pax) without times and owners. It writes the
// directories of a file before it, as not every container runtime makes them the same way.
type archive struct {
	ctx  context.Context
	tar  *tar.Writer
	made map[string]bool
}

// directory writes a directory that is not there yet, after those above it.
func (a *archive) directory(name string, mode int64) error {
	if name == "." || a.made[name] {
		return nil
	}
	if err := a.directory(path.Dir(name), 0o755); err != nil {
		return err
	}
	a.made[name] = true
	return a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, ModTime: time.Unix(0, 0), Format: tar.FormatPAX})
}

// file writes a file under a name of its own.
func (a *archive) file(name string, mode int64, f File) error {
	if err := a.ctx.Err(); err != nil {
		return err
	}
	if err := a.directory(path.Dir(name), 0o755); err != nil {
		return err
	}
	if err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: f.Size, Mode: mode, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}); err != nil {
		return err
	}
	return appendFile(a.ctx, a.tar, f)
}

// files writes files below a directory, which is there even if they are none.
func (a *archive) files(below string, files []File) error {
	if err := a.directory(below, 0o755); err != nil {
		return err
	}
	for _, f := range files {
		mode := int64(0o444)
		if f.Executable {
			mode = 0o555
		}
		if err := a.file(path.Join(below, f.Path), mode, f); err != nil {
			return err
		}
	}
	return nil
}

// writeArchive writes what fill puts into an archive.
func writeArchive(ctx context.Context, w io.Writer, fill func(*archive) error) error {
	a := archive{ctx: ctx, tar: tar.NewWriter(w), made: map[string]bool{}}
	if err := fill(&a); err != nil {
		return err
	}
	return a.tar.Close()
}

func appendFile(ctx context.Context, w io.Writer, f File) error {
	in, err := f.Open()
	if err != nil {
		return fmt.Errorf("open %q: %w", f.Path, err)
	}
	defer in.Close()
	n, err := io.Copy(w, io.LimitReader(contextReader{ctx, in}, f.Size))
	if err == nil && n == f.Size { // the end may still tell that the bytes are others
		var more int64
		more, err = io.Copy(io.Discard, io.LimitReader(in, 1))
		n += more
	}
	if err != nil {
		return fmt.Errorf("read %q: %w", f.Path, err)
	}
	if n != f.Size {
		return slipway.Errorf(slipway.Conflict, slipway.CodeUploadDigest, "register the version again", "%q does not have %d bytes", f.Path, f.Size)
	}
	return nil
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// packed gives a compressed layer that many images share. Key says what is in it: it is
// written once, and found again by a note in the layout. The output of compressors
// differs between their versions, so that the version is part of what is noted.
func packed(ctx context.Context, dir, role string, key slipway.Digest, fill func(*archive) error) (layer, error) {
	note := filepath.Join(notes(dir), slipway.DigestOf(fmt.Append(nil, role, " ", key, " ", goruntime.Version())).Hex())
	if l, ok := recall(dir, note); ok {
		return l, nil
	}
	diff := sha256.New()
	blob, err := writeBlob(dir, func(w io.Writer) error {
		z, err := gzip.NewWriterLevel(w, gzip.BestSpeed) // a tenth larger than the usual level, in half the time
		if err != nil {
			return err
		}
		if err := writeArchive(ctx, io.MultiWriter(z, diff), fill); err != nil {
			return err
		}
		return z.Close()
	})
	if err != nil {
		return layer{}, err
	}
	blob.MediaType = types.OCILayer
	blob.Annotations = map[string]string{roleKey: role}
	l := layer{blob, v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(diff.Sum(nil))}}
	b, err := json.Marshal(l)
	if err != nil {
		return layer{}, err
	}
	if err := disk.Sync(blobs(dir)); err != nil { // the note must not be there without the blob
		return layer{}, err
	}
	return l, replace(dir, note, b)
}

// notes is where a layout remembers compressed layers.
func notes(dir string) string { return filepath.Join(dir, "layers") }

// recall reads the note of a layer whose blob is there, as large as it was.
func recall(dir, note string) (layer, bool) {
	var l layer
	b, err := readBounded(note, maxDocument)
	if err != nil || json.Unmarshal(b, &l) != nil || !present(dir, l.Blob) {
		return layer{}, false
	}
	return l, true
}

// present tells whether the layout has a blob; its bytes are not looked at.
func present(dir string, d v1.Descriptor) bool {
	digest, err := slipway.ParseDigest(d.Digest.String())
	if err != nil {
		return false
	}
	st, err := os.Lstat(blobPath(dir, digest))
	return err == nil && st.Mode().IsRegular() && st.Size() == d.Size
}
