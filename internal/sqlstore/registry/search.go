package registry

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway/internal/query"
	"github.com/slipway-ml/slipway/internal/registry"
)

// columns are the attributes of a search.
type columns map[string]column

type column struct {
	expr string
	kind query.Kind
}

var (
	ofModels = columns{
		registry.KeyName:    {"m.name", query.Text},
		registry.KeyCreated: {"m.created", query.Int},
		registry.KeyUpdated: {"m.updated", query.Int},
	}
	ofVersions = columns{
		registry.KeyName:    {"v.model", query.Text},
		registry.KeyNumber:  {"v.number", query.Int},
		registry.KeyCreated: {"v.created", query.Int},
		registry.KeyUpdated: {"v.updated", query.Int},
		registry.KeyRun:     {"v.run_id", query.Text},
		registry.KeySource:  {"v.source", query.Text},
	}
)

// What of a text is in an index, in characters.
const (
	indexedValue  = 64
	indexedSource = 100
)

func prefix(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// tagged says where the tags of a search are, and which of them are of what was found.
type tagged struct{ table, join string }

var (
	modelTags   = tagged{"model_tag", "t.model = m.name"}
	versionTags = tagged{"version_tag", "t.model = v.model AND t.number = v.number"}
)

// where writes the condition of a search: that its clauses hold but for one, that the models
// may be seen, and that it goes on after a page.
func where(q registry.Query, but int, c columns, t tagged, terms []query.Term, a *query.Args) string {
	var all []string
	for i := range q.Where {
		clause := &q.Where[i]
		if i == but {
			continue
		}
		if clause.Entity == query.Tag {
			all = append(all, t.holds(clause, a))
			continue
		}
		if value, ok := clause.Value.(string); ok && clause.Key == registry.KeySource && clause.Op == query.Equal {
			all = append(all, "substr(v.source, 1, 100) = "+a.Add(prefix(value, indexedSource))+" AND v.source || '' = "+a.Add(value))
			continue
		}
		all = append(all, clause.Where(c[clause.Key].expr, a))
	}
	if !q.Prompts {
		all = append(all, "m.prompt = 0")
	}
	if q.Teams != nil { // as an expression: the index of teams would come without the order
		all = append(all, "m.team || '' IN ("+query.List(a, append([]string{"\ufffd"}, q.Teams...))+")")
	}
	if q.After != nil {
		all = append(all, "("+query.After(terms, q.After, a)+")")
	}
	if len(all) == 0 {
		return "1 = 1"
	}
	return strings.Join(all, " AND ")
}

func (t tagged) holds(c *query.Clause, a *query.Args) string {
	return "EXISTS (SELECT 1 FROM " + t.table + " t WHERE " + t.join + " AND t.key = " + a.Add(c.Key) + " AND " + c.Where("t.value", a) + ")"
}

// equals is the condition that a tag of table t has a value. The index has its beginning
// alone; the rest is compared in an expression, since SQLite would put a column that is known
// into the other condition, which would keep the index from it.
func equals(c *query.Clause, a *query.Args) string {
	value, _ := c.Value.(string)
	return "t.key = " + a.Add(c.Key) + " AND substr(t.value, 1, 64) = " + a.Add(prefix(value, indexedValue)) + " AND t.value || '' = " + a.Add(value)
}

// few is how many things may have a tag for a search to begin with it: they are sorted. With
// more of them one that goes in the order asked for finds enough for a page soon.
const few = 500

// rare finds the clause of a tag that few things have, or gives -1. model narrows it, if it is
// not empty.
func (s *Store) rare(ctx context.Context, q registry.Query, t tagged, model string) (int, error) {
	for i := range q.Where {
		c := &q.Where[i]
		if c.Entity != query.Tag || c.Op != query.Equal {
			continue
		}
		var a query.Args
		where := equals(c, &a)
		if model != "" {
			where += " AND t.model = " + a.Add(model)
		}
		var n int
		err := s.db.QueryRow(ctx, "", []any{&n}, `SELECT COUNT(*) FROM (SELECT 1 FROM `+t.table+` t WHERE `+where+` LIMIT `+strconv.Itoa(few)+`) x`, a.Values...)
		if err != nil || n < few {
			return i, err
		}
	}
	return -1, nil
}

func (c columns) terms(order []query.Order) []query.Term {
	out := make([]query.Term, len(order))
	for i, o := range order {
		out[i] = query.Term{Expr: c[o.Key].expr, Kind: c[o.Key].kind, Desc: o.Desc}
	}
	return out
}

// wide says whether the numbers that a search of one model asks for are many: they would be
// sorted, all of them, where going in the order asked for finds enough soon.
func (s *Store) wide(ctx context.Context, q registry.Query, model string) (bool, error) {
	if model == "" || len(q.Order) > 0 && q.Order[0].Key == registry.KeyNumber {
		return false, nil
	}
	var a query.Args
	where := `v.model = ` + a.Add(model) + ` AND v.deleted = 0`
	asked := false
	for i := range q.Where {
		if c := &q.Where[i]; c.Entity == query.Attribute && c.Key == registry.KeyNumber {
			asked = true
			where += ` AND ` + c.Where("v.number", &a)
		}
	}
	if !asked {
		return false, nil
	}
	var n int
	err := s.db.QueryRow(ctx, "", []any{&n}, `SELECT COUNT(*) FROM (SELECT 1 FROM version v WHERE `+where+` LIMIT `+strconv.Itoa(few)+`) x`, a.Values...)
	return n == few, err
}

// SearchModels implements registry.Finder.
func (s *Store) SearchModels(ctx context.Context, q registry.Query) ([]registry.Entry, error) {
	rare, err := s.rare(ctx, q, modelTags, "")
	if err != nil {
		return nil, err
	}
	var a query.Args
	terms := ofModels.terms(q.Order)
	from := `model m WHERE `
	if rare >= 0 {
		from = `model_tag t CROSS JOIN model m WHERE m.name = t.model AND ` + equals(&q.Where[rare], &a) + ` AND `
	}
	text := `SELECT ` + modelColumns + ` FROM ` + from + where(q, rare, ofModels, modelTags, terms, &a) + ` ORDER BY ` + query.Sorted(terms) + ` LIMIT ` + strconv.Itoa(q.Limit)
	return s.entries(ctx, text, a.Values...)
}

// SearchVersions implements registry.Finder. SQLite joins in the order in which it is told
// to, which it would not guess: what is rare first, then one model, then what is in order.
func (s *Store) SearchVersions(ctx context.Context, q registry.Query) ([]registry.Version, error) {
	model := ""
	for _, c := range q.Where {
		if value, ok := c.Value.(string); ok && c.Entity == query.Attribute && c.Key == registry.KeyName && c.Op == query.Equal {
			model = value
		}
	}
	rare, err := s.rare(ctx, q, versionTags, model)
	if err != nil {
		return nil, err
	}
	columns := ofVersions
	if wide, err := s.wide(ctx, q, model); err != nil {
		return nil, err
	} else if wide {
		columns = maps.Clone(ofVersions)
		columns[registry.KeyNumber] = column{"+v.number", query.Int} // an expression: no index of it
	}
	var a query.Args
	terms := ofVersions.terms(q.Order)
	from := `version v CROSS JOIN model m WHERE `
	switch {
	case rare >= 0:
		from = `version_tag t CROSS JOIN version v CROSS JOIN model m WHERE v.model = t.model AND v.number = t.number AND ` + equals(&q.Where[rare], &a) + ` AND `
	case model != "":
		from = `model m CROSS JOIN version v WHERE m.name = ` + a.Add(model) + ` AND `
	}
	text := `SELECT ` + detailColumns + ` FROM ` + from + `m.name = v.model AND v.deleted = 0 AND ` + where(q, rare, columns, versionTags, terms, &a) +
		` ORDER BY ` + query.Sorted(terms) + ` LIMIT ` + strconv.Itoa(q.Limit)
	return s.details(ctx, text, a.Values...)
}

// Entry implements registry.Finder.
func (s *Store) Entry(ctx context.Context, name string) (registry.Entry, error) {
	all, err := s.entries(ctx, `SELECT `+modelColumns+` FROM model m WHERE m.name = $1`, name)
	if err == nil && len(all) == 0 {
		err = registry.NoModel(name)
	}
	if err != nil {
		return registry.Entry{}, err
	}
	return all[0], nil
}

// Detail implements registry.Finder.
func (s *Store) Detail(ctx context.Context, model string, number int) (registry.Version, error) {
	all, err := s.details(ctx, `SELECT `+detailColumns+` FROM version v
		WHERE v.model = $1 AND v.number = `+atNumber+` AND v.deleted = 0`, model, number)
	if err == nil && len(all) == 0 {
		err = s.missing(ctx, model, number)
	}
	if err != nil {
		return registry.Version{}, err
	}
	return all[0], nil
}

// entries reads models, and then what is said of all of them together.
func (s *Store) entries(ctx context.Context, text string, args ...any) ([]registry.Entry, error) {
	var out []registry.Entry
	at := map[string]*registry.Entry{}
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var r modelRow
		err := rows.Scan(r.dest()...)
		out = append(out, registry.Entry{Model: r.model(), Tags: map[string]string{}, Aliases: map[string]int{}})
		return err
	}, text, args...)
	if err != nil || len(out) == 0 {
		return out, err
	}
	for i := range out {
		at[out[i].Name] = &out[i]
	}
	var a query.Args
	names := query.List(&a, slices.Sorted(maps.Keys(at)))
	err = s.db.Query(ctx, func(rows *sql.Rows) error {
		var model, name, value string
		var number int // of an alias; 0: it is a tag
		err := rows.Scan(&model, &number, &name, &value)
		if number > 0 {
			at[model].Aliases[name] = number
		} else {
			at[model].Tags[name] = value
		}
		return err
	}, `SELECT t.model, 0, t.key, t.value FROM model_tag t WHERE t.model IN (`+names+`)
		UNION ALL SELECT a.model, a.number, a.alias, '' FROM alias a WHERE a.model IN (`+names+`)`, a.Values...)
	if err != nil {
		return nil, err
	}
	newest, err := s.newest(ctx, names, a.Values)
	for _, v := range newest {
		at[v.Model].Newest = append(at[v.Model].Newest, v)
	}
	for _, e := range at {
		slices.SortFunc(e.Newest, func(a, b registry.Version) int {
			return slices.Index(registry.Stages, a.Stage) - slices.Index(registry.Stages, b.Stage)
		})
	}
	return out, err
}

// newest reads the newest version of each stage of models. Their numbers come first: as one
// statement PostgreSQL would read all versions to join them. And it would look for a stage that
// is rare from the newest version down, through all of them; in the order of stages there is
// one index to go by.
func (s *Store) newest(ctx context.Context, names string, args []any) ([]registry.Version, error) {
	var keys []registry.Version
	wanted := map[of]bool{}
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var v registry.Version
		err := rows.Scan(&v.Model, &v.Number)
		if v.Number > 0 {
			keys, wanted[of{v.Model, v.Number}] = append(keys, v), true
		}
		return err
	}, `SELECT m.name, COALESCE((SELECT CASE WHEN n.stage = s.stage THEN n.number ELSE 0 END FROM version n
				WHERE n.model = m.name AND n.stage <= s.stage AND n.deleted = 0 ORDER BY n.stage DESC, n.number DESC LIMIT 1), 0)
		FROM model m CROSS JOIN (SELECT 'None' AS stage UNION ALL SELECT 'Staging' UNION ALL SELECT 'Production' UNION ALL SELECT 'Archived') s
		WHERE m.name IN (`+names+`)`, args...)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	from, args := among(keys)
	found, err := s.details(ctx, `SELECT `+detailColumns+` FROM `+from("version"), args...)
	return slices.DeleteFunc(found, func(v registry.Version) bool { return !wanted[of{v.Model, v.Number}] }), err
}

// of names a version.
type of struct {
	model  string
	number int
}

// manyVersions is how many versions one statement asks about.
const manyVersions = 5000

// details reads versions, and then what is said of all of them together.
func (s *Store) details(ctx context.Context, text string, args ...any) ([]registry.Version, error) {
	var out []registry.Version
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var r versionRow
		err := rows.Scan(r.detail()...)
		out = append(out, r.version())
		return err
	}, text, args...)
	for part := range slices.Chunk(out, manyVersions) {
		if err == nil {
			err = s.said(ctx, part)
		}
	}
	return out, err
}

// said adds tags and aliases to versions.
func (s *Store) said(ctx context.Context, versions []registry.Version) error {
	at := map[of]*registry.Version{}
	for i := range versions {
		v := &versions[i]
		at[of{v.Model, v.Number}] = v
		v.Tags = map[string]string{}
	}
	from, args := among(versions)
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var k of
		var alias bool
		var name, value string
		err := rows.Scan(&k.model, &k.number, &alias, &name, &value)
		switch v := at[k]; {
		case v == nil:
		case alias:
			v.Aliases = append(v.Aliases, name)
		default:
			v.Tags[name] = value
		}
		return err
	}, `SELECT v.model, v.number, 0, v.key, v.value FROM `+from("version_tag")+` UNION ALL SELECT v.model, v.number, 1, v.alias, '' FROM `+from("alias"), args...)
	for i := range versions {
		slices.Sort(versions[i].Aliases)
	}
	return err
}

// among writes from which rows of a table, v, versions are read, and perhaps others. A page of
// one model's is mostly a range of numbers, which reads as it is; naming each of them would
// cost more than finding them.
func among(versions []registry.Version) (from func(table string) string, args []any) {
	model, first, last := versions[0].Model, versions[0].Number, versions[0].Number
	one := true
	for _, v := range versions {
		first, last, one = min(first, v.Number), max(last, v.Number), one && v.Model == model
	}
	where := func(text string) func(string) string {
		return func(table string) string { return table + ` v WHERE ` + text }
	}
	if one && last-first < 2*len(versions) {
		return where(`v.model = $1 AND v.number BETWEEN CAST($2 AS BIGINT) AND CAST($3 AS BIGINT)`), []any{model, first, last}
	}
	if one {
		numbers := make([]string, len(versions))
		for i, v := range versions {
			numbers[i] = strconv.Itoa(v.Number)
		}
		return where(`v.model = $1 AND v.number IN (` + strings.Join(numbers, ", ") + `)`), []any{model}
	}
	var a query.Args
	var keys strings.Builder
	for i, v := range versions {
		if i > 0 {
			keys.WriteString(", ")
		}
		keys.WriteString("(CAST(" + a.Add(v.Model) + " AS TEXT), CAST(" + a.Add(v.Number) + " AS BIGINT))")
	}
	return func(table string) string {
		return `(VALUES ` + keys.String() + `) k CROSS JOIN ` + table + ` v WHERE v.model = k.column1 AND v.number = k.column2`
	}, a.Values
}
