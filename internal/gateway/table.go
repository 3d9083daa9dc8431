package gateway

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
	"github.com/slipway-ml/slipway/internal/gateway/admit"
	"github.com/slipway-ml/slipway/internal/route"
)

// table is a route.Table made ready for lookups. It is never changed; what changes while
// it is in force, and outlives it, hangs off pointers.
type table struct {
	route.Table
	endpoints map[string]*endpoint
	grants    map[[sha256.Size]byte]*grant
	revisions map[string]*revision
}

// grant remembers when it was last used, to the minute.
type grant struct {
	*route.Grant
	used *atomic.Int64 // Unix seconds
}

// useTick is how exactly that is remembered: requests of one token shall not fight for it.
const useTick = 60

func (g *grant) use(now time.Time) {
	if at := now.Unix(); at-g.used.Load() >= useTick {
		g.used.Store(at)
	}
}

// uses says when tokens, by id, were last used here.
func (t *table) uses() map[string]time.Time {
	out := map[string]time.Time{}
	for _, g := range t.grants {
		if at := g.used.Load(); at > 0 && g.Token != "" {
			out[g.Token] = time.Unix(at, 0).UTC()
		}
	}
	return out
}

type endpoint struct {
	*route.Endpoint
	stable, candidate *revision
	sameSchema        bool  // of both
	live              *live // nil without a rollout
	stats             *endpointStats
}

type revision struct {
	*route.Revision
	header, version []string // of answers
	traced          string   // the endpoint and the revision, as they are remembered
	ready           *atomic.Int64
	counts          *counts
	gate            *admit.Gate
}

// endpointStats outlives tables.
type endpointStats struct {
	invalid, coerced, rollbacks atomic.Int64
	refused                     admit.Refused
	meter                       *admit.Meter
}

func newStats(e *route.Endpoint) *endpointStats {
	s := &endpointStats{}
	s.meter = admit.NewMeter(ratesOf(e), &s.refused)
	return s
}

// Ack is a gateway's word that a table is in force, and will be after a restart.
type Ack struct {
	Seq uint64 `json:"seq"`
}

const maxDeadline = time.Hour

// Apply puts a table in force once it is on disk. It answers Conflict for a table that is
// older than the one in force, Invalid for one that contradicts itself, and CodeVetoed for
// one that gives traffic to a candidate which this gateway has taken it from: reconcile
// the journal first. In the last case nothing changes. A veto and a promotion that cross
// meet at the judge's lock, and one of them wins.
func (g *Gateway) Apply(t route.Table) (Ack, error) {
	g.applying.Lock()
	defer g.applying.Unlock()
	if g.frozen.Load() {
		return Ack{}, frozenError()
	}
	old := g.table.Load()
	if t.Seq == old.Seq && reflect.DeepEqual(t, old.Table) {
		return Ack{t.Seq}, nil
	}
	if t.Seq <= old.Seq {
		return Ack{}, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "observe the gateway and number the next table higher",
			"table %d is not newer than table %d, which is in force", t.Seq, old.Seq)
	}
	next, err := g.compile(t, old)
	if err != nil {
		return Ack{}, err
	}
	if err := g.vetoed(next, old); err != nil {
		return Ack{}, err
	}
	if err := g.persist(t); err != nil {
		return Ack{}, err
	}
	if err := g.swap(next, old); err != nil {
		return Ack{}, errors.Join(err, g.persist(old.Table))
	}
	g.c.Replicas.Want(next.Revisions())
	g.refresh()
	g.sweepJudges(next)
	return Ack{t.Seq}, nil
}

// swap puts a table in force unless something was vetoed meanwhile. It holds the locks of
// all judges concerned, but only to compare and assign.
func (g *Gateway) swap(next, old *table) error {
	locks := lives(next, old)
	for _, l := range locks {
		l.mu.Lock()
		defer l.mu.Unlock()
	}
	if err := g.vetoed(next, old); err != nil {
		return err
	}
	for _, e := range next.endpoints {
		e.stats.meter.Set(ratesOf(e.Endpoint))
		for _, r := range []*revision{e.stable, e.candidate} {
			if r != nil {
				r.gate.Set(admission(e.Endpoint, r.Revision))
			}
		}
		if e.live != nil && !e.live.vetoed {
			e.live.weight, e.live.promoted = e.Weight, e.Rollout.Promoted
		}
	}
	g.table.Store(next)
	return nil
}

// lives lists the judges of two tables, each once, in an order that all callers share.
func lives(tables ...*table) []*live {
	var out []*live
	for _, t := range tables {
		for _, e := range t.endpoints {
			if e.live != nil {
				out = append(out, e.live)
			}
		}
	}
	slices.SortFunc(out, func(a, b *live) int {
		return cmp.Or(cmp.Compare(a.key.Deployment, b.key.Deployment), cmp.Compare(a.key.Attempt, b.key.Attempt))
	})
	return slices.Compact(out)
}

// vetoed refuses a table that brings back what was rolled back: a candidate with weight or
// promoted, or one that becomes stable because the server had not heard of the veto.
func (g *Gateway) vetoed(next, old *table) error {
	var keys []string
	for key, e := range next.endpoints {
		if e.live != nil && (e.Weight > 0 || e.Rollout.Promoted) && g.journal.has(e.live.key) {
			keys = append(keys, fmt.Sprintf("%s (%s, attempt %d)", key, e.live.key.Deployment, e.live.key.Attempt))
			continue
		}
		was := old.endpoints[key]
		if was != nil && was.live != nil && e.Stable != nil && e.Stable.ID == was.live.revision && g.journal.has(was.live.key) {
			keys = append(keys, fmt.Sprintf("%s (%s as stable)", key, e.Stable.ID))
		}
	}
	if len(keys) == 0 {
		return nil
	}
	slices.Sort(keys)
	return slipway.Errorf(slipway.Conflict, slipway.CodeVetoed, "reconcile the gateway's journal and publish again",
		"rolled back at the gateway: %s", strings.Join(keys, ", "))
}

// compile checks a table and makes it ready. What outlives tables is taken from old.
func (g *Gateway) compile(t route.Table, old *table) (*table, error) {
	next := &table{Table: t, endpoints: make(map[string]*endpoint, len(t.Endpoints)),
		grants: make(map[[sha256.Size]byte]*grant, len(t.Grants)), revisions: map[string]*revision{}}
	for i := range t.Grants {
		var hash [sha256.Size]byte
		sum, err := hex.DecodeString(t.Grants[i].TokenSHA256)
		if err != nil || len(sum) != len(hash) {
			return nil, invalid(fmt.Sprintf("grants[%d].token_sha256", i), "is no SHA-256")
		}
		hash = [sha256.Size]byte(sum)
		next.grants[hash] = &grant{Grant: &t.Grants[i], used: new(atomic.Int64)}
		if was := old.grants[hash]; was != nil {
			next.grants[hash].used = was.used
		}
	}
	rollouts := map[route.RolloutKey]bool{}
	for i := range t.Endpoints {
		e := &t.Endpoints[i]
		err := next.check(e)
		if err == nil && e.Rollout != nil && rollouts[e.Rollout.Key()] {
			err = invalid("rollout", "drives another endpoint too")
		}
		if err != nil {
			err.Field = fmt.Sprintf("endpoints[%d].%s", i, err.Field)
			return nil, err
		}
		ce := &endpoint{Endpoint: e}
		ce.sameSchema = e.Stable != nil && e.Candidate != nil && reflect.DeepEqual(e.Stable.Schema, e.Candidate.Schema)
		was := old.endpoints[e.Key]
		if was != nil {
			ce.stats = was.stats
		} else {
			ce.stats = newStats(e)
		}
		ce.stable, ce.candidate = next.revision(ce, e.Stable, old), next.revision(ce, e.Candidate, old)
		if e.Rollout != nil {
			rollouts[e.Rollout.Key()] = true
			var err error
			if ce.live, err = g.live(ce, was); err != nil {
				return nil, err
			}
		}
		next.endpoints[e.Key] = ce
	}
	return next, nil
}

func invalid(field, message string) *slipway.Error {
	return &slipway.Error{Code: slipway.CodeInvalid, Kind: slipway.Invalid, Field: field, Message: message,
		Next: "publish a table that is consistent"}
}

// check refuses an endpoint that the data plane could not serve as it says.
func (t *table) check(e *route.Endpoint) *slipway.Error {
	_, _, err := slipway.ParseEndpoint(e.Key)
	switch {
	case err != nil || t.endpoints[e.Key] != nil:
		return invalid("key", "is no key of an endpoint, or not the only one")
	case e.Deadline <= 0 || e.Deadline > maxDeadline:
		return invalid("deadline", "is not between 0 and an hour")
	case !(e.Weight >= 0 && e.Weight <= 1) || math.Signbit(e.Weight):
		return invalid("weight", "is not between 0 and 1")
	case (e.Candidate == nil) != (e.Rollout == nil):
		return invalid("rollout", "and candidate need each other")
	case e.Weight > 0 && e.Candidate == nil:
		return invalid("weight", "is given to no candidate")
	case e.Stable == nil && e.Weight > 0 && e.Weight < 1:
		return invalid("weight", "leaves a rest, and there is no stable revision for it")
	case (e.State == route.Serving || e.State == route.Provisional) && e.Stable == nil && e.Weight == 0:
		return invalid("state", "says that it serves, and nothing does")
	case e.Stable != nil && e.Candidate != nil && e.Stable.ID == e.Candidate.ID:
		return invalid("candidate", "is the stable revision")
	case e.Rollout != nil && !fileName(snapshotName(e.Rollout.Key())):
		return invalid("rollout.deployment", "cannot name a file")
	}
	if l := e.Limits; l != nil && (!(l.RatePerSecond >= 0) || !(l.CallerRatePerSecond >= 0) || l.Burst < 0 || l.CallerBurst < 0 ||
		l.Concurrency < 0 || l.Queue < 0 || l.QueueWait < 0 || l.MaxBody < 0) {
		return invalid("limits", "are negative")
	}
	for _, r := range []*route.Revision{e.Stable, e.Candidate} {
		if r != nil && r.ID == "" {
			return invalid("revision", "has no id")
		}
	}
	return nil
}

// revision makes a revision ready. Its counts go on if the table before had it.
func (t *table) revision(e *endpoint, r *route.Revision, old *table) *revision {
	if r == nil {
		return nil
	}
	if c := t.revisions[r.ID]; c != nil {
		return c
	}
	c := &revision{Revision: r, header: []string{r.ID}, version: []string{strconv.Itoa(r.Version)}, traced: e.Key + " " + r.ID}
	if was := old.revisions[r.ID]; was != nil {
		c.ready, c.counts, c.gate = was.ready, was.counts, was.gate
	} else {
		c.ready, c.counts, c.gate = new(atomic.Int64), new(counts), admit.New(admission(e.Endpoint, r), &e.stats.refused)
	}
	t.revisions[r.ID] = c
	return c
}

func (g *Gateway) tablePath() string { return filepath.Join(g.c.Dir, "table.json") }

func (g *Gateway) persist(t route.Table) error {
	b, err := json.Marshal(t)
	if err != nil {
		return invalid("table", "cannot be written as JSON")
	}
	if err := disk.Replace(g.tablePath(), b, true); err != nil {
		return ioError("write the table", err)
	}
	return nil
}

// load reads the table of the last gateway; without one it is empty.
func (g *Gateway) load() (*table, error) {
	b, err := os.ReadFile(g.tablePath())
	if errors.Is(err, fs.ErrNotExist) {
		return &table{}, nil
	}
	if err != nil {
		return nil, err
	}
	var t route.Table
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, err
	}
	return g.compile(t, &table{})
}
