// Command serving measures serving beside its peers on this machine: the servers of others
// with the same models, and proxies before the same runtime. It prints one JSON line a figure.
// Absolute times differ from machine to machine; the peers run in the same run, in turns with
// the platform, and get the same load from the same client on the same processors.
package main

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"time"

	"github.com/slipway-ml/slipway/bench/figure"
)

type bench struct {
	figure.Out

	exe, repo string
	rounds    int
	round     time.Duration
	overloads time.Duration // how long one lasts
	models    int
}

func main() {
	b := &bench{Out: figure.Out{Bench: "serving", W: os.Stdout}}
	flag.StringVar(&b.exe, "platform", "bin/platform", "the platform's executable")
	flag.StringVar(&b.repo, "repo", ".", "the checkout, for the models of the tests and the environments of the peers")
	flag.IntVar(&b.rounds, "rounds", 5, "rounds of which the median is taken; one more warms up")
	flag.DurationVar(&b.round, "round", 3*time.Second, "length of one side's turn")
	flag.DurationVar(&b.overloads, "overload", time.Minute, "length of an overload")
	flag.IntVar(&b.models, "models", 300, "small models in one process")
	only := flag.String("only", "", "parts to run, comma-separated: gateway latency xgboost lightgbm sklearn overload trees shared")
	role := flag.String("role", "", "for the processes that the bench starts: runtime, backend, proxy")
	addr := flag.String("addr", "", "where a runtime listens, a Unix socket; of the proxy's backend")
	flag.Parse()
	figure.Main(func(ctx context.Context) error {
		if *role != "" {
			return b.peer(ctx, *role, *addr)
		}
		return figure.Parts(ctx, *only, figure.Part{Name: "gateway", Run: b.gateway},
			figure.Part{Name: "latency", Run: b.latency},
			figure.Part{Name: "xgboost", Run: b.xgboost},
			figure.Part{Name: "lightgbm", Run: b.lightgbm},
			figure.Part{Name: "sklearn", Run: b.sklearn},
			figure.Part{Name: "overload", Run: b.overload},
			figure.Part{Name: "trees", Run: b.trees},
			figure.Part{Name: "shared", Run: b.shared})
	})
}

// python is a program of one of the environments that make makes.
func (b *bench) python(environment, program string) string {
	path := filepath.Join(b.repo, environment, "bin", program)
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}
