package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway/bench/figure"
)

const versions = 10_000

// versions is one model with 10,000 versions: every page and look-up about it, with 1 client
// and with 16.
func (b *bench) versions(ctx context.Context, database string) error {
	s, err := b.ours(database)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := s.ask(ctx, post("registered-models/create", map[string]string{"name": "many"}), nil); err != nil {
		return err
	}
	began := time.Now()
	err = each(versions, func(i int) error {
		return s.ask(ctx, post("model-versions/create", map[string]any{"name": "many", "source": "s3://bucket/model", "tags": []pair{{"n", strconv.Itoa(i)}}}), nil)
	})
	if err != nil {
		return err
	}
	for i := range 100 {
		body := map[string]string{"name": "many", "alias": fmt.Sprint("alias-", i), "version": strconv.Itoa(i*97 + 1)}
		if err := s.ask(ctx, post("registered-models/alias", body), nil); err != nil {
			return err
		}
	}
	figure.Note("platform %s: %d versions in %.0f s", database, versions, time.Since(began).Seconds())
	pages, err := s.pages(ctx)
	if err != nil {
		return err
	}
	lookups := lookups(pages)
	for _, clients := range []int{1, connections} {
		bar, worst, which := 5.0, 0.0, ""
		if clients > 1 {
			bar = 25
		}
		for _, l := range lookups {
			if _, _, err := s.load(ctx, clients, b.length/10, l.next); err != nil {
				return err
			}
			took, rate, err := s.load(ctx, clients, b.length/3, l.next)
			if err != nil {
				return err
			}
			figure.Note("platform %s, %d clients, %s: p99 %.2f ms, %.0f/s", database, clients, l.name, p99(took), rate)
			if p := p99(took); p > worst {
				worst, which = p, l.name
			}
		}
		figure.Note("the slowest is %s", which)
		b.Print(b.AtMost(fmt.Sprintf("versions_10k_p99_ms_%d_clients.%s", clients, database), worst, bar))
	}
	return nil
}

// lookup is one kind of call about the model, and which of them a connection makes next.
type lookup struct {
	name string
	next func(conn, i int) call
}

func lookups(pages []call) []lookup {
	return []lookup{
		{"page", func(conn, i int) call { return pages[(conn*61+i)%len(pages)] }},
		{"page_by_tag", func(conn, i int) call {
			return get("model-versions/search", "filter", fmt.Sprintf("name = 'many' AND tags.n = '%d'", (conn*977+i)%versions), "max_results", "100")
		}},
		{"page_by_number", func(conn, i int) call {
			return get("model-versions/search", "filter", fmt.Sprintf("name = 'many' AND version_number > %d", (conn*977+i)%versions), "max_results", "100",
				"order_by", "version_number ASC")
		}},
		{"version", func(conn, i int) call {
			return get("model-versions/get", "name", "many", "version", strconv.Itoa((conn*977+i)%versions+1))
		}},
		{"alias", func(_, i int) call {
			return get("registered-models/alias", "name", "many", "alias", fmt.Sprint("alias-", i%100))
		}},
		{"model", func(int, int) call { return get("registered-models/get", "name", "many") }},
		{"latest", func(int, int) call { return get("registered-models/get-latest-versions", "name", "many") }},
		{"download_uri", func(conn, i int) call {
			return get("model-versions/get-download-uri", "name", "many", "version", strconv.Itoa((conn*977+i)%versions+1))
		}},
	}
}

// pages are the calls of a walk through all versions, 100 at a time.
func (s *server) pages(ctx context.Context) ([]call, error) {
	var calls []call
	seen, token := 0, ""
	for {
		c := get("model-versions/search", "filter", "name = 'many'", "max_results", "100")
		if token != "" {
			c.query.Set("page_token", token)
		}
		var page struct {
			Versions []json.RawMessage `json:"model_versions"`
			Next     string            `json:"next_page_token"`
		}
		if err := s.ask(ctx, c, &page); err != nil {
			return nil, err
		}
		calls, seen, token = append(calls, c), seen+len(page.Versions), page.Next
		if token == "" {
			break
		}
	}
	if seen != versions {
		return nil, fmt.Errorf("%d of %d versions are on %d pages", seen, versions, len(calls))
	}
	return calls, nil
}
