package screen

import (
	"fmt"
	"strings"
	"time"

	"github.com/slipway-ml/slipway/api"
)

// Fleet is a table of endpoints.
func (p *Printer) Fleet(es []api.Endpoint) Ready {
	rows := [][]Text{heads("ENDPOINT", "STATE", "SERVES", "TRAFFIC", "READY", "REQUESTS", "ERRORS", "P95", "TIER", "OWNER")}
	for _, e := range es {
		rows = append(rows, fleetRow(e))
	}
	return p.Lines(rows)
}

// Deployments is a table of deployments.
func (p *Printer) Deployments(now time.Time, ds []api.Deployment) Ready {
	rows := [][]Text{heads("NUMBER", "DEPLOYMENT", "ENDPOINT", "KIND", "VERSION", "STATUS", "AGE", "BY", "")}
	for _, d := range ds {
		rows = append(rows, []Text{Plain(fmt.Sprint(d.Number)), Plain(d.ID), Bold(d.Endpoint), Plain(d.Kind),
			Plain(fmt.Sprintf("%s:%d", d.Model, d.Version)), StatusOf(d), Plain(Age(now, d.Created)), Plain(d.By), Dim(d.Message)})
	}
	return p.Lines(rows)
}

// StatusOf is a deployment's status in its colour.
func StatusOf(d api.Deployment) Text {
	switch d.Status {
	case succeeded:
		return Green(d.Status)
	case running:
		return Yellow(d.Status)
	default:
		return Red(d.Status)
	}
}

func heads(names ...string) []Text {
	var row []Text
	for _, n := range names {
		row = append(row, Dim(n))
	}
	return row
}

func fleetRow(e api.Endpoint) []Text {
	var serves, traffic []string
	var ready, want int
	var total api.Counts
	p95 := 0.0
	for _, r := range revisions(e) {
		serves = append(serves, fmt.Sprintf("%s:%d", r.Model, r.Version))
		traffic = append(traffic, fmt.Sprintf("%g %%", r.Weight))
		ready, want = ready+r.Ready, want+r.Want
		total.Requests += r.Counts.Requests
		total.Errors += r.Counts.Errors
		p95 = max(p95, r.P95MS)
	}
	failures := Plain(count(total.Errors))
	if total.Errors > 0 {
		failures.style = red
	}
	return []Text{Bold(e.Name), stateOf(e), Plain(OrDash(strings.Join(serves, " + "))), Plain(OrDash(strings.Join(traffic, " + "))),
		Plain(fmt.Sprintf("%d/%d", ready, want)), Plain(count(total.Requests)), failures, Plain(millis(p95)),
		Plain(fmt.Sprint(e.Tier)), Plain(OrDash(e.Owner))}
}

// revisions are those of an endpoint that are there.
func revisions(e api.Endpoint) []*api.Revision {
	var out []*api.Revision
	for _, r := range []*api.Revision{e.Stable, e.Candidate} {
		if r != nil {
			out = append(out, r)
		}
	}
	return out
}

func stateOf(e api.Endpoint) Text {
	switch e.State {
	case serving:
		return Green(e.State)
	case withdrawn:
		return Red(e.State)
	default:
		return Yellow(e.State)
	}
}

// OrDash is text, or a dash for none.
func OrDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func millis(ms float64) string {
	if ms <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g ms", ms)
}

func revisionRows(e api.Endpoint) [][]Text {
	rows := [][]Text{heads("  REVISION", "VERSION", "TRAFFIC", "READY", "REQUESTS", "FAILED", "SLOW", "REJECTED", "RESCUED", "ERRORS", "P50", "P95")}
	for _, r := range revisions(e) {
		role := "stable"
		if r == e.Candidate {
			role = "candidate"
		}
		row := []Text{Plain("  " + r.ID + " " + role), Plain(fmt.Sprintf("%s:%d", r.Model, r.Version)), Bold(fmt.Sprintf("%g %%", r.Weight)),
			Plain(fmt.Sprintf("%d/%d", r.Ready, r.Want))}
		k := r.Counts
		for _, n := range []uint64{k.Requests, k.Failed, k.Slow, k.Rejected, k.Rescued, k.Errors} {
			row = append(row, Plain(count(n)))
		}
		rows = append(rows, append(row, Plain(millis(r.P50MS)), Plain(millis(r.P95MS))))
	}
	return rows
}

func replicaRows(now time.Time, revs []*api.Revision) [][]Text {
	rows := [][]Text{heads("  REPLICA", "STATE", "PID", "AGE", "RESTARTS", "MEMORY", "")}
	for _, r := range revs {
		for _, rep := range r.Replicas {
			state := Plain(rep.State)
			if rep.State != "ready" {
				state.style = yellow
			}
			rows = append(rows, []Text{Plain("  " + rep.ID), state, Plain(fmt.Sprint(rep.PID)), Plain(Age(now, rep.Started)),
				Plain(fmt.Sprint(rep.Restarts)), Plain(memoryOf(rep)), Red(rep.Reason)})
		}
	}
	return rows
}

// memoryOf is what a replica takes; in a pool, what the model takes of it.
func memoryOf(r api.Replica) string {
	switch {
	case r.Pool == "":
		return Size(r.RSSBytes)
	case r.Loaded:
		return Size(r.ModelBytes) + " of " + Size(r.RSSBytes)
	default:
		return "not loaded, of " + Size(r.RSSBytes)
	}
}
