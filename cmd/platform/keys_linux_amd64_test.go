package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestKeysKilled kills the server at system calls that change something, spread over a
// rotation, a rewrapping and a shredding: the next one completes them, and nothing that must
// stay is lost.
func TestKeysKilled(t *testing.T) {
	unraced(t)
	s := newServer(t)
	s.deployed("stays")
	s.stopControl()
	tr := s.trace(0, killAfter)
	s.work(0)
	s.signal(syscall.SIGTERM)
	if code := <-tr.ended; code != 0 {
		t.Fatalf("the traced server ended with %d", code)
	}
	b, err := os.ReadFile(tr.count)
	if err != nil {
		t.Fatal(err)
	}
	total, err := strconv.Atoi(string(b))
	if err != nil || total < 50 {
		t.Fatalf("%d changes, %v", total, err)
	}
	points, reached := max(2, *killPoints/2), 0
	for i := range points {
		at, how := 1+i*total/points, []string{killBefore, killTorn, killAfter}[i%3]
		tr := s.trace(at, how)
		over, before := make(chan bool, 1), *s
		go func() {
			code := <-tr.ended
			if err := s.start(strings.TrimPrefix(s.url, "http://")); err != nil {
				t.Error(err)
			}
			over <- code == killed
		}()
		before.work(i + 1) // at the address that the next server will have, too
		select {
		case hit := <-over:
			if hit {
				reached++
			}
		default:
			(&killing{server: *s, process: s}).kill(tr) // there were fewer changes this time
			<-over
		}
		s.whole(i + 1)
		if t.Failed() {
			t.Fatalf("point %d, %s change %d of %d", i, how, at, total)
		}
		s.stopControl()
	}
	s.up(strings.TrimPrefix(s.url, "http://"))
	t.Logf("killed at %d of %d points of %d changes", reached, points, total)
	if reached < points/2 {
		t.Errorf("only %d of %d points were reached", reached, points)
	}
}
