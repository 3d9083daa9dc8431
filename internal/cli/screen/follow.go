package screen

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/slipway-ml/slipway/api"
)

// The states of the API that are told apart here.
const (
	running     = "running"
	succeeded   = "succeeded"
	rolledBack  = "rolled back"
	provisional = "provisional"
	withdrawn   = "withdrawn"
	serving     = "serving"
	paused      = "paused" // a phase
)

// Follower prints what is new in each state of a deployment.
type Follower struct {
	Log    bool // show all that each stage logged, and not only the end of what a failed one did
	p      *Printer
	now    func() time.Time
	stages int       // printed
	steps  int       // printed
	phase  string    // of the last state
	mark   string    // what is under way
	since  time.Time // of mark
	text   string    // of mark, on a terminal
	said   string    // last, by the stage that runs
}

// NewFollower makes a follower that measures times by a clock.
func NewFollower(p *Printer, now func() time.Time) *Follower {
	return &Follower{p: p, now: now, since: now()}
}

// Show prints what a state has more than the ones before, and what is under way.
func (f *Follower) Show(d api.Deployment) {
	for f.stages < len(d.Stages) && !d.Stages[f.stages].Finished.IsZero() {
		f.stage(d.Stages[f.stages])
		f.stages++
	}
	f.leave(d)
	f.text = ""
	mark := fmt.Sprintf("%s %d %s", d.Phase, d.Step, currentStage(d, f.stages))
	moved := mark != f.mark
	if moved {
		f.mark, f.since = mark, f.now()
	}
	f.phase = d.Phase
	switch {
	case d.Status != running:
		f.judged(d)
	case d.Phase != paused:
		f.waiting(d, moved)
	case moved:
		f.p.Say("%s  %s", Yellow(paused), d.Waiting)
		f.p.Next("platform promote %s, or: platform abort %s", d.ID, d.ID)
	}
}

// waiting shows what is under way: in place on a terminal, else when it begins.
func (f *Follower) waiting(d api.Deployment, moved bool) {
	text := "...   " + underWay(d, f.stages)
	if d.Waiting != "" {
		text += "  " + d.Waiting
	}
	if f.p.Live {
		f.text, f.said = text, lastLine(d, f.stages)
		f.Tick()
	} else if moved && (d.Phase != "" || currentStage(d, f.stages) != "") {
		f.p.Note("%s", text)
	}
}

// Tick shows on a terminal how long what is under way has taken by now, and what it said
// last: a step may be silent for minutes.
func (f *Follower) Tick() {
	if f.text != "" {
		f.p.Progress("%s  %s  %s", f.text, Duration(f.now().Sub(f.since).Truncate(time.Second)), f.said)
	}
}

// lastLine is what the stage that runs after so many finished ones logged last, or "".
func lastLine(d api.Deployment, finished int) string {
	if currentStage(d, finished) == "" || len(d.Stages[finished].Log) == 0 {
		return ""
	}
	log := d.Stages[finished].Log
	return log[len(log)-1]
}

// leave prints the phases and steps that were passed since the last state.
func (f *Follower) leave(d api.Deployment) {
	took := ""
	if f.mark != "" { // else it was over before we looked
		took = Duration(f.now().Sub(f.since))
	}
	if f.phase != d.Phase && !bad(d.Phase) {
		switch f.phase {
		case "starting":
			f.line("pass", "replicas", took, "ready")
		case "checking":
			f.line("pass", "live path", took, "")
		}
	}
	passed := d.Step
	if d.Phase == "promoting" || d.Phase == "done" {
		passed = len(d.Steps)
	}
	if d.Previous == "" || bad(d.Phase) { // a first deployment has all the traffic at once
		return
	}
	for ; f.steps < min(passed, len(d.Steps)); f.steps++ {
		st := d.Steps[f.steps]
		text := ""
		if st.MinRequests > 0 {
			text = count(st.MinRequests) + " requests or more"
		}
		f.line("pass", fmt.Sprintf("%g %%", st.Weight), took, text)
		took = ""
	}
}

func bad(phase string) bool { return phase == "rolled-back" || phase == "failed" || phase == "aborted" }

// judged prints why a rollout ended early.
func (f *Follower) judged(d api.Deployment) {
	if d.Status == rolledBack && d.Step < len(d.Steps) {
		f.line("fail", fmt.Sprintf("%g %%", d.Steps[d.Step].Weight), "", "")
	}
	for _, text := range Judgement(d.Judgement) {
		f.p.Say("      %s", text)
	}
	if !d.FirstBad.IsZero() && d.LastSent.After(d.FirstBad) {
		f.p.Say("      the last request went to it %s after its first failure", Duration(d.LastSent.Sub(d.FirstBad)))
	}
}

// failedLines bounds what is shown unasked of a failed stage's log.
const failedLines = 20

func (f *Follower) stage(st api.Stage) {
	var passed []string
	for _, r := range st.Results {
		if r.Verdict == "pass" {
			passed = append(passed, r.Check+" "+r.Message)
		}
	}
	f.line(st.Verdict, st.Stage, Duration(st.Finished.Sub(st.Started)), strings.Join(passed, "; "))
	for _, r := range st.Results {
		if r.Verdict == "pass" {
			continue
		}
		f.p.Say("      %s %s: %s", Verdict(r.Verdict, r.Verdict), r.Check, r.Message)
		if r.Next != "" {
			f.p.Say("      %s", Dim(r.Next))
		}
	}
	log := st.Log
	switch {
	case f.Log:
	case st.Verdict == "pass" || st.Verdict == "warn":
		log = nil
	default:
		log = log[max(len(log)-failedLines, 0):]
	}
	for _, line := range log {
		f.p.Say("      %s", Dim(oneLine(line)))
	}
}

// line prints a verdict, what it is about, the time it took and a remark, in columns.
func (f *Follower) line(verdict, what, took, text string) {
	pad := func(s string, n int) string { return s + strings.Repeat(" ", max(n-len([]rune(s)), 0)) }
	first := Verdict(verdict, pad(verdict, 4))
	line := fmt.Sprintf("%s  %s", pad(what, 12), pad(took, 7))
	if text != "" {
		line += "  " + text
	}
	line = strings.TrimRight(oneLine(line), " ")
	if f.p.Live && f.p.Width > 16 {
		line = cut(line, f.p.Width-6)
	}
	f.p.Say("%s  %s", first, line)
}

// Verdict colours a text by a verdict: pass, fail, and what is neither.
func Verdict(verdict, text string) Text {
	switch verdict {
	case "pass":
		return Green(text)
	case "fail":
		return Red(text)
	default:
		return Yellow(text)
	}
}

// currentStage is the stage that runs after so many finished ones, or "".
func currentStage(d api.Deployment, finished int) string {
	if d.Phase == "" && finished < len(d.Stages) {
		return d.Stages[finished].Stage
	}
	return ""
}

// underWay names what a running deployment does.
func underWay(d api.Deployment, finished int) string {
	switch d.Phase {
	case "":
		return cmp.Or(currentStage(d, finished), "checks")
	case "starting":
		return "replicas"
	case "checking":
		return "live path"
	case "stepping":
		if d.Step >= len(d.Steps) {
			return "rollout"
		}
		need := d.Steps[d.Step].MinRequests
		label := fmt.Sprintf("%g %%", d.Steps[d.Step].Weight)
		if need > 0 {
			label += fmt.Sprintf("  %s of %s requests, %s missing", count(need-min(need, d.Missing)), count(need), count(d.Missing))
		}
		return label
	default:
		return d.Phase
	}
}
