package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
)

func event(status string, step int) string {
	return fmt.Sprintf("event: deployment\ndata: {\"id\":\"dep_1\",\"status\":%q,\"step\":%d}\n\n", status, step)
}

// silent is a stream that says something and then nothing, until its request ends.
func silent(r *http.Request, text string) (*http.Response, error) {
	pr, pw := io.Pipe()
	go func() {
		_, _ = pw.Write([]byte(text))
		<-r.Context().Done()
		_ = pw.CloseWithError(r.Context().Err())
	}()
	return &http.Response{StatusCode: 200, Body: pr}, nil
}

func collect(ctx context.Context, c *client.Client) (seen []string, err error) {
	for d, e := range c.WatchDeployment(ctx, "dep_1") {
		if e != nil {
			return seen, e
		}
		seen = append(seen, fmt.Sprintf("%s %d", d.Status, d.Step))
	}
	return seen, nil
}

// TestWatchSurvivesARestart: streams that break, are refused, or fall silent are opened
// again, and no state is given twice.
func TestWatchSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := over(t, func(r *http.Request) (*http.Response, error) {
			n++
			switch n {
			case 1:
				return answer(200, event("running", 0)+event("running", 1))
			case 2, 3, 4, 5, 6, 7, 8, 9:
				return answer(503, `{"code":"SLIP-E0604","detail":"restarting"}`)
			case 10:
				return nil, refused
			case 11:
				return silent(r, event("running", 1))
			case 12:
				return answer(200, event("running", 1)+"event: problem\ndata: {\"status\":500,\"code\":\"SLIP-E0000\"}\n\n")
			default:
				return answer(200, ": hello\r\n\r\n"+event("running", 2)+event("succeeded", 3)+event("running", 9))
			}
		})
		got, err := collect(t.Context(), c)
		if diff := cmp.Diff([]string{"running 0", "running 1", "running 2", "succeeded 3"}, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	})
}

func TestWatchEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		code   string
		within time.Duration
	}{
		"server gone": {func(*http.Request) (*http.Response, error) { return nil, refused }, slipway.CodeNoServer, 3 * time.Minute},
		"hangs":       {func(r *http.Request) (*http.Response, error) { return silent(r, "") }, "", time.Hour},
		"unknown":     {func(*http.Request) (*http.Response, error) { return answer(404, `{"code":"SLIP-E0003"}`) }, slipway.CodeNotFound, 0},
		"problem": {func(*http.Request) (*http.Response, error) {
			return answer(200, "event: problem\ndata: {\"status\":404,\"code\":\"SLIP-E0003\"}\n\n")
		}, slipway.CodeNotFound, 0},
		"no deployment": {func(*http.Request) (*http.Response, error) { return answer(200, "event: deployment\ndata: 5\n\n") }, slipway.CodeInternal, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				start := time.Now()
				_, err := collect(ctx, over(t, tt.answer))
				if tt.code == "" && !errors.Is(err, context.DeadlineExceeded) || tt.code != "" && codeOf(err) != tt.code || time.Since(start) > tt.within {
					t.Errorf("%v after %s", err, time.Since(start))
				}
			})
		})
	}
}

func TestWatchStopsWhenAsked(t *testing.T) {
	c := over(t, func(r *http.Request) (*http.Response, error) { return silent(r, event("running", 0)) })
	var got api.Deployment
	for d, err := range c.WatchDeployment(t.Context(), "dep_1") {
		if err != nil {
			t.Fatal(err)
		}
		got = d
		break
	}
	if got.ID != "dep_1" {
		t.Errorf("%+v", got)
	}
}

func TestReadEvents(t *testing.T) {
	var got []string
	err := client.ReadEvents(strings.NewReader("data: a\r\ndata:b\r\n\r\nevent: x\nid: 1\nretry: 2\n: note\ndata\n\nevent: lost\n\ndata: unfinished"),
		func(e string, d []byte) bool { got = append(got, e+"="+string(d)); return true })
	if diff := cmp.Diff([]string{"message=a\nb", "x="}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	long := io.MultiReader(strings.NewReader("data: "), zeros{})
	if err := client.ReadEvents(long, func(string, []byte) bool { return true }); codeOf(err) != slipway.CodeTooLarge {
		t.Error(err)
	}
}

// FuzzReadEvents: whatever arrives, events have a type, and no carriage return at the end
// of a line gets into their data as an extra line.
func FuzzReadEvents(f *testing.F) {
	f.Add([]byte(event("running", 1)))
	f.Add([]byte("data\n\n:\nevent:\ndata: a\ndata: b\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		lines := bytes.Count(b, []byte("data"))
		_ = client.ReadEvents(bytes.NewReader(b), func(e string, d []byte) bool {
			if e == "" || len(d) > len(b) {
				t.Errorf("event %q with %q", e, d)
			}
			lines -= 1 + bytes.Count(d, []byte("\n"))
			return true
		})
		if lines < 0 {
			t.Errorf("more data than was sent in %q", b)
		}
	})
}
