// Package mlflowimport copies what a running MLflow server holds to a platform: experiments,
// runs with all measurements, logged and registered models, versions, aliases and artifacts.
// It asks the server by MLflow's REST API, and writes through the platform's. What came whole
// is marked at the platform with what it was like at the server, so that an import that was
// broken off goes on, and a second one copies what has changed.
package mlflowimport

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
)

// Platform is where things go. Its methods may be called concurrently, and repeated.
type Platform interface {
	Records
	Runs
	Models
	Files
}

// Records says what came before.
type Records interface {
	// Imported gives those of the ids that are there, in any order.
	Imported(ctx context.Context, q api.ImportQuery) ([]api.Imported, error)
	ImportDone(ctx context.Context, d api.ImportDone) error
}

// Runs takes experiments and what is in them. Something of the same id that is from elsewhere
// is CodeImportTaken.
type Runs interface {
	ImportExperiment(ctx context.Context, e api.ImportExperiment) (api.Imported, error)
	ImportRun(ctx context.Context, r api.ImportRun) (api.Imported, error)
	ImportMetrics(ctx context.Context, run string, m api.ImportMetrics) error
	ImportLoggedModel(ctx context.Context, m api.ImportLoggedModel) (api.Imported, error)
}

// Models takes registered models.
type Models interface {
	ImportModel(ctx context.Context, m api.ImportModel) (api.Imported, error)
	ImportVersion(ctx context.Context, v api.ImportVersion) (api.Imported, error)
	SetAlias(ctx context.Context, model, alias string, r api.SetAlias) (api.Alias, error)
}

// Files takes artifacts. Paths are those of the platform's artifacts.
type Files interface {
	// Artifacts gives the sizes of the files in a directory, by name.
	Artifacts(ctx context.Context, dir string) (map[string]int64, error)
	// PutArtifact stores a file whole or not at all; size -1: unknown.
	PutArtifact(ctx context.Context, path string, size int64, in io.Reader) error
}

// Options say what is copied.
type Options struct {
	Team        string
	Experiments []string // names; none: all
	Models      []string // names; none: all
	NoArtifacts bool
	Full        bool // look at what has not changed, and copy every file
	Parallel    int  // runs at once
	Now         func() time.Time
	// Progress is told what was done so far, often.
	Progress func(doing string, r api.ImportReport)
}

// maxLeft bounds the list of what was not taken.
const maxLeft = 10_000

// Import is one import under way.
type Import struct {
	s *Source
	p Platform
	o Options

	mu     sync.Mutex
	report api.ImportReport
}

// Run copies, until ctx ends or one of both servers is away. The report is of what was done.
// An error means that something is missing that another attempt may bring.
func Run(ctx context.Context, s *Source, p Platform, o Options) (api.ImportReport, error) {
	i := &Import{s: s, p: p, o: o}
	i.report.Source, i.report.Left = s.Address(), []api.ImportLeft{}
	began := o.Now()
	err := i.run(ctx)
	slices.SortStableFunc(i.report.Left, func(a, b api.ImportLeft) int { return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.ID, b.ID)) })
	i.report.TookMS = o.Now().Sub(began).Milliseconds()
	if err == nil && (i.report.LeftMore > 0 || slices.ContainsFunc(i.report.Left, func(l api.ImportLeft) bool { return l.Failed })) {
		err = slipway.Errorf(slipway.Conflict, slipway.CodeImport, "look at what was left, then run the same command again: it goes on", "some of it could not be imported")
	}
	return i.report, err
}

func (i *Import) run(ctx context.Context) (err error) {
	if i.report.SourceVersion, err = i.s.Version(ctx); err != nil {
		return err
	}
	for token, more := "", true; more; more = token != "" {
		var page []experiment
		if page, token, err = i.s.experiments(ctx, token); err != nil {
			return err
		}
		for _, e := range page {
			if len(i.o.Experiments) > 0 && !slices.Contains(i.o.Experiments, e.Name) {
				continue
			}
			if err := i.left("experiment", e.Name, i.experiment(ctx, e)); err != nil {
				return err
			}
		}
	}
	if err := i.registered(ctx); err != nil {
		return err
	}
	return i.others(ctx)
}

// left notes why something was not taken, unless nothing can be taken any more.
func (i *Import) left(what, id string, err error) error {
	if err == nil || ends(err) {
		return err
	}
	e := slipway.AsError(err)
	i.note(api.ImportLeft{What: what, ID: id, Why: e.Message, Next: e.Next, Failed: !errors.Is(err, &slipway.Error{Code: slipway.CodeImportTaken})})
	return nil
}

// ends says whether an error is of a server that is away or full, or of credentials that are
// not good: what follows would fail, too.
func ends(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	k := slipway.AsError(err).Kind
	return k == slipway.Unavailable || k == slipway.Unauthorized || k == slipway.Exhausted
}

func (i *Import) note(l api.ImportLeft) {
	l.ID, l.Why = slipway.OneLine(l.ID, 300), slipway.OneLine(l.Why, 500)
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.report.Left) >= maxLeft {
		i.report.LeftMore++
		return
	}
	i.report.Left = append(i.report.Left, l)
}

// noted says of something that has come what is not as it was.
func (i *Import) noted(what, id string, here api.Imported) {
	if here.Note != "" {
		i.note(api.ImportLeft{What: what, ID: id, Why: here.Note})
	}
}

// did changes the report, and tells of it.
func (i *Import) did(doing string, change func(*api.ImportReport)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(&i.report)
	if i.o.Progress != nil {
		i.o.Progress(doing, i.report)
	}
}

// count counts something that came, had come, or did not come whole.
func count(c *api.ImportCount, copied, whole bool) {
	switch {
	case !whole:
		c.Failed++
	case copied:
		c.Copied++
	default:
		c.Unchanged++
	}
}

// mark is what something is like, in a text.
func mark(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// known finds what of some ids has come before.
func (i *Import) known(ctx context.Context, kind string, ids []string) (map[string]api.Imported, error) {
	out := make(map[string]api.Imported, len(ids))
	for chunk := range slices.Chunk(ids, 1000) {
		found, err := i.p.Imported(ctx, api.ImportQuery{Source: i.s.Address(), Kind: kind, IDs: chunk})
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			out[f.SourceID] = f
		}
	}
	return out, nil
}

func (i *Import) origin(id string) api.ImportOrigin {
	return api.ImportOrigin{Source: i.s.Address(), SourceID: id}
}

func (i *Import) done(ctx context.Context, kind, id, mark string) error {
	return i.p.ImportDone(ctx, api.ImportDone{ImportOrigin: i.origin(id), Kind: kind, Mark: mark})
}

// each does something for all at once, some at a time.
func each[T any](ctx context.Context, parallel int, all []T, do func(ctx context.Context, t T) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(parallel, 1))
	for _, t := range all {
		g.Go(func() error { return do(ctx, t) })
	}
	return g.Wait()
}

func pairs(in []pair) []api.Pair {
	out := make([]api.Pair, len(in))
	for i, p := range in {
		out[i] = api.Pair(p)
	}
	return out
}
