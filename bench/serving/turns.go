package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/slipway-ml/slipway/bench/figure"
	"github.com/slipway-ml/slipway/bench/rig"
)

// side is one server in a comparison.
type side struct {
	name, addr string
	request    []byte
	processes  func() []int // whose processor time is counted; nil: nobody's, which is noted as 0
}

// point is what a side reached with so many connections: medians.
type point struct {
	rate, cpu float64 // requests a second; microseconds a request
	late      time.Duration
}

// turns measures sides in turns, with so many connections; the first round warms up.
func (b *bench) turns(ctx context.Context, connections int, sides ...side) ([]point, error) {
	rates, cpus, lates := make([][]float64, len(sides)), make([][]float64, len(sides)), make([][]time.Duration, len(sides))
	for round := range b.rounds + 1 {
		for i, s := range sides {
			var pids []int
			if s.processes != nil {
				pids = s.processes()
			}
			before := figure.CPU(pids...)
			rate, late, err := rig.Measure(ctx, s.addr, s.request, connections, b.round)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			cpu := (figure.CPU(pids...) - before) * 1e6 / (rate * b.round.Seconds())
			figure.Note("%d connections, round %d: %s %.0f/s, p99 %v, %.1f µs of processor each", connections, round, s.name, rate, late, cpu)
			if round > 0 {
				rates[i], cpus[i], lates[i] = append(rates[i], rate), append(cpus[i], cpu), append(lates[i], late)
			}
		}
	}
	out := make([]point, len(sides))
	for i := range sides {
		out[i] = point{median(rates[i]), median(cpus[i]), median(lates[i])}
	}
	return out, nil
}

// best measures sides with 16 and with 64 connections, and gives the better of each side,
// and the first side's number of connections beside what the others did with as many.
func (b *bench) best(ctx context.Context, sides ...side) (best, there []point, err error) {
	for _, connections := range []int{16, 64} {
		points, err := b.turns(ctx, connections, sides...)
		if err != nil {
			return nil, nil, err
		}
		if best == nil {
			best, there = slices.Clone(points), points
			continue
		}
		if points[0].rate > best[0].rate {
			there = points
		}
		for i, p := range points {
			if p.rate > best[i].rate {
				best[i] = p
			}
		}
	}
	return best, there, nil
}

func median[T float64 | time.Duration](v []T) T {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
