package spec

import (
	"strings"
	"time"
)

// field is one row of the table from which the file is read, its keys are suggested and
// the JSON Schema is generated. It is a value (kind), a list (item) or an object (fields).
type field struct {
	key      string
	doc      string
	required bool
	kind     *kind
	item     *field
	items    int // most items of a list
	fields   []field
	short    string // the key that a plain value in place of the object stands for
}

// child finds a key of an object, or gives nil.
func (f *field) child(key string) *field {
	for i := range f.fields {
		if f.fields[i].key == key {
			return &f.fields[i]
		}
	}
	return nil
}

// keys lists an object's keys for a message.
func (f *field) keys() string {
	var keys []string
	for i := range f.fields {
		keys = append(keys, f.fields[i].key)
	}
	return strings.Join(keys, ", ")
}

// table is platform.yaml. A key whose feature does not exist yet is not in it.
func table() *field {
	return &field{fields: []field{
		{key: "apiVersion", required: true, doc: APIVersion, kind: oneOf(APIVersion)},
		{key: "kind", required: true, doc: RealtimeModel, kind: oneOf(RealtimeModel)},
		{key: "name", required: true, doc: "name of the endpoint, a DNS label", kind: name()},
		{key: "description", doc: "what the model is for", kind: freeText(2000)},
		{key: "tier", required: true, doc: "1 (customer- or money-critical) to 4 (experiment)", kind: tier()},
		{key: "owner", required: true, doc: "the team that answers for the endpoint", fields: []field{
			{key: "team", required: true, doc: "name of the team", kind: name()},
			{key: "contact", doc: "where to reach the team", kind: freeText(200)},
		}},
		modelFields(),
		validationFields(),
		{key: "resources", doc: "what one replica gets", fields: []field{
			{key: "cpu", doc: "cores, such as 500m or 2", kind: cpu()},
			{key: "memory", doc: "memory, such as 256Mi", kind: memory()},
		}},
		{key: "scaling", doc: "number of replicas", fields: []field{
			{key: "replicas", doc: "fixed number of replicas", kind: integer(1, 32)},
		}},
		rolloutFields(),
	}}
}

func modelFields() field {
	return field{key: "model", required: true, doc: "the model and where its version comes from", fields: []field{
		{key: "name", doc: "name of the model, by default the endpoint's", kind: name()},
		{key: "source", required: true, doc: "a directory in MLflow format (./model), name:version or name@alias", kind: source()},
		{key: "command", doc: "argument vector of a custom server, with {socket} or {port}", items: 64,
			item: &field{doc: "one argument", kind: freeText(4096)}},
	}}
}

func validationFields() field {
	return field{key: "validation", doc: "what a version must pass before it gets traffic", fields: []field{
		{key: "golden", doc: "recorded inputs and outputs", short: "file", fields: []field{
			{key: "file", required: true, doc: "a file of JSON lines", kind: file()},
			{key: "tolerance", doc: "allowed deviation, relative above 1 and absolute below", kind: number(0, 1)},
		}},
		{key: "dataset", doc: "the hold-out file for the metrics", fields: []field{
			{key: "file", required: true, doc: "a CSV file with a header", kind: file()},
			{key: "target", required: true, doc: "name of the target column", kind: freeText(200)},
			{key: "min_rows", doc: "fewest rows that may be judged", kind: integer(1, 2_000_000)},
		}},
		{key: "metrics", doc: "the bounds of quality", items: 32, item: &field{doc: "one metric and its bound", fields: []field{
			{key: "name", required: true, doc: strings.Join(MetricNames(), ", "), kind: oneOf(MetricNames()...)},
			{key: "min", doc: "lowest value that passes", kind: number(-1e12, 1e12)},
			{key: "max", doc: "highest value that passes", kind: number(-1e12, 1e12)},
		}}},
	}}
}

func rolloutFields() field {
	week := 7 * 24 * time.Hour
	return field{key: "rollout", doc: "how a new revision gets its traffic", fields: []field{
		{key: "steps", doc: "shares of the traffic, ascending to 100", items: 32, item: &field{doc: "one step", fields: []field{
			{key: "weight", required: true, doc: "percent of the requests", kind: number(0.01, 100)},
			{key: "hold", doc: "hold at least this long, such as 10m", kind: duration(0, week)},
			{key: "min_requests", doc: "and until the candidate has answered as many", kind: integer(0, 10_000_000)},
		}}},
		{key: "on_failure", doc: "what a failing candidate causes", kind: oneOf(OnFailureRollback, OnFailurePause)},
		{key: "on_no_data", doc: "what a step without requests causes", kind: oneOf(OnNoDataPause, OnNoDataContinue)},
		{key: "keep_previous_warm", doc: "how long the previous revision can take over at once", kind: duration(0, week)},
		{key: "deadline", doc: "of one request", kind: duration(100*time.Millisecond, time.Minute)},
	}}
}
