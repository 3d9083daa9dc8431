package seal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/slipway-ml/slipway/internal/app/seal"
)

func TestSealer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	write := func(path string, content []byte) error { return os.WriteFile(path, content, 0o600) }
	first, err := seal.Open(path, write)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	sealed, err := first.Seal(ctx, "for ada", []byte("a seed"))
	if err != nil || bytes.Contains(sealed, []byte("a seed")) {
		t.Fatal("it is not sealed", err)
	}
	second, err := seal.Open(path, func(string, []byte) error { t.Error("the key was made twice"); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if got, err := second.Open(ctx, "for ada", sealed); err != nil || string(got) != "a seed" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := second.Open(ctx, "for bob", sealed); err == nil {
		t.Error("it opens for something else")
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := second.Open(ctx, "for ada", sealed); err == nil {
		t.Error("a changed byte was not noticed")
	}
	if err := os.WriteFile(path, []byte("damage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Open(path, write); err == nil {
		t.Error("a damaged key is used")
	}
}
