package disk_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/slipway-ml/slipway/internal/disk"
)

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, content := range []string{"a long beginning", "", "end"} {
		if err := os.WriteFile(path+".new", []byte("what a crash left, which is longer"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := disk.Replace(path, []byte(content), content != ""); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		if got, err := os.ReadFile(path); string(got) != content || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if size := disk.Size(filepath.Dir(path)); size != 3 {
		t.Errorf("%d bytes are there", size)
	}
	if err := disk.Replace(filepath.Join(path, "below a file"), nil, true); err == nil {
		t.Error("a file was made below a file")
	}
}

func TestFull(t *testing.T) {
	for err, want := range map[error]bool{
		&fs.PathError{Err: syscall.ENOSPC}:     true,
		fmt.Errorf("deep: %w", syscall.EDQUOT): true,
		&fs.PathError{Err: syscall.EACCES}:     false,
		fmt.Errorf("no space left on device"):  false,
	} {
		if got := disk.Full(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}
