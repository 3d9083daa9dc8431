// Package standalone answers for one model over HTTP, without a gateway before it: what a
// container of a revision's image serves. It speaks the Open Inference Protocol (REST) and
// MLflow's scoring protocol as the gateway does, without tokens, rollouts and evidence.
package standalone

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Predictor is a loaded model, safe for concurrent use.
//
// Predict answers a batch, which has the tensors of the schema's inputs in their order,
// with one of as many rows. It must not change the batch. An error that is a *slipway.Error
// reaches the caller, any other the log only. Ready answers nil when the next Predict has a
// chance.
type Predictor interface {
	Predict(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error)
	Ready(ctx context.Context) error
}

// Model is what is served. Name and Version are those of the paths and of the answers,
// Platform is what the metadata call the kind of model, "slipway_tree".
type Model struct {
	Name, Version, Platform string
	Schema                  tensor.Schema
	Predictor               Predictor
}

// Limits bound what callers may ask. Fields that are not positive stand
// for the defaults.
type Limits struct {
	MaxBody     int64         // bytes of a request; 16 MiB
	MaxInFlight int           // predictions at once; 256
	Deadline    time.Duration // of a prediction; 30 s. Callers may ask for less
	// Linger is for how long requests are still taken when the server was told to stop,
	// while it says that it is not ready: load balancers need a moment to notice. 0 for none.
	Linger time.Duration
}

// Defaults, and what is no one's choice.
const (
	defaultMaxBody     = 16 << 20
	defaultMaxInFlight = 256
	defaultDeadline    = 30 * time.Second

	maxBuffered       = 512 << 20 // bytes of all bodies
	maxProbes         = 8         // at once
	probeTimeout      = 2 * time.Second
	failuresPerSecond = 5 // logged
)

// Server is the HTTP server of one model.
type Server struct {
	model    Model
	limits   Limits
	release  string
	log      *slog.Logger
	logRate  *rate.Limiter
	nonce    string
	serial   atomic.Uint64
	slots    chan struct{} // predictions
	probes   chan struct{}
	buffered atomic.Int64 // bytes of bodies
	stopping atomic.Bool
}

// New makes a server. Release is the version of this program, which it answers at
// /version; nonce, any short word, begins the ids of requests that bring none.
func New(m Model, l Limits, release, nonce string, log *slog.Logger) *Server {
	l.MaxBody = cmp.Or(max(l.MaxBody, 0), defaultMaxBody)
	l.MaxInFlight = cmp.Or(max(l.MaxInFlight, 0), defaultMaxInFlight)
	l.Deadline = cmp.Or(max(l.Deadline, 0), defaultDeadline)
	return &Server{model: m, limits: l, release: release, nonce: nonce, log: log, logRate: rate.NewLimiter(failuresPerSecond, 4*failuresPerSecond),
		slots: make(chan struct{}, l.MaxInFlight), probes: make(chan struct{}, maxProbes)}
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set(requestIDHeader, s.requestID(r))
	if s.stopping.Load() {
		h.Set("Connection", "close")
	}
	path := r.URL.Path
	if p, ok := answer.ParsePath(path); ok && p.Protocol == answer.OpenInference {
		s.ofModel(w, r, p)
		return
	}
	if path == "/invocations" {
		if answer.MLflowScoring.Allow(w, r, http.MethodPost) {
			s.predict(w, r, answer.MLflowScoring)
		}
		return
	}
	if !answer.OpenInference.Allow(w, r, http.MethodGet) {
		return
	}
	switch path {
	case "/v2", "/v2/":
		answer.Write(w, http.StatusOK, answer.ServerMetadata())
	case "/v2/health/live":
		answer.Write(w, http.StatusOK, map[string]bool{"live": true})
	case "/v2/health/ready":
		answer.Ready(w, "", s.ready(r.Context()))
	case "/ping", "/health": // MLflow's server has both
		h.Set("Content-Type", "text/plain")
		if !s.ready(r.Context()) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write([]byte("\n"))
	case "/version":
		h.Set("Content-Type", "text/plain")
		_, _ = w.Write([]byte(s.release + "\n"))
	default:
		answer.OpenInference.Fail(w, s.unknownPath())
	}
}

// ofModel answers what is below a model's name, with or without its version.
func (s *Server) ofModel(w http.ResponseWriter, r *http.Request, p answer.Path) {
	method := http.MethodGet
	if p.What == answer.Predict {
		method = http.MethodPost
	}
	switch {
	case p.Name != s.model.Name || p.Version != "" && p.Version != s.model.Version:
		answer.OpenInference.Fail(w, s.unknownModel())
	case !answer.OpenInference.Allow(w, r, method):
	case p.What == answer.Predict:
		s.predict(w, r, answer.OpenInference)
	case p.What == answer.ModelReady:
		answer.Ready(w, s.model.Name, s.ready(r.Context()))
	case p.What == answer.ModelMetadata:
		answer.Write(w, http.StatusOK, s.metadata())
	default:
		answer.OpenInference.Fail(w, s.unknownPath())
	}
}

// ready says whether a prediction has a chance.
func (s *Server) ready(ctx context.Context) bool {
	if s.stopping.Load() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	_, err := isolate(ctx, s.probes, func(ctx context.Context) (struct{}, error) { return struct{}{}, s.model.Predictor.Ready(ctx) })
	return err == nil
}
