// Package gateway is the data plane of one machine: it routes predictions between the
// revisions of an endpoint, counts and judges their outcomes, and takes weight away from a
// candidate that proves bad. What it needs lies in the table that the server gave it last
// and in its own directory; it serves, judges and rolls back without the server.
package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/gateway/answered"
	"github.com/slipway-ml/slipway/internal/gateway/openinference"
	"github.com/slipway-ml/slipway/internal/gateway/refusal"
	"github.com/slipway-ml/slipway/internal/gateway/through"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Replicas runs the processes of revisions. All methods are safe for concurrent use.
type Replicas interface {
	// Want sets the revisions that shall run, and no others. It returns at once.
	Want([]*route.Revision)
	// Status is the state of a revision's replicas, without counts and latencies.
	Status(revision string) route.RevisionStatus
	// Predict asks one ready replica, once. What the model answers, a refusal too, is a
	// *slipway.Error: Invalid or Unprocessable when the input is at fault. It does not use
	// the batch after it has returned.
	Predict(ctx context.Context, revision string, in *tensor.Batch) (*tensor.Batch, error)
	// Through gives the socket on which the server behind one ready replica is spoken to as
	// it is, and counts a request in until leave is called.
	Through(ctx context.Context, revision string) (socket string, leave func(), err error)
	// Changed is poked when the state of some replica has changed.
	Changed() <-chan struct{}
}

// Metrics registers what the gateway counts and gives it out at /metrics.
type Metrics interface {
	prometheus.Registerer
	prometheus.Gatherer
}

// Config is what a gateway is made of.
type Config struct {
	Name         string // names its journal to the server; never changes
	Dir          string // its own directory; made with mode 0700
	ServerSocket string // Unix socket of the control plane
	Replicas     Replicas
	Secrets      http.Handler // takes what PUT /secrets brings on the admin socket; nil for none
	Metrics      Metrics
	MaxBody      int64 // bytes of a prediction request; 16 MiB if 0
	Log          *slog.Logger
	Now          func() time.Time // with a monotonic reading
	Rand         func() float64   // uniform in [0, 1); safe for concurrent use
}

const (
	defaultMaxBody = 16 << 20
	// maxBuffered bounds the bodies that are held at any one time.
	maxBuffered = 512 << 20
)

// Gateway is the data plane of one machine.
type Gateway struct {
	c       Config
	origin  time.Time // of the clock that numbers buckets
	nonce   string    // begins the request ids of this process
	serial  atomic.Uint64
	proxy   *httputil.ReverseProxy
	calls   *openinference.Server
	passer  *through.Passer
	journal *journal
	refused *refusal.Log
	answers *answered.Log
	table   atomic.Pointer[table]

	heard    atomic.Int64               // when the server last said that the grants are those of now: ns since origin
	buffered atomic.Int64               // bytes of bodies
	room     func(int64) *slipway.Error // is hold
	ending   atomic.Bool                // every answer is the last of its connection
	leaving  atomic.Bool                // so is one over TLS, since that cannot be handed over
	// So is one over HTTP/2, and for that the new process must accept: gRPC's clients try again
	// on a new connection once, and would find this one.
	left   atomic.Bool
	frozen atomic.Bool   // the state on disk is final: no evidence, no vetoes, no tables
	save   chan struct{} // holds a token when a judge's state has changed
	stop   chan stopRequest

	applying sync.Mutex // one Apply at a time
	saving   sync.Mutex // whoever has it has seen earlier evidence reach the disk
}

// Open loads what the last gateway of this directory left: the table, which is in force
// from here on, the journal of vetoes, the judges' evidence. Run has to follow. A table
// that cannot be read is logged and left to the server to replace; a directory that cannot
// be used is an error.
func Open(c Config) (*Gateway, error) {
	if c.MaxBody == 0 {
		c.MaxBody = defaultMaxBody
	}
	g := &Gateway{c: c, origin: c.Now(), save: make(chan struct{}, 1), stop: make(chan stopRequest)}
	g.nonce, g.room = nonce(c.Rand()), g.hold
	g.proxy, g.passer = newProxy(c.ServerSocket), through.New(passIdle, c.Log)
	g.calls = openinference.New(models{g}, int(c.MaxBody), c.Now)
	if err := os.MkdirAll(g.judgesDir(), 0o700); err != nil {
		return nil, ioError("make the gateway's directory", err)
	}
	var err error
	if g.journal, err = openJournal(filepath.Join(c.Dir, "journal.jsonl"), c.Now(), c.Log); err != nil {
		return nil, err
	}
	g.refused = refusal.Open(filepath.Join(c.Dir, "refusals.json"), c.Now, c.Log)
	if g.answers, err = answered.Open(answered.Config{Dir: filepath.Join(c.Dir, "answered"), Now: c.Now, Log: c.Log}); err != nil {
		return nil, ioError("make the directory of answered requests", err)
	}
	t, err := g.load()
	if err != nil {
		c.Log.Error("the last table cannot be used; waiting for the server's", "error", err)
		t = &table{}
	}
	g.table.Store(t)
	g.sweepJudges(t)
	c.Replicas.Want(t.Revisions())
	g.refresh()
	if err := c.Metrics.Register(collector{g}); err != nil {
		return nil, ioError("register metrics", err)
	}
	return g, nil
}

// Run judges, keeps the journal and the judges' evidence on disk and watches the replicas,
// until ctx ends; what can be written is written by then.
func (g *Gateway) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { g.judgeLoop(ctx) })
	wg.Go(func() { g.watchReplicas(ctx) })
	wg.Go(func() { g.saveLoop(ctx) })
	wg.Go(func() { g.journal.run(ctx) })
	wg.Go(func() { g.refused.Run(ctx) })
	wg.Go(func() { g.answers.Run(ctx) })
	wg.Wait()
}

// hear notes that what the server has granted is what it would grant now.
func (g *Gateway) hear() { g.heard.Store(int64(g.c.Now().Sub(g.origin))) }

// age is how long ago the server last said so. A gateway that has just begun takes its
// start for that: it cannot know how old the table is that it found.
func (g *Gateway) age() time.Duration {
	return g.c.Now().Sub(g.origin) - time.Duration(g.heard.Load())
}

// Close forgets the metrics and closes the journal, after Run.
func (g *Gateway) Close() error {
	g.c.Metrics.Unregister(collector{g})
	g.passer.Close()
	return g.journal.close()
}

// watchReplicas keeps the numbers of ready replicas, on which routing depends.
func (g *Gateway) watchReplicas(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.c.Replicas.Changed():
		case <-tick.C:
		}
		g.refresh()
	}
}

func (g *Gateway) refresh() {
	for _, r := range g.table.Load().revisions {
		r.ready.Store(int64(g.c.Replicas.Status(r.ID).Ready))
	}
}

// awaitReplicas waits until every revision of the table has a ready replica, and gives up
// silently when ctx ends: a revision that is broken must not hold up the others.
func (g *Gateway) awaitReplicas(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		g.refresh()
		waiting := false
		for _, r := range g.table.Load().revisions {
			waiting = waiting || r.ready.Load() == 0
		}
		if !waiting {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Freeze makes the state on disk final, for a new process that takes over: evidence is no
// longer gathered, tables and rollbacks are refused as Unavailable. Predictions go on.
func (g *Gateway) Freeze(ctx context.Context) error {
	g.applying.Lock()
	defer g.applying.Unlock()
	g.frozen.Store(true)
	g.saveJudges() // takes every judge's lock: whoever held one was the last not to see it
	return g.journal.sync(ctx)
}

// Thaw goes on after a Freeze when nobody took over.
func (g *Gateway) Thaw() { g.frozen.Store(false) }

func frozenError() error {
	return &slipway.Error{Code: slipway.CodeUnavailable, Kind: slipway.Unavailable,
		Message: "the gateway is handing over to a new one", Next: "try again in a second"}
}
