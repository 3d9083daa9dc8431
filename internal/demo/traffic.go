package demo

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	perSecond   = 200
	connections = 16
	largeShare  = 0.2 // of the requests have an amount that only live traffic has
)

// traffic is a bounded load on one endpoint: rows of the hold-out, some with an amount that
// it does not have. Every answer but 200 is a failure that a user would see.
type traffic struct {
	sent, failed atomic.Int64
	firstFailure atomic.Pointer[string]
	stop         context.CancelFunc
	wg           sync.WaitGroup
}

// startTraffic sends until stopped.
func startTraffic(ctx context.Context, url, token string, rows [][]byte) *traffic {
	ctx, cancel := context.WithCancel(ctx)
	t := &traffic{stop: cancel}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}}
	work := make(chan []byte, connections)
	t.wg.Go(func() {
		defer close(work)
		tick := time.NewTicker(time.Second / perSecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				work <- rows[rand.IntN(len(rows))]
			}
		}
	})
	for range connections {
		t.wg.Go(func() {
			for body := range work { // what was begun is finished: it must not count as lost
				t.send(client, url, token, body)
			}
		})
	}
	return t
}

func (t *traffic) send(client *http.Client, url, token string, body []byte) {
	t.sent.Add(1)
	err := post(client, url, token, body)
	if err != nil {
		t.failed.Add(1)
		s := err.Error()
		t.firstFailure.CompareAndSwap(nil, &s)
	}
}

func post(client *http.Client, url, token string, body []byte) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %.200s", resp.StatusCode, answer)
	}
	return nil
}

// end stops the load and waits for its last answers.
func (t *traffic) end() {
	t.stop()
	t.wg.Wait()
}

// requests makes request bodies of a hold-out file: each row as it is, and with a large
// amount in its turn.
func requests(holdout []byte, target string) ([][]byte, error) {
	r := csv.NewReader(bytes.NewReader(holdout))
	header, err := r.Read()
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for len(out) < 1000 {
		row, err := r.Read()
		if err != nil {
			break
		}
		if float64(len(out)%10) < 10*largeShare {
			row = slices.Clone(row)
			row[slices.Index(header, "amount")] = fmt.Sprint(breaksAbove + 1 + len(out))
		}
		out = append(out, inferBody(header, row, target))
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the hold-out has no rows")
	}
	return out, nil
}

// inferBody is one row in the Open Inference Protocol: one tensor for each column.
func inferBody(header, row []string, target string) []byte {
	var b strings.Builder
	b.WriteString(`{"inputs":[`)
	first := true
	for i, name := range header {
		if name == target {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		value := row[i]
		if value == "" {
			value = "null"
		}
		kind := "FP64"
		if !strings.ContainsAny(value, ".en") {
			kind = "INT64"
		}
		fmt.Fprintf(&b, `{"name":%q,"shape":[1],"datatype":%q,"data":[%s]}`, name, kind, value)
	}
	b.WriteString("]}")
	return []byte(b.String())
}
