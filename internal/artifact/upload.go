package artifact

import (
	"context"
	"time"

	"github.com/slipway-ml/slipway"
)

// Upload is one file that comes in parts.
type Upload struct {
	ID      string
	Path    string // where it will lie
	Type    string
	Team    string
	By      string
	Parts   int // numbered from 1
	Expires time.Time
	// Done is what it has become, while its sender may not have heard of that.
	Done slipway.Digest
}

// Part is one that has come.
type Part struct {
	Number int
	Digest slipway.Digest
	Size   int64
}

// Uploads keeps uploads that are under way. Nothing of them is visible elsewhere; parts name
// their blobs.
type Uploads interface {
	Begin(ctx context.Context, u Upload) error
	// Upload answers NotFound for one that is unknown, was aborted or has expired.
	Upload(ctx context.Context, id string) (Upload, []Part, error)
	// AddPart sets a part; one of that number is replaced.
	AddPart(ctx context.Context, id string, p Part) error
	// Complete puts the file, as Store.Put does, and remembers what the upload became; the
	// parts go.
	Complete(ctx context.Context, id string, f File, replaced func(old File) slipway.Event) error
	// Abort forgets an upload and its parts; with id empty, all that expired before a time.
	Abort(ctx context.Context, id string, expired time.Time) (n int, err error)
}
