// Package doctor examines an installation: the machine, the home, the database, the gateway
// and what runs, with the next step for each finding; and it removes what nothing needs.
package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/runtime/child"
)

// Verdicts of a finding.
const (
	pass = "pass"
	warn = "warn"
	fail = "fail"
)

// Bounds below which a machine is too small.
const (
	lowDisk   = 2 << 30 // bytes: an environment of Python takes about one
	emptyDisk = 200 << 20
	minFiles  = 4096 // open at once
)

func finding(check, verdict, next, format string, args ...any) api.Finding {
	return api.Finding{Check: check, Verdict: verdict, Message: fmt.Sprintf(format, args...), Next: next}
}

// Machine examines what needs no server: the home directory and the machine. With fix it
// takes rights from others that they should not have.
func Machine(ctx context.Context, c config.Config, fix bool) []api.Finding {
	return []api.Finding{home(c, fix), room(c), files(), isolation(ctx)}
}

// home looks at who may read what is secret.
func home(c config.Config, fix bool) api.Finding {
	var open []string
	for _, want := range []struct {
		path string
		mode fs.FileMode
	}{{c.Home, 0o700}, {c.OwnerToken(), 0o600}, {c.Database(), 0o600}, {c.Blobs(), 0o700}, {c.Gateway(), 0o700}, {c.Logs(), 0o700}, {c.Backups(), 0o700}, {c.BackupSeal(), 0o600}, {c.TLS(), 0o700}} {
		info, err := os.Lstat(want.path)
		if err != nil || info.Mode().Perm()&^want.mode == 0 {
			continue
		}
		if fix && os.Chmod(want.path, want.mode) == nil {
			continue
		}
		open = append(open, filepath.Base(want.path))
	}
	switch {
	case len(open) > 0:
		f := finding("home", fail, "platform doctor --fix", "others may read %s in %s", strings.Join(open, ", "), c.Home)
		f.Fixable = true
		return f
	case missing(c.Home):
		return finding("home", warn, "platform up", "%s is not there yet", c.Home)
	default:
		return finding("home", pass, "", "%s is private to its user", c.Home)
	}
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return os.IsNotExist(err)
}

// room looks at the disk where the home is.
func room(c config.Config) api.Finding {
	dir := c.Home
	for missing(dir) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return finding("disk", warn, "check the file system", "the room on the disk is not known: %v", err)
	}
	free := st.Bavail * uint64(st.Bsize)
	text := fmt.Sprintf("%.1f GiB are free", float64(free)/(1<<30))
	switch {
	case free < emptyDisk:
		return finding("disk", fail, "platform doctor --fix, or make room on it", "%s", text)
	case free < lowDisk:
		return finding("disk", warn, "platform doctor --fix, or make room on it", "%s; the environment of a Python model may not fit", text)
	default:
		return finding("disk", pass, "", "%s", text)
	}
}

// files looks at how many connections one process may have.
func files() api.Finding {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err == nil && l.Max < minFiles {
		return finding("open files", warn, "raise the limit: ulimit -Hn, or LimitNOFILE= of the unit", "a process may have %d, so many callers at once are refused", l.Max)
	}
	return finding("open files", pass, "", "a process may have %d", l.Max)
}

// isolation tries what keeps Python models from the network and from other processes.
func isolation(ctx context.Context) api.Finding {
	const check = "isolation"
	program, err := exec.LookPath("true")
	if err != nil {
		return finding(check, warn, "install coreutils", "there is no program to try it with")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	p, alone, err := child.StartAlone(exec.Command(program), false)
	if err != nil {
		return finding(check, warn, "see the kernel's log", "it cannot be tried: %v", err)
	}
	stop := context.AfterFunc(ctx, p.Kill)
	<-p.Ended
	stop()
	if !alone {
		return finding(check, warn, "sysctl kernel.unprivileged_userns_clone=1, or what else forbids namespaces here",
			"this machine permits no namespaces: Python models have the network and see other processes")
	}
	return finding(check, pass, "", "Python models have neither the network nor other processes in sight")
}
