package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/runtime"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// model is a predictor made of a function.
type model func(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error)

func (m model) Predict(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
	return m(ctx, in)
}
func (model) Ready(context.Context) error { return nil }

func echo(_ context.Context, in *tensor.Batch) (*tensor.Batch, error) { return in, nil }

// start runs a host and connects to it. Stop ends the host and waits for it.
func start(t testing.TB, m runtime.Predictor, inline bool, workers int) (c *runtime.Client, stop func()) {
	t.Helper()
	path := t.TempDir() + "/s"
	ln, err := runtime.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.ServeHost(ctx, m, inline, workers, ln, 10*time.Second)
	}()
	c, err = runtime.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	stop = func() { cancel(); <-ended }
	t.Cleanup(func() { c.Close(); stop() })
	return c, stop
}

func startEcho(t testing.TB, inline bool, workers int) *runtime.Client {
	c, _ := start(t, model(echo), inline, workers)
	return c
}

func TestPredict(t *testing.T) {
	c := startEcho(t, true, 2)
	if err := c.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, rows := range []int{1, 2, 300, 40_000} { // a borrowed body, and longer ones
		for range 3 {
			out, err := c.Predict(t.Context(), "", batch(float64(rows), rows, 30))
			if err != nil || first(out) != float64(rows) || out.Rows() != rows {
				t.Fatalf("%d rows: %v", rows, err)
			}
		}
	}
	if _, err := c.Predict(t.Context(), "", batch(0, 300_000, 30)); err == nil {
		t.Fatal("72 MB went through a frame of 64 MiB")
	} else {
		wantError(t, err, slipway.CodeTooLarge, slipway.Invalid)
	}
	if out, err := c.Predict(t.Context(), "", batch(5, 1, 1)); err != nil || first(out) != 5 {
		t.Fatal("the connection did not outlive a request that was too large:", err)
	}
}

// TestManyCallers mixes 64 callers, cancels and deadlines on one connection: everyone who
// gets an answer gets the own one.
func TestManyCallers(t *testing.T) {
	for _, inline := range []bool{true, false} {
		c := startEcho(t, inline, 3)
		var answered, gone atomic.Int64
		var wg sync.WaitGroup
		for caller := range 64 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(1, uint64(caller)))
				for i := range 60 {
					ctx, cancel := context.WithCancel(t.Context())
					switch rng.IntN(4) {
					case 0:
						time.AfterFunc(time.Duration(rng.IntN(300))*time.Microsecond, cancel)
					case 1:
						ctx, cancel = context.WithTimeout(ctx, time.Duration(rng.IntN(300))*time.Microsecond)
					}
					want := float64(caller*1000 + i)
					out, err := c.Predict(ctx, "", batch(want, 1+rng.IntN(40), 30))
					switch {
					case err == nil && first(out) != want:
						t.Errorf("caller got %v, not %v", first(out), want)
					case err == nil:
						answered.Add(1)
					case slipway.AsError(err).Code == slipway.CodeDeadline:
						gone.Add(1)
					default:
						t.Error(err)
					}
					cancel()
				}
			})
		}
		wg.Wait()
		if answered.Load() < 64*20 || gone.Load() == 0 {
			t.Errorf("%d were answered and %d gave up", answered.Load(), gone.Load())
		}
	}
}

func TestErrors(t *testing.T) {
	refusal := &slipway.Error{Code: slipway.CodeSchema, Kind: slipway.Unprocessable, Field: "amount", Message: "is missing", Next: "send it"}
	for name, c := range map[string]struct {
		m    model
		code string
		kind slipway.Kind
	}{
		"refusal": {func(context.Context, *tensor.Batch) (*tensor.Batch, error) { return nil, refusal }, slipway.CodeSchema, slipway.Unprocessable},
		"other":   {func(context.Context, *tensor.Batch) (*tensor.Batch, error) { return nil, errors.New("row 4711") }, slipway.CodeModelFailed, slipway.Internal},
		"panic":   {func(context.Context, *tensor.Batch) (*tensor.Batch, error) { panic("row 4711") }, slipway.CodeModelFailed, slipway.Internal},
		"huge": {func(context.Context, *tensor.Batch) (*tensor.Batch, error) { return batch(0, 300_000, 30), nil },
			slipway.CodeModelFailed, slipway.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := start(t, c.m, true, 1)
			for range 2 { // by a worker, then inline
				_, err := client.Predict(t.Context(), "", batch(1, 1, 3))
				wantError(t, err, c.code, c.kind)
				if strings.Contains(err.Error(), "4711") {
					t.Errorf("the error quotes the model: %v", err)
				}
			}
			if err := client.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDeadline has one worker: the first request holds it beyond its own deadline, the
// second expires in the queue and is never started, the third is answered.
func TestDeadline(t *testing.T) {
	var calls atomic.Int64
	entered, release := make(chan struct{}), make(chan struct{})
	letGo := sync.OnceFunc(func() { close(release) })
	c, _ := start(t, model(func(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
		if calls.Add(1) == 1 {
			close(entered)
			<-release
		}
		return in, nil
	}), false, 1)
	t.Cleanup(letGo)
	_, err := c.Predict(withTimeout(t, 50*time.Millisecond), "", batch(1, 1, 1))
	wantError(t, err, slipway.CodeDeadline, slipway.Unavailable)
	<-entered

	conn, err := net.Dial("unix", c.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := func(left byte) []byte { return tensor.AppendBatch([]byte{left, 0, 0, 0}, batch(1, 1, 1)) }
	out := runtime.AppendFrame(runtime.AppendHello(1), 2, 2, body(1)) // 1 µs
	out = runtime.AppendFrame(out, 2, 3, body(0))
	if _, err := conn.Write(out); err != nil {
		t.Fatal(err)
	}
	letGo()
	kinds, ids, bodies, err := runtime.Frames(conn, 3)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]byte{1, 6, 5}, kinds) + cmp.Diff([]uint64{0, 2, 3}, ids); d != "" {
		t.Fatal(d)
	}
	e, err := runtime.ParseError(bodies[1])
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, e, slipway.CodeDeadline, slipway.Unavailable)
	if n := calls.Load(); n != 2 {
		t.Errorf("the model was called %d times: an expired request was started", n)
	}
}

func TestCancelReachesTheModel(t *testing.T) {
	entered, left := make(chan struct{}), make(chan error, 1)
	c, _ := start(t, model(func(ctx context.Context, _ *tensor.Batch) (*tensor.Batch, error) {
		close(entered)
		<-ctx.Done()
		left <- ctx.Err()
		return nil, ctx.Err()
	}), false, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	_, err := c.Predict(ctx, "", batch(1, 1, 1))
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestDrain(t *testing.T) {
	entered, release := make(chan struct{}, 1), make(chan struct{})
	c, stop := start(t, model(func(_ context.Context, in *tensor.Batch) (*tensor.Batch, error) {
		entered <- struct{}{}
		<-release
		return in, nil
	}), false, 2)
	answer := make(chan error)
	go func() {
		_, err := c.Predict(context.Background(), "", batch(1, 1, 1))
		answer <- err
	}()
	<-entered
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	for { // until the host has noticed
		err := c.Ready(t.Context())
		if err == nil {
			continue
		}
		wantError(t, err, slipway.CodeNoReplica, slipway.Unavailable)
		break
	}
	close(release)
	if err := <-answer; err != nil {
		t.Fatal("the request in flight was lost:", err)
	}
	<-stopped
}

func TestConnectionLoss(t *testing.T) {
	entered := make(chan struct{}, 8)
	c, _ := start(t, model(func(ctx context.Context, _ *tensor.Batch) (*tensor.Batch, error) {
		entered <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}), false, 8)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := c.Predict(context.Background(), "", batch(1, 1, 1))
			wantError(t, err, slipway.CodeNoReplica, slipway.Unavailable)
		})
		<-entered
	}
	c.Close()
	wg.Wait()
	_, err := c.Predict(t.Context(), "", batch(1, 1, 1))
	wantError(t, err, slipway.CodeNoReplica, slipway.Unavailable)
}

// TestDeafPeer has a peer that says hello and then reads nothing: callers still leave in
// time, and the client notices before memory is gone.
func TestDeafPeer(t *testing.T) {
	path := socketPath(t)
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			_, _ = conn.Write(runtime.AppendHello(3))
			t.Cleanup(func() { conn.Close() })
		}
	}()
	c, err := runtime.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	big := batch(1, 100_000, 30) // 24 MB
	for range 20 {
		_, err = c.Predict(withTimeout(t, 10*time.Millisecond), "", big)
		if e := slipway.AsError(err); e.Code == slipway.CodeNoReplica {
			return
		} else if e.Code != slipway.CodeDeadline {
			t.Fatal(err)
		}
	}
	t.Fatal("the client would collect requests forever")
}

func TestHostileClients(t *testing.T) {
	path := t.TempDir() + "/s"
	ln, err := runtime.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.ServeHost(ctx, model(echo), true, 1, ln, time.Second)
	}()
	defer func() { cancel(); <-ended }()
	hello := string(runtime.AppendHello(1))
	for name, text := range map[string]string{
		"http":            "GET / HTTP/1.1\r\n\r\n",
		"another version": string(runtime.AppendHello(9)),
		"unknown kind":    hello + string(runtime.AppendFrame(nil, 77, 1, nil)),
		"no time limit":   hello + string(runtime.AppendFrame(nil, 2, 1, []byte{1})),
		"a cut id":        string(runtime.AppendHello(3)) + string(runtime.AppendFrame(nil, 2, 1, []byte{0, 0, 0, 0, 9, 'x'})),
		"too long":        hello + "\xff\xff\xff\xff\x02\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		// It ends at once, without an answer to anything but hello.
		kinds, _, _, err := runtime.Frames(conn, math.MaxInt)
		if len(kinds) > 1 || err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: frames %v, %v", name, kinds, err)
		}
		conn.Close()
	}
	c, err := runtime.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDialRefuses(t *testing.T) {
	path := socketPath(t)
	_, err := runtime.Dial(t.Context(), path)
	wantError(t, err, slipway.CodeNoReplica, slipway.Unavailable)
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, answer := range [][]byte{runtime.AppendHello(0), []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), nil} {
		go func() {
			if conn, err := ln.Accept(); err == nil {
				_, _ = conn.Write(answer)
				if answer != nil {
					conn.Close()
				} else { // silence: the client's own patience counts
					t.Cleanup(func() { conn.Close() })
				}
			}
		}()
		_, err := runtime.Dial(withTimeout(t, 100*time.Millisecond), path)
		wantError(t, err, slipway.CodeNoReplica, slipway.Unavailable)
	}
}

// TestVersions: a host still knows clients of version 1, and a client hosts of version 1.
func TestVersions(t *testing.T) {
	path := t.TempDir() + "/s"
	ln, err := runtime.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	ids := make(chan string, 2)
	go func() {
		defer close(ended)
		runtime.ServeHost(ctx, model(func(ctx context.Context, in *tensor.Batch) (*tensor.Batch, error) {
			ids <- slipway.RequestOf(ctx)
			return in, nil
		}), false, 1, ln, time.Second)
	}()
	defer func() { cancel(); <-ended }()

	old, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	in := batch(1, 2, 1)
	ask := runtime.AppendFrame(runtime.AppendHello(1), 2, 7, tensor.AppendBatch([]byte{0, 0, 0, 0}, in))
	if _, err := old.Write(ask); err != nil {
		t.Fatal(err)
	}
	kinds, got, bodies, err := runtime.Frames(old, 2)
	if err != nil || len(kinds) != 2 || string(bodies[0]) != "SLWP\x01\x00" || kinds[1] != 5 || got[1] != 7 {
		t.Errorf("an old client got %v %v, %v", kinds, got, err)
	}
	c, err := runtime.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Predict(slipway.WithRequest(t.Context(), "r-1"), "", in); err != nil {
		t.Error(err)
	}
	if a, b := <-ids, <-ids; a != "" || b != "r-1" {
		t.Errorf("ids %q and %q", a, b)
	}
}

// oldHost answers as hosts of version 1 did: who speaks another version is sent away.
func oldHost(conn net.Conn) {
	defer conn.Close()
	hello := make([]byte, len(runtime.AppendHello(1)))
	if _, err := io.ReadFull(conn, hello); err != nil {
		return
	}
	if _, err := conn.Write(runtime.AppendHello(1)); err != nil || !bytes.Equal(hello, runtime.AppendHello(1)) {
		return
	}
	kinds, ids, bodies, err := runtime.Frames(conn, 1)
	if err == nil && len(kinds) == 1 {
		_, _ = conn.Write(runtime.AppendFrame(nil, 5, ids[0], bodies[0][4:]))
	}
}

func TestOldHost(t *testing.T) {
	path := socketPath(t)
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { oldHost(conn) })
		}
	})
	defer wg.Wait()
	defer ln.Close()
	c, err := runtime.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := batch(1, 3, 1)
	out, err := c.Predict(slipway.WithRequest(t.Context(), "r-1"), "", in)
	if err != nil || out.Rows() != 3 {
		t.Errorf("an old host answers %v, %v", out, err)
	}
}
