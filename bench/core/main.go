// Command core measures the main job on this machine: starting, deploying, rolling back, and
// going on through restarts. It prints one JSON line a figure. Absolute times differ from
// machine to machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway/bench/figure"
)

type bench struct {
	figure.Out

	exe, repo string
	rollouts  int
	repeats   int
}

func main() {
	b := &bench{Out: figure.Out{Bench: "core", W: os.Stdout}}
	flag.StringVar(&b.exe, "platform", "bin/platform", "the platform's executable")
	flag.StringVar(&b.repo, "repo", ".", "the checkout, for the models of the tests")
	flag.IntVar(&b.rollouts, "rollouts", 200, "rollouts under load")
	flag.IntVar(&b.repeats, "repeats", 20, "rollbacks of which the median is taken")
	only := flag.String("only", "", "parts to run, comma-separated: start rollback same recover")
	bad := flag.String("bad", "", "socket, for the bad servers that the bench starts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	var err error
	if *bad != "" {
		err = runBad(*bad)
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
	}{{"start", b.start}, {"rollback", b.rollback}, {"same", b.same}, {"recover", b.recover}}
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
