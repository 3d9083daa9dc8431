// Package rollout brings a packaged revision to an endpoint and, when it proves bad, takes
// it back: the deployment's record, the pure state machine that advances it, and the
// controller that tells the gateway. The gateway judges and may take weight away; only
// this package gives weight.
package rollout

import (
	"encoding/json"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/verdict"
)

// Status of a deployment. Terminal deployments never change.
type Status string

// The statuses.
const (
	Running    Status = "running"
	Succeeded  Status = "succeeded"
	RolledBack Status = "rolled back"
	Failed     Status = "failed"
	Aborted    Status = "aborted"
)

// Kinds of deployment. A withdrawal is made by the platform when a promoted or
// provisional revision proves bad.
const (
	KindDeploy     = "deploy"
	KindRollback   = "rollback"
	KindWithdrawal = "withdrawal"
)

// Deployment is one attempt to bring a version to an endpoint.
type Deployment struct {
	ID       string                    `json:"id"`
	Number   int                       `json:"number"` // order on the installation
	Kind     string                    `json:"kind"`
	Endpoint string                    `json:"endpoint"`
	Status   Status                    `json:"status"`
	Source   string                    `json:"source"`          // platform.yaml as given
	Spec     json.RawMessage           `json:"spec,omitempty"`  // and as it was resolved: the record
	Files    map[string]slipway.Digest `json:"files,omitempty"` // validation files, by role
	Model    string                    `json:"model"`
	Version  int                       `json:"version"`
	Digest   slipway.Digest            `json:"digest"` // of the version
	Force    bool                      `json:"force,omitempty"`
	Reason   string                    `json:"reason,omitempty"`
	By       string                    `json:"by"`
	Key      string                    `json:"key,omitempty"` // with By it names the request, which may be repeated
	Created  time.Time                 `json:"created"`
	Finished time.Time                 `json:"finished,omitzero"`

	Stages    []StageRun      `json:"stages,omitempty"`
	Revision  *route.Revision `json:"revision,omitempty"`
	Previous  string          `json:"previous,omitempty"` // stable revision when the rollout began
	Plan      Plan            `json:"plan"`
	State     State           `json:"state"`
	Told      Told            `json:"told,omitzero"`     // and has not done yet
	Code      string          `json:"code,omitempty"`    // why it ended badly
	Message   string          `json:"message,omitempty"` // the same for people
	Next      string          `json:"next,omitempty"`
	Judgement json.RawMessage `json:"judgement,omitempty"` // what decided, eprocess.Judgement
	FirstBad  time.Time       `json:"first_bad,omitzero"`
	LastSent  time.Time       `json:"last_sent,omitzero"` // last request routed to the candidate
}

// Told is what somebody told a deployment to do.
type Told struct {
	Command Command `json:"command"`
	By      string  `json:"by"`
	Reason  string  `json:"reason,omitempty"`
}

// String says who gave a deployment up, and why.
func (t Told) String() string {
	if t.Command == NoCommand {
		return "aborted"
	}
	text := "aborted by " + t.By
	if t.Reason != "" {
		text += ": " + t.Reason
	}
	return text
}

// StageRun is the record of one stage of the pipeline.
type StageRun struct {
	Stage    string           `json:"stage"`
	Verdict  verdict.Verdict  `json:"verdict"`
	Results  []verdict.Result `json:"results,omitempty"`
	Made     slipway.Digest   `json:"made,omitempty"` // the image, by the stage that packages
	Log      []string         `json:"log,omitempty"`
	Started  time.Time        `json:"started"`
	Finished time.Time        `json:"finished,omitzero"`
}

// Endpoint is where a model answers, in one environment.
type Endpoint struct {
	Key      string              `json:"key"`
	State    route.EndpointState `json:"state"`
	Reason   string              `json:"reason,omitempty"`
	Deadline time.Duration       `json:"deadline"`
	Limits   *route.Limits       `json:"limits,omitempty"`
	Owner    string              `json:"owner"`
	Tier     int                 `json:"tier"`
	// Classification of the data that it takes and was trained on; empty: not given.
	Classification string          `json:"classification,omitempty"`
	Revisions      int             `json:"revisions"` // numbered so far
	Stable         *route.Revision `json:"stable,omitempty"`
	Candidate      *route.Revision `json:"candidate,omitempty"`
	Weight         float64         `json:"weight"`
	Rollout        *route.Rollout  `json:"rollout,omitempty"`
	// Active is the deployment that drives the endpoint, empty if none does. It is set in
	// the transaction that creates the deployment, so two never drive one endpoint.
	Active string `json:"active,omitempty"`
	// WarmLeft is how long the previous revision stays warm after a promotion; WarmSeen
	// is when that was last counted down.
	WarmLeft time.Duration `json:"warm_left,omitempty"`
	WarmSeen time.Time     `json:"warm_seen,omitzero"`
	// Current is the deployment that put the serving revision there.
	Current string `json:"current,omitempty"`
}

// Refusal remembers a version digest that was rolled back on an endpoint.
type Refusal struct {
	Endpoint   string         `json:"endpoint"`
	Digest     slipway.Digest `json:"digest"`
	Deployment string         `json:"deployment"`
	Reason     string         `json:"reason"`
	Time       time.Time      `json:"time"`
}

// wire is the endpoint as the gateway sees it.
func (e *Endpoint) wire() route.Endpoint {
	return route.Endpoint{Key: e.Key, State: e.State, Reason: e.Reason, Deadline: e.Deadline, Limits: e.Limits,
		Stable: e.Stable, Candidate: e.Candidate, Weight: e.Weight, Rollout: e.Rollout}
}

// Serving is the revision that answers most requests, or nil.
func (e *Endpoint) Serving() *route.Revision {
	if e.Candidate != nil && (e.Stable == nil || e.Rollout != nil && e.Rollout.Promoted) {
		return e.Candidate
	}
	return e.Stable
}
