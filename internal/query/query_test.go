package query_test

import (
	"errors"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/query"
)

func TestFilter(t *testing.T) {
	for filter, want := range map[string][]query.Clause{
		"":                           nil,
		"  \n ":                      nil,
		"metric.acc >= 0.94":         {{Entity: query.Metric, Key: "acc", Op: ">=", Value: 0.94}},
		"metric.acc>=100":            {{Entity: query.Metric, Key: "acc", Op: ">=", Value: 100.0}},
		"metrics.x<-1.5e-3":          {{Entity: query.Metric, Key: "x", Op: "<", Value: -0.0015}},
		"params.m!='tf'":             {{Entity: query.Param, Key: "m", Op: "!=", Value: "tf"}},
		`params."m"!="tf"`:           {{Entity: query.Param, Key: "m", Op: "!=", Value: "tf"}},
		`metrics."X//Y#$$@&Z" = 3`:   {{Entity: query.Metric, Key: "X//Y#$$@&Z", Op: "=", Value: 3.0}},
		"metrics.`spacey name` > 5":  {{Entity: query.Metric, Key: "spacey name", Op: ">", Value: 5.0}},
		`metrics."accuracy.2.0" > 5`: {{Entity: query.Metric, Key: "accuracy.2.0", Op: ">", Value: 5.0}},
		"tags.mlflow.user = 'ada'":   {{Entity: query.Tag, Key: "mlflow.user", Op: "=", Value: "ada"}},
		"`tags`.source = 'a b'":      {{Entity: query.Tag, Key: "source", Op: "=", Value: "a b"}},
		`params.m = "L'Hosp"`:        {{Entity: query.Param, Key: "m", Op: "=", Value: "L'Hosp"}},
		`params.m = 'it''s'`:         {{Entity: query.Param, Key: "m", Op: "=", Value: "it's"}},
		"run.status = 'RUNNING'":     {{Entity: query.Attribute, Key: "status", Op: "=", Value: "RUNNING"}},
		"status like 'R%'":           {{Entity: query.Attribute, Key: "status", Op: "LIKE", Value: "R%"}},
		"`run name` ilike 'x'":       {{Entity: query.Attribute, Key: "run_name", Op: "ILIKE", Value: "x"}},
		"Created > 12":               {{Entity: query.Attribute, Key: "start_time", Op: ">", Value: int64(12)}},
		"created > 99999999999999999999 and end_time<=1.5": {{Entity: query.Attribute, Key: "start_time", Op: ">", Value: int64(math.MaxInt64)},
			{Entity: query.Attribute, Key: "end_time", Op: "<=", Value: 1.5}},
		"run_id in ('a', \"b\",'c')":        {{Entity: query.Attribute, Key: "run_id", Op: "IN", Value: []string{"a", "b", "c"}}},
		"run_id NOT  IN ('a')":              {{Entity: query.Attribute, Key: "run_id", Op: "NOT IN", Value: []string{"a"}}},
		"datasets.name IN ('a','b')":        {{Entity: query.Dataset, Key: "name", Op: "IN", Value: []string{"a", "b"}}},
		"tags.a IS NULL AND params.b = 'v'": {{Entity: query.Tag, Key: "a", Op: "IS NULL"}, {Entity: query.Param, Key: "b", Op: "=", Value: "v"}},
		"params.lr is not null;":            {{Entity: query.Param, Key: "lr", Op: "IS NOT NULL"}},
	} {
		got, err := query.Runs.Filter(filter)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", filter, err, diff)
		}
	}
}

// The messages are those for which MLflow's own tests look.
func TestFilterRefused(t *testing.T) {
	grammars := map[string]*query.Grammar{"": query.Runs, "e": query.Experiments, "m": query.RegisteredModels, "v": query.ModelVersions, "l": query.LoggedModels}
	for filter, want := range map[string]string{
		"metric.acc >= 0.94; metrics.rmse < 1":    "Search filter contained multiple expression 'metric.acc >= 0.94; metrics.rmse < 1'. Provide AND-ed expression list.",
		"m.acc >= 0.94":                           "Invalid entity type 'm'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']",
		"acc >= 0.94":                             "Invalid attribute key 'acc' specified. Valid keys are '{",
		"foo is null":                             "Invalid attribute key 'foo'",
		"metrics.A > 0.1 OR params.B = 'LR'":      "Invalid clause(s) in filter string: \"OR params.B = 'LR'\"",
		"metrics.A > 0.1 NAND params.B = 'LR'":    "Invalid clause(s) in filter string",
		"metrics.A > 0.1 AND (params.B = 'LR')":   "Invalid clause(s) in filter string",
		"metrics.A > 0.1 AND":                     "Invalid clause(s) in filter string",
		"AND metrics.A > 0.1":                     "Invalid clause(s) in filter string",
		"metrics.A > 0.1 metrics.B > 1":           "Invalid clause(s) in filter string",
		"`metrics.A > 0.1":                        "Invalid clause(s) in filter string",
		"param`.A > 0.1":                          "Invalid clause(s) in filter string",
		"dummy`.A > 0.1":                          "Invalid clause(s) in filter string",
		"attribute.experiment_id != 1":            "Invalid attribute key",
		"attribute.status = true":                 "Invalid clause(s) in filter string",
		"dataset.status = 'true'":                 "Invalid dataset key 'status'",
		"metrics.acc IS NULL":                     "IS NULL / IS NOT NULL is only supported for tags and params, not for 'metric' 'acc'",
		"attribute.status IS NULL":                "IS NULL / IS NOT NULL is only supported for tags and params",
		"metric.model = 'LR'":                     "Expected numeric value type for metric. Found 'LR'",
		"params.acc = 5":                          "Expected a quoted string value for parameter (e.g. 'my-value'). Got value 5",
		"tags.acc = 5":                            "Expected a quoted string value for tag",
		"metrics.acc != metrics.acc":              "Expected numeric value type for metric. Found metrics.acc",
		"1.0 > metrics.acc":                       "Invalid comparison clause. Expected 'Identifier' found '1.0'",
		"1=1":                                     "Expected 'Identifier' found '1'",
		"attribute.status = 1":                    "Expected a quoted string value for attributes. Got value 1",
		"params.acc = LR":                         "Parameter value is either not quoted or unidentified quote types used for string value LR. Use either single or double quotes.",
		"params.acc = `LR`":                       "value is either not quoted or unidentified quote types",
		"params.'acc = LR":                        "Invalid clause(s) in filter string",
		"params.acc = 'LR":                        "Invalid clause(s) in filter string",
		"params.acc = LR'":                        "",
		"params.acc = \"LR'":                      "Invalid clause(s) in filter string",
		"tags.acc = = 'LR'":                       "Invalid clause(s) in filter string",
		"attribute.status IS 'RUNNING'":           "Invalid clause(s) in filter string",
		"params.acc LR !=":                        "Invalid clause(s) in filter string",
		"params.acc LR":                           "Invalid clause(s) in filter string",
		"metric.acc !=":                           "Invalid clause(s) in filter string",
		"metrics.abc ~= 1.0":                      "Invalid comparator '~=' not one of '{",
		"params.abc > 'v'":                        "Invalid comparator '>' not one of '{",
		"start_time LIKE 12":                      "Invalid comparator 'LIKE'",
		"start_time > 'x'":                        "Expected numeric value type for numeric attribute: start_time. Found 'x'",
		"status IN ('a')":                         "Only ['run_id'] attributes support comparison with a list of quoted string values.",
		"run_id IN ()":                            "While parsing a list in the query, expected a non-empty list of string values, but got empty list",
		"run_id IN ('a' 'b')":                     "expected a non-empty list of string values, but got ill-formed list.",
		"run_id IN ('a'":                          "ill-formed list",
		"run_id IN (1)":                           "got different type in list",
		"run_id IN 'a'":                           "Invalid clause(s) in filter string",
		"run_id = ('a')":                          "Invalid clause(s) in filter string",
		"tags.a IN ('a')":                         "Expected a quoted string value for tag (e.g. 'my-value'). Got value ('a')",
		"run_id = 'a' -- x":                       "Invalid clause(s) in filter string",
		"params.x = 'a' \x00":                     "Invalid clause(s) in filter string",
		"\xff\xfe = 1":                            "Invalid clause(s) in filter string",
		strings.Repeat("x", 70<<10):               "too long",
		strings.Repeat("metrics.a > 1 AND ", 200): "more than 100 clauses",
		"e:metrics.a > 1":                         "Invalid entity type 'metrics'. Valid entity types are ('attribute', 'tag', 'tags')",
		"e:creation_time > 1.5":                   "Invalid value for numeric attribute 'creation_time': '1.5'",
		"e:tags.x IN ('a')":                       "Expected a quoted string value for tag",
		"e:name IS NULL":                          "IS NULL / IS NOT NULL is only supported for tags",
		"m:attributes.name = 'x'":                 "Invalid entity type 'attributes'",
		"m:last_updated_timestamp > 1":            "Invalid attribute key",
		"v:tags.x IS NULL":                        "IS NULL / IS NOT NULL is only supported for tags",
		"l:metric.x > 1":                          "Invalid entity type: 'metric'. Expected one of ['attributes', 'metrics', 'params', 'tags'].",
		"l:name = 'a' OR name = 'b'":              "Expected a list of comparisons separated by 'AND'",
		"l:metrics.loss LIKE 1":                   "Invalid comparator 'LIKE'",
		"params.x LIKE '" + strings.Repeat("%", 11_000) + "'": "more than 10000 bytes",
	} {
		g := query.Runs
		if which, rest, ok := strings.Cut(filter, ":"); ok && len(which) == 1 {
			g, filter = grammars[which], rest
		}
		_, err := g.Filter(filter)
		e := &slipway.Error{}
		if !errors.As(err, &e) || e.Kind != slipway.Invalid || !strings.Contains(e.Message, want) {
			t.Errorf("%.80s: %v", filter, err)
		}
	}
}

func TestOtherGrammars(t *testing.T) {
	for _, c := range []struct {
		g      *query.Grammar
		filter string
		want   []query.Clause
	}{
		{query.Experiments, "experiment_id = '3' AND tags.x ilike 'Y'", []query.Clause{{Entity: query.Attribute, Key: "experiment_id", Op: "=", Value: "3"}, {Entity: query.Tag, Key: "x", Op: "ILIKE", Value: "Y"}}},
		{query.RegisteredModels, "name LIKE 'a%' AND tag.`mlflow.prompt.is_prompt` != 'true'", []query.Clause{{Entity: query.Attribute, Key: "name", Op: "LIKE", Value: "a%"}, {Entity: query.Tag, Key: "mlflow.prompt.is_prompt", Op: "!=", Value: "true"}}},
		{query.ModelVersions, "version_number > 3 AND run_id IN ('a')", []query.Clause{{Entity: query.Attribute, Key: "version_number", Op: ">", Value: int64(3)}, {Entity: query.Attribute, Key: "run_id", Op: "IN", Value: []string{"a"}}}},
		{query.LoggedModels, "params.lr = 0.01 AND attributes.creation_time > 5 AND tags.x IN ('a')", []query.Clause{
			{Entity: query.Param, Key: "lr", Op: "=", Value: "0.01"}, {Entity: query.Attribute, Key: "creation_timestamp", Op: ">", Value: int64(5)}, {Entity: query.Tag, Key: "x", Op: "IN", Value: []string{"a"}}}},
	} {
		got, err := c.g.Filter(c.filter)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", c.filter, err, diff)
		}
	}
}

func TestOrderBy(t *testing.T) {
	got, err := query.Runs.OrderBy([]string{"metrics.`a b` DESC", "params.x", `attributes."start_time" asc`, "tag.mlflow.user desc"})
	want := []query.Order{{Entity: query.Metric, Key: "a b", Desc: true}, {Entity: query.Param, Key: "x"}, {Entity: query.Attribute, Key: "start_time"}, {Entity: query.Tag, Key: "mlflow.user", Desc: true}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	for _, c := range []struct {
		g     *query.Grammar
		terms []string
		want  string
	}{
		{query.Runs, []string{"metrics.x SIDEWAYS"}, "Invalid ordering key in order_by clause 'metrics.x SIDEWAYS'."},
		{query.Runs, []string{"metrics.x DESC; DROP TABLE run"}, "Could not be parsed."},
		{query.Runs, []string{""}, "Invalid order_by clause ''. Could not be parsed."},
		{query.Runs, []string{"x.y"}, "Invalid entity type 'x'"},
		{query.Runs, []string{"y"}, "Invalid attribute key 'y'"},
		{query.Runs, []string{"dataset.name"}, "Invalid identifier type 'dataset'"},
		{query.Runs, []string{"created", "start_time DESC"}, "`order_by` contains duplicate fields: ['created', 'start_time DESC']"},
		{query.Experiments, []string{"tags.x"}, "Invalid order_by entity: tag"},
		{query.RegisteredModels, []string{"creation"}, "Invalid order by key 'creation' specified. Valid keys are"},
		{query.LoggedModels, []string{"params.x"}, "Only metrics are supported."},
	} {
		if _, err := c.g.OrderBy(c.terms); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.terms, err)
		}
	}
	if got, err := query.RegisteredModels.OrderBy([]string{"timestamp DESC"}); err != nil || got[0].Key != "creation_timestamp" {
		t.Error(got, err)
	}
}

var terms = []query.Term{{Expr: "a", Kind: query.Text}, {Expr: "b", Kind: query.Int, Desc: true}, {Expr: "c", Kind: query.Float}}

func TestPage(t *testing.T) {
	one, other := query.Fingerprint([]any{"runs", "x"}), query.Fingerprint([]any{"runs", "y"})
	last := []any{"ä\"<", int64(math.MaxInt64), math.MaxFloat64}
	got, err := query.Last(query.Token(one, last), one, terms)
	if diff := cmp.Diff(last, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if got, err := query.Last("", one, terms); got != nil || err != nil {
		t.Error(got, err)
	}
	for token, want := range map[string]string{
		query.Token(other, last):                         "of another query",
		query.Token(one, last[:2]):                       "parsed value=",
		query.Token(one, []any{"a", "b", 1.0}):           "parsed value=",
		query.Token(one, []any{"a", 1.5, 1.0}):           "parsed value=",
		query.Token(one, []any{int64(1), int64(1), 1.0}): "parsed value=",
		query.Token(one, []any{"a", int64(1), int64(1)}): "parsed value=",
		"%%%":                       "could not base64-decode",
		"aGVsbG8=":                  "Invalid page token, decoded value=hello",
		strings.Repeat("A", 80<<10): "too long",
	} {
		if _, err := query.Last(token, one, terms); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v", token, err)
		}
	}
}

func TestSQL(t *testing.T) {
	a := &query.Args{}
	clauses, err := query.Runs.Filter("params.x LIKE 'a\\%' AND run_id IN ('x', 'y') AND metrics.z > 1")
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, c := range clauses {
		got += c.Where("v", a) + "\n"
	}
	got += query.After(terms, []any{"q", int64(7), 2.0}, a) + "\n" + query.Sorted(append(query.Present("x", "''", query.Text, true), terms...))
	want := `v LIKE $1 ESCAPE '\'
v IN ($2, $3)
v > CAST($4 AS DOUBLE PRECISION)
a >= CAST($5 AS TEXT) AND (a > CAST($5 AS TEXT) OR (b <= CAST($6 AS BIGINT) AND (b < CAST($6 AS BIGINT) OR (c > CAST($7 AS DOUBLE PRECISION)))))
CASE WHEN x IS NULL THEN 1 ELSE 0 END, COALESCE(x, '') DESC, a, b DESC, c`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{`a\\%`, "x", "y", 1.0, "q", int64(7), 2.0}, a.Values); diff != "" {
		t.Error(diff)
	}
}

// condition is what may become of a clause: no letter that is not ours.
var condition = regexp.MustCompile(`^(v|lower\(v\)) (<|<=|>|>=|=|!=|LIKE|IN|NOT IN) (\$\d+|lower\(\$\d+\)|CAST\(\$\d+ AS DOUBLE PRECISION\)|\((\$\d+(, )?)+\))( ESCAPE '\\')?$`)

// FuzzFilter: whatever is sent is read or refused with an error of ours, and no text of it
// becomes part of a condition.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{"metrics.a > 1 AND tags.`x y` = 'z''", "run_id NOT IN ('a',\"b\")", "params.a IS NOT NULL", "a.b.c = 'd' OR 1=1 --", "attr.created<-1e5", `name = "x';DROP TABLE run;--"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, g := range []*query.Grammar{query.Runs, query.Experiments, query.RegisteredModels, query.ModelVersions, query.LoggedModels} {
			clauses, err := g.Filter(s)
			if e := new(slipway.Error); err != nil && (!errors.As(err, &e) || e.Kind != slipway.Invalid) {
				t.Fatal(err)
			}
			for _, c := range clauses {
				if c.Op == query.IsNull || c.Op == query.IsNotNull {
					continue
				}
				a := &query.Args{}
				if !condition.MatchString(c.Where("v", a)) || len(a.Values) == 0 {
					t.Errorf("%q became %s", s, c.Where("v", a))
				}
			}
			if _, err := g.OrderBy([]string{s}); err != nil && slipway.AsError(err).Kind != slipway.Invalid {
				t.Error(err)
			}
		}
	})
}

// FuzzLast: any token is read or refused, and one that is read says the same again.
func FuzzLast(f *testing.F) {
	fp := query.Fingerprint("x")
	f.Add(query.Token(fp, []any{"a", int64(1), 2.0}))
	f.Add("e30=")
	f.Fuzz(func(t *testing.T, token string) {
		last, err := query.Last(token, fp, terms)
		if err != nil {
			if slipway.AsError(err).Kind != slipway.Invalid {
				t.Error(err)
			}
			return
		}
		if last != nil {
			if again, err := query.Last(query.Token(fp, last), fp, terms); err != nil || len(again) != len(last) {
				t.Error(again, err)
			}
		}
	})
}
