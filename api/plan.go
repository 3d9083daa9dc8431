package api

// CreatePlan asks what a deployment would change. Files are those of a model directory
// that is uploaded, but not registered.
type CreatePlan struct {
	Environment  string `json:"environment,omitempty" doc:"production unless given"`
	PlatformYAML string `json:"platform_yaml" maxLength:"262144" doc:"platform.yaml as the user wrote it"`
	Version      int    `json:"version,omitempty" doc:"Of the model, when its source is a directory that was registered"`
	Files        []File `json:"files,omitempty" maxItems:"10000" doc:"Of the model directory, when it was not registered"`
}

// Plan is what a deployment would change against what serves.
type Plan struct {
	Endpoint string        `json:"endpoint"`
	Live     string        `json:"live,omitempty" doc:"The revision that serves; empty when none does"`
	Version  string        `json:"version" doc:"What would run"`
	Changed  bool          `json:"changed"`
	Sections []PlanSection `json:"sections"`
	Metrics  []PlanMetric  `json:"metrics"`
	Text     string        `json:"text" doc:"The same for people"`
}

// PlanSection is the changes of one part: version, schema, or a key of platform.yaml.
type PlanSection struct {
	Name    string       `json:"name"`
	Changes []PlanChange `json:"changes"`
}

// PlanChange is one value that differs.
type PlanChange struct {
	Path   string `json:"path"`
	Kind   string `json:"kind" enum:"added,removed,changed"`
	Old    string `json:"old,omitempty"`
	New    string `json:"new,omitempty"`
	Origin string `json:"origin,omitempty" doc:"Where the new value comes from"`
}

// PlanMetric is one figure of the last validations, and what is asked of it.
type PlanMetric struct {
	Name          string   `json:"name"`
	Live          *float64 `json:"live,omitempty"`
	Next          *float64 `json:"next,omitempty"`
	Min           *float64 `json:"min,omitempty"`
	Max           *float64 `json:"max,omitempty"`
	MaxRegression *float64 `json:"max_regression_vs_production,omitempty"`
}
