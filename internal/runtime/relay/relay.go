// Package relay joins connections to those of a server, byte for byte: for protocols that the
// platform does not speak itself.
package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"time"
)

const (
	most     = 1024                 // connections at once
	dialWait = 5 * time.Second      // for one to the server
	pause    = 5 * time.Millisecond // after one that could not be accepted
)

// Serve serves a socket on which a server is spoken to as it is, until ctx ends: whoever
// connects decides what is asked. Then the connections are cut. The gateway has had its time
// to finish: it waits for its requests before it ends a replica.
func Serve(ctx context.Context, ln net.Listener, dial func(context.Context) (net.Conn, error), log *slog.Logger) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	slots := make(chan struct{}, most)
	for {
		in, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			log.Warn("a connection could not be accepted", "error", err.Error())
			time.Sleep(pause) // out of descriptors: do not spin
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			in.Close()
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			join(ctx, in, dial)
		})
	}
}

// join copies both ways until either side ends.
func join(ctx context.Context, in net.Conn, dial func(context.Context) (net.Conn, error)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer in.Close()
	short, done := context.WithTimeout(ctx, dialWait)
	out, err := dial(short)
	done()
	if err != nil {
		return
	}
	defer out.Close()
	stop := context.AfterFunc(ctx, func() { in.Close(); out.Close() })
	defer stop()
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		wg.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			cancel()
		})
	}
	wg.Wait()
}

// To connects to a server that runs elsewhere.
func To(address string, d *net.Dialer) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		u, err := url.Parse(address)
		if err != nil {
			return nil, err
		}
		port := u.Port()
		if u.Scheme == "https" {
			if port == "" {
				port = "443"
			}
			t := tls.Dialer{NetDialer: d, Config: &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}}
			return t.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
		}
		if port == "" {
			port = "80"
		}
		return d.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	}
}
