// Command registry measures on this machine what MLflow's clients get from the platform: one
// JSON line a figure, beside `mlflow server` under the same load, or beside the bar.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/slipway-ml/slipway/bench/figure"
)

type bench struct {
	figure.Out

	exe, python string
	length      time.Duration // of each load
	gib         int           // of the artifact
	pg          *postgres     // started by the first who needs it
	dir         string
}

func main() {
	b := &bench{Out: figure.Out{Bench: "registry", W: os.Stdout}}
	flag.StringVar(&b.exe, "platform", "bin/platform", "the platform's executable")
	flag.StringVar(&b.python, "python", ".venv-mlflow3/bin/python", "the interpreter with mlflow")
	flag.DurationVar(&b.length, "length", 10*time.Second, "how long each load lasts, at the least")
	flag.IntVar(&b.gib, "gib", 1, "size of the artifact")
	only := flag.String("only", "", "parts to run, comma-separated: api, versions, artifact; or a database: sqlite, postgres")
	flag.Parse()
	figure.Main(func(ctx context.Context) error { return b.run(ctx, *only) })
}

func (b *bench) run(ctx context.Context, only string) (err error) {
	if b.dir, err = os.MkdirTemp("", "slipway-bench-"); err != nil {
		return err
	}
	defer func() {
		if b.pg != nil {
			b.pg.stop()
		}
		err = errors.Join(err, removeAll(b.dir))
	}()
	words := strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
	for _, w := range words {
		if !slices.Contains([]string{"api", "versions", "artifact", sqlite, postgresql}, w) {
			return fmt.Errorf("-only: there is no part and no database %q", w)
		}
	}
	chosen := func(name string, of ...string) bool {
		named := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return !slices.Contains(of, w) })
		return len(named) == 0 || slices.Contains(named, name)
	}
	parts := []struct {
		name string
		run  func(context.Context, string) error
	}{{"api", b.api}, {"versions", b.versions}, {"artifact", b.artifact}}
	for _, p := range parts {
		for _, database := range []string{sqlite, postgresql} {
			if !chosen(p.name, "api", "versions", "artifact") || !chosen(database, sqlite, postgresql) {
				continue
			}
			if p.name == "artifact" && database == postgresql {
				continue // its bytes lie beside the database
			}
			if err := p.run(ctx, database); err != nil {
				return fmt.Errorf("%s on %s: %w", p.name, database, err)
			}
		}
	}
	return nil
}
