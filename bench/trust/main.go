// Command trust measures what stands under everything: the audit log. It prints a line of
// JSON for each figure.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// figure is one line: what was measured, beside what it is compared with. Ratio is above 1
// when the goal is met.
type figure struct {
	Bench  string  `json:"bench"`
	Metric string  `json:"metric"`
	Ours   float64 `json:"ours"`
	Peer   float64 `json:"peer"`
	Ratio  float64 `json:"ratio"`
	Goal   string  `json:"goal"`
}

// more is a figure that should be at least the peer's, and less one that should be at most.
func more(bench, metric string, ours, peer float64, goal string) figure {
	return figure{bench, metric, ours, peer, ours / peer, goal}
}

func less(bench, metric string, ours, peer float64, goal string) figure {
	return figure{bench, metric, ours, peer, peer / ours, goal}
}

// part measures something in an empty directory.
type part func(ctx context.Context, dir string, report func(figure)) error

var parts = map[string]part{"audit": auditPart}

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	only := flag.String("part", "", "one part alone")
	flag.Parse()
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	for name, measure := range parts {
		if *only != "" && *only != name {
			continue
		}
		dir, err := os.MkdirTemp("", "slipway-bench-")
		if err != nil {
			return err
		}
		var broken error
		err = measure(context.Background(), dir, func(f figure) { broken = errors.Join(broken, out.Encode(f)) })
		if err = errors.Join(err, broken, os.RemoveAll(dir)); err != nil {
			return err
		}
	}
	return nil
}
