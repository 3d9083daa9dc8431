package handover_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/internal/gateway/handover"
)

// TestMost: beyond so many connections a new one is closed at once; when one has ended the
// next is taken.
func TestMost(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := handover.New(inner, time.Minute, 1)
	defer l.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	first := dial()
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dial().Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a second one stays: %v", err)
	}
	first.Close()
	served.Close()
	again := make(chan net.Conn)
	go func() { c, _ := l.Accept(); again <- c }()
	dial()
	(<-again).Close()
}
