package process

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Conn is one connection to a replica's socket, safe for concurrent use. What the replica
// itself answers, a refusal too, comes as a *slipway.Error; any other error, and one of
// kind Unavailable, says that the connection is no good. An error whose chain has a method
// Unsent that answers true is that of a request which was never sent. Close fails the calls
// in flight.
type Conn interface {
	// Predict asks for a revision: a pool has many.
	Predict(ctx context.Context, revision string, in *tensor.Batch) (*tensor.Batch, error)
	Ready(ctx context.Context) error
	// Host tells a pool which models it consists of, or with nil nothing, and gives the state of
	// each. It does not wait until they are loaded.
	Host(ctx context.Context, to *route.Pool) ([]route.HostedStatus, error)
	// Load has a pool load the model of a revision, unless it is loaded, and waits for that.
	Load(ctx context.Context, revision string) error
	Close() error
}

// lane is a connection that gets requests, and how many it has now.
type lane struct {
	conn   Conn
	socket string // of the replica
	hurt   hurt
	load   atomic.Int64
	shut   atomic.Bool
	sick   atomic.Bool   // its last request found it broken
	idle   chan struct{} // holds a token once a shut lane is empty
}

// hurt is told that a request has found the connection broken, and whether the process had it
// already. It asks for a health check at once.
type hurt func(revision string, sent bool)

func newLane(c Conn, socket string, h hurt) *lane {
	return &lane{conn: c, socket: socket, hurt: h, idle: make(chan struct{}, 1)}
}

// enter counts a request in, unless the lane is shut. The count comes first: either the
// request sees shut, or whoever shut the lane sees the request.
func (l *lane) enter() bool {
	l.load.Add(1)
	if l.shut.Load() {
		l.leave()
		return false
	}
	return true
}

func (l *lane) leave() {
	if l.load.Add(-1) == 0 && l.shut.Load() {
		select {
		case l.idle <- struct{}{}:
		default:
		}
	}
}

// drain shuts the lane and waits until its requests are answered. It gives up when ctx ends.
func (l *lane) drain(ctx context.Context) {
	l.shut.Store(true)
	for l.load.Load() > 0 {
		select {
		case <-l.idle:
		case <-ctx.Done():
			return
		}
	}
}

// predict sends a request that was counted in by enter.
func (l *lane) predict(ctx context.Context, revision string, in *tensor.Batch) (*tensor.Batch, error) {
	defer l.leave()
	out, err := l.conn.Predict(ctx, revision, in)
	switch {
	case err == nil:
		if l.sick.Load() {
			l.sick.Store(false)
		}
	case ctx.Err() == nil && broken(err):
		l.sick.Store(true)
		l.hurt(revision, lostWith(err))
	}
	return out, err
}

// broken says whether an error speaks of the connection instead of the request. A broken
// connection is looked at immediately, and gets nothing while another is there: failing
// fast, it would have the fewest requests in flight and draw all the others.
func broken(err error) bool {
	var e *slipway.Error
	return !errors.As(err, &e) || e.Kind == slipway.Unavailable
}

// neverSent tells whether nobody has seen the request.
func neverSent(err error) bool {
	var u interface{ Unsent() bool }
	return errors.As(err, &u) && u.Unsent()
}

// lostWith tells whether the connection ended while the process had the request. What it has
// answered, that it is stopping perhaps, says nothing of why it ended later.
func lostWith(err error) bool {
	if e := (*slipway.Error)(nil); !errors.As(err, &e) {
		return !neverSent(err)
	}
	var l interface{ Lost() bool }
	return errors.As(err, &l) && l.Lost()
}

// sickLoad makes a sick lane look busier than any healthy one.
const sickLoad = 1 << 32

// pick finds the lane with the fewest requests in flight, a sick one only if all are; among
// equals each is as likely as the other. It gives nil when there is none.
func pick(lanes []*lane, rand func(n int) int) *lane {
	var best *lane
	var least int64
	ties := 0
	for _, l := range lanes {
		n := l.load.Load()
		if l.sick.Load() {
			n += sickLoad
		}
		switch {
		case best == nil || n < least:
			best, least, ties = l, n, 1
		case n == least:
			if ties++; rand(ties) == 0 {
				best = l
			}
		}
	}
	return best
}
