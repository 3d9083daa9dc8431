package explain

import (
	"cmp"
	"fmt"
	"time"

	"github.com/slipway-ml/slipway/api"
)

// Account is why something is as it is.
type Account struct {
	Subject string   `json:"subject"` // an endpoint, or the id of a deployment
	State   string   `json:"state"`   // in a few words
	Why     []string `json:"why"`     // the reasons, the nearest first
	Who     string   `json:"who"`     // can change it
	Do      []string `json:"do"`      // commands and what else helps, the likeliest first
	Code    *Code    `json:"code,omitempty"`
}

// The states of the API that are told apart.
const (
	running     = "running"
	succeeded   = "succeeded"
	rolledBack  = "rolled back"
	aborted     = "aborted"
	provisional = "provisional"
	withdrawn   = "withdrawn"
	paused      = "paused"
	stepping    = "stepping"
	fail        = "fail"
	ready       = "ready"
)

// Deployment explains a deployment; e is its endpoint as it is now. Judged are the words
// for the evidence of its rollout.
func Deployment(d api.Deployment, e api.Endpoint, judged []string, now time.Time) Account {
	a := Account{Subject: d.ID, Who: who(e), Why: []string{}, Do: []string{}}
	switch {
	case d.Status == succeeded:
		a.succeeded(d, e)
	case d.Status != running:
		a.ended(d, judged)
	case d.Phase == "":
		a.inPipeline(d, now)
	default:
		a.rollingOut(d, e, judged)
	}
	if d.Code != "" {
		if c, ok := Find(d.Code); ok {
			a.Code = &c
		}
	}
	return a
}

func who(e api.Endpoint) string {
	if e.Owner == "" {
		return "the platform engineers"
	}
	return "team " + e.Owner + ", which owns " + e.Name + ", or the platform engineers"
}

func (a *Account) why(format string, args ...any) {
	a.Why = append(a.Why, fmt.Sprintf(format, args...))
}
func (a *Account) do(format string, args ...any) { a.Do = append(a.Do, fmt.Sprintf(format, args...)) }

func (a *Account) succeeded(d api.Deployment, e api.Endpoint) {
	a.State = "succeeded"
	serves := ""
	for _, r := range []*api.Revision{e.Stable, e.Candidate} {
		if r != nil && r.ID == d.Revision {
			serves = fmt.Sprintf("%s serves with %g %% of the requests", r.ID, r.Weight)
		}
	}
	if serves == "" {
		a.why("every check passed; another revision has followed %s since", d.Revision)
		a.do("platform history %s", d.Endpoint)
		return
	}
	a.why("every check passed, and %s", serves)
	if e.State == provisional {
		a.why("it is the first: failures withdraw it until it has proved itself")
	}
	a.do("platform status %s", d.Endpoint)
}

// ended explains what did not succeed.
func (a *Account) ended(d api.Deployment, judged []string) {
	a.State = d.Status
	if d.Message != "" {
		a.why("%s", d.Message)
	}
	a.Why = append(a.Why, judged...)
	a.failures(d)
	if d.Next != "" {
		a.do("%s", d.Next)
	}
	switch d.Status {
	case rolledBack:
		a.why("these files are refused on %s from now on", d.Endpoint)
		a.do("platform logs %s --revision %s --level warn", d.Endpoint, d.Revision)
		a.do("platform deploy --force --reason WHY")
	case aborted:
		a.why("nothing else speaks against it")
	default:
		a.do("platform deployments %s", d.ID)
	}
}

// failures lists the checks that did not pass.
func (a *Account) failures(d api.Deployment) {
	for _, st := range d.Stages {
		for _, r := range st.Results {
			if r.Verdict != "pass" && r.Verdict != "warn" {
				a.why("%s, %s: %s", st.Stage, r.Check, r.Message)
				if r.Next != "" {
					a.do("%s", r.Next)
				}
			}
		}
	}
}

// inPipeline explains a deployment before its rollout.
func (a *Account) inPipeline(d api.Deployment, now time.Time) {
	a.State = "in its pipeline"
	if len(d.Stages) == 0 {
		a.why("it waits for its turn: a few pipelines run at once")
	}
	for _, st := range d.Stages {
		if !st.Finished.IsZero() {
			continue
		}
		a.State = "in its pipeline, at " + st.Stage
		a.why("%s runs for %s", st.Stage, now.Sub(st.Started).Round(time.Second))
		if n := len(st.Log); n > 0 {
			a.why("its log ends: %s", st.Log[n-1])
		}
	}
	if d.Waiting != "" {
		a.why("%s", d.Waiting)
	}
	a.do("platform status %s --watch", d.Endpoint)
	a.do("platform abort %s", d.ID)
}

// rollingOut explains a rollout under way.
func (a *Account) rollingOut(d api.Deployment, e api.Endpoint, judged []string) {
	a.State = "rolling out: " + d.Phase
	if d.Waiting != "" {
		a.why("%s", d.Waiting)
	}
	switch d.Phase {
	case paused:
		a.Why = append(a.Why, judged...)
		a.why("platform.yaml says on_failure: pause, so a person decides")
		a.do("platform promote %s", d.ID)
		a.do("platform abort %s", d.ID)
		return
	case stepping:
		if d.Missing > 0 {
			a.why("a step ends when its time is over and it has its requests: they come from callers, or from you")
			a.do("platform predict %s", d.Endpoint)
		}
		a.Why = append(a.Why, judged...)
	}
	a.replicas(e.Candidate)
	a.do("platform status %s --watch", d.Endpoint)
	a.do("platform abort %s", d.ID)
}

// replicas names those of a revision that do not answer.
func (a *Account) replicas(r *api.Revision) {
	if r == nil {
		return
	}
	for _, p := range r.Replicas {
		if p.State == ready || p.Reason == "" {
			continue
		}
		a.why("replica %s is %s: %s", p.ID, p.State, p.Reason)
		if n := len(p.LogTail); n > 0 {
			a.why("its log ends: %s", p.LogTail[n-1])
		}
	}
}

// Endpoint explains an endpoint without a deployment under way; last is the newest one,
// nil if there is none.
func Endpoint(e api.Endpoint, last *api.Deployment, judged []string, now time.Time) Account {
	if last != nil && (last.Status == running || e.Stable == nil && e.Candidate == nil) {
		a := Deployment(*last, e, judged, now)
		a.Subject, a.State = e.Name, e.State+", "+a.State
		if e.Reason != "" {
			a.Why = append([]string{e.Reason}, a.Why...)
		}
		return a
	}
	a := Account{Subject: e.Name, State: e.State, Who: who(e), Why: []string{}, Do: []string{}}
	if e.Reason != "" {
		a.why("%s", e.Reason)
	}
	if e.State == provisional {
		a.why("it is the first revision: failures withdraw it until it has proved itself")
	}
	short := false
	for _, r := range []*api.Revision{e.Stable, e.Candidate} {
		if r == nil {
			continue
		}
		a.why("%s (%s:%d) has %g %% of the requests, and %d of %d replicas ready", r.ID, r.Model, r.Version, r.Weight, r.Ready, r.Want)
		short = short || r.Ready < r.Want
		if r.Counts.Errors > 0 {
			a.why("%d of its %d requests failed for callers", r.Counts.Errors, r.Counts.Requests)
		}
		a.replicas(r)
	}
	if n := refused(e.Traffic); n > 0 {
		a.why("%d requests were refused because they were more than it takes: platform.yaml says how many under limits and scaling", n)
	}
	if last != nil && last.Status != succeeded {
		a.why("the last deployment %s did not succeed: %s", last.ID, cmp.Or(last.Message, last.Status))
		a.do("platform explain %s", last.ID)
	}
	if short {
		a.do("platform logs %s --level warn", e.Name)
	}
	a.do("platform status %s", e.Name)
	return a
}

// refused is how many requests found no place.
func refused(t *api.Traffic) (n uint64) {
	if t != nil {
		for _, of := range t.Refused {
			n += of
		}
	}
	return n
}
