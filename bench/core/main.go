// Command core measures the main job on this machine: starting, deploying, rolling back, and
// going on through restarts. It prints one JSON line a figure. Absolute times differ from
// machine to machine.
package main

import (
	"context"
	"flag"
	"os"

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
	figure.Main(func(ctx context.Context) error {
		if *bad != "" {
			return runBad(*bad)
		}
		return figure.Parts(ctx, *only, figure.Part{Name: "start", Run: b.start},
			figure.Part{Name: "rollback", Run: b.rollback},
			figure.Part{Name: "same", Run: b.same},
			figure.Part{Name: "recover", Run: b.recover})
	})
}
