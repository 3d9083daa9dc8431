package doctor

import (
	"context"
	"time"

	"github.com/slipway-ml/slipway"
)

// keptAsked is for how long a blob stays that somebody was told is there: longer than a
// registration takes from asking to its commit.
const keptAsked = 30 * time.Second

// Free removes those of some blobs that nothing names any more, and gives their number and
// bytes. What somebody has asked for lately stays, for the doctor to find later.
func (i Installation) Free(ctx context.Context, digests []slipway.Digest) (n int, size int64, err error) {
	before := time.Now().Add(-keptAsked)
	wanted := make(map[slipway.Digest]bool, len(digests))
	for _, d := range digests {
		wanted[d] = true
	}
	named, err := i.Named(ctx)
	if err != nil {
		return 0, 0, err
	}
	artifacts, err := i.Artifacts(ctx, digests)
	if err != nil {
		return 0, 0, err
	}
	return i.Blobs.Sweep(ctx, func(d slipway.Digest) bool { return !wanted[d] || named[d] || artifacts[d] }, before, true)
}
