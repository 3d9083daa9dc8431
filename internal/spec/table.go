package spec

import (
	"strings"
	"time"

	"github.com/slipway-ml/slipway/internal/spec/strict"
)

// field is one row of the table.
type field = strict.Field

// table is platform.yaml. A key whose feature does not exist yet is not in it.
func table() *field {
	return &field{Fields: []field{
		{Key: "apiVersion", Required: true, Doc: APIVersion, Kind: strict.OneOf(APIVersion)},
		{Key: "kind", Required: true, Doc: RealtimeModel, Kind: strict.OneOf(RealtimeModel)},
		{Key: "name", Required: true, Doc: "name of the endpoint, a DNS label", Kind: strict.Name()},
		{Key: "description", Doc: "what the model is for", Kind: strict.Text(2000)},
		{Key: "tier", Required: true, Doc: "1 (customer- or money-critical) to 4 (experiment)", Kind: tier()},
		{Key: "owner", Required: true, Doc: "the team that answers for the endpoint", Fields: []field{
			{Key: "team", Required: true, Doc: "name of the team", Kind: strict.Name()},
			{Key: "contact", Doc: "where to reach the team", Kind: strict.Text(200)},
		}},
		modelFields(),
		dataFields(),
		inputFields(),
		validationFields(),
		resourceFields(),
		scalingFields(),
		networkFields(),
		limitFields(),
		{Key: "secrets", Doc: "environment variables of the model's processes, each with the name of a secret of the team", Items: 32,
			Names: variable(), Each: &field{Doc: "name of a secret: platform secrets set NAME", Kind: strict.Name()}},
		rolloutFields(),
		{Key: "environments", Doc: "what is otherwise in one environment", Items: 16, Each: &field{
			Doc:    "sizing, network and limits of an environment",
			Fields: []field{resourceFields(), scalingFields(), networkFields(), limitFields()},
			Others: strict.Mistake{Message: "cannot be given for one environment",
				Next: "give it once, outside environments: only resources, scaling, network and limits may differ, so that what passed in one environment has passed for all"},
		}},
	}}
}

// recordTable is what Canonical writes: the file, and the environment it was resolved for.
func recordTable() *field {
	t := table()
	t.Fields = append(t.Fields, field{Key: "environment", Doc: "the environment in which these values hold", Kind: strict.Name()})
	return t
}

func modelFields() field {
	return field{Key: "model", Required: true, Doc: "the model and where its version comes from", Fields: append([]field{
		{Key: "name", Doc: "name of the model, by default the endpoint's", Kind: strict.Name()},
		{Key: "source", Required: true, Doc: "a directory in MLflow format (./model), name:version or name@alias, also written models:/name/version, models:/name@alias and models:/name/latest, or what a run logged: runs:/RUN/PATH", Kind: source()},
		{Key: "command", Doc: "argument vector of a custom server, with {socket} or {port}", Items: 64,
			Item: &field{Doc: "one argument", Kind: strict.Text(4096)}},
		{Key: "python", Doc: "version of Python, by default the one the model was saved with", Kind: python()},
		{Key: "workers", Doc: "Python processes of one replica, by default one for each core", Kind: strict.Integer(1, maxWorkers)},
		{Key: "batching", Doc: "how requests to a Python model are joined", Fields: []field{
			{Key: "max_rows", Doc: "most rows of a batch; 1 joins none", Kind: strict.Integer(1, 65_536)},
		}},
		{Key: "placement", Doc: "own: processes of its own; shared: in one process with others of the team, loaded on first use, if the platform evaluates the model itself", Kind: strict.OneOf(PlacementOwn, PlacementShared)},
		{Key: "external", Doc: "a server that runs elsewhere; source then holds the signature only", Fields: []field{
			{Key: "url", Required: true, Doc: "http(s)://host[:port][/path], below which the protocol's paths lie", Kind: web()},
			{Key: "protocol", Required: true, Doc: ProtocolOpenInference + ", " + ProtocolMLflow + ", or " + ProtocolHTTP + ", of which the platform knows nothing but model.proxy", Kind: strict.OneOf(ProtocolOpenInference, ProtocolMLflow, ProtocolHTTP)},
			{Key: "model", Doc: "name of the model there, by default model.name", Kind: remoteModel()},
		}},
	}, serverFields()...)}
}

func dataFields() field {
	column := strict.Text(200)
	return field{Key: "data", Doc: "what the model was made of", Fields: []field{
		{Key: "classification", Doc: "of the inputs and the training data", Kind: strict.OneOf("public", "internal", "confidential", "restricted")},
		{Key: "pii", Doc: "columns that identify persons", Items: 256, Item: &field{Doc: "name of a column", Kind: column}},
		{Key: "training", Doc: "the data that the model was trained on", Items: 64, Item: &field{Doc: "one data set", Fields: []field{
			{Key: "uri", Required: true, Doc: "where it lies, without credentials", Kind: uri()},
			{Key: "digest", Required: true, Doc: "sha256 of it, or of the list of its files", Kind: digest()},
			{Key: "licence_or_basis", Doc: "why it may be used, such as contract or CC-BY-4.0", Kind: strict.Text(200)},
		}}},
	}}
}

func validationFields() field {
	metric := strict.OneOf(MetricNames()...)
	names := strings.Join(MetricNames(), ", ")
	return field{Key: "validation", Doc: "what a version must pass before it gets traffic", Fields: []field{
		{Key: "golden", Doc: "recorded inputs and outputs", Short: "file", Fields: []field{
			{Key: "file", Required: true, Doc: "a file of JSON lines", Kind: strict.File()},
			{Key: "tolerance", Doc: "allowed deviation, relative above 1 and absolute below", Kind: strict.Number(0, 1)},
		}},
		{Key: "dataset", Doc: "the hold-out file for the metrics", Fields: []field{
			{Key: "file", Required: true, Doc: "a CSV file with a header", Kind: strict.File()},
			{Key: "target", Required: true, Doc: "name of the target column", Kind: strict.Text(200)},
			{Key: "min_rows", Doc: "fewest rows that may be judged", Kind: strict.Integer(1, 2_000_000)},
		}},
		{Key: "metrics", Doc: "the bounds of quality", Items: 32, Item: &field{Doc: "one metric and its bound", Fields: []field{
			{Key: "name", Required: true, Doc: names, Kind: metric},
			{Key: "min", Doc: "lowest value that passes", Kind: strict.Number(-1e12, 1e12)},
			{Key: "max", Doc: "highest value that passes", Kind: strict.Number(-1e12, 1e12)},
			{Key: "max_regression_vs_production", Doc: "by how much it may be worse than that of the live version on the same rows", Kind: strict.Number(0, 1e12)},
		}}},
		{Key: "slices", Doc: "how far groups of rows may lie apart", Items: 16, Item: &field{Doc: "a column and a metric", Fields: []field{
			{Key: "by", Required: true, Doc: "a column of the hold-out file", Kind: strict.Text(200)},
			{Key: "metric", Required: true, Doc: names, Kind: metric},
			{Key: "max_gap", Required: true, Doc: "most between the best and the worst group", Kind: strict.Number(0, 1e12)},
			{Key: "min_rows", Doc: "fewest rows of a group that is judged", Kind: strict.Integer(1, 2_000_000)},
		}}},
		{Key: "schema", Doc: "the signature beside that of the live version", Short: "compatible", Fields: []field{
			{Key: "compatible", Required: true, Doc: "backward: whoever calls the live version can call this one", Kind: strict.OneOf(CompatibleBackward, CompatibleNone)},
		}},
		{Key: "latency", Doc: "how long an answer may take before there is traffic", Fields: []field{
			{Key: "p95", Required: true, Doc: "of 95 % of the requests, such as 40ms", Kind: strict.Duration(time.Millisecond, time.Minute)},
			{Key: "requests", Doc: "how many are sent, one after the other", Kind: strict.Integer(20, 10_000)},
		}},
	}}
}

func resourceFields() field {
	return field{Key: "resources", Doc: "what one replica gets", Fields: []field{
		{Key: "cpu", Doc: "cores, such as 500m or 2", Kind: cpu()},
		{Key: "memory", Doc: "memory, such as 256Mi", Kind: memory()},
		gpuFields(),
	}}
}

func scalingFields() field {
	return field{Key: "scaling", Doc: "number of replicas", Fields: []field{
		{Key: "replicas", Doc: "fixed number of replicas", Kind: strict.Integer(1, 32)},
	}}
}

func networkFields() field {
	return field{Key: "network", Doc: "who calls the endpoint", Fields: []field{
		{Key: "callers", Doc: "names of the services that call it", Items: 64, Item: &field{Doc: "one name", Kind: strict.Name()}},
	}}
}

func rolloutFields() field {
	week := 7 * 24 * time.Hour
	return field{Key: "rollout", Doc: "how a new revision gets its traffic", Fields: []field{
		{Key: "steps", Doc: "shares of the traffic, ascending to 100", Items: 32, Item: &field{Doc: "one step", Fields: []field{
			{Key: "weight", Required: true, Doc: "percent of the requests", Kind: strict.Number(0.01, 100)},
			{Key: "hold", Doc: "hold at least this long, such as 10m", Kind: strict.Duration(0, week)},
			{Key: "min_requests", Doc: "and until the candidate has answered as many", Kind: strict.Integer(0, 10_000_000)},
		}}},
		{Key: "on_failure", Doc: "what a failing candidate causes", Kind: strict.OneOf(OnFailureRollback, OnFailurePause)},
		{Key: "on_no_data", Doc: "what a step without requests causes", Kind: strict.OneOf(OnNoDataPause, OnNoDataContinue)},
		{Key: "keep_previous_warm", Doc: "how long the previous revision can take over at once", Kind: strict.Duration(0, week)},
		{Key: "deadline", Doc: "of one request", Kind: strict.Duration(100*time.Millisecond, time.Minute)},
	}}
}
