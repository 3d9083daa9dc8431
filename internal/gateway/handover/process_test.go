package handover_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/slipway-ml/slipway/internal/gateway/handover"
)

// patience ends a test that hangs; none waits for it.
const patience = time.Minute

const roleEnv = "HANDOVER_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		if err := serve(role, os.Args[len(os.Args)-1]); err != nil {
			fmt.Fprintln(os.Stderr, role, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// serve is a process that serves until it is taken over: the "first" on the socket given as
// file descriptor 3, an "heir" on what the one before hands over.
func serve(role, path string) error {
	ctx := context.Background()
	var socket net.Listener
	var heir *handover.Heir
	var err error
	if role == "first" {
		socket, err = net.FileListener(os.NewFile(3, "listener"))
	} else if heir, err = handover.Take(ctx, path); err == nil {
		socket = heir.Socket
	}
	if err != nil {
		return err
	}
	if role == "coward" {
		return heir.Close()
	}
	l := handover.New(socket, time.Minute, 1<<10)
	server := &http.Server{Handler: http.HandlerFunc(echo), ConnState: l.ConnState,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	control, err := handover.Listen(path)
	if err != nil {
		return err
	}
	go server.Serve(l)
	if heir != nil {
		go heir.Adopt(ctx, l)
	}
	fmt.Println("ready")
	g := handover.Giver{Listener: l, Ready: 10 * time.Second, Drain: 10 * time.Second,
		Freeze: func(context.Context) error { return nil }, Thaw: func() { fmt.Println("thawed") }, Left: func() {}}
	n, err := g.Serve(ctx, control)
	fmt.Println("passed on", n)
	return err
}

// echo answers after a while with what it got, and who it is.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ms, _ := strconv.Atoi(r.Header.Get("Wait"))
	time.Sleep(time.Duration(ms) * time.Millisecond)
	w.Header().Set("Pid", strconv.Itoa(os.Getpid()))
	w.Write(body)
}

// child is a process of the test.
type child struct {
	*exec.Cmd
	lines chan string
}

func start(t *testing.T, role, path string, files ...*os.File) *child {
	t.Helper()
	c := &child{exec.Command(os.Args[0], path), make(chan string, 16)}
	c.Env = append(os.Environ(), roleEnv+"="+role)
	c.ExtraFiles = files
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(out); s.Scan(); {
			c.lines <- s.Text()
		}
		close(c.lines)
	}()
	t.Cleanup(func() {
		c.Process.Kill()
		<-read
		c.Wait()
	})
	return c
}

func (c *child) line(t *testing.T, prefix string) string {
	t.Helper()
	select {
	case s := <-c.lines:
		if !strings.HasPrefix(s, prefix) {
			t.Fatalf("the process says %q instead of %s", s, prefix)
		}
		return s
	case <-time.After(patience):
		t.Fatalf("the process does not say %s", prefix)
		return ""
	}
}

// client keeps one connection and never repeats a request, so that it sees every loss.
type client struct {
	net.Conn
	r *bufio.Reader
}

func connect(t *testing.T, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return &client{c, bufio.NewReader(c)}
}

func request(body string, wait int) string {
	return fmt.Sprintf("POST / HTTP/1.1\r\nHost: test\r\nWait: %d\r\nContent-Length: %d\r\n\r\n%s", wait, len(body), body)
}

func (c *client) answer(body string) (pid string, err error) {
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK || string(got) != body || resp.Close {
		return "", fmt.Errorf("status %d, close %t, %d of %d bytes", resp.StatusCode, resp.Close, len(got), len(body))
	}
	return resp.Header.Get("Pid"), nil
}

func (c *client) post(body string, wait int) (pid string, err error) {
	if _, err := io.WriteString(c, request(body, wait)); err != nil {
		return "", err
	}
	return c.answer(body)
}

func listen(t *testing.T) (file *os.File, addr, path string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if file, err = l.(*net.TCPListener).File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	dir, err := os.MkdirTemp("", "ho")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return file, l.Addr().String(), filepath.Join(dir, "s")
}

// load posts from many connections until stop is closed; some are idle for longer, some
// send large bodies, some connect anew.
func load(t *testing.T, addr string, conns int, stop <-chan struct{}) (sent, lost *atomic.Int64, wait func()) {
	t.Helper()
	sent, lost = new(atomic.Int64), new(atomic.Int64)
	var wg sync.WaitGroup
	for i := range conns {
		wg.Go(func() {
			body := strings.Repeat("x", 1+i*i*37%20_000)
			c := connect(t, addr)
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(rand.IntN(1+i%7*4)) * time.Millisecond):
				}
				sent.Add(1)
				if _, err := c.post(body, rand.IntN(5)); err != nil {
					lost.Add(1)
					t.Errorf("connection %d: %v", i, err)
					c = connect(t, addr)
				}
				if i%8 == 0 {
					c.Close()
					c = connect(t, addr)
				}
			}
		})
	}
	return sent, lost, wg.Wait
}

func TestNoRequestIsLost(t *testing.T) {
	file, addr, path := listen(t)
	old := start(t, "first", path, file)
	old.line(t, "ready")
	stop := make(chan struct{})
	sent, lost, wait := load(t, addr, 96, stop)
	passed := 0
	for range 8 {
		before := sent.Load()
		for sent.Load() < before+1500 {
			time.Sleep(time.Millisecond)
		}
		heir := start(t, "heir", path)
		heir.line(t, "ready")
		n, _ := strconv.Atoi(strings.TrimPrefix(old.line(t, "passed on "), "passed on "))
		passed += n
		old = heir
	}
	close(stop)
	wait()
	t.Logf("8 hand-overs, %d connections passed on, %d requests, %d lost", passed, sent.Load(), lost.Load())
	if passed < 8*48 {
		t.Errorf("only %d connections were passed on", passed)
	}
}

// A connection survives in whatever state the hand-over meets it.
func TestStatesOfAConnection(t *testing.T) {
	file, addr, path := listen(t)
	old := start(t, "first", path, file)
	old.line(t, "ready")
	body := strings.Repeat("b", 9000)
	whole := request(body, 0)
	head := strings.Index(whole, "\r\n\r\n") + 4
	late := map[string]struct {
		early  int  // bytes of the request that are sent before the hand-over
		answer bool // after one request was answered
		next   int  // bytes of the request after the next that come with it
	}{
		"new": {}, "idle": {answer: true},
		"three bytes": {early: 3, answer: true}, "four bytes": {early: 4, answer: true},
		"half a header": {early: 20, answer: true}, "header": {early: head, answer: true},
		"half a body": {early: head + 4500, answer: true}, "new, half a header": {early: 20},
		"new, one byte": {early: 1}, "pipelined, two bytes": {next: 2, answer: true},
	}
	conns := map[string]*client{}
	for name, s := range late {
		c := connect(t, addr)
		conns[name] = c
		if s.answer {
			if _, err := io.WriteString(c, request(body, 0)+whole[:s.next]); err != nil {
				t.Fatal(err)
			}
			if _, err := c.answer(body); err != nil {
				t.Fatal(name, err)
			}
		}
		io.WriteString(c, whole[:s.early])
	}
	slow := connect(t, addr)
	io.WriteString(slow, request(body, 300))
	time.Sleep(50 * time.Millisecond) // for the bytes to arrive
	heir := start(t, "heir", path)
	heir.line(t, "ready")
	next := strconv.Itoa(heir.Process.Pid)
	for _, name := range []string{"new", "idle", "three bytes", "pipelined, two bytes"} { // these need the new process
		c, s := conns[name], late[name]
		io.WriteString(c, whole[s.early+s.next:])
		if _, err := c.answer(body); err != nil { // by the new process, unless the old one was faster
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range conns { // these end where they began
		if s := late[name]; name == "new" || name == "idle" || name == "three bytes" || s.next > 0 {
			continue
		}
		io.WriteString(c, whole[late[name].early:])
		if _, err := c.answer(body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := slow.answer(body); err != nil {
		t.Error("in flight:", err)
	}
	old.line(t, "passed on 11") // every one of them
	for name, c := range conns {
		if pid, err := c.post("again", 0); err != nil || pid != next {
			t.Errorf("%s: answered by %s, not %s: %v", name, pid, next, err)
		}
	}
}

func TestTheOldGoesOnWithoutAnHeir(t *testing.T) {
	file, addr, path := listen(t)
	old := start(t, "first", path, file)
	old.line(t, "ready")
	c := connect(t, addr)
	if _, err := c.post("1", 0); err != nil {
		t.Fatal(err)
	}
	start(t, "coward", path)
	old.line(t, "thawed")
	if _, err := c.post("2", 0); err != nil {
		t.Error(err)
	}
	if _, err := connect(t, addr).post("3", 0); err != nil {
		t.Error(err)
	}
}

// Who kills a server loses what was in flight, and nothing else: with a duplicate of the
// socket kept open, connects wait for the next process.
func TestKilled(t *testing.T) {
	file, addr, path := listen(t)
	first := start(t, "first", path, file)
	first.line(t, "ready")
	dup, err := handover.Duplicate(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dup.Close()
	file.Close()
	inFlight := connect(t, addr)
	io.WriteString(inFlight, request("x", int(patience/time.Millisecond)))
	idle := connect(t, addr)
	if _, err := idle.post("1", 0); err != nil {
		t.Fatal(err)
	}
	first.Process.Kill()
	first.Wait()
	queued := make([]*client, 20)
	for i := range queued {
		queued[i] = connect(t, addr) // nobody accepts now
		io.WriteString(queued[i], request("queued", 0))
	}
	if _, err := inFlight.answer("x"); err == nil {
		t.Error("a request in flight survived its process")
	}
	if _, err := idle.r.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection ends with %v, so a client cannot tell that it ended", err)
	}
	second := start(t, "first", path, dup)
	second.line(t, "ready")
	for i, c := range queued {
		if _, err := c.answer("queued"); err != nil {
			t.Errorf("queued connection %d: %v", i, err)
		}
	}
}

func TestStrangersAtTheSocket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wrapped := handover.New(l, time.Minute, 1<<10)
	defer wrapped.Close()
	path := filepath.Join(t.TempDir(), "s")
	socket, err := handover.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v: %v", info.Mode(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	frozen := 0
	g := handover.Giver{Listener: wrapped, Ready: time.Second, Drain: time.Second,
		Freeze: func(context.Context) error { frozen++; return nil }, Thaw: func() { frozen-- }}
	ended := make(chan error)
	go func() { _, err := g.Serve(ctx, socket); ended <- err }()
	for _, message := range []string{"", "X", "R", "E", "Ttoo much", "L", string(bytes.Repeat([]byte("D"), 1000))} {
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte(message))
		c.CloseWrite()
		io.Copy(io.Discard, c)
		c.Close()
	}
	dup, err := handover.Duplicate(path)
	if err != nil {
		t.Fatal("after the strangers:", err)
	}
	dup.Close()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if frozen != 0 {
		t.Error("the state stays frozen")
	}
}
