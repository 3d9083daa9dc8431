// Command trust measures on this machine what protects the platform: one JSON line a figure,
// beside the figure that was asked for.
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

	exe string
	gib int // of an instance that is backed up
}

func main() {
	b := &bench{Out: figure.Out{Bench: "trust", W: os.Stdout}}
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
