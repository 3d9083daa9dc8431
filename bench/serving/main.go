// Command serving measures serving beside its peers on this machine. It prints one JSON line
// a figure. Absolute times differ from machine to machine; the peers run in the same run.
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

	repo string
}

func main() {
	b := &bench{Out: figure.Out{Bench: "serving", W: os.Stdout}}
	flag.StringVar(&b.repo, "repo", ".", "the checkout, for its environments of Python")
	only := flag.String("only", "", "parts to run, comma-separated: trees")
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
	}{{"trees", b.trees}}
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
