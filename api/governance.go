package api

import "time"

// AliasSpan is a time in which an alias pointed at one version.
type AliasSpan struct {
	Alias     string    `json:"alias"`
	Version   int       `json:"version" doc:"0: the alias was removed"`
	Digest    string    `json:"digest,omitempty"`
	From      time.Time `json:"from"`
	To        time.Time `json:"to,omitzero" doc:"Left out: it is so still"`
	By        string    `json:"by"`
	Reason    string    `json:"reason,omitempty"`
	Request   string    `json:"request,omitempty" doc:"That permitted the move"`
	Requested string    `json:"requested,omitempty" doc:"Who asked for it"`
	Approvers []string  `json:"approvers,omitempty"`
}

// SpanQuery asks what an alias was: the spans that have a moment in [From, Until) in common,
// where zero is no bound. Cursor is what the page before gave.
type SpanQuery struct {
	Model, Alias string
	From, Until  time.Time
	Cursor       string
	Limit        int
}

// AliasRule says who may move an alias, and with whose approval.
type AliasRule struct {
	ID           string    `json:"id"`
	Model        string    `json:"model,omitempty"`
	Team         string    `json:"team,omitempty"`
	Alias        string    `json:"alias" doc:"A name, in which * stands for any text"`
	Movers       []string  `json:"movers,omitempty" doc:"Roles; empty: everybody who may move aliases of the model"`
	Approvals    int       `json:"approvals"`
	Approvers    []string  `json:"approvers,omitempty" doc:"Roles"`
	ValidSeconds float64   `json:"valid_seconds" doc:"How long a request for approval is good"`
	By           string    `json:"by"`
	Reason       string    `json:"reason"`
	Created      time.Time `json:"created"`
	Lifted       time.Time `json:"lifted,omitzero"`
	LiftedBy     string    `json:"lifted_by,omitempty"`
}

// ProtectAlias adds a rule for the aliases of one model, or of all models of a team.
type ProtectAlias struct {
	Model        string   `json:"model,omitempty" maxLength:"256"`
	Team         string   `json:"team,omitempty" maxLength:"63"`
	Alias        string   `json:"alias" maxLength:"255"`
	Movers       []string `json:"movers,omitempty" maxItems:"10"`
	Approvals    int      `json:"approvals,omitempty" minimum:"0" maximum:"5"`
	Approvers    []string `json:"approvers,omitempty" maxItems:"10" doc:"team-lead and owner unless given"`
	ValidSeconds float64  `json:"valid_seconds,omitempty" minimum:"0" maximum:"7776000" doc:"Three days unless given"`
	Reason       string   `json:"reason" maxLength:"500"`
}

// LiftRule takes a rule away, or asks for that.
type LiftRule struct {
	Reason string `json:"reason" maxLength:"500"`
}

// Lifted is what came of it: a request, if the rule asks for approvals.
type Lifted struct {
	Lifted  bool          `json:"lifted"`
	Request *AliasRequest `json:"request,omitempty"`
}

// AskAlias asks for approval of a move.
type AskAlias struct {
	Alias   string `json:"alias" maxLength:"255"`
	Version int    `json:"version" minimum:"0" doc:"0: the alias is to be removed"`
	Reason  string `json:"reason" maxLength:"500"`
}

// AliasRequest asks for approvals of a move, or of lifting a rule.
type AliasRequest struct {
	ID        string     `json:"id"`
	Number    int        `json:"number"`
	Model     string     `json:"model,omitempty"`
	Team      string     `json:"team,omitempty"`
	Alias     string     `json:"alias"`
	Version   int        `json:"version"`
	Digest    string     `json:"digest,omitempty"`
	Lift      string     `json:"lift,omitempty" doc:"The rule that shall be lifted; then it is not about a version"`
	Status    string     `json:"status" enum:"waiting,approved,done,rejected,expired"`
	By        string     `json:"by"`
	Reason    string     `json:"reason"`
	Created   time.Time  `json:"created"`
	Expires   time.Time  `json:"expires"`
	Missing   int        `json:"missing" doc:"Approvals"`
	Approvals []Approval `json:"approvals"`
	Ended     time.Time  `json:"ended,omitzero"`
	EndedBy   string     `json:"ended_by,omitempty"`
	Why       string     `json:"why,omitempty" doc:"It was rejected"`
}

// Approval is one person's consent.
type Approval struct {
	By     string    `json:"by"`
	Roles  []string  `json:"roles"`
	Reason string    `json:"reason,omitempty"`
	Time   time.Time `json:"time"`
}

// DecideAlias approves a request, or rejects it with a reason.
type DecideAlias struct {
	Approve bool   `json:"approve"`
	Reason  string `json:"reason,omitempty" maxLength:"500"`
}

// SigningKey signs versions of this installation, or has signed them.
type SigningKey struct {
	ID      string    `json:"id" doc:"SHA-256 of the public key in PEM"`
	Public  string    `json:"public" doc:"PEM"`
	Created time.Time `json:"created"`
	Retired time.Time `json:"retired,omitzero" doc:"It signs no more; what it has signed stays good"`
}

// Signature is one signature of a version, and whether it holds.
type Signature struct {
	Key     string    `json:"key"`
	Valid   bool      `json:"valid"`
	Problem string    `json:"problem,omitempty"`
	Created time.Time `json:"created"`
	By      string    `json:"by"`
	Bundle  string    `json:"bundle,omitempty" doc:"A sigstore bundle in JSON: an OpenSSF model signature"`
}

// Signatures are those of one version.
type Signatures struct {
	Model   string      `json:"model"`
	Version int         `json:"version"`
	State   string      `json:"state" enum:"valid,missing,wrong"`
	Message string      `json:"message"`
	List    []Signature `json:"list"`
}

// Placement is where a version runs, or ran.
type Placement struct {
	Endpoint    string    `json:"endpoint"`
	Environment string    `json:"environment"`
	Revision    string    `json:"revision,omitempty"`
	State       string    `json:"state" enum:"serving,candidate,warm,deploying,replaced,taken back,never served"`
	Share       float64   `json:"share" doc:"Percent of requests now"`
	Since       time.Time `json:"since,omitzero" doc:"When it was first given requests"`
	Until       time.Time `json:"until,omitzero"`
	Deployment  string    `json:"deployment"`
	Image       string    `json:"image,omitempty"`
	By          string    `json:"by"`
	Reason      string    `json:"reason,omitempty"`
	Message     string    `json:"message,omitempty" doc:"Why it ended"`
}

// VersionDossier is all that is known of a version.
type VersionDossier struct {
	Model       string            `json:"model"`
	Team        string            `json:"team,omitempty"`
	Version     int               `json:"version"`
	Digest      string            `json:"digest,omitempty"`
	Source      string            `json:"source"`
	Created     time.Time         `json:"created"`
	By          string            `json:"by"`
	Stage       string            `json:"stage,omitempty"`
	Description string            `json:"description,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Aliases     []string          `json:"aliases"`
	Files       []File            `json:"files"`
	Bytes       int64             `json:"bytes"`
	Flavors     []string          `json:"flavors,omitempty"`
	Inputs      []SchemaField     `json:"inputs,omitempty"`
	Outputs     []SchemaField     `json:"outputs,omitempty"`
	Signature   Signatures        `json:"signature"`
	Run         *RunLineage       `json:"run,omitempty"`
	Where       []Placement       `json:"where" doc:"Newest first"`
	More        bool              `json:"more,omitempty" doc:"There are older placements than those listed"`
	Card        *ModelCard        `json:"card,omitempty"`
}

// SchemaField is one column of a model's signature.
type SchemaField struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Required bool   `json:"required"`
}

// RunLineage is the run that made a version.
type RunLineage struct {
	ID           string            `json:"id"`
	Name         string            `json:"name,omitempty"`
	Experiment   string            `json:"experiment,omitempty"`
	ExperimentID string            `json:"experiment_id,omitempty"`
	LoggedModel  string            `json:"logged_model,omitempty"`
	User         string            `json:"user,omitempty"`
	Started      time.Time         `json:"started,omitzero"`
	Commit       string            `json:"commit,omitempty" doc:"Of the source code"`
	Metrics      map[string]any    `json:"metrics,omitempty" doc:"Numbers; NaN and infinities are texts"`
	Params       map[string]string `json:"params,omitempty"`
	Datasets     []DatasetUse      `json:"datasets"`
	Missing      string            `json:"missing,omitempty" doc:"Why nothing more is known of it"`
}

// DatasetUse is a data set that a run read.
type DatasetUse struct {
	Name    string `json:"name"`
	Digest  string `json:"digest"`
	Context string `json:"context,omitempty" doc:"What for: training, validation, …"`
	Source  string `json:"source,omitempty"`
}

// ModelCard describes a version in Markdown.
type ModelCard struct {
	Model   string    `json:"model"`
	Version int       `json:"version"`
	Number  int       `json:"number" doc:"Counts the texts of this version; 0: made from what is known, and not written by anybody"`
	Text    string    `json:"text"`
	Created time.Time `json:"created,omitzero"`
	By      string    `json:"by,omitempty"`
	Reason  string    `json:"reason,omitempty"`
}

// WriteCard is a new text of a card.
type WriteCard struct {
	Text   string `json:"text" maxLength:"262144"`
	Reason string `json:"reason,omitempty" maxLength:"500"`
}

// Comparison says what differs between two versions of a model.
type Comparison struct {
	Model        string   `json:"model"`
	From         int      `json:"from"`
	To           int      `json:"to"`
	Same         bool     `json:"same" doc:"Both are the same files"`
	Files        []Change `json:"files"`
	Inputs       []Change `json:"inputs"`
	Outputs      []Change `json:"outputs"`
	Requirements []Change `json:"requirements"`
	Flavors      []Change `json:"flavors"`
	Metrics      []Change `json:"metrics"`
	Params       []Change `json:"params"`
	Datasets     []Change `json:"datasets"`
	Notes        []string `json:"notes,omitempty" doc:"What could not be compared, and why"`
}

// Change is one thing that differs; what is empty was not there.
type Change struct {
	Name string `json:"name"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Deletion is what came, or would come, of deleting a version.
type Deletion struct {
	Model   string   `json:"model"`
	Version int      `json:"version"`
	Deleted bool     `json:"deleted"`
	Held    []string `json:"held" doc:"What needs it"`
	Freed   int64    `json:"freed" doc:"Bytes"`
	Files   int      `json:"files" doc:"That were removed"`
	Kept    int64    `json:"kept" doc:"Bytes of its files that something else needs, or that were asked for lately: the doctor frees those"`
}

// Trace goes from one answered request to who and what is behind the answer.
type Trace struct {
	Request string         `json:"request"`
	Answers []TracedAnswer `json:"answers" doc:"Newest first: clients may have used an id more than once"`
	Dropped uint64         `json:"dropped,omitempty" doc:"Requests that the gateway could not remember since it started"`
}

// TracedAnswer is one answer, and what is behind it.
type TracedAnswer struct {
	Time       time.Time   `json:"time"`
	Endpoint   string      `json:"endpoint"`
	Outcome    string      `json:"outcome" enum:"answered,rescued,rejected,failed"`
	Revision   string      `json:"revision"`
	Model      string      `json:"model,omitempty"`
	Version    int         `json:"version,omitempty"`
	Digest     string      `json:"digest,omitempty"`
	Image      string      `json:"image,omitempty"`
	Deployment string      `json:"deployment,omitempty"`
	Kind       string      `json:"kind,omitempty" doc:"Of the deployment"`
	DeployedBy string      `json:"deployed_by,omitempty"`
	Deployed   time.Time   `json:"deployed,omitzero"`
	Reason     string      `json:"reason,omitempty"`
	Registered string      `json:"registered_by,omitempty" doc:"Who registered the version"`
	Signature  string      `json:"signature,omitempty" enum:"valid,missing,wrong"`
	Run        *RunLineage `json:"run,omitempty"`
	Aliases    []AliasSpan `json:"aliases,omitempty" doc:"Aliases that pointed at the version then, and who approved that"`
	Missing    string      `json:"missing,omitempty" doc:"Why nothing more is known"`
}
