package app

import (
	"context"
	"io"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/access"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/blob"
)

// blobsAPI is httpapi.Blobs.
type blobsAPI struct {
	dir    *blob.Dir
	access *access.Control
}

// Missing lists the digests that are not there.
func (b blobsAPI) Missing(ctx context.Context, p slipway.Principal, digests []string) ([]string, error) {
	if err := b.access.Check(ctx, p, authz.Upload, access.Server); err != nil {
		return nil, err
	}
	in := make([]slipway.Digest, len(digests))
	for i, s := range digests {
		d, err := slipway.ParseDigest(s)
		if err != nil {
			return nil, err
		}
		in[i] = d
	}
	missing, err := b.dir.Missing(ctx, in)
	out := []string{}
	for _, d := range missing {
		out = append(out, string(d))
	}
	return out, err
}

// Put stores an upload.
func (b blobsAPI) Put(ctx context.Context, p slipway.Principal, digest string, size int64, r io.Reader) error {
	if err := b.access.Check(ctx, p, authz.Upload, access.Server); err != nil {
		return err
	}
	d, err := slipway.ParseDigest(digest)
	if err != nil {
		return err
	}
	if err := b.dir.Put(ctx, d, size, r); err != nil {
		return err
	}
	// A blob that is there is not read. An answer before the end of the request would break the
	// connection of the gateway in between, which then says that the server is gone.
	_, _ = io.Copy(io.Discard, r)
	return nil
}
