package doctor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/registry"
)

// TestFree: of what is given back, that goes which nothing names and nobody has asked for
// lately; nothing else is touched.
func TestFree(t *testing.T) {
	i, s := installation(t)
	s.models = []registry.Model{{Name: "model-000", Latest: 1}}
	store := func(kind string, n int, age time.Duration) slipway.Digest {
		content := fmt.Append(nil, kind, n)
		d := slipway.DigestOf(content)
		path, when := filepath.Join(i.Config.Blobs(), d.Hex()[:2], d.Hex()+".sealed"), time.Now().Add(-age)
		if err := errors.Join(i.Blobs.Put(t.Context(), d, int64(len(content)), bytes.NewReader(content)), os.Chtimes(path, when, when)); err != nil {
			t.Fatal(err)
		}
		return d
	}
	i.Artifacts = func(context.Context, []slipway.Digest) (map[slipway.Digest]bool, error) {
		return map[slipway.Digest]bool{slipway.DigestOf([]byte("an artifact0")): true}, nil
	}
	stay := []slipway.Digest{store("model-000", 1, time.Hour), store("shared", 0, time.Hour), store("asked for", 0, time.Second), store("an artifact", 0, time.Hour), store("another's", 0, time.Hour)}
	gone := []slipway.Digest{store("nobody's", 0, time.Minute), store("nobody's", 1, time.Hour)}
	n, size, err := i.Free(t.Context(), append(stay[:4:4], gone...))
	if err != nil || n != 2 || size != int64(2*len("nobody's0")) {
		t.Errorf("%d files with %d bytes are gone: %v", n, size, err)
	}
	missing, err := i.Blobs.Missing(t.Context(), append(stay, gone...))
	if err != nil || !slices.Equal(missing, gone) {
		t.Errorf("%v are gone, want %v; %v", missing, gone, err)
	}
}
