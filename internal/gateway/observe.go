package gateway

import (
	"encoding/json"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/slipway-ml/slipway/internal/gateway/admit"
	"github.com/slipway-ml/slipway/internal/route"
)

// Observe tells what is in force and what happened, in the order of the table.
func (g *Gateway) Observe() route.Observation {
	t := g.table.Load()
	seq, _ := g.journal.last()
	o := route.Observation{Gateway: g.c.Name, Seq: t.Seq, Time: g.c.Now(), VetoSeq: seq,
		Revisions: []route.RevisionStatus{}, Endpoints: []route.EndpointStatus{}}
	for _, r := range t.Revisions() {
		st, c := g.c.Replicas.Status(r.ID), t.revisions[r.ID].counts
		st.ID, st.Counts = r.ID, c.load()
		st.P50MS, st.P95MS = ms(c.latency.quantile(.5)), ms(c.latency.quantile(.95))
		o.Revisions = append(o.Revisions, st)
	}
	for i := range t.Endpoints {
		o.Endpoints = append(o.Endpoints, t.endpoints[t.Endpoints[i].Key].observe())
	}
	return o
}

func (e *endpoint) observe() route.EndpointStatus {
	st := route.EndpointStatus{Key: e.Key, Traffic: e.traffic()}
	if e.live == nil {
		return st
	}
	l := e.live
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.judge.Judgement()
	st.Rollout, st.Weight, st.Vetoed, st.Confirmed = &l.key, l.weight, l.vetoed, v.Confirmed
	if e.candidate.ready.Load() == 0 {
		st.Weight = 0 // that is its probability now
	}
	if b, err := json.Marshal(v); err == nil {
		st.Judgement = b
	}
	return st
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// collector gives out the counters when somebody asks, so that requests pay for nothing
// but the counting.
type collector struct{ g *Gateway }

var (
	byRevision = []string{"endpoint", "revision"}
	byEndpoint = []string{"endpoint"}

	descFirst    = desc("first_attempts_total", "First attempts, by outcome.", append(byRevision[:2:2], "outcome")...)
	descAnswers  = desc("requests_total", "Requests by what users got: answered, error or rescued (by stable).", append(byRevision[:2:2], "outcome")...)
	descLatency  = desc("first_attempt_seconds", "Time of first attempts, from routing to answer.", byRevision...)
	descReady    = desc("replicas_ready", "Replicas that answer.", byRevision...)
	descWeight   = desc("candidate_weight", "Share of the candidate in force, 0 to 1.", byEndpoint...)
	descInFlight = desc("requests_in_flight", "Requests being answered.", byEndpoint...)
	descWaiting  = desc("requests_waiting", "Requests that wait for a place.", byEndpoint...)
	descLimit    = desc("requests_limit", "Requests that are answered at once, at most, now.", byEndpoint...)
	descRefused  = prometheus.NewDesc("slipway_refused_total", "Requests that were refused before anybody was asked, by reason.", append(byEndpoint[:1:1], "reason"), nil)
	descInvalid  = desc("requests_invalid_total", "Requests that did not fit the schema.", byEndpoint...)
	descCoerced  = desc("coercions_total", "Inputs that came in another type than the schema's and were converted.", byEndpoint...)
	descRollback = desc("rollbacks_total", "Rollbacks made here.", byEndpoint...)
	descTable    = desc("table_seq", "Sequence number of the table in force.")
	descJournal  = desc("journal_unwritten", "Rollbacks that could not be written to disk yet.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("slipway_gateway_"+name, help, labels, nil)
}

// Describe sends every metric's description.
func (collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descFirst, descAnswers, descLatency, descReady, descWeight, descInFlight, descWaiting, descLimit, descRefused,
		descInvalid, descCoerced, descRollback, descTable, descJournal} {
		out <- d
	}
}

// Collect sends the counters of what the table has.
func (c collector) Collect(out chan<- prometheus.Metric) {
	t := c.g.table.Load()
	_, unwritten := c.g.journal.last()
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	send(descTable, gauge, float64(t.Seq))
	send(descJournal, gauge, float64(unwritten))
	for key, e := range t.endpoints {
		c.traffic(send, key, e.traffic())
		send(descInvalid, counter, float64(e.stats.invalid.Load()), key)
		send(descCoerced, counter, float64(e.stats.coerced.Load()), key)
		send(descRollback, counter, float64(e.stats.rollbacks.Load()), key)
		send(descWeight, gauge, e.observe().Weight, key)
		for _, r := range []*revision{e.stable, e.candidate} {
			if r == nil {
				continue
			}
			n := r.counts.load()
			cancelled := r.counts.cancelled.Load()
			send(descReady, gauge, float64(r.ready.Load()), key, r.ID)
			send(descFirst, counter, float64(n.Failed), key, r.ID, "failed")
			send(descFirst, counter, float64(n.Rejected), key, r.ID, "rejected")
			send(descFirst, counter, float64(cancelled), key, r.ID, "cancelled")
			send(descFirst, counter, float64(n.Requests-min(n.Requests, n.Failed+n.Rejected+cancelled)), key, r.ID, "ok")
			send(descAnswers, counter, float64(n.Answered), key, r.ID, "answered")
			send(descAnswers, counter, float64(n.Errors), key, r.ID, "error")
			send(descAnswers, counter, float64(n.Rescued), key, r.ID, "rescued")
			total, buckets := r.counts.latency.cumulative()
			out <- prometheus.MustNewConstHistogram(descLatency, total, float64(n.LatencyUS)/1e6, buckets, key, r.ID)
		}
	}
}

// traffic sends what an endpoint does, and whom it does not let in.
func (collector) traffic(send func(*prometheus.Desc, prometheus.ValueType, float64, ...string), key string, t *route.Traffic) {
	send(descInFlight, prometheus.GaugeValue, float64(t.Inside), key)
	send(descWaiting, prometheus.GaugeValue, float64(t.Waiting), key)
	send(descLimit, prometheus.GaugeValue, float64(t.Limit), key)
	for reason := range admit.Reasons {
		send(descRefused, prometheus.CounterValue, float64(t.Refused[reason.String()]), key, reason.String())
	}
}

// cumulative gives the histogram by doublings, in seconds, as Prometheus has it.
func (h *histogram) cumulative() (total uint64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, octaves)
	for i := range h {
		total += h[i].Load()
		if (i+1)%(1<<subBits) == 0 && i+1 < len(h) {
			buckets[bound(i+1).Seconds()] = total
		}
	}
	return total, buckets
}
