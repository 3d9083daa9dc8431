package oci_test

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway/internal/oci"
)

// victim is set to the layout in the process that is to be killed.
const victim = "OCI_TEST_VICTIM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victim); dir != "" {
		stalls := file("b", "never")
		stalls.Open = func() (io.ReadCloser, error) {
			_, _ = os.Stdout.WriteString("half\n")
			select {}
		}
		_, _ = oci.Build(context.Background(), dir, oci.Image{Files: []oci.File{file("a", strings.Repeat("x", 1<<20)), stalls}})
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(programDir)
	os.Exit(code)
}

// A process that is killed while it builds leaves the other images as they were, and its
// remains are gone after the next build.
func TestKilled(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, clean := t.TempDir(), t.TempDir()
	build(t, dir, sample())
	child := exec.Command(exe)
	child.Env = append(os.Environ(), victim+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "half\n" || err != nil {
		t.Fatalf("the victim said %q, %v", line, err)
	}
	drafts := func() []string {
		found, _ := filepath.Glob(filepath.Join(dir, ".draft-*"))
		return found
	}
	build(t, dir, sample())
	if found := drafts(); len(found) != 1 {
		t.Errorf("%v, want the draft of a build under way", found)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	build(t, dir, sample())
	build(t, clean, sample())
	got, want := contents(t, dir), contents(t, clean)
	for name := range got {
		if got[name] != want[name] {
			t.Errorf("%s is left of the victim, or differs", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
}
