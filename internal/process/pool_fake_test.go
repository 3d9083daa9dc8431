package process_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway/internal/route"
)

// hosted is what a fake runtime hosts when it is a pool.
var hosted fakePool

// fakePool loads what has a directory with a file "model". Its text says how that goes:
// "ok", "bad" or "crash".
type fakePool struct {
	mu    sync.Mutex
	pool  route.Pool
	loads map[string]int
}

func (p *fakePool) set(to *route.Pool) []route.HostedStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	if to != nil {
		p.pool = *to
	}
	var out []route.HostedStatus
	for _, m := range p.pool.Models {
		n := p.loads[m.Revision]
		out = append(out, route.HostedStatus{Revision: m.Revision, Loads: n, Loaded: n > 0, Bytes: 1000})
	}
	return out
}

// load answers why not, or nothing.
func (p *fakePool) load(revision string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.pool.Models {
		if m.Revision != revision {
			continue
		}
		b, err := os.ReadFile(filepath.Join(m.Dir, "model"))
		switch text := strings.TrimSpace(string(b)); {
		case err != nil:
			return "cannot be read"
		case text == "crash":
			os.Exit(9)
		case text != "ok":
			return "the file is " + text
		}
		time.Sleep(time.Millisecond)
		if p.loads == nil {
			p.loads = map[string]int{}
		}
		p.loads[revision]++
		return ""
	}
	return "is not hosted"
}
