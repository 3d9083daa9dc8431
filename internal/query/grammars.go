package query

import "maps"

// The grammars of MLflow's searches, as mlflow/utils/search_utils.py and its SQL stores
// (3.17) have them, with their messages.
var (
	Runs             = runs()
	Experiments      = experiments()
	RegisteredModels = registeredModels()
	ModelVersions    = modelVersions()
	LoggedModels     = loggedModels()
)

var (
	matching = []Op{Equal, NotEqual, Like, ILike}
	listing  = append([]Op{In, NotIn}, matching...)
	missing  = append([]Op{IsNull, IsNotNull}, matching...)
)

// named makes a field of each key.
func named(kind Kind, keys ...string) map[string]field {
	out := map[string]field{}
	for _, k := range keys {
		out[k] = field{Attribute, k, kind}
	}
	return out
}

func joined(parts ...map[string]field) map[string]field {
	out := map[string]field{}
	for _, p := range parts {
		maps.Copy(out, p)
	}
	return out
}

// spelled makes another spelling of a field.
func spelled(f field, as ...string) map[string]field {
	out := map[string]field{}
	for _, s := range as {
		out[s] = f
	}
	return out
}

func runs() *Grammar {
	keys := joined(named(Text, "run_id", "run_name", "user_id", "status", "artifact_uri"), named(Int, "start_time", "end_time"),
		spelled(field{Attribute, "start_time", Int}, "created", "Created"))
	return &Grammar{
		entities: map[string]Entity{
			"metric": Metric, "metrics": Metric, "parameter": Param, "parameters": Param, "param": Param, "params": Param, "tag": Tag, "tags": Tag,
			"attribute": Attribute, "attributes": Attribute, "attr": Attribute, "run": Attribute, "dataset": Dataset, "datasets": Dataset,
		},
		unknown:  "Invalid entity type '%s'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']",
		keys:     joined(keys, spelled(field{Attribute, "run_name", Text}, "run name", "Run name", "Run Name")),
		sorts:    keys,
		sortable: []Entity{Metric, Param, Tag},
		unsortby: "Invalid identifier type '%s'",
		datasets: []string{"name", "digest", "context"},
		ops:      map[Entity][]Op{Attribute: listing, Param: missing, Tag: missing, Dataset: listing},
		nulls:    "tags and params",
		lists:    []string{"run_id"},
	}
}

// ofNames are the entities of searches for experiments, models and versions.
var ofNames = map[string]Entity{"attribute": Attribute, "tag": Tag, "tags": Tag}

const (
	otherNames = "Invalid entity type '%s'. Valid entity types are ('attribute', 'tag', 'tags')"
	otherOrder = "Invalid order_by entity: %s"
)

func experiments() *Grammar {
	keys := joined(named(Text, "name", "experiment_id"), named(Int, "creation_time", "last_update_time"))
	return &Grammar{
		entities: joinedEntities(ofNames, map[string]Entity{"attributes": Attribute, "attr": Attribute}),
		unknown:  otherNames, keys: keys, sorts: keys, unsortby: otherOrder,
		ops:   map[Entity][]Op{Attribute: listing, Tag: missing},
		nulls: "tags", lists: []string{"experiment_id"}, whole: true,
	}
}

func joinedEntities(parts ...map[string]Entity) map[string]Entity {
	out := map[string]Entity{}
	for _, p := range parts {
		maps.Copy(out, p)
	}
	return out
}

func registeredModels() *Grammar {
	return &Grammar{
		entities: ofNames, unknown: otherNames, unsortby: otherOrder,
		keys: named(Text, "name"),
		sorts: joined(named(Text, "name"), named(Int, "creation_timestamp", "last_updated_timestamp"),
			spelled(field{Attribute, "creation_timestamp", Int}, "timestamp")),
		unsorted: "Invalid order by key '%s' specified. Valid keys are '{'name', 'timestamp'}'",
		ops:      map[Entity][]Op{Attribute: listing, Tag: matching},
		nulls:    "tags", lists: []string{"name"},
	}
}

func modelVersions() *Grammar {
	return &Grammar{
		entities: ofNames, unknown: otherNames, unsortby: otherOrder,
		keys:  joined(named(Text, "name", "run_id", "source_path"), named(Int, "version_number")),
		sorts: joined(named(Text, "name"), named(Int, "version_number", "creation_timestamp", "last_updated_timestamp")),
		ops:   map[Entity][]Op{Attribute: listing, Tag: matching},
		nulls: "tags", lists: []string{"name", "run_id"}, whole: true,
	}
}

func loggedModels() *Grammar {
	keys := joined(named(Text, "name", "model_id", "model_type", "status", "source_run_id"), named(Int, "creation_timestamp", "last_updated_timestamp"),
		spelled(field{Attribute, "creation_timestamp", Int}, "creation_time", "creation_timestamp_ms"),
		spelled(field{Attribute, "last_updated_timestamp", Int}, "last_updated_time", "last_updated_timestamp_ms"))
	return &Grammar{
		entities: map[string]Entity{"attributes": Attribute, "metrics": Metric, "params": Param, "tags": Tag},
		unknown:  "Invalid entity type: '%s'. Expected one of ['attributes', 'metrics', 'params', 'tags'].",
		keys:     keys, sorts: keys, sortable: []Entity{Metric},
		unsorted: "Invalid order by field name: %s",
		unsortby: "Invalid order by field name: %ss. Only metrics are supported.",
		ops:      map[Entity][]Op{Attribute: listing, Param: listing, Tag: listing},
		messages: map[problem]string{
			unreadable: "Invalid filter string: %s. Expected a list of comparisons separated by 'AND' (e.g. 'metrics.loss > 0.1 AND params.lr = 0.01').",
			several:    "Invalid filter string: %s. Expected a single SQL expression.",
		},
		nulls: "tags", bare: true,
	}
}
