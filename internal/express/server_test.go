package express_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/slipway-ml/slipway/internal/express"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience ends a test that hangs; none waits for it.
const patience = time.Minute

// mark is set on requests that express has read: net/http gives every request its server.
func mark(r *http.Request) string {
	if r.Context().Value(http.ServerContextKey) == nil {
		return "express"
	}
	return "net/http"
}

func start(t *testing.T, h http.HandlerFunc) (addr string, s *express.Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = express.New(&http.Server{Handler: h, ReadHeaderTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: patience},
		func(path string) bool { return strings.HasPrefix(path, "/fast") }, time.Now)
	served := make(chan struct{})
	go func() { defer close(served); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-served })
	return l.Addr().String(), s
}

func dial(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c, bufio.NewReader(c)
}

func post(path, body, more string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s", path, len(body), more, body)
}

func answer(t *testing.T, in *bufio.Reader) (int, string, http.Header) {
	t.Helper()
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Close { // which net/http takes out of the header
		resp.Header.Set("Connection", "close")
	}
	return resp.StatusCode, string(b), resp.Header
}

// echo answers with who read the request and what it was.
func echo(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprintf(w, "%s %s %s", mark(r), r.URL.Path, b)
}

// TestOneConnection: requests come one after the other, pipelined, in pieces, and with bodies
// longer than any buffer; what is not ordinary is answered as well, and nothing is lost.
func TestOneConnection(t *testing.T) {
	addr, _ := start(t, echo)
	c, in := dial(t, addr)
	large := strings.Repeat("x", 300<<10)
	want := func(text string) {
		t.Helper()
		if code, got, h := answer(t, in); code != 200 || got != text || h.Get("Date") == "" {
			t.Fatalf("%d %.100q, want %.100q", code, got, text)
		}
	}
	_, _ = io.WriteString(c, post("/fast/a", "1", ""))
	want("express /fast/a 1")
	_, _ = io.WriteString(c, post("/fast/b", "2", "")+post("/fast/c", "3", "")+post("/fast/d", "4", "")[:30])
	want("express /fast/b 2")
	want("express /fast/c 3")
	for _, b := range []byte(post("/fast/d", "4", "")[30:]) {
		_, _ = c.Write([]byte{b})
	}
	want("express /fast/d 4")
	go io.WriteString(c, post("/fast/e", large, ""))
	want("express /fast/e " + large)
	_, _ = io.WriteString(c, post("/fast/f", "6", "Pragma: no-cache\r\n")+post("/fast/g", "7", ""))
	want("net/http /fast/f 6")
	want("net/http /fast/g 7") // for good
}

// TestLeft: what is left to net/http comes there whole, however it came in.
func TestLeft(t *testing.T) {
	addr, _ := start(t, echo)
	for name, request := range map[string]string{
		"GET":         "GET /fast HTTP/1.1\r\nHost: x\r\n\r\n",
		"other path":  post("/slow", "x", ""),
		"long head":   post("/fast", "x", "X: "+strings.Repeat("y", 8<<10)+"\r\n"),
		"chunks":      "POST /fast HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
		"HTTP/1.0":    "POST /fast HTTP/1.0\r\nContent-Length: 1\r\n\r\nx",
		"last answer": post("/fast", "x", "Connection: close\r\n"),
	} {
		for _, piece := range []int{1, 7, len(request)} {
			c, in := dial(t, addr)
			go func() {
				for b := []byte(request); len(b) > 0; b = b[min(piece, len(b)):] {
					if _, err := c.Write(b[:min(piece, len(b))]); err != nil {
						return
					}
				}
			}()
			if code, got, _ := answer(t, in); code != 200 || !strings.HasPrefix(got, "net/http ") {
				t.Errorf("%s in pieces of %d: %d %q", name, piece, code, got)
			}
		}
	}
}

// TestEnds: a handler's "Connection: close", a body that it does not read, one that does not
// come whole and a panic.
func TestEnds(t *testing.T) {
	addr, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fast/last":
			w.Header().Set("Connection", "close")
		case "/fast/panic":
			panic(http.ErrAbortHandler)
		case "/fast/unread":
			w.WriteHeader(http.StatusTeapot)
		default:
			echo(w, r)
		}
	})
	c, in := dial(t, addr)
	_, _ = io.WriteString(c, post("/fast/unread", strings.Repeat("x", 100<<10), "")+post("/fast/x", "1", ""))
	if code, _, _ := answer(t, in); code != http.StatusTeapot {
		t.Error(code)
	}
	if _, got, _ := answer(t, in); got != "express /fast/x 1" {
		t.Error(got)
	}
	_, _ = io.WriteString(c, post("/fast/last", "1", ""))
	if _, _, h := answer(t, in); h.Get("Connection") != "close" {
		t.Error(h)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Error("it stays open:", err)
	}
	c, in = dial(t, addr)
	_, _ = io.WriteString(c, post("/fast/panic", "1", ""))
	if _, err := in.ReadByte(); err == nil {
		t.Error("a panic is answered")
	}
	c, in = dial(t, addr)
	_, _ = io.WriteString(c, strings.TrimSuffix(post("/fast/x", "123", ""), "3"))
	_ = c.(*net.TCPConn).CloseWrite()
	if code, _, _ := answer(t, in); code != http.StatusBadRequest {
		t.Error(code)
	}
}

// TestClientLeaves: the context of a request ends when its client has gone.
func TestClientLeaves(t *testing.T) {
	came, left := make(chan struct{}), make(chan struct{})
	addr, _ := start(t, func(_ http.ResponseWriter, r *http.Request) {
		close(came)
		<-r.Context().Done()
		close(left)
	})
	c, _ := dial(t, addr)
	_, _ = io.WriteString(c, post("/fast", "1", ""))
	<-came
	c.Close()
	<-left
}

// TestShutdown: what is under way is answered, with the word that it is the last; what is idle
// is closed.
func TestShutdown(t *testing.T) {
	came, on := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	addr, s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if once.CompareAndSwap(false, true) {
			close(came)
			<-on
		}
		echo(w, r)
	})
	c, in := dial(t, addr)
	_, _ = io.WriteString(c, post("/fast", "1", ""))
	<-came
	other, otherIn := dial(t, addr)
	_, _ = io.WriteString(other, post("/fast", "2", ""))
	answer(t, otherIn)
	ended := make(chan error)
	go func() { ended <- s.Shutdown(context.Background()) }()
	if _, err := otherIn.ReadByte(); err == nil {
		t.Error("an idle connection gives a byte")
	}
	close(on)
	if code, got, h := answer(t, in); code != 200 || got != "express /fast 1" || h.Get("Connection") != "close" {
		t.Error(code, got, h)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// FuzzBytes: whatever comes, each answer is whole, and there are no more of them than requests.
func FuzzBytes(f *testing.F) {
	f.Add([]byte(post("/fast", "1", "") + post("/fast", "2", "")))
	f.Add([]byte("POST /fast HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 1\r\n\r\n123"))
	f.Fuzz(func(t *testing.T, b []byte) {
		addr, s := start(t, echo)
		c, in := dial(t, addr)
		_, _ = c.Write(b)
		_ = c.(*net.TCPConn).CloseWrite()
		n := 0
		for {
			if _, err := in.Peek(1); err != nil {
				break
			}
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatal(err)
			}
			n++
		}
		if limit := bytes.Count(b, []byte("\n")) + 1; n > limit {
			t.Errorf("%d answers", n)
		}
		s.Close()
	})
}
