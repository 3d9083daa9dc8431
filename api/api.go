// Package api holds the wire types of the v1 API. The CLI, the SDK and every other client
// use these and nothing else of the server.
package api

import (
	"encoding/json"
	"time"
)

// File is one file of a model version.
type File struct {
	Path       string `json:"path" maxLength:"4096" doc:"Relative, slash-separated path inside the model directory"`
	Digest     string `json:"digest" pattern:"^sha256:[0-9a-f]{64}$" doc:"Digest of the file's bytes"`
	Size       int64  `json:"size" minimum:"0" doc:"Size in bytes"`
	Executable bool   `json:"executable,omitempty"`
}

// Version is one immutable version of a model.
type Version struct {
	Model   string    `json:"model"`
	Number  int       `json:"number"`
	Digest  string    `json:"digest" doc:"Digest of the version's files"`
	Files   []File    `json:"files,omitempty"`
	Source  string    `json:"source"`
	Created time.Time `json:"created"`
	By      string    `json:"by"`
	New     bool      `json:"new,omitempty" doc:"False when these files were registered before"`
}

// RegisterVersion asks to register files whose bytes are uploaded.
type RegisterVersion struct {
	Files  []File `json:"files" maxItems:"10000"`
	Source string `json:"source,omitempty" maxLength:"1000"`
	Team   string `json:"team,omitempty" maxLength:"63" doc:"That owns the model from its first version on"`
}

// Model is a named line of versions.
type Model struct {
	Name   string `json:"name"`
	Latest int    `json:"latest" doc:"Number of the newest version"`
	Team   string `json:"team,omitempty" doc:"That owns it"`
}

// Alias points at a version.
type Alias struct {
	Alias   string `json:"alias"`
	Version int    `json:"version"`
}

// SetAlias moves an alias.
type SetAlias struct {
	Version int    `json:"version" minimum:"1"`
	Reason  string `json:"reason,omitempty" maxLength:"500"`
}

// AliasChange is one entry of an alias's history.
type AliasChange struct {
	Alias  string    `json:"alias"`
	From   int       `json:"from" doc:"0: it was new"`
	To     int       `json:"to"`
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	Time   time.Time `json:"time"`
}

// MissingBlobs asks which blobs are not there yet.
type MissingBlobs struct {
	Digests []string `json:"digests" maxItems:"10000"`
}

// CreateDeployment asks for a deployment of a registered version.
type CreateDeployment struct {
	Environment  string            `json:"environment,omitempty" doc:"production unless given"`
	PlatformYAML string            `json:"platform_yaml" maxLength:"262144" doc:"platform.yaml as the user wrote it"`
	Version      int               `json:"version,omitempty" doc:"Of the model, when its source is a directory that was registered"`
	Files        map[string]string `json:"files,omitempty" doc:"Digests of uploaded validation files: golden, dataset"`
	Force        bool              `json:"force,omitempty" doc:"Deploy although this digest was rolled back here"`
	Reason       string            `json:"reason,omitempty" maxLength:"500"`
}

// Result is one check's answer.
type Result struct {
	Check   string `json:"check"`
	Verdict string `json:"verdict" enum:"unknown,pass,warn,fail"`
	Message string `json:"message"`
	Next    string `json:"next,omitempty"`
}

// Stage is one stage of a deployment's pipeline.
type Stage struct {
	Stage    string    `json:"stage"`
	Verdict  string    `json:"verdict"`
	Results  []Result  `json:"results,omitempty"`
	Log      []string  `json:"log,omitempty"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"`
}

// Step is one weight of a rollout.
type Step struct {
	Weight      float64 `json:"weight" doc:"Percent"`
	HoldSeconds float64 `json:"hold_seconds"`
	MinRequests uint64  `json:"min_requests"`
}

// Deployment is one attempt to bring a version to an endpoint.
type Deployment struct {
	ID        string          `json:"id"`
	Number    int             `json:"number"`
	Kind      string          `json:"kind" enum:"deploy,rollback,withdrawal"`
	Endpoint  string          `json:"endpoint"`
	Status    string          `json:"status" enum:"running,succeeded,rolled back,failed,aborted"`
	Phase     string          `json:"phase" doc:"Empty while the pipeline runs"`
	Model     string          `json:"model"`
	Version   int             `json:"version"`
	Digest    string          `json:"digest"`
	Revision  string          `json:"revision,omitempty"`
	Image     string          `json:"image,omitempty"`
	Previous  string          `json:"previous,omitempty"`
	By        string          `json:"by"`
	Force     bool            `json:"force,omitempty"`
	Reason    string          `json:"reason,omitempty"`
	Created   time.Time       `json:"created"`
	Finished  time.Time       `json:"finished,omitzero"`
	Stages    []Stage         `json:"stages"`
	Steps     []Step          `json:"steps"`
	Step      int             `json:"step"`
	Weight    float64         `json:"weight" doc:"Percent of requests the candidate has now"`
	Missing   uint64          `json:"missing" doc:"Requests the step still needs"`
	Waiting   string          `json:"waiting,omitempty" doc:"Why it waits"`
	Code      string          `json:"code,omitempty"`
	Message   string          `json:"message,omitempty"`
	Next      string          `json:"next,omitempty"`
	Judgement json.RawMessage `json:"judgement,omitempty" doc:"What the rollout decided and why"`
	FirstBad  time.Time       `json:"first_bad,omitzero" doc:"When the candidate first failed"`
	LastSent  time.Time       `json:"last_sent,omitzero" doc:"When the last request was routed to it"`
	Unchanged bool            `json:"unchanged,omitempty" doc:"In the answer to a creation: this one serves already exactly what was asked for, so nothing was started"`
}

// Replica is one process that answers for a revision.
type Replica struct {
	ID       string    `json:"id"`
	State    string    `json:"state"`
	PID      int       `json:"pid"`
	Started  time.Time `json:"started,omitzero"`
	Restarts int       `json:"restarts"`
	Reason   string    `json:"reason,omitempty"`
	LogTail  []string  `json:"log_tail,omitempty"`
	RSSBytes int64     `json:"rss_bytes"`

	Pool       string `json:"pool,omitempty" doc:"The pool whose process this is, if the model shares one"`
	Loaded     bool   `json:"loaded,omitempty" doc:"Of a pool: the model is in memory"`
	ModelBytes int64  `json:"model_bytes,omitempty" doc:"Of a pool: what the model takes in memory"`
}

// Counts are outcomes of a revision's first attempts, and what users got.
type Counts struct {
	Requests uint64 `json:"requests"`
	Failed   uint64 `json:"failed"`
	Slow     uint64 `json:"slow"`
	Rejected uint64 `json:"rejected"`
	Rescued  uint64 `json:"rescued" doc:"Failed first attempts that stable answered"`
	Answered uint64 `json:"answered"`
	Errors   uint64 `json:"errors" doc:"Errors that users saw"`
}

// Revision is one version and one configuration on an endpoint.
type Revision struct {
	ID       string    `json:"id"`
	Model    string    `json:"model"`
	Version  int       `json:"version"`
	Digest   string    `json:"digest"`
	Image    string    `json:"image"`
	Runtime  string    `json:"runtime"`
	Weight   float64   `json:"weight" doc:"Percent"`
	Ready    int       `json:"ready"`
	Want     int       `json:"want"`
	Counts   Counts    `json:"counts"`
	P50MS    float64   `json:"p50_ms"`
	P95MS    float64   `json:"p95_ms"`
	Replicas []Replica `json:"replicas"`
}

// Endpoint is where a model answers.
type Endpoint struct {
	Name            string          `json:"name"`
	State           string          `json:"state" enum:"serving,provisional,withdrawn,pending"`
	Reason          string          `json:"reason,omitempty"`
	Owner           string          `json:"owner"`
	Tier            int             `json:"tier"`
	Stable          *Revision       `json:"stable,omitempty"`
	Candidate       *Revision       `json:"candidate,omitempty"`
	Deployment      string          `json:"deployment,omitempty" doc:"The deployment that drives it, or the one that put its revision there"`
	Active          bool            `json:"active" doc:"A deployment is under way"`
	WarmLeftSeconds float64         `json:"warm_left_seconds,omitempty" doc:"How long the previous revision stays warm"`
	Judgement       json.RawMessage `json:"judgement,omitempty"`
	Traffic         *Traffic        `json:"traffic,omitempty" doc:"What the gateway sees; left out while it does not say"`
}

// Traffic is what an endpoint is doing, and how many requests were refused before anybody
// was asked.
type Traffic struct {
	Inside  int               `json:"inside" doc:"Requests that are answered now"`
	Waiting int               `json:"waiting" doc:"Requests that wait for a place"`
	Limit   int               `json:"limit" doc:"Requests that are answered at once, at most, now"`
	Refused map[string]uint64 `json:"refused,omitempty" doc:"Since the gateway first saw the endpoint, by reason: rate, caller_rate, queue_full, shed, deadline"`
}

// Command tells a running deployment what to do.
type Command struct {
	Command string `json:"command" enum:"promote,abort"`
	Reason  string `json:"reason,omitempty" maxLength:"500"`
}

// Rollback asks to take an endpoint back.
type Rollback struct {
	Reason string `json:"reason,omitempty" maxLength:"500"`
}

// RolledBack says what a rollback did.
type RolledBack struct {
	Endpoint     string  `json:"endpoint"`
	FromRevision string  `json:"from_revision,omitempty"`
	ToRevision   string  `json:"to_revision,omitempty"`
	Deployment   string  `json:"deployment,omitempty" doc:"The deployment that carries it out, when the gateway could not do it alone"`
	TookMS       float64 `json:"took_ms"`
}

// LogLine is one line of a replica's log.
type LogLine struct {
	Time       time.Time         `json:"time"`
	Level      string            `json:"level"`
	Replica    string            `json:"replica"`
	Revision   string            `json:"revision"`
	Stream     string            `json:"stream" doc:"stdout, stderr, runtime, or raw for what is no record"`
	Message    string            `json:"msg"`
	Request    string            `json:"request,omitempty" doc:"Id of the request that it was written for; several, if they were answered together, with commas between"`
	Attributes map[string]string `json:"attributes,omitempty" doc:"What the record has besides"`
}

// Logs are lines in order of time, and where to go on.
type Logs struct {
	Lines  []LogLine `json:"lines"`
	Cursor string    `json:"cursor" doc:"Give it as after, and the answer has what came since"`
	Missed bool      `json:"missed,omitempty" doc:"Lines were lost between: they came faster than they were read"`
}

// LogQuery says which lines of an endpoint's replicas are wanted; empty fields want all.
type LogQuery struct {
	Revision string    `query:"revision" maxLength:"140" doc:"Id of a revision; without it, of what runs and of the last deployments"`
	Replica  string    `query:"replica" maxLength:"160" doc:"Id of a replica, or its end after a dash"`
	Request  string    `query:"request" maxLength:"64" doc:"Id of a request"`
	Level    string    `query:"level" enum:"debug,info,warn,error" doc:"This and worse"`
	Since    time.Time `query:"since"`
	Until    time.Time `query:"until"`
	Tail     int       `query:"tail" minimum:"1" maximum:"10000" default:"100" doc:"The newest lines, without after"`
	After    string    `query:"after" maxLength:"65536" doc:"The cursor of the answer before"`
	Wait     int       `query:"wait" minimum:"0" maximum:"20" doc:"Seconds to wait for a line behind the cursor"`
}

// Event is one recorded change.
type Event struct {
	Seq     int64             `json:"seq"`
	ID      string            `json:"id"`
	Time    time.Time         `json:"time"`
	Actor   string            `json:"actor"`
	Action  string            `json:"action"`
	Subject string            `json:"subject"`
	Detail  map[string]string `json:"detail,omitempty"`
}

// Info is what the server says of itself.
type Info struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	PID     int       `json:"pid"`
	Home    string    `json:"home"`
	Note    string    `json:"note" doc:"What this instance is not"`
	Review  string    `json:"review,omitempty" doc:"Which review of access is due"`

	URL         string   `json:"url" doc:"As people know it"`
	Development bool     `json:"development" doc:"Answers on its own machine only, to whoever has the owner's token: not for production"`
	SSO         bool     `json:"sso" doc:"People sign in at an identity provider"`
	Alerts      []string `json:"alerts,omitempty" doc:"What everybody should know who looks at it"`
}

// Finding is what the doctor says of one thing.
type Finding struct {
	Check   string `json:"check"`
	Verdict string `json:"verdict" enum:"pass,warn,fail"`
	Message string `json:"message"`
	Next    string `json:"next,omitempty"`
	Fixable bool   `json:"fixable,omitempty" doc:"The doctor can mend it by itself"`
}

// Examination asks the doctor.
type Examination struct {
	Fix bool `json:"fix,omitempty" doc:"Mend what can be mended without asking anybody"`
}

// Page is one page of a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"Cursor of the next page, empty on the last"`
}

// Problem is an error: RFC 9457 with a stable code and a next step.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Next   string `json:"next,omitempty"`
	Field  string `json:"field,omitempty"`
}
