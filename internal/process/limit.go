package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// limiter puts replicas into memory cgroups. Without a root it does nothing: limits are
// then soft, which means that the runtime watches its own size.
type limiter struct {
	root string // our directory in the hierarchy
	tag  string // tells the groups of this installation from those of another
	v2   bool
}

// newLimiter looks for a place under the mount where groups can be made. self is the text
// of /proc/self/cgroup. The error says why there is none.
func newLimiter(mount, self, tag string) (limiter, error) {
	if mount == "" {
		return limiter{}, errors.New("no cgroup mount was given")
	}
	paths := map[string]string{} // controller, "" for v2, to path
	for line := range strings.Lines(self) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 {
			for c := range strings.SplitSeq(f[1], ",") {
				paths[c] = filepath.Clean("/" + f[2])
			}
		}
	}
	if _, err := os.Stat(filepath.Join(mount, "cgroup.controllers")); err == nil {
		root, err := rootV2(mount, paths[""])
		return limiter{root: root, tag: tag, v2: true}, err
	}
	path, ok := paths["memory"]
	if !ok {
		return limiter{}, errors.New("there is no memory controller")
	}
	root := filepath.Join(mount, "memory", path)
	if _, err := os.Stat(root); err != nil { // a container sees the mount, not the path
		root = filepath.Join(mount, "memory")
	}
	root = filepath.Join(root, "slipway")
	if err := mkdir(root); err != nil {
		return limiter{}, err
	}
	return limiter{root: root, tag: tag}, nil
}

// rootV2 walks up from our own group to the first one that already delegates memory to its
// children and lets us make one. It never changes a group that is not ours.
func rootV2(mount, path string) (string, error) {
	for ; ; path = filepath.Dir(path) {
		dir := filepath.Join(mount, path)
		control, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		if err == nil && slices.Contains(strings.Fields(string(control)), "memory") {
			root := filepath.Join(dir, "slipway")
			if mkdir(root) == nil && write(root, "cgroup.subtree_control", "+memory") == nil {
				return root, nil
			}
		}
		if path == "/" || path == "." {
			return "", errors.New("no cgroup above this process delegates memory to it")
		}
	}
}

// String names the kind of limit, for the log.
func (l limiter) String() string {
	switch {
	case l.root == "":
		return "soft"
	case l.v2:
		return "cgroup v2"
	default:
		return "cgroup v1"
	}
}

func (l limiter) group(id string) string { return filepath.Join(l.root, l.tag+"-"+id) }

// place limits the memory of a process that was just started.
func (l limiter) place(id string, pid int, bytes int64) error {
	if l.root == "" || bytes <= 0 {
		return nil
	}
	file := "memory.limit_in_bytes"
	if l.v2 {
		file = "memory.max"
	}
	dir := l.group(id)
	if err := mkdir(dir); err != nil {
		return err
	}
	if err := write(dir, file, strconv.FormatInt(bytes, 10)); err != nil {
		return err
	}
	return write(dir, "cgroup.procs", strconv.Itoa(pid))
}

// outOfMemory says whether the kernel killed something in the group for its size.
func (l limiter) outOfMemory(id string) bool {
	if l.root == "" {
		return false
	}
	file := "memory.oom_control"
	if l.v2 {
		file = "memory.events"
	}
	b, err := os.ReadFile(filepath.Join(l.group(id), file))
	if err != nil {
		return false
	}
	for line := range bytes.Lines(b) {
		if n, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("oom_kill ")); ok {
			return string(n) != "0"
		}
	}
	return false
}

// remove takes the group of an ended replica away. One that is still busy is left to sweep.
func (l limiter) remove(id string) {
	if l.root != "" {
		_ = os.Remove(l.group(id))
	}
}

// sweep removes the empty groups of this installation; a group with processes cannot be
// removed, so none of a live replica is lost.
func (l limiter) sweep() {
	if l.root == "" {
		return
	}
	groups, _ := filepath.Glob(filepath.Join(l.root, l.tag+"-*"))
	for _, g := range groups {
		_ = os.Remove(g)
	}
}

func mkdir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

func write(dir, file, text string) error {
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	return nil
}
