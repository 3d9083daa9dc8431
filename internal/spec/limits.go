package spec

import (
	"maps"
	"math"
	"strings"
	"time"

	"github.com/slipway-ml/slipway/internal/spec/strict"
)

// Limits bound what callers may ask of the endpoint.
type Limits struct {
	Rate        Rate // of all callers together
	CallerRate  Rate // of each caller
	Concurrency int  // requests that are answered at once; 0: the gateway finds how many are good
	Queue       Queue
	Body        int64 // bytes of a request
}

// Rate is so many requests a second; the zero value is no limit.
type Rate struct {
	PerSecond float64
	Burst     int // that may come at once
}

// Queue is where requests wait beyond Concurrency.
type Queue struct {
	Length int
	Wait   time.Duration // at most; 0: the gateway finds how long is good
}

// GPU is what a replica needs of accelerators.
type GPU struct {
	Count int
	Type  string // as the machines' owner names it, such as nvidia-l4; empty: any
}

const (
	minBody = 1 << 10
	maxBody = 16 << 20
	maxRate = 1_000_000
)

func rateFields(key, doc string) field {
	return field{Key: key, Doc: doc, Short: "per_second", Fields: []field{
		{Key: "per_second", Required: true, Doc: "requests a second", Kind: strict.Number(0.01, maxRate)},
		{Key: "burst", Doc: "how many may come at once, by default those of a second", Kind: strict.Integer(1, maxRate)},
	}}
}

func limitFields() field {
	return field{Key: "limits", Doc: "what callers may ask of the endpoint", Fields: []field{
		rateFields("rate", "of all callers together, by default without a limit; more is answered with 429"),
		rateFields("caller_rate", "of each caller, by default without a limit"),
		{Key: "concurrency", Doc: "requests that are answered at once, by default as many as are answered well", Kind: strict.Integer(1, 10_000)},
		{Key: "queue", Doc: "requests that wait beyond that; more is answered with 503", Short: "length", Fields: []field{
			{Key: "length", Doc: "how many", Kind: strict.Integer(1, 10_000)},
			{Key: "wait", Doc: "for how long, such as 50ms; what would wait longer is refused at once", Kind: strict.Duration(time.Millisecond, time.Minute)},
		}},
		{Key: "body", Doc: "of a request, such as 64Ki; more is answered with 413", Kind: size(minBody, maxBody, "64Ki")},
	}}
}

func gpuFields() field {
	return field{Key: "gpu", Doc: "accelerators; replicas that are local processes have none", Short: "count", Fields: []field{
		{Key: "count", Required: true, Doc: "how many", Kind: strict.Integer(1, 16)},
		{Key: "type", Doc: "which, as the owner of the machines names it, such as nvidia-l4", Kind: strict.Name()},
	}}
}

// rate reads a rate, which is absent or has a burst.
func (d *document) rate(path string) (r Rate) {
	if !d.Has(path) {
		return r
	}
	r.PerSecond = d.number(path + ".per_second")
	r.Burst = get(d, path+".burst", max(1, int(math.Ceil(r.PerSecond))))
	if !d.Has(path + ".burst") {
		d.origin[path+".burst"] = path + ".per_second"
	}
	return r
}

// givenLimits reads what the file says of limits below a path; the rest is zero.
func (d *document) givenLimits(path string) Limits {
	return Limits{Rate: d.rate(path + ".rate"), CallerRate: d.rate(path + ".caller_rate"), Concurrency: optional[int](d, path+".concurrency"),
		Queue: Queue{optional[int](d, path+".queue.length"), optional[time.Duration](d, path+".queue.wait")}, Body: optional[int64](d, path+".body")}
}

func (d *document) limits(def defaults) Limits {
	l := d.givenLimits("limits")
	l.Queue.Length = get(d, "limits.queue.length", def.queue)
	l.Body = get(d, "limits.body", int64(maxBody))
	return l
}

func (d *document) gpu(path string) GPU {
	return GPU{Count: optional[int](d, path+".count"), Type: text(d, path+".type")}
}

// overrideLimits lays what an environment says over the limits of the file.
func (s *Spec) overrideLimits(o Limits, override func(path string, given bool) bool) {
	l := &s.Limits
	rate := func(to *Rate, path string, o Rate) {
		if override(path+".per_second", o.PerSecond > 0) {
			override(path+".burst", true)
			*to = o
		}
	}
	rate(&l.Rate, "limits.rate", o.Rate)
	rate(&l.CallerRate, "limits.caller_rate", o.CallerRate)
	if override("limits.concurrency", o.Concurrency > 0) {
		l.Concurrency = o.Concurrency
	}
	if override("limits.queue.length", o.Queue.Length > 0) {
		l.Queue.Length = o.Queue.Length
	}
	if override("limits.queue.wait", o.Queue.Wait > 0) {
		l.Queue.Wait = o.Queue.Wait
	}
	if override("limits.body", o.Body > 0) {
		l.Body = o.Body
	}
}

// overrideGPU does so with accelerators, of which an environment says all or nothing.
func (s *Spec) overrideGPU(o GPU, override func(path string, given bool) bool) {
	if !override("resources.gpu.count", o.Count > 0) {
		return
	}
	maps.DeleteFunc(s.Origin, func(path, _ string) bool { return strings.HasPrefix(path, "resources.gpu.type") })
	override("resources.gpu.type", o.Type != "")
	s.Resources.GPU = o
}

type canonicalLimits struct {
	Rate        canonicalRate  `json:"rate,omitzero"`
	CallerRate  canonicalRate  `json:"caller_rate,omitzero"`
	Concurrency int            `json:"concurrency,omitempty"`
	Queue       canonicalQueue `json:"queue,omitzero"`
	Body        string         `json:"body,omitempty"`
}

type canonicalRate struct {
	PerSecond float64 `json:"per_second"`
	Burst     int     `json:"burst"`
}

type canonicalQueue struct {
	Length int    `json:"length,omitempty"`
	Wait   string `json:"wait,omitempty"`
}

type canonicalGPU struct {
	Count int    `json:"count"`
	Type  string `json:"type,omitempty"`
}

func (l Limits) canonical() canonicalLimits {
	c := canonicalLimits{Rate: canonicalRate(l.Rate), CallerRate: canonicalRate(l.CallerRate), Concurrency: l.Concurrency, Queue: canonicalQueue{Length: l.Queue.Length}}
	if l.Queue.Wait > 0 {
		c.Queue.Wait = strict.PrintDuration(l.Queue.Wait)
	}
	if l.Body > 0 {
		c.Body = printBytes(l.Body)
	}
	return c
}
