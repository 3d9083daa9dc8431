// Command core measures the main job on this machine: serving beside a bare reverse proxy,
// starting, deploying, rolling back, and going on through restarts. It prints one JSON line
// a figure. Absolute times differ from machine to machine; the peer runs in the same run.
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
	exe, repo string
	mlserver  string
	out       io.Writer
	rollouts  int
	repeats   int
}

// higher reports a figure of which more is better.
func (b *bench) higher(metric string, ours, peer, goal float64) {
	b.print(figure{"core", metric, ours, peer, ours / peer, goal})
}

// lower reports a figure that must be at most the bar.
func (b *bench) lower(metric string, ours, bar float64) {
	ratio := bar / max(ours, 1e-9)
	if bar == 0 { // nothing at all is allowed
		ratio = 0
		if ours == 0 {
			ratio = 1
		}
	}
	b.print(figure{"core", metric, ours, bar, ratio, 1})
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
	flag.StringVar(&b.repo, "repo", ".", "the checkout, for the models of the tests")
	flag.IntVar(&b.rollouts, "rollouts", 200, "rollouts under load")
	flag.IntVar(&b.repeats, "repeats", 20, "rollbacks of which the median is taken")
	only := flag.String("only", "", "parts to run, comma-separated: start serve rollback same recover sklearn")
	flag.StringVar(&b.mlserver, "mlserver", ".venv-mlserver/bin/mlserver", "the peer of Python models")
	role := flag.String("role", "", "for the processes that the bench starts: backend, proxy, bad")
	addr := flag.String("addr", "", "of the proxy's backend; the socket of a bad server")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	var err error
	if *role != "" {
		err = runPeer(*role, *addr)
	} else {
		err = b.run(ctx, *only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, only string) error {
	parts := []struct {
		name string
		run  func(context.Context) error
	}{{"start", b.start}, {"serve", b.serve}, {"rollback", b.rollback}, {"same", b.same}, {"recover", b.recover}, {"sklearn", b.sklearn}}
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
