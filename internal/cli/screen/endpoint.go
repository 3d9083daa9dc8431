package screen

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/slipway-ml/slipway/api"
)

// Endpoint shows one endpoint: revisions, replicas, the deployment that is under way (nil
// for none), and what the evidence says.
func (p *Printer) Endpoint(now time.Time, e api.Endpoint, d *api.Deployment) Ready {
	parts := []Ready{p.Lines([][]Text{{Bold(e.Name), stateOf(e), Dim(fmt.Sprintf("tier %d, owner %s%s", e.Tier, OrDash(e.Owner), Because(e.Reason)))}})}
	if revs := revisions(e); len(revs) > 0 {
		parts = append(parts, p.Lines(revisionRows(e)), p.Lines(replicaRows(now, revs)))
	}
	var notes []string
	if d != nil {
		notes = append(notes, fmt.Sprintf("%s brings %s:%d: %s", d.ID, d.Model, d.Version, underWay(*d, finishedStages(*d))))
		if d.Waiting != "" {
			notes = append(notes, d.Waiting)
		}
	}
	if e.State == provisional {
		notes = append(notes, Provisional(e))
	}
	notes = append(notes, Judgement(e.Judgement)...)
	notes = append(notes, Refused(e.Traffic)...)
	if e.WarmLeftSeconds > 0 {
		notes = append(notes, "the previous revision stays warm for "+Duration(time.Duration(e.WarmLeftSeconds*float64(time.Second))))
	}
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(string(part))
	}
	for _, n := range notes {
		b.WriteString("\n  " + oneLine(n))
	}
	return Ready(b.String())
}

// refusals are the words for why requests were refused, as Traffic.Refused has them.
var refusals = []struct{ reason, words string }{
	{"rate", "beyond limits.rate"},
	{"caller_rate", "beyond a caller's rate"},
	{"queue_full", "with a full queue"},
	{"shed", "after a wait in vain"},
	{"deadline", "whose deadline could not be met"},
}

// Refused says how many requests were refused, and what the endpoint does while some wait.
func Refused(t *api.Traffic) (notes []string) {
	if t == nil {
		return nil
	}
	if t.Waiting > 0 {
		notes = append(notes, fmt.Sprintf("%d requests are answered, %d wait; at most %d are answered at once", t.Inside, t.Waiting, t.Limit))
	}
	var parts []string
	var all uint64
	for _, r := range refusals {
		if n := t.Refused[r.reason]; n > 0 {
			all += n
			parts = append(parts, fmt.Sprintf("%d %s", n, r.words))
		}
	}
	if all > 0 {
		notes = append(notes, fmt.Sprintf("refused %d requests: %s", all, strings.Join(parts, ", ")))
	}
	return notes
}

func finishedStages(d api.Deployment) int {
	n := 0
	for n < len(d.Stages) && !d.Stages[n].Finished.IsZero() {
		n++
	}
	return n
}

// LogLine prints a line of a replica's log as one line, with the local time.
func (p *Printer) LogLine(l api.LogLine) {
	look := Plain
	switch l.Level {
	case "error", "ERROR":
		look = Red
	case "warn", "WARN":
		look = Yellow
	}
	text := l.Message
	for _, k := range slices.Sorted(maps.Keys(l.Attributes)) {
		text += "  " + k + "=" + l.Attributes[k]
	}
	if l.Request != "" {
		text += "  request=" + l.Request
	}
	p.Say("%s %s %s %s", Dim(l.Time.Local().Format("15:04:05.000")), Dim(l.Replica), look(OrDash(l.Level)), look(oneLine(text)))
}
