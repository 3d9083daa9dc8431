package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway/internal/disk"
	"github.com/slipway-ml/slipway/internal/eprocess"
	"github.com/slipway-ml/slipway/internal/route"
)

// snapshot is what survives of a rollout's evidence.
type snapshot struct {
	Judge      eprocess.Snapshot `json:"judge"`
	Tau        time.Duration     `json:"tau"`
	FirstBad   time.Time         `json:"first_bad,omitzero"`
	LastRouted time.Time         `json:"last_routed,omitzero"`
}

func (g *Gateway) judgesDir() string { return filepath.Join(g.c.Dir, "judges") }

func snapshotName(k route.RolloutKey) string {
	return k.Deployment + "-" + strconv.Itoa(k.Attempt) + ".json"
}

// saveLoop keeps the evidence on disk, apart from the judges: they wait for no disk.
func (g *Gateway) saveLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			g.saveJudges()
			return
		case <-g.save:
			g.saveJudges()
		}
	}
}

// saveJudges writes the evidence that has changed. It is not synced: what a power failure
// takes away is the newest buckets of both arms, and evidence without them is as valid.
func (g *Gateway) saveJudges() {
	g.saving.Lock()
	defer g.saving.Unlock()
	for _, e := range g.table.Load().endpoints {
		if e.live == nil {
			continue
		}
		s, changed := e.live.snapshot()
		if !changed {
			continue
		}
		b, err := json.Marshal(s)
		if err == nil {
			err = disk.Replace(filepath.Join(g.judgesDir(), snapshotName(e.live.key)), b, false)
		}
		if err != nil {
			g.c.Log.Error("evidence was not saved; a restart would lose it", "endpoint", e.Key, "error", err)
		}
	}
}

func (l *live) snapshot() (s snapshot, changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if closed := l.judge.Close(0); !closed && !l.dirty { // a request that opens a bucket closes earlier ones
		return s, false
	}
	l.dirty = false
	return snapshot{l.judge.Snapshot(), l.tau, l.firstBad, l.lastRouted}, true
}

// restore continues a rollout's evidence from disk. What cannot be read is logged, and the
// evidence starts afresh, which spends alpha again.
func (g *Gateway) restore(l *live) {
	b, err := os.ReadFile(filepath.Join(g.judgesDir(), snapshotName(l.key)))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var s snapshot
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	var judge *eprocess.Judge
	if err == nil {
		judge, err = eprocess.Restore(s.Judge)
	}
	if err != nil {
		g.c.Log.Error("saved evidence cannot be read; it starts afresh", "endpoint", l.endpoint, "deployment", l.key.Deployment, "error", err)
		return
	}
	l.judge, l.base = judge, s.Judge.Closed+1
	l.tau, l.firstBad, l.lastRouted = max(0, s.Tau), s.FirstBad, s.LastRouted
}

// sweepJudges removes the evidence of rollouts that are over.
func (g *Gateway) sweepJudges(t *table) {
	keep := map[string]bool{}
	for _, e := range t.endpoints {
		if e.live != nil {
			keep[snapshotName(e.live.key)] = true
		}
	}
	files, err := os.ReadDir(g.judgesDir())
	for _, f := range files {
		if err == nil && !keep[f.Name()] {
			err = os.Remove(filepath.Join(g.judgesDir(), f.Name()))
		}
	}
	if err != nil {
		g.c.Log.Warn("evidence of a finished rollout was not removed", "error", err)
	}
}
