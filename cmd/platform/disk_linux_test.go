package main

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
)

// TestDiskFull: when the disk is full, at whatever step of a deployment, that is said with
// what to do; models go on serving; and with space again the same deployment succeeds.
func TestDiskFull(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("TMPDIR", disk) // where the home is made
	s := newServer(t)
	s.deployed("before")
	sent, end := traffic(t, s.c)
	defer end()
	random := rand.NewChaCha8([32]byte{})
	full := 0
	for free := int64(0); free <= 2<<20; free += 128 << 10 { // a deployment takes less than the last
		note := make([]byte, 256<<10) // which no compression makes smaller
		_, _ = random.Read(note)
		ballast := fill(t, disk, free)
		freed := time.AfterFunc(3*time.Second, func() { os.Remove(ballast) }) // for what waits for it
		_, err := s.deploy(t.Context(), string(note))
		freed.Stop()
		t.Logf("%d KiB free: %v", free>>10, err)
		if e := slipway.AsError(err); err != nil {
			full++
			if e.Code != slipway.CodeDiskFull || e.Next == "" {
				t.Errorf("%d KiB free: %s %v, next %q", free>>10, e.Code, err, e.Next)
			}
		}
		for from := sent.Load(); sent.Load() < from+50 && !t.Failed(); time.Sleep(time.Millisecond) {
		}
		if err := os.Remove(ballast); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		s.deployed(string(note))
	}
	if full == 0 {
		t.Error("the disk was never full")
	}
}

// fill writes a file that leaves so many bytes of a disk free.
func fill(t *testing.T, disk string, free int64) (path string) {
	t.Helper()
	path = filepath.Join(disk, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var size int64
	for block := make([]byte, 1<<20); len(block) > 0; {
		n, err := f.Write(block)
		size += int64(n)
		if errors.Is(err, unix.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(max(size-free, 0)); err != nil {
		t.Fatal(err)
	}
	return path
}
