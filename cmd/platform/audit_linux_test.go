package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
)

// TestAuditDiskFull: while the disk of the audit log is full, changes are refused with what
// to do, models serve on, and a rollback waits for nothing; with space again all goes on, and
// the log has everything that was acknowledged.
func TestAuditDiskFull(t *testing.T) {
	home := filepath.Join(shortDir(t), "h")
	disk := filepath.Join(home, "audit")
	if err := os.MkdirAll(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=4m,mode=0700"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := serverAt(t, home, nil)
	s.deployed("one")
	s.deployed("two")
	sent, end := traffic(t, s.c)
	defer end()
	ballast := fill(t, disk, 0)
	var refused *slipway.Error
	acknowledged := 0
	for i := 0; refused == nil && i < 3000; i++ { // a few seconds' worth wait for the log before it is given up
		_, err := s.c.CreateAccount(t.Context(), api.CreateAccount{Name: fmt.Sprint("someone-", i), Kind: slipway.Person})
		if err == nil {
			acknowledged++
		} else if refused = slipway.AsError(err); refused.Code != slipway.CodeAuditFull || refused.Next == "" {
			t.Fatalf("%s %v, next %q", refused.Code, refused, refused.Next)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if refused == nil {
		t.Fatal("changes are not refused")
	}
	for from := sent.Load(); sent.Load() < from+50 && !t.Failed(); time.Sleep(time.Millisecond) {
	}
	if _, err := s.c.Rollback(t.Context(), "fraud", "it can wait for no log"); err != nil {
		t.Errorf("a rollback: %v", err)
	}
	for e := (api.Endpoint{}); e.Stable == nil || e.Stable.Version != 1; time.Sleep(10 * time.Millisecond) {
		var err error
		if e, err = s.c.Endpoint(t.Context(), "fraud"); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for {
		_, err := s.c.CreateAccount(t.Context(), api.CreateAccount{Name: "afterwards", Kind: slipway.Person})
		if err == nil {
			break
		}
		if !errors.Is(err, &slipway.Error{Code: slipway.CodeAuditFull}) {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if out, err := platform(t, nil, "audit", "verify", "--home", home); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	accounts, err := s.c.Accounts(t.Context())
	if err != nil || len(accounts) != 2+acknowledged { // and the owner
		t.Errorf("%d accounts, %d were acknowledged: %v", len(accounts), acknowledged, err)
	}
}
