// Package artifact keeps the files that runs and models leave behind: a row for each path,
// which names the blob with its bytes, and uploads in several parts.
package artifact

import (
	"context"
	"io"
	"time"

	"github.com/slipway-ml/slipway"
)

// File is what lies at a path.
type File struct {
	Path    string
	Digest  slipway.Digest
	Size    int64  // bytes
	Type    string // as it was sent, or by its name
	Team    string
	By      string
	Created time.Time
}

// Entry is a name in a directory.
type Entry struct {
	Name string
	Dir  bool
	Size int64 // of a file
}

// Store keeps files by path. Directories are there as long as something is in them. Safe for
// concurrent use; a change and its events are durable together. A blob that no row names any
// more after a change is remembered as unused, in the same commit.
type Store interface {
	// Put makes f what lies at its path. It answers CodeArtifactPath, Invalid, when a directory
	// lies there, or a file where f has a directory. Replaced gives the event of putting other
	// bytes in the place of old ones.
	Put(ctx context.Context, f File, replaced func(old File) slipway.Event) error
	// File answers NotFound when there is none.
	File(ctx context.Context, path string) (File, error)
	// List gives at most limit entries of a directory, by name, that come after one.
	List(ctx context.Context, dir, after string, limit int) ([]Entry, error)
	// Below gives at most limit files at a path and below it, that come after a file in the
	// order of directory and name.
	Below(ctx context.Context, path string, after File, limit int) ([]File, error)
	// Delete removes what lies at a path and below it, and adds to its event how many files and
	// bytes that were. With nothing there it answers NotFound.
	Delete(ctx context.Context, path string, ev slipway.Event) (files int, bytes int64, err error)
}

// Roots keeps whose the first segments of paths are that are no experiments.
type Roots interface {
	// Claim gives a first segment to a team, unless it has one, and answers whose it is.
	Claim(ctx context.Context, root, team string) (string, error)
	// Owner is whose a first segment is, empty if nobody's.
	Owner(ctx context.Context, root string) (string, error)
}

// Ledger keeps what may not be used any more.
type Ledger interface {
	// Named says which digests files or parts of uploads name.
	Named(ctx context.Context, digests []slipway.Digest) (map[slipway.Digest]bool, error)
	// Unused gives at most limit digests that came to be unused.
	Unused(ctx context.Context, after slipway.Digest, limit int) ([]slipway.Digest, error)
	// Forget ends that.
	Forget(ctx context.Context, digests []slipway.Digest) error
	// Release adds digests that something else does not name any more.
	Release(ctx context.Context, digests []slipway.Digest) error
}

// Blobs are the bytes. Safe for concurrent use.
type Blobs interface {
	// Receive stores a stream; size -1: unknown.
	Receive(ctx context.Context, size int64, r io.Reader) (slipway.Digest, int64, error)
	// Reclaim removes those that nobody has asked for since before, and gives their bytes.
	Reclaim(ctx context.Context, digests []slipway.Digest, before time.Time) (map[slipway.Digest]int64, error)
	// Open gives bytes from any place on.
	Open(ctx context.Context, d slipway.Digest) (Bytes, error)
}

// Bytes are those of a blob.
type Bytes interface {
	io.ReadSeekCloser
	Size() int64
}

// Deleted is what a deletion did.
type Deleted struct {
	Files int
	Bytes int64 // of those files
	Freed Freed // of these, and of what deletions before have left
}
