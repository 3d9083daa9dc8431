// Package figure is what the benches share: how a figure is printed, and how much memory an
// installation takes.
package figure

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Figure is one line of the result of a bench. Ratio is better when higher, and meets the bar
// from goal on. Peer is the other side's figure or, where there is none, the bar itself.
type Figure struct {
	Bench  string  `json:"bench"`
	Metric string  `json:"metric"`
	Ours   float64 `json:"ours"`
	Peer   float64 `json:"peer"`
	Ratio  float64 `json:"ratio"`
	Goal   float64 `json:"goal"`
}

// Out prints the figures of one bench.
type Out struct {
	Bench string
	W     io.Writer
}

// AtMost is a figure that must be at most the bar.
func (o Out) AtMost(metric string, ours, bar float64) Figure {
	ratio := bar / max(ours, 1e-9)
	if bar == 0 { // nothing at all is allowed
		ratio = 0
		if ours == 0 {
			ratio = 1
		}
	}
	return Figure{o.Bench, metric, ours, bar, ratio, 1}
}

// Beside is a figure beside a peer's, more being better.
func (o Out) Beside(metric string, ours, peer, goal float64) Figure {
	return Figure{o.Bench, metric, ours, peer, ours / max(peer, 1e-9), goal}
}

// Print prints figures, one JSON line each.
func (o Out) Print(figures ...Figure) {
	for _, f := range figures {
		line, err := json.Marshal(f)
		if err != nil {
			line = fmt.Appendf(nil, "%+v", f)
		}
		fmt.Fprintln(o.W, string(line))
	}
}

// Note tells a person what goes on.
func Note(format string, args ...any) { fmt.Fprintf(os.Stderr, "# "+format+"\n", args...) }

// Processes are those that an executable runs for a home.
func Processes(exe, home string) ([]int, error) {
	exe, err := filepath.Abs(exe)
	if err != nil {
		return nil, err
	}
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var out []int
	for _, p := range procs {
		if runs, err := os.Readlink(filepath.Join(p, "exe")); err != nil || runs != exe {
			continue
		}
		args, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		env, _ := os.ReadFile(filepath.Join(p, "environ")) // none: it has ended
		if pid, err := strconv.Atoi(filepath.Base(p)); err == nil && (bytes.Contains(env, []byte(home)) || bytes.Contains(args, []byte(home))) {
			out = append(out, pid)
		}
	}
	return out, nil
}

// Memory is the summed proportional set size of the processes that an executable runs for a
// home, in MiB.
func Memory(exe, home string) (float64, error) {
	pids, err := Processes(exe, home)
	if err != nil {
		return 0, err
	}
	var kib float64
	for _, pid := range pids {
		rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue // it has ended
		}
		for line := range strings.Lines(string(rollup)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
				n, err := strconv.ParseFloat(f[1], 64)
				if err != nil {
					return 0, err
				}
				kib += n
			}
		}
	}
	return kib / 1024, nil
}

// CPU is what processes have taken of the processors, user and system, in seconds.
func CPU(pids ...int) (seconds float64) {
	const ticks = 100 // a second, on every Linux
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := bytes.Cut(stat, []byte(") ")) // the name before may have spaces
		f := strings.Fields(string(rest))
		for _, i := range []int{11, 12} {
			if i < len(f) {
				n, _ := strconv.ParseFloat(f[i], 64)
				seconds += n / ticks
			}
		}
	}
	return seconds
}
