package figure

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Part is one part of a bench.
type Part struct {
	Name string
	Run  func(context.Context) error
}

// Parts runs those whose names are in only, separated by commas; all of them if it is empty.
func Parts(ctx context.Context, only string, parts ...Part) error {
	var chosen, names []string
	if only != "" {
		chosen = strings.Split(only, ",")
	}
	for _, p := range parts {
		names = append(names, p.Name)
	}
	for _, name := range chosen {
		if !slices.Contains(names, name) {
			return fmt.Errorf("-only: there is no part %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	for _, p := range parts {
		if only != "" && !slices.Contains(chosen, p.Name) {
			continue
		}
		if err := p.Run(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return nil
}

// Main runs a bench until it is interrupted, and ends the process if it fails.
func Main(run func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
