package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
)

// holding are the files below a directory that hold a text.
func holding(t *testing.T, dir, text string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// thick gives the image of what serves the layer of its model, as programs before this one
// had it.
func (s *server) thick(d api.Deployment) string {
	s.t.Helper()
	in, err := s.c.ImageLayer(s.t.Context(), d.Model, fmt.Sprint(d.Version), d.Image)
	if err != nil {
		s.t.Fatal(err)
	}
	defer in.Close()
	b, err := io.ReadAll(in)
	if err != nil {
		s.t.Fatal(err)
	}
	at := filepath.Join(s.home, "images", "blobs", "sha256", slipway.DigestOf(b).Hex())
	if err := os.WriteFile(at, b, 0o444); err != nil {
		s.t.Fatal(err)
	}
	return at
}

// TestShredReachesImages: what serves is in clear where it serves from and nowhere else;
// a backup has it in no image, not even in one of an older program; it comes back from there
// and serves as long as the keys are; and when they were shredded it comes back from no
// backup that was made before.
func TestShredReachesImages(t *testing.T) {
	s := newServer(t)
	ctx := t.Context()
	const note = "Mabel Oakenshield wrote this"
	if _, err := s.put("fraud", "risk", "the model becomes the team's"); err != nil {
		t.Fatal(err)
	}
	d := s.deployed(note)
	want := s.predicted(ctx)
	hex := strings.TrimPrefix(d.Image, "sha256:")
	if got := holding(t, s.home, note); !slices.Equal(got, []string{filepath.Join("revisions", hex, "NOTE")}) {
		t.Errorf("in clear in %q", got)
	}
	if _, err := s.c.ImageLayer(ctx, "fraud", "1", string(slipway.DigestOf(nil))); !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		t.Errorf("the layer of no image: %v", err)
	}
	old := s.thick(d)
	target, key := s.backedUp()
	restore := func(serves bool) {
		t.Helper()
		home := filepath.Join(shortDir(t), "h")
		must(t, "backup", "restore", target, "--key", key, "--home", home)
		if got := holding(t, home, note); len(got) != 0 {
			t.Errorf("a restored backup has it in %q", got)
		}
		bringRootKey(t, s.home, home)
		if !serves {
			if out, err := platform(t, nil, "up", "--home", home, "--listen", "127.0.0.1:0"); err == nil {
				t.Errorf("it opens with the new key: %s", out)
			}
			return
		}
		back := serverAt(t, home, nil)
		back.awaitReady()
		if got := back.predicted(ctx); got != want {
			t.Errorf("restored it answers %s, want %s", got, want)
		}
	}
	restore(true)
	again(ctx, t, "thinning what an older program has left", func() error {
		s.stopControl()
		s.up(strings.TrimPrefix(s.url, "http://"))
		if _, err := os.Stat(old); err == nil {
			return errors.New("it is there")
		}
		return nil
	})
	s.thick(d)
	done, err := s.c.ShredKeys(ctx, api.ShredKeys{Space: "team/risk", Reason: "a test", Force: true})
	if err != nil || len(done.Proof) != 3 || !strings.Contains(done.Proof[2], "image") {
		t.Errorf("%+v, %v", done, err)
	}
	if got := holding(t, s.home, note); !slices.Equal(got, []string{filepath.Join("revisions", hex, "NOTE")}) {
		t.Errorf("after shredding, in clear in %q", got)
	}
	if got := s.predicted(ctx); got != want {
		t.Errorf("after shredding it answers %s", got)
	}
	restore(false)
}
