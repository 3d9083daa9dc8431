// Command trust measures on this machine what protects the platform: one JSON line a figure,
// beside the figure that was asked for.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// figure is one line of the result. Ratio is better when higher, and meets the bar from
// goal on. Peer is the other side's figure or, where there is none, the bar itself.
type figure struct {
	Bench  string  `json:"bench"`
	Metric string  `json:"metric"`
	Ours   float64 `json:"ours"`
	Peer   float64 `json:"peer"`
	Ratio  float64 `json:"ratio"`
	Goal   float64 `json:"goal"`
}

type bench struct {
	exe string
	out io.Writer
	gib int // of an instance that is backed up
}

// lower is a figure that must be at most the bar.
func lower(metric string, ours, bar float64) figure {
	ratio := bar / max(ours, 1e-9)
	if bar == 0 { // nothing at all is allowed
		ratio = 0
		if ours == 0 {
			ratio = 1
		}
	}
	return figure{"trust", metric, ours, bar, ratio, 1}
}

// higher is a figure that must be at least the bar.
func higher(metric string, ours, bar float64) figure {
	return figure{"trust", metric, ours, bar, ours / bar, 1}
}

// lower reports a figure that must be at most the bar.
func (b *bench) lower(metric string, ours, bar float64) { b.print(lower(metric, ours, bar)) }

// beside reports a figure beside a peer's, more being better.
func (b *bench) beside(metric string, ours, peer, goal float64) {
	b.print(figure{"trust", metric, ours, peer, ours / peer, goal})
}

func (b *bench) print(f figure) {
	line, err := json.Marshal(f)
	if err != nil {
		line = fmt.Appendf(nil, "%+v", f)
	}
	fmt.Fprintln(b.out, string(line))
}

func note(format string, args ...any) { fmt.Fprintf(os.Stderr, "# "+format+"\n", args...) }

func main() {
	b := &bench{out: os.Stdout}
	flag.StringVar(&b.exe, "platform", "bin/platform", "the platform's executable")
	flag.IntVar(&b.gib, "gib", 5, "size of the instance that is backed up")
	only := flag.String("only", "", "parts to run, comma-separated: policy, keys, audit, backup")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if err := b.run(ctx, *only); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, only string) error {
	parts := []struct {
		name string
		run  func(context.Context) error
	}{{"policy", b.policy}, {"keys", b.keys}, {"audit", b.audit}, {"backup", b.backup}}
	for _, p := range parts {
		if only != "" && !slices.Contains(strings.Split(only, ","), p.name) {
			continue
		}
		if err := p.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}
