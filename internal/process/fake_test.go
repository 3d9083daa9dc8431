package process_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/process"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// The test binary is also the runtime and the gateway of the tests.
const (
	runtimeMode = "fake-runtime"
	gatewayMode = "fake-gateway"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case runtimeMode:
			os.Exit(fakeRuntime(os.Args[2:]))
		case gatewayMode:
			os.Exit(fakeGateway(os.Args[2:]))
		}
	}
	os.Exit(m.Run())
}

// message is one line in either direction. A request names what the runtime has to do.
type message struct {
	Do       string        `json:"do"`
	Sleep    time.Duration `json:"sleep,omitempty"`
	PID      int           `json:"pid,omitempty"`
	Revision string        `json:"revision,omitempty"`

	// Of pools.
	Pool  *route.Pool          `json:"pool,omitempty"`
	State []route.HostedStatus `json:"state,omitempty"`
	Fail  string               `json:"fail,omitempty"`
}

type fakeConfig struct {
	Socket  string        `json:"socket"`
	Runtime route.Runtime `json:"runtime"`
	Log     string        `json:"log"`
	Replica string        `json:"replica"`
}

// fakeRuntime answers one message per connection. The first word of the revision's command
// chooses how it behaves.
func fakeRuntime(args []string) int {
	flags := flag.NewFlagSet(runtimeMode, flag.ContinueOnError)
	file := flags.String("config", "", "")
	if flags.Parse(args) != nil {
		return 2
	}
	var conf fakeConfig
	b, err := os.ReadFile(*file)
	if err == nil {
		err = json.Unmarshal(b, &conf)
	}
	if err != nil {
		return 2
	}
	behaviour := strings.Join(conf.Runtime.Command, " ")
	fmt.Println("starting", conf.Replica)
	switch behaviour {
	case "crash":
		for i := range 30 {
			fmt.Printf("line %d\n", i)
		}
		fmt.Println("giving up \x1b[31m")
		return 3
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
	case "deaf":
		time.Sleep(time.Hour)
	}
	l, err := net.Listen("unix", conf.Socket)
	if err != nil {
		fmt.Println(err)
		return 2
	}
	for {
		c, err := l.Accept()
		if err != nil {
			time.Sleep(time.Hour) // told to close its socket
		}
		go answer(c, l)
	}
}

func answer(c net.Conn, l net.Listener) {
	defer c.Close()
	var m message
	if json.NewDecoder(c).Decode(&m) != nil {
		return
	}
	reply := message{Do: m.Do, PID: os.Getpid()}
	switch m.Do {
	case "host":
		reply.State = hosted.set(m.Pool)
	case "load":
		reply.Fail = hosted.load(m.Revision)
	case "hide":
		l.Close()
	case "exit":
		os.Exit(7)
	case "eat":
		block := make([]byte, 512<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
	}
	time.Sleep(m.Sleep)
	_ = json.NewEncoder(c).Encode(reply)
}

// fakeConn makes a connection for each call. With broken set, none works.
type fakeConn struct {
	socket string
	broken func() bool
}

func dialFake(ctx context.Context, socket string) (process.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	return &fakeConn{socket: socket}, conn.Close()
}

func (c *fakeConn) call(ctx context.Context, m message) (message, error) {
	if c.broken != nil && c.broken() {
		return message{}, errors.New("broken pipe")
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", c.socket)
	if err != nil {
		return message{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := json.NewEncoder(conn).Encode(m); err != nil {
		return message{}, err
	}
	var out message
	if err := json.NewDecoder(bufio.NewReader(conn)).Decode(&out); err != nil {
		return message{}, errors.Join(err, ctx.Err())
	}
	return out, nil
}

func (c *fakeConn) Ready(ctx context.Context) error {
	_, err := c.call(ctx, message{Do: "ready"})
	return err
}

func (c *fakeConn) Close() error { return nil }

func (c *fakeConn) Host(ctx context.Context, to *route.Pool) ([]route.HostedStatus, error) {
	out, err := c.call(ctx, message{Do: "host", Pool: to})
	return out.State, err
}

func (c *fakeConn) Load(ctx context.Context, revision string) error {
	out, err := c.call(ctx, message{Do: "load", Revision: revision})
	if err == nil && out.Fail != "" {
		err = slipway.Errorf(slipway.Invalid, slipway.CodeModelFormat, "", "%s", out.Fail)
	}
	return err
}

// Predict carries a message in the names of the batch's tensors.
func (c *fakeConn) Predict(ctx context.Context, revision string, in *tensor.Batch) (*tensor.Batch, error) {
	var m message
	if err := json.Unmarshal([]byte(in.Tensors[0].Name), &m); err != nil {
		return nil, err
	}
	m.Revision = revision
	out, err := c.call(ctx, m)
	if err != nil {
		return nil, err
	}
	return &tensor.Batch{Tensors: []tensor.Tensor{{Shape: []int{out.PID}}}}, nil
}

func options(dir, runDir string) process.Options {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return process.Options{
		Dir: dir, RunDir: runDir, Command: []string{exe, runtimeMode}, Env: os.Environ(), Dial: dialFake,
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Rand: rand.IntN,
		Timing: process.Timing{Health: 50 * time.Millisecond},
	}
}

func revision(id string, replicas int, command ...string) *route.Revision {
	return &route.Revision{ID: id, Replicas: replicas, ImageDigest: "sha256:" + "00", Model: "m",
		Runtime: route.Runtime{Kind: route.RuntimeCommand, Command: command}}
}

// fakeGateway supervises two replicas until it is killed. It says so when they are ready.
func fakeGateway(args []string) int {
	s, err := process.New(context.Background(), options(args[0], args[1]))
	if err != nil {
		return 1
	}
	s.Want([]*route.Revision{revision("fraud-1", 2)})
	var once sync.Once
	for range s.Changed() {
		if s.Status("fraud-1").Ready == 2 {
			once.Do(func() { fmt.Println("ready") })
		}
	}
	return 0
}

// textLog writes a log whose buffer is read only between the supervisor's calls to it.
func textLog(w *bytes.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
