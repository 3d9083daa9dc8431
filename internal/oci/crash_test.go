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
		ctx, files := context.Background(), []oci.File{file("a", strings.Repeat("x", 1<<20)), file("b", "never")}
		digest, _ := oci.Build(ctx, dir, oci.Image{Files: files})
		_ = oci.Unpack(ctx, dir, digest, []oci.File{files[0], stalls}, filepath.Join(dir, "out", "victim"))
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(programDir)
	os.Exit(code)
}

// A process that is killed while it unpacks leaves nothing that is taken for an image, and its
// remains are gone after the next.
func TestKilled(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	digest := build(t, dir, sample())
	unpack := func(name string) {
		t.Helper()
		if err := oci.Unpack(t.Context(), dir, digest, sample().Files, filepath.Join(dir, "out", name)); err != nil {
			t.Fatal(err)
		}
	}
	unpack("before")
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
		found, _ := filepath.Glob(filepath.Join(dir, "out", ".draft-*"))
		return found
	}
	unpack("meanwhile")
	if found := drafts(); len(found) != 1 {
		t.Errorf("%v, want the draft of what is under way", found)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	unpack("after")
	if found := drafts(); len(found) != 0 {
		t.Errorf("%v is left", found)
	}
	for _, name := range []string{"before", "meanwhile", "after"} {
		if got := contents(t, filepath.Join(dir, "out", name)); len(got) != len(sample().Files) {
			t.Errorf("%s has %d files", name, len(got))
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "out", "victim")); err == nil {
		t.Error("what was broken off is there")
	}
}
