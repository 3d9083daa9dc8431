package runtime

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// memoryEvery is the pace at which the resident size is looked at.
const memoryEvery = 500 * time.Millisecond

// watchMemory answers when this process and the groups of processes are together larger than
// the limit, in bytes; while that is 0 there is none. It answers nil when ctx ends. Groups may
// be nil.
func watchMemory(ctx context.Context, allowed func() int64, groups func() []int) error {
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		limit := allowed()
		if limit <= 0 {
			continue
		}
		size := residentBytes(os.Getpid())
		if groups != nil {
			size += groupBytes(groups())
		}
		if size > limit {
			return &exitError{ExitMemory, fmt.Errorf("out of memory, soft limit: %d MiB are resident, %d MiB are allowed", size>>20, limit>>20)}
		}
	}
}

// residentBytes is the resident size of a process, 0 if it has ended.
func residentBytes(pid int) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	return parseStatm(b) * int64(os.Getpagesize())
}

// parseStatm gives the second field of /proc/<pid>/statm, the resident pages; see
// proc_pid_statm(5). What is no such line has none.
func parseStatm(b []byte) int64 {
	f := bytes.Fields(b)
	if len(f) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(f[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages
}

// groupBytes is the resident size of process groups.
func groupBytes(groups []int) int64 {
	dir, err := os.Open("/proc")
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what could be read counts
	var sum int64
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if g, err := unix.Getpgid(pid); err == nil && slices.Contains(groups, g) {
			sum += residentBytes(pid)
		}
	}
	return sum
}
