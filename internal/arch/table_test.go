package arch_test

// layer is a set of packages that do not know one another, given by patterns: a directory,
// "." for the root, or "x/..." for x and all below.
type layer struct {
	name     string
	packages []string
}

// layers is every package of the module, from the bottom up. An import goes to a lower
// layer, or stays between a package and those below it in its own directory. A package may
// be listed before it is written.
var layers = []layer{
	{"vocabulary, standard library only", []string{".", "api"}},
	{"pure values", []string{
		"internal/adopt", "internal/answer", "internal/config", "internal/describe", "internal/disk", "internal/eprocess", "internal/explain", "internal/express", "internal/mlmodel/...", "internal/modeldir", "internal/modeluri", "internal/plan", "internal/query", "internal/route", "internal/signing", "internal/spec/...",
		"internal/tensor/...", "internal/tree/...", "internal/verdict", "templates",
	}},
	{"features", []string{
		"internal/artifact", "internal/audit", "internal/authz/...", "internal/backup", "internal/evaluate", "internal/gateway/...", "internal/identity/...", "internal/keys", "internal/pipeline", "internal/registry/...",
		"internal/rollout", "internal/runtime/...", "internal/tracking", "internal/webhook/...",
	}},
	{"adapters and front doors", []string{
		"client", "internal/anchor/...", "internal/blob", "internal/bucket", "internal/cli/...", "internal/httpapi", "internal/kms/...", "internal/mlflowapi/...", "internal/mlflowimport", "internal/oci/...", "internal/oidc", "internal/process", "internal/pyenv",
		"internal/sqlstore/...", "internal/storetest/...", "internal/tilelog", "internal/tlsfile", "internal/web",
	}},
	{"composition root, and what plays it", []string{"internal/app/...", "internal/demo"}},
	{"programs and checks", []string{"bench/...", "cmd/...", "internal/arch"}},
}

// narrow packages may import less than their layer would let them: nothing above reach.
var narrow = []struct {
	pkg   string
	reach int
	why   string
}{
	{"client", 0, "users import it: it knows the wire types and nothing of the server"},
	{"internal/cli", 1, "every front door uses the API alone; what a server does is handed in by cmd/platform"},
}

// exception lets packages import others, both given by patterns.
type exception struct{ from, to, why string }

func (e exception) allows(from, to string) bool { return match(e.from, from) && match(e.to, to) }

// sideways are the imports between packages of one layer.
var sideways = []exception{
	{"internal/adopt", "internal/tensor", "a signature is made of element types"},
	{"internal/anchor", "client", "a witness of the audit log is another platform"},
	{"internal/answer", "internal/tensor", "a prediction is a batch, and its form follows the protocol"},
	{"internal/describe", "internal/tensor", "an endpoint is described by the schema of its model"},
	{"internal/app/dev", "internal/app/model", "what an engineer tries is described and built as it will be on the platform"},
	{"internal/cli/models", "client", "the command line speaks to a server through the public client"},
	{"internal/cli/models", "internal/cli/screen", "all output of the command line goes through one printer"},
	{"bench/...", "bench/figure", "every bench prints its figures in one way"},
	{"bench/...", "bench/rig", "every bench of serving has the same client and the same model"},
	{"internal/cli", "client", "the command line speaks to a server through the public client"},
	{"internal/mlmodel/...", "internal/tensor", "a model's signature becomes a schema"},
	{"internal/mlmodel", "internal/tree/...", "a model directory may hold a tree ensemble of either library"},
	{"internal/plan", "internal/spec", "a plan compares what two files say"},
	{"internal/plan", "internal/tensor", "a plan compares what two versions take and give"},
	{"internal/route", "internal/tensor", "the table carries each revision's schema"},
	{"internal/runtime/...", "internal/runtime/child", "every process that a runtime starts ends with it, and leaves nothing behind"},
	{"internal/spec/...", "internal/tensor", "what a file declares of inputs is what requests are held to"},
	{"internal/spec/...", "internal/modeluri", "a file names versions and runs as MLflow's users do"},
	{"internal/tree/lightgbm", "internal/tree/flat", "the trees of both libraries are walked in one way"},
	{"internal/storetest/...", "internal/sqlstore/...", "a suite opens the database that it tests"},
	{"internal/storetest/...", "internal/storetest/...", "every suite checks the record of events with the same function"},
}

// Sizes that a file, a function, an interface and a package may have.
const (
	maxFile       = 600 // lines, tests too
	maxMedianFile = 150 // lines, of the files that are no tests
	maxFunction   = 70  // lines, outside tests and suites
	maxMethods    = 5   // an embedded interface counts as one
	maxPackage    = 2000
)

// oversized is what may be larger, by "directory/file.go", "directory.Function",
// "directory.Interface" or "directory", and up to which size.
var oversized = map[string]struct {
	limit int
	why   string
}{
	"internal/app":                     {4200, "what joins every part grows with the parts; the stages of the pipeline are the largest of it"},
	"internal/cli":                     {7200, "a file for each command; they share one session and know nothing of one another"},
	"internal/tensor":                  {3300, "the batch and every form in which it travels, all read by one scanner into one kind of column: what holds for an element holds in every form"},
	"internal/spec":                    {2500, "one table of keys, and what each of them becomes; a reader looks for a key in one place"},
	"internal/gateway":                 {3700, "the table, the counts and the judges change together under one lock; what needs no part in that, the hand-over, has a package of its own"},
	"internal/runtime":                 {2750, "both ends of one protocol, which are read and changed together"},
	"internal/process":                 {2450, "revisions and pools are supervised by one state under one lock"},
	"internal/tracking":                {2350, "experiments, runs and logged models with the rules of MLflow's server, which are one vocabulary and share every check"},
	"internal/process/process_test.go": {620, "the life of a supervisor in one place, with the fixture that all of it uses"},
}

// forbidden package names say nothing of what is inside.
var forbidden = []string{"base", "common", "constants", "helper", "helpers", "misc", "shared", "types", "util", "utils"}
