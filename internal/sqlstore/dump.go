package sqlstore

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

// A dump is the whole state in one form for both databases, a JSON document a line: a
// header, then for each table its columns and its rows, a table after those that it refers
// to, and in the end how many rows there were.
//
//	{"slipway":"database","format":1,"schema":3,"seq":17}
//	{"table":"model","columns":["name","latest","team"]}
//	["fraud",2,"risk"]
//	{"rows":1}
//
// Text is a string, a number a number without a point, null null, {"float":"0.5"} a number
// with one and {"base64":"…"} bytes.
type (
	dumpHeader struct {
		Slipway string `json:"slipway"`
		Format  int    `json:"format"`
		Dumped
	}
	dumpTable struct {
		Table   string   `json:"table"`
		Columns []string `json:"columns"`
	}
	dumpEnd struct {
		Rows *int64 `json:"rows"`
	}
	dumpFloat struct {
		Float string `json:"float"`
	}
	dumpBytes struct {
		Base64 []byte `json:"base64"`
	}
)

// Dumped says what a dump is of.
type Dumped struct {
	Schema int64 `json:"schema"`
	Seq    int64 `json:"seq"` // of the last event
}

const (
	dumpName   = "database"
	dumpFormat = 1
)

// stays is what belongs to a machine and a database, not to the state: who leads, and
// which migrations were applied.
var stays = []string{"lease", "goose_db_version"}

// Dump writes the state of one moment. Writers do not wait for it.
func (db *DB) Dump(ctx context.Context, w io.Writer) (d Dumped, err error) {
	tx, err := db.read.BeginTx(ctx, &sql.TxOptions{Isolation: db.snapshot, ReadOnly: true})
	if err != nil {
		return d, classify(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	out := bufio.NewWriterSize(w, 256<<10)
	if d, err = db.dump(ctx, tx, out); err == nil {
		err = out.Flush()
	}
	return d, classify(err)
}

func (d *dialect) dump(ctx context.Context, tx *sql.Tx, w io.Writer) (Dumped, error) {
	var of Dumped
	if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`).Scan(&of.Schema); err != nil {
		return of, err
	}
	if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(seq), 0) FROM event`).Scan(&of.Seq); err != nil {
		return of, err
	}
	tables, err := d.tables(ctx, tx)
	if err != nil {
		return of, err
	}
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	if err := lines.Encode(dumpHeader{dumpName, dumpFormat, of}); err != nil {
		return of, err
	}
	total := int64(0)
	for _, t := range tables {
		n, err := dumpRows(ctx, tx, t, lines)
		if err != nil {
			return of, fmt.Errorf("table %s: %w", t, err)
		}
		total += n
	}
	return of, lines.Encode(dumpEnd{&total})
}

func dumpRows(ctx context.Context, tx *sql.Tx, table string, lines *json.Encoder) (n int64, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT * FROM `+quoted(table))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err == nil {
		err = lines.Encode(dumpTable{table, columns})
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for ; err == nil && rows.Next(); n++ {
		if err = rows.Scan(into...); err != nil {
			break
		}
		for i, v := range values {
			if values[i], err = dumped(v); err != nil {
				return n, fmt.Errorf("column %s: %w", columns[i], err)
			}
		}
		err = lines.Encode(values)
	}
	if err == nil {
		err = rows.Err()
	}
	return n, err
}

// dumped is a value as a dump has it.
func dumped(v any) (any, error) {
	switch v := v.(type) {
	case nil, string, int64:
		return v, nil
	case bool: // SQLite has none
		if v {
			return int64(1), nil
		}
		return int64(0), nil
	case float64:
		return dumpFloat{strconv.FormatFloat(v, 'g', -1, 64)}, nil
	case []byte:
		return dumpBytes{append([]byte{}, v...)}, nil // SQLite gives nil for none
	}
	return nil, fmt.Errorf("a dump has no form for %T", v)
}

// quoted is a name as SQL writes it.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// catalog asks a database for its tables, and for pairs of a table and one that it refers to.
type catalog struct{ tables, references string }

var catalogs = map[goose.Dialect]catalog{
	goose.DialectSQLite3: {
		`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`,
		`SELECT m.name, f."table" FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'`,
	},
	goose.DialectPostgres: {
		`SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = current_schema() ORDER BY tablename`,
		`SELECT a.relname, b.relname FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_class a ON a.oid = c.conrelid JOIN pg_catalog.pg_class b ON b.oid = c.confrelid
			WHERE c.contype = 'f' AND a.relnamespace = current_schema()::regnamespace`,
	},
}

// querier is a database or a transaction of one.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// tables lists those with state, each after those that it refers to.
func (d *dialect) tables(ctx context.Context, q querier) ([]string, error) {
	c := catalogs[d.goose]
	var names []string
	err := each(ctx, q, c.tables, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		if !slices.Contains(stays, name) {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	needs := map[string][]string{}
	err = each(ctx, q, c.references, func(rows *sql.Rows) error {
		var from, to string
		err := rows.Scan(&from, &to)
		if from != to {
			needs[from] = append(needs[from], to)
		}
		return err
	})
	var out []string
	var visit func(string)
	visit = func(name string) {
		if slices.Contains(out, name) {
			return
		}
		for _, n := range needs[name] {
			visit(n)
		}
		out = append(out, name)
	}
	for _, n := range names {
		visit(n)
	}
	return out, err
}

func each(ctx context.Context, q querier, query string, scan func(*sql.Rows) error) error {
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
