package blob_test

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/blob"
)

// victim is set to the directory in the process that is to be killed.
const victim = "BLOB_TEST_VICTIM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victim); dir != "" {
		os.Exit(uploadForever(dir))
	}
	os.Exit(m.Run())
}

// half says that it was read, and then gives nothing more.
type half struct{ sent bool }

func (h *half) Read(p []byte) (int, error) {
	if !h.sent {
		h.sent = true
		return copy(p, "half a"), nil
	}
	_, _ = os.Stdout.WriteString("half\n")
	select {}
}

func uploadForever(dir string) int {
	d, err := blob.Open(dir, &memory{keys: map[string][]byte{}})
	if err != nil {
		return 1
	}
	_ = d.Put(context.Background(), slipway.DigestOf([]byte("half a model")), 12, &half{})
	return 2
}

// A process that is killed while it stores a blob leaves nothing visible, and nothing at
// all after the next start.
func TestKilled(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir()
	child := exec.Command(exe)
	child.Env = append(os.Environ(), victim+"="+path)
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
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	left := files(t, path)
	if len(left) != 1 || filepath.Dir(left[0]) != "incoming" {
		t.Fatalf("the victim left %v, want one file in incoming", left)
	}
	d := open(t, path)
	if left := files(t, path); len(left) != 0 {
		t.Errorf("%v is left after the next start", left)
	}
	digest := slipway.DigestOf([]byte("half a model"))
	if missing, err := d.Missing(t.Context(), []slipway.Digest{digest}); err != nil || len(missing) != 1 {
		t.Errorf("missing %v, %v, want the blob", missing, err)
	}
	put(t, d, "half a model")
}

// unread fails the test when it is read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("something was read though the disk is full")
	return 0, io.EOF
}

func TestDiskFull(t *testing.T) {
	path := t.TempDir()
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, "size=1m,nr_inodes=300"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, 0); err != nil {
			t.Error(err)
		}
	})
	d := open(t, path)
	digest := slipway.DigestOf([]byte("large"))
	wantCode(t, "a blob that does not fit", d.Put(t.Context(), digest, 2<<20, unread{t}), slipway.CodeDiskFull)
	if left := files(t, path); len(left) != 0 {
		t.Errorf("%v was left", left)
	}
	small := put(t, d, "small")
	for i := 0; ; i++ { // until there is no inode any more
		content := strings.Repeat("x", i)
		err := d.Put(t.Context(), slipway.DigestOf([]byte(content)), int64(i), strings.NewReader(content))
		if err != nil {
			wantCode(t, "one file too many", err, slipway.CodeDiskFull)
			break
		}
	}
	if got, err := read(t, d, small); got != "small" || err != nil {
		t.Errorf("what was there: %q, %v", got, err)
	}
}
