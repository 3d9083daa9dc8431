package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway/bench/figure"
)

const runs, models = 30_000, 2_000

type pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type metric struct {
	Key       string  `json:"key"`
	Value     float64 `json:"value"`
	Timestamp int64   `json:"timestamp"`
	Step      int     `json:"step"`
}

type createRun struct {
	Experiment string `json:"experiment_id"`
	Name       string `json:"run_name,omitempty"`
	Start      int64  `json:"start_time"`
	User       string `json:"user_id"`
	Tags       []pair `json:"tags,omitempty"`
}

type logBatch struct {
	Run     string   `json:"run_id"`
	Metrics []metric `json:"metrics,omitempty"`
	Params  []pair   `json:"params,omitempty"`
}

func post(path string, body any) call { return call{"POST", path, nil, body} }

func get(path string, query ...string) call {
	q := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		q.Add(query[i], query[i+1])
	}
	return call{"GET", path, q, nil}
}

func (s *server) createRun(ctx context.Context, name string, tags ...pair) (string, error) {
	var made struct {
		Run struct {
			Info struct {
				ID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	err := s.ask(ctx, post("runs/create", createRun{s.experiment, name, time.Now().UnixMilli(), "bench", tags}), &made)
	return made.Run.Info.ID, err
}

// seed gives the platform what seed.py gives the peer, over HTTP.
func (s *server) seed(ctx context.Context) error {
	var made struct {
		ID string `json:"experiment_id"`
	}
	if err := s.ask(ctx, post("experiments/create", map[string]string{"name": "bench"}), &made); err != nil {
		return err
	}
	s.experiment = made.ID
	err := each(runs, func(i int) error {
		run, err := s.createRun(ctx, fmt.Sprint("run-", i), pair{"cost", strconv.Itoa(i % 5)})
		if err != nil {
			return err
		}
		b := logBatch{Run: run, Params: []pair{{"model", fmt.Sprint("m", i%10)}, {"depth", strconv.Itoa(i % 7)}, {"lr", "0.1"}}}
		for j, k := range []string{"auc", "loss", "f1"} {
			b.Metrics = append(b.Metrics, metric{k, float64((i*7919+j)%1000) / 1000, 1, 0})
		}
		return s.ask(ctx, post("runs/log-batch", b), nil)
	})
	if err != nil {
		return err
	}
	return each(models, func(i int) error {
		name := modelName(i)
		if err := s.ask(ctx, post("registered-models/create", map[string]any{"name": name, "tags": []pair{{"group", fmt.Sprint("g", i%20)}}}), nil); err != nil {
			return err
		}
		if err := s.ask(ctx, post("model-versions/create", map[string]string{"name": name, "source": "s3://bucket/model"}), nil); err != nil {
			return err
		}
		return s.ask(ctx, post("registered-models/alias", map[string]string{"name": name, "alias": "champion", "version": "1"}), nil)
	})
}

func modelName(i int) string { return fmt.Sprintf("model-%04d", i) }

// loads are the calls that are compared. Prepare makes what they need.
func (s *server) loads(ctx context.Context) ([]load, error) {
	var mine [connections]string
	for i := range mine {
		run, err := s.createRun(ctx, fmt.Sprint("own-", i))
		if err != nil {
			return nil, err
		}
		mine[i] = run
	}
	var batches atomic.Int64
	search := map[string]any{
		"experiment_ids": []string{s.experiment}, "filter": "metrics.auc > 0.9 AND params.model = 'm3'",
		"order_by": []string{"metrics.auc DESC"}, "max_results": 100,
	}
	return []load{
		{"search_runs_30k", 10, func(int, int) call { return post("runs/search", search) }},
		{"search_registered_models", 10, func(_, i int) call {
			return get("registered-models/search", "filter", fmt.Sprintf("tags.group = 'g%d'", i%20), "max_results", "100")
		}},
		{"log_batch_100", 10, func(conn, _ int) call {
			step := int(batches.Add(1))
			b := logBatch{Run: mine[conn]}
			for j := range 100 {
				b.Metrics = append(b.Metrics, metric{fmt.Sprint("metric-", j), float64(step) / 7, int64(step), step})
			}
			return post("runs/log-batch", b)
		}},
		{"get_by_alias", 10, func(conn, i int) call {
			return get("registered-models/alias", "name", modelName((conn*131+i)%models), "alias", "champion")
		}},
		{"create_run", 5, func(conn, i int) call {
			return post("runs/create", createRun{s.experiment, "", int64(i), "bench", []pair{{"conn", strconv.Itoa(conn)}}})
		}},
	}, nil
}

type load struct {
	name string
	goal float64
	next func(conn, i int) call
}

// api is both sides under the same calls, one after the other, each with the machine to
// itself: the peer's workers are busy also when nobody asks them.
func (b *bench) api(ctx context.Context, database string) error {
	starts := []struct {
		name  string
		start func() (*server, error)
	}{
		{"platform", func() (*server, error) {
			s, err := b.ours(database)
			if err == nil {
				err = s.seed(ctx)
			}
			return s, err
		}},
		{"mlflow server", func() (*server, error) { return b.peer(ctx, database, runs, models) }},
	}
	rates := make([]map[string]float64, len(starts))
	var order []load
	for i, side := range starts {
		began := time.Now()
		s, err := side.start()
		if s != nil {
			defer s.stop()
		}
		if err != nil {
			return err
		}
		figure.Note("%s: filled in %.0f s", side.name, time.Since(began).Seconds())
		if rates[i], order, err = b.rates(ctx, s, side.name+" "+database); err != nil {
			return err
		}
		s.stop()
	}
	for _, l := range order {
		b.Print(b.Beside(l.name+"."+database, rates[0][l.name], rates[1][l.name], l.goal))
	}
	return nil
}

// rates are the answers a second of each load.
func (b *bench) rates(ctx context.Context, s *server, side string) (map[string]float64, []load, error) {
	loads, err := s.loads(ctx)
	if err != nil {
		return nil, nil, err
	}
	out := map[string]float64{}
	for _, l := range loads {
		if _, _, err := s.load(ctx, connections, b.length/5, l.next); err != nil { // to warm up
			return nil, nil, fmt.Errorf("%s: %w", l.name, err)
		}
		took, rate, err := s.load(ctx, connections, b.length, l.next)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", l.name, err)
		}
		figure.Note("%s %s: %.0f/s, p99 %.1f ms", side, l.name, rate, p99(took))
		out[l.name] = rate
	}
	return out, loads, nil
}
