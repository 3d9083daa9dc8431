package oci

import (
	"context"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/oci/transfer"
)

// Remote is how to speak with a registry.
type Remote = transfer.Options

// maxTransfer bounds the time that an image takes.
const maxTransfer = 4 * time.Hour

// Push copies an image of the layout at dir to a registry (OCI distribution-spec 1.1) under
// a name such as registry.example.com/models/fraud:7, and gives the name by which it can be
// run from there, with the digest. Without a tag the image has that name only. Layers that
// the registry has are not sent again; bytes that are not those of the digest are not sent
// at all. Model gives the layer of the model, which is not in the layout. It answers NotFound when there is no such image, Invalid for a name that is none,
// Denied when credentials are missing and Unavailable when the registry is.
func Push(ctx context.Context, dir string, digest slipway.Digest, model Opener, ref string, o Remote) (string, error) {
	if _, err := slipway.ParseDigest(string(digest)); err != nil {
		return "", err
	}
	repo, at, err := o.Parse(ref)
	if err != nil {
		return "", err
	}
	pinned := repo.Digest(string(digest))
	if d, ok := at.(name.Digest); ok && d.DigestStr() != string(digest) {
		return "", slipway.Errorf(slipway.Invalid, slipway.CodeInvalidDigest, "push it under a tag", "the image is %s, not %.100q", digest.Short(), d.DigestStr())
	}
	if at == nil {
		at = pinned
	}
	core, err := open(dir, digest)
	if err != nil {
		return "", err
	}
	core.model = model
	img, err := partial.CompressedToImage(core)
	if err != nil {
		return "", ioError("read the image", err)
	}
	s, err := o.Begin(ctx, at)
	if err != nil {
		return "", err
	}
	defer s.End()
	ctx, cancel := context.WithTimeout(ctx, maxTransfer)
	defer cancel()
	if err := s.Repeat(ctx, func(ctx context.Context) error { return push(ctx, s, img, digest, o.Progress) }); err != nil {
		return "", err
	}
	return pinned.Name(), nil
}

// push sends an image, and asks for what the registry has under its name then.
func push(ctx context.Context, s *transfer.Session, img v1.Image, digest slipway.Digest, progress func(done, total int64)) error {
	options := s.Remote(ctx)
	told := make(chan struct{})
	if progress == nil {
		close(told)
	} else {
		updates := make(chan v1.Update, 64)
		options = append(options, remote.WithProgress(updates))
		go func() {
			defer close(told)
			for u := range updates { // until remote.Write closes it
				if u.Error == nil {
					progress(u.Complete, u.Total)
				}
			}
		}()
	}
	err := remote.Write(s.Ref, img, options...)
	<-told
	if err != nil {
		return err
	}
	got, err := remote.Get(s.Ref, s.Remote(ctx)...)
	if err != nil {
		return err
	}
	if got.Digest.String() != string(digest) {
		return slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "push under a tag that nobody else uses",
			"the registry %s has another image under %s", s.Registry(), s.Ref.Name())
	}
	return nil
}
