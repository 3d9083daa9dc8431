package gateway

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/internal/express"
	"github.com/slipway-ml/slipway/internal/route"
)

// Journal lists the vetoes as the admin socket does.
func (g *Gateway) Journal(after uint64) []route.Veto { return g.journal.after(after) }

// ApplyAround applies a table, and rolls its endpoint back when the table is on disk and
// not yet in force.
func (g *Gateway) ApplyAround(t route.Table, key, path string) (veto, apply error) {
	before, err := os.ReadFile(path)
	if err != nil {
		return err, nil
	}
	l := g.table.Load().endpoints[key].live
	l.mu.Lock()
	applied := make(chan error)
	go func() {
		_, err := g.Apply(t)
		applied <- err
	}()
	for {
		now, err := os.ReadFile(path)
		if err != nil {
			return err, nil
		}
		if !bytes.Equal(now, before) {
			break
		}
	}
	g.veto(l, g.c.Now(), "ana", "")
	l.mu.Unlock()
	apply = <-applied
	return g.journal.sync(context.Background()), apply
}

// FillDisk makes every write to the journal fail for lack of space, until mend.
func (g *Gateway) FillDisk(t testing.TB) (mend func()) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { full.Close() })
	j := g.journal
	j.writing.Lock()
	defer j.writing.Unlock()
	whole := j.file
	j.file = full
	return func() {
		j.writing.Lock()
		defer j.writing.Unlock()
		j.file = whole
	}
}

// Refused gives whom the gateway has refused, and forgets nobody.
func (g *Gateway) Refused() []route.Refusal { return g.refused.After(0) }

// Uses says when tokens were last used, as the admin socket does.
func (g *Gateway) Uses() map[string]time.Time { return g.table.Load().uses() }

// Hear is what the server's word does that the grants are those of now.
func (g *Gateway) Hear() { g.hear() }

// Traces says which revisions answered requests of an id, and how.
func (g *Gateway) Traces(id string) string {
	g.answers.Flush()
	found, err := g.answers.Find(context.Background(), id)
	out := fmt.Sprint(err)
	for _, a := range found {
		out += " " + a.Name + " " + a.Outcome
	}
	return out
}

// NewPublic is the server of the public address.
func NewPublic(g *Gateway) *express.Server {
	return express.New(g.newServer(g, nil), predicts, time.Now)
}
