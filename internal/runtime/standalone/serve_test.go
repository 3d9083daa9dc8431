package standalone_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/runtime/standalone"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// stubborn never ends before it is let go.
func stubborn(release <-chan struct{}) model {
	return model{predict: func(_ context.Context, in *tensor.Batch) (*tensor.Batch, error) {
		<-release
		return sum(in), nil
	}}
}

// The caller has an answer when its time is over, even if the model does not look at it.
func TestDeadline(t *testing.T) {
	for header, want := range map[string]time.Duration{"": 30 * time.Second, "1500": 1500 * time.Millisecond, "0": time.Millisecond,
		"60000": 30 * time.Second, "-1": 30 * time.Second, "99999999999999999999": 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			defer close(release)
			h, _ := server(stubborn(release), standalone.Limits{})
			start := time.Now()
			r := ask(h, "POST", "/invocations", split, "Slipway-Deadline-Ms: "+header)
			if said := text(r); r.StatusCode != 504 || !strings.Contains(said, slipway.CodeDeadline) || !strings.Contains(said, "DEADLINE_EXCEEDED") {
				t.Errorf("%d %s", r.StatusCode, said)
			}
			if took := time.Since(start); took != want {
				t.Errorf("%q took %v, want %v", header, took, want)
			}
		})
	}
}

// A model that hangs takes its slots and no more: the others are refused at once, and
// served again when it comes to its senses.
func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h, _ := server(stubborn(release), standalone.Limits{MaxInFlight: 2, Deadline: time.Second})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if r := ask(h, "POST", "/invocations", split); r.StatusCode != 504 {
					t.Errorf("%d", r.StatusCode)
				}
			})
		}
		wg.Wait()
		if r := ask(h, "POST", "/invocations", split); r.StatusCode != 503 || r.Header.Get("Retry-After") == "" {
			t.Errorf("%d %s", r.StatusCode, text(r))
		}
		if r := ask(h, "GET", "/v2/health/ready", ""); r.StatusCode != 200 {
			t.Errorf("%d: predictions keep probes out", r.StatusCode)
		}
		close(release)
		synctest.Wait()
		if r := ask(h, "POST", "/invocations", split); r.StatusCode != 200 {
			t.Errorf("%d %s", r.StatusCode, text(r))
		}
	})
}

// A probe that hangs is a no, and probes do not pile up.
func TestReadyHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var entered atomic.Int64
		h, _ := server(model{ready: func(context.Context) error {
			entered.Add(1)
			<-release
			return nil
		}}, standalone.Limits{})
		var wg sync.WaitGroup
		start := time.Now()
		for range 100 {
			wg.Go(func() {
				if r := ask(h, "GET", "/ping", ""); r.StatusCode != 503 {
					t.Errorf("%d", r.StatusCode)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took != 2*time.Second || entered.Load() != 8 {
			t.Errorf("%d probes took %v", entered.Load(), took)
		}
		close(release)
		synctest.Wait()
		if r := ask(h, "GET", "/ping", ""); r.StatusCode != 200 {
			t.Errorf("%d", r.StatusCode)
		}
	})
}

func TestBodies(t *testing.T) {
	h, _ := server(model{}, standalone.Limits{MaxBody: 1000})
	send := func(body io.Reader, length int64) *http.Response {
		r := httptest.NewRequest(http.MethodPost, "/invocations", body)
		r.ContentLength = length
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	padded := split + strings.Repeat(" ", 1000-len(split))
	for _, c := range []struct {
		name   string
		body   io.Reader
		length int64
		status int
	}{
		{"as large as it may be", strings.NewReader(padded), 1000, 200},
		{"without a length", strings.NewReader(padded), -1, 200},
		{"a byte at a time", iotest.OneByteReader(strings.NewReader(padded)), -1, 200},
		{"too large", strings.NewReader(padded + " "), 1001, 413},
		{"too large, without a length", strings.NewReader(padded + " "), -1, 413},
		{"a length that is a lie", strings.NewReader(""), 1 << 62, 413},
		{"broken off", io.MultiReader(strings.NewReader(split[:10]), iotest.ErrReader(errors.New("reset"))), int64(len(split)), 400},
		{"empty", strings.NewReader(""), 0, 400},
	} {
		if r := send(c.body, c.length); r.StatusCode != c.status {
			t.Errorf("%s: %d %s, want %d", c.name, r.StatusCode, text(r), c.status)
		}
	}
	// Bodies that come slowly hold memory, which is bounded for all of them.
	large, _ := server(model{}, standalone.Limits{MaxBody: 300 << 20})
	slow, end := io.Pipe()
	var wg sync.WaitGroup
	started := make(chan struct{})
	wg.Go(func() {
		r := httptest.NewRequest(http.MethodPost, "/invocations", io.MultiReader(readFunc(func() { close(started) }), slow))
		r.ContentLength = -1
		large.ServeHTTP(httptest.NewRecorder(), r)
	})
	<-started
	r := httptest.NewRequest(http.MethodPost, "/invocations", strings.NewReader(split))
	r.ContentLength = -1
	w := httptest.NewRecorder()
	large.ServeHTTP(w, r)
	if w.Code != 503 {
		t.Errorf("%d: more bodies are held than there is memory for", w.Code)
	}
	end.Close()
	wg.Wait()
	if r := ask(large, "POST", "/invocations", split); r.StatusCode != 200 {
		t.Errorf("%d: the memory was not given back", r.StatusCode)
	}
}

// readFunc is an empty reader that tells when it is read.
type readFunc func()

func (f readFunc) Read([]byte) (int, error) { f(); return 0, io.EOF }

// A client that leaves gets nothing, and the model hears of it.
func TestClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := make(chan error, 1)
		h, log := server(model{predict: func(ctx context.Context, _ *tensor.Batch) (*tensor.Batch, error) {
			<-ctx.Done()
			heard <- ctx.Err()
			return nil, ctx.Err()
		}}, standalone.Limits{})
		ctx, cancel := context.WithCancel(t.Context())
		w := httptest.NewRecorder()
		go func() { time.Sleep(time.Second); cancel() }()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/invocations", strings.NewReader(split)).WithContext(ctx))
		if err := <-heard; !errors.Is(err, context.Canceled) || w.Body.Len() != 0 || log.Len() != 0 {
			t.Errorf("%v, %q, log %q", err, w.Body, log)
		}
	})
}

// Told to stop, the server finishes what it has, and says no to what load balancers ask.
func TestRun(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	h, _ := server(model{predict: func(_ context.Context, in *tensor.Batch) (*tensor.Batch, error) {
		if in.Rows() == 2 {
			close(entered)
			<-release
		}
		return sum(in), nil
	}}, standalone.Limits{Linger: 300 * time.Millisecond})
	l, err := standalone.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx, l) }()
	answers := make(chan int, 1)
	go func() {
		r, err := http.Post(url+"/invocations", "application/json", strings.NewReader(split))
		if err != nil {
			t.Error(err)
			answers <- 0
			return
		}
		r.Body.Close()
		answers <- r.StatusCode
	}()
	<-entered
	stop()
	for ready := true; ready; { // until it has heard
		r, err := http.Get(url + "/v2/health/ready")
		if err != nil {
			t.Fatalf("it does not linger: %v", err)
		}
		r.Body.Close()
		ready = r.StatusCode == 200
		if !ready && !r.Close {
			t.Error("connections are kept")
		}
	}
	one := `{"dataframe_split":{"columns":["amount","age"],"data":[[1,30]]}}`
	if r, err := http.Post(url+"/invocations", "application/json", strings.NewReader(one)); err != nil || r.StatusCode != 200 {
		t.Errorf("%v, %v: while it lingers, it serves", r, err)
	}
	for { // until it takes no more
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			break
		}
		c.Close()
	}
	select {
	case err := <-ended:
		t.Errorf("it ended with a request in flight: %v", err)
	default:
	}
	close(release)
	if status := <-answers; status != 200 {
		t.Errorf("the request in flight was answered with %d", status)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestListenerFails(t *testing.T) {
	h, _ := server(model{}, standalone.Limits{})
	l, err := standalone.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := standalone.Listen(l.Addr().String()); !errors.Is(err, &slipway.Error{Code: slipway.CodeListen}) {
		t.Errorf("%v for an address that is taken", err)
	}
	l.Close()
	if err := h.Run(t.Context(), l); !errors.Is(err, &slipway.Error{Code: slipway.CodeListen}) {
		t.Errorf("%v for a listener that fails", err)
	}
}
