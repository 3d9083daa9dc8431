// Command trust measures on this machine what protects the platform: one JSON line a figure,
// beside the figure that was asked for.
package main

import (
	"context"
	"flag"
	"os"

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
	figure.Main(func(ctx context.Context) error {
		return figure.Parts(ctx, *only, figure.Part{Name: "policy", Run: b.policy},
			figure.Part{Name: "keys", Run: b.keys},
			figure.Part{Name: "audit", Run: b.audit},
			figure.Part{Name: "backup", Run: b.backup})
	})
}
