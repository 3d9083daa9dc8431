package api

// Kinds of what is imported.
const (
	ImportExperiments  = "experiment"
	ImportRuns         = "run"
	ImportLoggedModels = "logged_model"
	ImportModels       = "model"
	ImportVersions     = "version"
)

// ImportQuery asks what of a source is here already.
type ImportQuery struct {
	Source string   `json:"source" minLength:"1" maxLength:"500" doc:"The address of the server that it comes from"`
	Kind   string   `json:"kind" enum:"experiment,run,logged_model,model,version"`
	IDs    []string `json:"ids" maxItems:"1000" doc:"As the source has them; of a version NAME/NUMBER"`
}

// Imported is something that came from a source.
type Imported struct {
	SourceID string `json:"source_id"`
	ID       string `json:"id" doc:"Here"`
	Place    string `json:"place,omitempty" doc:"Where its artifacts lie"`
	Mark     string `json:"mark,omitempty" doc:"What it was like at the source when all of it had come; empty: something is missing"`
	Note     string `json:"note,omitempty" doc:"What is not as it was at the source"`
}

// ImportAnswer is what is here of what was asked for.
type ImportAnswer struct {
	Items []Imported `json:"items"`
}

// Pair is a tag or a parameter.
type Pair struct {
	Key   string `json:"key" maxLength:"500"`
	Value string `json:"value"`
}

// ImportOrigin says what is imported, and from where.
type ImportOrigin struct {
	Source   string `json:"source" minLength:"1" maxLength:"500"`
	SourceID string `json:"source_id" minLength:"1" maxLength:"600"`
}

// ImportExperiment brings an experiment. Times are milliseconds since 1970.
type ImportExperiment struct {
	ImportOrigin
	Team    string `json:"team,omitempty" maxLength:"63"`
	Name    string `json:"name" minLength:"1" maxLength:"500"`
	Created int64  `json:"created"`
	Updated int64  `json:"updated"`
	Tags    []Pair `json:"tags,omitempty" maxItems:"10000"`
}

// ImportRun brings a run without its measurements.
type ImportRun struct {
	ImportOrigin
	Experiment string          `json:"experiment" maxLength:"64" doc:"Its id here"`
	Name       string          `json:"name,omitempty"`
	User       string          `json:"user,omitempty"`
	Status     string          `json:"status" enum:"RUNNING,SCHEDULED,FINISHED,FAILED,KILLED"`
	Start      int64           `json:"start"`
	End        *int64          `json:"end,omitempty"`
	Params     []Pair          `json:"params,omitempty" maxItems:"100000"`
	Tags       []Pair          `json:"tags,omitempty" maxItems:"100000"`
	Datasets   []ImportDataset `json:"datasets,omitempty" maxItems:"10000"`
	Inputs     []string        `json:"inputs,omitempty" maxItems:"10000" doc:"Ids of logged models"`
	Outputs    []ImportOutput  `json:"outputs,omitempty" maxItems:"10000"`
}

// ImportDataset is data that a run used.
type ImportDataset struct {
	Name       string `json:"name"`
	Digest     string `json:"digest"`
	SourceType string `json:"source_type"`
	Source     string `json:"source"`
	Schema     string `json:"schema,omitempty"`
	Profile    string `json:"profile,omitempty"`
	Tags       []Pair `json:"tags,omitempty"`
}

// ImportOutput is a logged model that a run made.
type ImportOutput struct {
	ModelID string `json:"model_id"`
	Step    int64  `json:"step"`
}

// ImportMetrics brings measurements of a run. Those that are there already count for nothing.
type ImportMetrics struct {
	Metrics []ImportMetric `json:"metrics" maxItems:"1000"`
}

// ImportMetric is one measurement; Value is a number as a text, or NaN.
type ImportMetric struct {
	Key           string `json:"key"`
	Value         string `json:"value"`
	Timestamp     int64  `json:"timestamp"`
	Step          int64  `json:"step"`
	ModelID       string `json:"model_id,omitempty"`
	DatasetName   string `json:"dataset_name,omitempty"`
	DatasetDigest string `json:"dataset_digest,omitempty"`
}

// ImportLoggedModel brings a logged model without its measurements.
type ImportLoggedModel struct {
	ImportOrigin
	Experiment    string `json:"experiment" maxLength:"64" doc:"Its id here"`
	Name          string `json:"name"`
	Type          string `json:"type,omitempty"`
	Run           string `json:"run,omitempty"`
	Status        string `json:"status" enum:"LOGGED_MODEL_PENDING,LOGGED_MODEL_READY,LOGGED_MODEL_UPLOAD_FAILED"`
	StatusMessage string `json:"status_message,omitempty"`
	Creator       string `json:"creator,omitempty"`
	Created       int64  `json:"created"`
	Updated       int64  `json:"updated"`
	Params        []Pair `json:"params,omitempty" maxItems:"100000"`
	Tags          []Pair `json:"tags,omitempty" maxItems:"100000"`
}

// ImportModel brings a registered model without its versions.
type ImportModel struct {
	ImportOrigin
	Team        string `json:"team,omitempty" maxLength:"63"`
	Name        string `json:"name" minLength:"1" maxLength:"256"`
	Description string `json:"description,omitempty"`
	Created     int64  `json:"created"`
	Updated     int64  `json:"updated"`
	Tags        []Pair `json:"tags,omitempty" maxItems:"10000"`
}

// ImportVersion brings a version of a registered model, after what it was made of.
type ImportVersion struct {
	ImportOrigin
	Model       string `json:"model" minLength:"1" maxLength:"256"`
	Number      int    `json:"number" minimum:"1"`
	Origin      string `json:"origin" doc:"Where its files lie, in terms of this platform where they are here"`
	Run         string `json:"run,omitempty"`
	RunLink     string `json:"run_link,omitempty"`
	LoggedModel string `json:"logged_model,omitempty"`
	Description string `json:"description,omitempty"`
	Stage       string `json:"stage,omitempty"`
	User        string `json:"user,omitempty"`
	Created     int64  `json:"created"`
	Updated     int64  `json:"updated"`
	Tags        []Pair `json:"tags,omitempty" maxItems:"10000"`
}

// ImportDone says that all of something has come, and what it was like at the source then.
type ImportDone struct {
	ImportOrigin
	Kind string `json:"kind" enum:"experiment,run,logged_model,model,version"`
	Mark string `json:"mark" minLength:"1" maxLength:"100"`
}

// ImportReport says what an import did.
type ImportReport struct {
	Source        string       `json:"source"`
	SourceVersion string       `json:"source_version,omitempty"`
	Experiments   ImportCount  `json:"experiments"`
	Runs          ImportCount  `json:"runs"`
	LoggedModels  ImportCount  `json:"logged_models"`
	Models        ImportCount  `json:"models"`
	Versions      ImportCount  `json:"versions"`
	Aliases       ImportCount  `json:"aliases"`
	Metrics       int64        `json:"metrics" doc:"Measurements that were sent"`
	Files         ImportCount  `json:"files"`
	Bytes         int64        `json:"bytes" doc:"Of the files that were copied"`
	Left          []ImportLeft `json:"left" doc:"What was not taken, or not as it was"`
	LeftMore      int          `json:"left_more,omitempty" doc:"How many of those are not listed"`
	TookMS        int64        `json:"took_ms"`
}

// ImportCount counts what was there already, what came, and what could not.
type ImportCount struct {
	Copied    int64 `json:"copied"`
	Unchanged int64 `json:"unchanged"`
	Failed    int64 `json:"failed"`
}

// ImportLeft is something that was not taken, or not as it was.
type ImportLeft struct {
	What   string `json:"what"`
	ID     string `json:"id"`
	Why    string `json:"why"`
	Next   string `json:"next,omitempty"`
	Failed bool   `json:"failed,omitempty" doc:"Another attempt may take it"`
}
