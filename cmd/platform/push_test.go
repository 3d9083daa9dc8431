package main

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/slipway-ml/slipway/api"
)

// The image of what serves goes to a registry, byte for byte.
func TestPush(t *testing.T) {
	s := newServer(t)
	v := s.register(t.Context(), "push")
	d, err := s.c.CreateDeployment(t.Context(), "", api.CreateDeployment{PlatformYAML: quick, Version: v.Number})
	if err != nil {
		t.Fatal(err)
	}
	for now, err := range s.c.WatchDeployment(t.Context(), d.ID) {
		if err != nil {
			t.Fatal(err)
		}
		d = now
	}
	peer := httptest.NewServer(registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo))))
	defer peer.Close()
	reference := strings.TrimPrefix(peer.URL, "http://") + "/models/fraud:1"
	push := func(args ...string) (string, error) {
		out, err := exec.Command(s.exe, append([]string{"push", "--home", s.home, "--json"}, args...)...).Output()
		var said struct{ Reference string }
		if err == nil {
			err = json.Unmarshal(out, &said)
		}
		return said.Reference, err
	}
	pinned, err := push("fraud", reference, "--plain-http")
	if err != nil || !strings.HasSuffix(pinned, "@"+d.Image) {
		t.Fatalf("pushed %s, %v; the image is %s", pinned, err, d.Image)
	}
	ref, err := name.ParseReference(pinned, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := remote.Get(ref); err != nil || found.Digest.String() != d.Image {
		t.Errorf("the registry has %v, %v", found, err)
	}
	if _, err := push(d.ID, reference, "--plain-http"); err != nil {
		t.Errorf("again, by the deployment: %v", err)
	}
	for _, args := range [][]string{{"nobody", reference}, {"fraud", "not a name"}, {"fraud", "127.0.0.1:1/x:1", "--plain-http"}} {
		if got, err := push(args...); err == nil {
			t.Errorf("%q gives %s", args, got)
		}
	}
}
