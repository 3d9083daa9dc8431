package transfer_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/oci/transfer"
)

// FuzzReference: no name leads to a panic, nor to a registry that it does not name.
func FuzzReference(f *testing.F) {
	for _, s := range []string{"", "a", "a/b:c", "localhost:1/a:b", "[::1]:5000/a@sha256:" + strings.Repeat("0", 64), "http://a/b", "10.0.0.1/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		repo, _, err := transfer.Options{}.Parse(s)
		registry := repo.RegistryStr()
		if err == nil && (registry == "" || !strings.HasPrefix(s, registry) && registry != "index.docker.io") {
			t.Errorf("%q leads to %q", s, registry)
		}
		if e := (*slipway.Error)(nil); err != nil && !errors.As(err, &e) {
			t.Errorf("an error of ours is wanted, not %v", err)
		}
	})
}
