package api

import "time"

// AuditQuery is what is searched for in the record of events. What is empty does not limit.
type AuditQuery struct {
	Actor   string    `query:"actor" maxLength:"200"`
	Action  string    `query:"action" maxLength:"100"`
	Subject string    `query:"subject" maxLength:"200"`
	Since   time.Time `query:"since"`
	Until   time.Time `query:"until"`
	Text    string    `query:"text" maxLength:"200" doc:"In the subject or in a detail; slower than the others"`
	Before  int64     `query:"before" minimum:"0" doc:"The sequence number of the last event of the page before"`
	Limit   int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// AuditProof shows that an event is in the log that a checkpoint was signed over.
type AuditProof struct {
	Event      Event    `json:"event"`
	Leaf       string   `json:"leaf" doc:"The event as it is in the log: OCSF, as canonical JSON"`
	Index      uint64   `json:"index"`
	Hashes     [][]byte `json:"hashes" doc:"The proof of inclusion (RFC 6962)"`
	Checkpoint string   `json:"checkpoint" doc:"A signed note"`
	Key        string   `json:"key" doc:"The log's public key"`
}

// AuditRange says which events are exported.
type AuditRange struct {
	Since time.Time `query:"since"`
	Until time.Time `query:"until"`
}

// AuditFinding is what a verification found.
type AuditFinding struct {
	Check   string `json:"check"`
	Verdict string `json:"verdict" enum:"pass,warn,fail"`
	Seq     int64  `json:"seq,omitempty" doc:"The event that it is about"`
	Message string `json:"message"`
	Next    string `json:"next,omitempty"`
}

// AuditProgress is a line of a verification that is under way; the last one has what was
// found.
type AuditProgress struct {
	Done     uint64         `json:"done"`
	Of       uint64         `json:"of"`
	Findings []AuditFinding `json:"findings,omitempty"`
	Problem  *Problem       `json:"problem,omitempty"`
}

// AuditStatus is how the log does.
type AuditStatus struct {
	Log         string        `json:"log,omitempty"`
	Key         string        `json:"key,omitempty" doc:"The public key; keep it where the platform's operators cannot change it"`
	Events      int64         `json:"events" doc:"That were recorded"`
	Signed      uint64        `json:"signed" doc:"That are in the log under a signed checkpoint"`
	Checkpoint  string        `json:"checkpoint,omitempty"`
	Cold        []string      `json:"cold,omitempty" doc:"Where parts of it were moved"`
	Development bool          `json:"development" doc:"The owner's token of its own machine was used"`
	Problem     string        `json:"problem,omitempty"`
	Next        string        `json:"next,omitempty"`
	Anchors     []AuditAnchor `json:"anchors"`
}

// AuditAnchor is a place under another administrator that keeps checkpoints.
type AuditAnchor struct {
	Anchor  string    `json:"anchor"`
	Size    uint64    `json:"size" doc:"Events of the newest checkpoint that is there"`
	Seen    time.Time `json:"seen,omitzero" doc:"When it was last found well"`
	Problem string    `json:"problem,omitempty"`
}

// AuditRetain asks to move whole parts of the log away.
type AuditRetain struct {
	Before time.Time `json:"before" doc:"Events older than this, in whole parts of 256"`
	To     string    `json:"to" maxLength:"1000" doc:"A directory on the server"`
}

// AuditRetained is how much of the log lies elsewhere now.
type AuditRetained struct {
	To     string `json:"to"`
	Events uint64 `json:"events" doc:"The first so many"`
}

// WitnessRequest shows a checkpoint to a witness.
type WitnessRequest struct {
	Key        string   `json:"key" maxLength:"300" doc:"The public key of the log"`
	From       uint64   `json:"from" doc:"Events that the witness has seen"`
	Proof      [][]byte `json:"proof,omitempty" maxItems:"64" doc:"Of consistency from there"`
	Checkpoint string   `json:"checkpoint" maxLength:"16384"`
}

// Witnessed is what a witness has seen of a log last.
type Witnessed struct {
	Log        string `json:"log"`
	Size       uint64 `json:"size"`
	Checkpoint string `json:"checkpoint" doc:"Cosigned"`
	Witness    string `json:"witness" doc:"The witness's public key"`
}
