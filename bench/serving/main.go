// Command serving measures what serving does beside others on this machine. It prints one
// JSON line a figure.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway/bench/figure"
)

type bench struct {
	figure.Out

	exe, repo string
	length    time.Duration
}

func main() {
	b := &bench{Out: figure.Out{Bench: "serving", W: os.Stdout}}
	flag.StringVar(&b.exe, "platform", "bin/platform", "the platform's executable")
	flag.StringVar(&b.repo, "repo", ".", "the checkout, for the models of the tests")
	flag.DurationVar(&b.length, "length", time.Minute, "of an overload")
	only := flag.String("only", "", "parts to run, comma-separated: overload")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	parts := []struct {
		name string
		run  func(context.Context) error
	}{{"overload", b.overload}}
	for _, p := range parts {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), p.name) {
			continue
		}
		if err := p.run(ctx); err != nil {
			fmt.Fprintln(os.Stderr, p.name+":", err)
			os.Exit(1)
		}
	}
}
