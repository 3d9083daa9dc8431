package dev

import "context"

// Changes is what watches files.
func Changes(ctx context.Context, paths func() []string, changed func()) {
	changes(ctx, fingerprint(paths()), paths, changed)
}
