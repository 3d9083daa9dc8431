package runtime

import (
	"encoding/json"
	"errors"
	"log/slog"
	goruntime "runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/modeldir"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/runtime/pool"
)

const (
	// poolWorkers are the requests that a pool answers at once.
	poolWorkers = 64
	// maxWaiting are the requests that wait for one model to be loaded; more are refused.
	maxWaiting = 256
)

// hostedPool is a pool in a process of its own, whose limits come with its models.
type hostedPool struct {
	models *pool.Pool
	memory atomic.Int64 // bytes that the process may take, 0 for no limit
}

// startPool makes an empty pool. Its lines in the log name the revisions that they concern.
func startPool(cfg Config, log *slog.Logger) *hostedPool {
	p := &hostedPool{models: pool.New(loadHosted, log.With("stream", "runtime"), time.Now)}
	p.memory.Store(cfg.MemoryBytes)
	return p
}

// set takes up what a client says, and gives the state of every model.
func (p *hostedPool) set(body []byte) ([]byte, error) {
	if len(body) > 0 {
		var to route.Pool
		if err := json.Unmarshal(body, &to); err != nil {
			return nil, &slipway.Error{Code: slipway.CodeRequest, Kind: slipway.Invalid, Message: "the models of the pool cannot be read",
				Next: "use a gateway of the replica's version", Cause: err}
		}
		p.memory.Store(to.MemoryBytes)
		limitProcess(to.MemoryBytes, to.MilliCPU)
		p.models.Set(to)
	}
	return json.Marshal(p.models.Status())
}

// limitProcess tells the Go runtime of limits that may change.
func limitProcess(memory int64, milliCPU int) {
	if milliCPU > 0 {
		goruntime.GOMAXPROCS(min(goruntime.NumCPU(), (milliCPU+999)/1000))
	}
	if memory > 0 {
		debug.SetMemoryLimit(memory / 10 * 9)
	}
}

// loadHosted loads the model of a revision once its files are those of its version.
func loadHosted(what route.Hosted, limit int64) (pool.Model, int64, error) {
	if what.Kind != route.RuntimeTree {
		return nil, 0, slipway.Errorf(slipway.Invalid, slipway.CodeModelFormat, "give it processes of its own: model.placement: own", "a model of the kind %.40q cannot share a process", what.Kind)
	}
	got, err := modeldir.Unpacked(what.Dir, limit)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeTooLarge}) {
		return nil, 0, pool.TooLarge(slipway.AsError(err).Message, limit)
	}
	if err != nil {
		return nil, 0, err
	}
	if got != what.Digest {
		return nil, 0, slipway.Errorf(slipway.Internal, slipway.CodeModelDir, "platform doctor, then deploy again",
			"the files of the unpacked image are not those of the version: their digest is %s, not %s", got.Short(), what.Digest.Short())
	}
	f, err := loadTree(Config{Dir: what.Dir})
	if err != nil {
		return nil, 0, err
	}
	return f, pool.Size(f), nil
}
