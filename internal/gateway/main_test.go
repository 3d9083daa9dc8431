package gateway_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/gateway"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience ends a test that hangs; none waits for it.
const patience = time.Minute

type model func(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error)

// fake stands for the replicas: a revision is a function.
type fake struct {
	mu      sync.Mutex
	models  map[string]model
	unready map[string]bool
	want    []string
	changed chan struct{}
	sockets map[string]string // of replicas that are passed through to
	through int               // requests that are
}

func newFake() *fake {
	return &fake{models: map[string]model{}, unready: map[string]bool{}, changed: make(chan struct{}, 1)}
}

func (f *fake) set(revision string, m model) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.models[revision] = m
}

func (f *fake) setReady(revision string, ready bool) {
	f.mu.Lock()
	f.unready[revision] = !ready
	f.mu.Unlock()
	f.changed <- struct{}{}
}

func (f *fake) Want(revisions []*route.Revision) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.want = nil
	for _, r := range revisions {
		f.want = append(f.want, r.ID)
	}
}

func (f *fake) Status(revision string) route.RevisionStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := route.RevisionStatus{ID: revision, Want: 1, Ready: 1}
	if f.unready[revision] {
		st.Ready = 0
	}
	return st
}

func (f *fake) Predict(ctx context.Context, revision string, in *tensor.Batch) (*tensor.Batch, error) {
	f.mu.Lock()
	m := f.models[revision]
	f.mu.Unlock()
	if m == nil {
		m = value(1)
	}
	return m(ctx, in)
}

func (f *fake) Through(_ context.Context, revision string) (string, func(), error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	socket, ok := f.sockets[revision]
	if !ok {
		return "", nil, &slipway.Error{Code: slipway.CodeNoReplica, Kind: slipway.Unavailable, Message: "no replica"}
	}
	f.through++
	return socket, func() { f.mu.Lock(); f.through--; f.mu.Unlock() }, nil
}

func (f *fake) Changed() <-chan struct{} { return f.changed }

// value answers every request with one number.
func value(v float64) model {
	return func(context.Context, *tensor.Batch) (*tensor.Batch, error) {
		return &tensor.Batch{Tensors: []tensor.Tensor{{Name: "y", Type: tensor.FP64, Shape: []int{1},
			Data: binary.LittleEndian.AppendUint64(nil, math.Float64bits(v))}}}, nil
	}
}

func failing(err error) model {
	return func(context.Context, *tensor.Batch) (*tensor.Batch, error) { return nil, err }
}

var (
	errBroken   = &slipway.Error{Code: slipway.CodeModelFailed, Kind: slipway.Internal, Message: "the model failed"}
	errRejected = &slipway.Error{Code: slipway.CodeSchema, Kind: slipway.Unprocessable, Message: "the model refused the request: age"}
)

// hang waits for the end of the request.
func hang(ctx context.Context, _ *tensor.Batch) (*tensor.Batch, error) {
	<-ctx.Done()
	return nil, &slipway.Error{Code: slipway.CodeDeadline, Kind: slipway.Unavailable, Message: "late"}
}

// after answers after a while.
func after(d time.Duration, m model) model {
	return func(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
		select {
		case <-time.After(d):
			return m(ctx, in)
		case <-ctx.Done():
			return hang(ctx, in)
		}
	}
}

// sometimes takes the first model for a share of the requests.
func sometimes(share float64, rnd *source, m, other model) model {
	return func(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
		if rnd.Float64() < share {
			return m(ctx, in)
		}
		return other(ctx, in)
	}
}

// source is seeded randomness for many goroutines.
type source struct {
	mu sync.Mutex
	r  *rand.Rand
}

func seeded(seed uint64) *source { return &source{r: rand.New(rand.NewPCG(seed, 7))} }

func (s *source) Float64() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.Float64()
}

const (
	ownerToken  = "owner-token"
	callerToken = "caller-token"
	leadToken   = "lead-token"
	oldToken    = "old-token"
)

func hash(token string) string { return slipway.DigestOf([]byte(token)).Hex() }

func revision(n int) *route.Revision {
	return &route.Revision{ID: fmt.Sprintf("fraud-%d", n), Number: n, Model: "fraud", Version: n + 10, Replicas: 1,
		Schema: tensor.Schema{Inputs: []tensor.Field{{Name: "a", Type: tensor.FP64, Required: true}},
			Outputs: []tensor.Field{{Name: "y", Type: tensor.FP64}}},
		Runtime: route.Runtime{Kind: route.RuntimeTree}}
}

func rollout() *route.Rollout {
	return &route.Rollout{Deployment: "dep_1", Attempt: 1, Alpha: .001, Beta: .05, P0: .01}
}

// serving is an endpoint with a stable revision and, if weight is not 0, a candidate.
func serving(weight float64) route.Endpoint {
	e := route.Endpoint{Key: "fraud", State: route.Serving, Deadline: 5 * time.Second, Stable: revision(1)}
	if weight > 0 {
		e.Candidate, e.Weight, e.Rollout = revision(2), weight, rollout()
	}
	return e
}

func first() route.Endpoint {
	r := rollout()
	r.First, r.Promoted = true, true
	return route.Endpoint{Key: "fraud", State: route.Provisional, Deadline: 5 * time.Second, Candidate: revision(2), Weight: 1, Rollout: r}
}

func table(seq uint64, endpoints ...route.Endpoint) route.Table {
	return route.Table{Seq: seq, Endpoints: endpoints, Grants: []route.Grant{
		{TokenSHA256: hash(ownerToken), Principal: "ana", Scope: route.ScopeOwner},
		{TokenSHA256: hash(callerToken), Principal: "shop", Scope: route.ScopeListed, Predict: []string{"fraud", "gone.staging", "lone", "new"}},
		{TokenSHA256: hash(leadToken), Principal: "lea", Scope: route.ScopeListed, RollBack: []string{"fraud"}},
		{TokenSHA256: hash(oldToken), Principal: "old", Scope: route.ScopeOwner, Expires: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)},
	}}
}

// harness is a gateway without sockets.
type harness struct {
	*gateway.Gateway
	t      testing.TB
	fake   *fake
	dir    string
	stop   func()
	config gateway.Config
}

func newRegistry() *prometheus.Registry { return prometheus.NewRegistry() }

func open(t testing.TB, dir string, f *fake) *harness {
	t.Helper()
	c := gateway.Config{Name: "local", Dir: dir, ServerSocket: dir + "/nobody", Replicas: f, Metrics: newRegistry(),
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Rand: seeded(1).Float64}
	return openWith(t, c, f)
}

func openWith(t testing.TB, c gateway.Config, f *fake) *harness {
	t.Helper()
	g, err := gateway.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() { defer close(ran); g.Run(ctx) }()
	h := &harness{Gateway: g, t: t, fake: f, dir: c.Dir, config: c}
	h.stop = sync.OnceFunc(func() {
		cancel()
		<-ran
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(h.stop)
	return h
}

func (h *harness) apply(t route.Table) {
	h.t.Helper()
	if _, err := h.Apply(t); err != nil {
		h.t.Fatal(err)
	}
}

const (
	inferBody  = `{"id":"42","inputs":[{"name":"a","shape":[1,1],"datatype":"FP64","data":[1.5]}]}`
	mlflowBody = `{"inputs":[[1.5]]}`
)

// send makes one request; header is name, value, …
func (h *harness) send(method, path, token, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func (h *harness) infer(header ...string) *httptest.ResponseRecorder {
	return h.send(http.MethodPost, "/v2/models/fraud/infer", callerToken, inferBody, header...)
}

func (h *harness) counts(revision string) route.Counts {
	o := h.Observe()
	st := o.Revision(revision)
	if st == nil {
		h.t.Fatalf("%s is not observed", revision)
	}
	return st.Counts
}

func (h *harness) endpoint() route.EndpointStatus {
	o := h.Observe()
	return *o.Endpoint("fraud")
}

func (h *harness) sendContext(ctx context.Context) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v2/models/fraud/infer", strings.NewReader(inferBody))
	r.Header.Set("Authorization", "Bearer "+callerToken)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
