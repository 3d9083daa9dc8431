package sqlstore

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/slipway-ml/slipway"
)

// Loading says how a dump is brought into a database.
type Loading struct {
	Home string // which the database is bound to from then on
	Mark string // of the restore: it may begin again on what it left itself
	// Edit changes a document of the state, such as a path in it.
	Edit func(document string) string
}

// Bounds of a dump.
const (
	maxDumpLine    = 64 << 20 // bytes
	maxDumpColumns = 200
	maxParameters  = 30_000 // of one statement: SQLite takes 32,766
	maxBatch       = 200    // rows
)

// markName is the row of lease that says that a restore has not finished.
const markName = "restore"

// Load fills an empty database with a dump and brings it up to date. It answers
// CodeNotEmpty for a database that holds something, unless a restore with the same mark
// has left it, CodeConflict for a dump of a newer platform, and CodeBackupDamaged for what
// is no dump. Nothing is there unless all is. Until Finish the database is marked.
func Load(ctx context.Context, o Options, r io.Reader, l Loading) (d Dumped, err error) {
	in := &dumpReader{in: bufio.NewReaderSize(r, 256<<10)}
	if d, err = in.header(); err != nil {
		return d, err
	}
	if d.Schema > Schema() {
		return d, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "restore it with the platform that made it, or a newer one",
			"the backup has schema %d of a newer platform; this one knows %d", d.Schema, Schema())
	}
	di, err := connect(o)
	if err != nil {
		return d, openError(err)
	}
	defer func() { err = errors.Join(err, di.close()) }()
	p, err := di.provider()
	if err == nil {
		var have int64
		have, err = p.GetDBVersion(ctx)
		if err == nil && have > d.Schema { // what a restore has left was brought up to date already
			err = di.usable(ctx, l)
			if err == nil {
				_, err = p.DownTo(ctx, d.Schema)
			}
		}
	}
	if err == nil {
		_, err = p.UpTo(ctx, d.Schema)
	}
	if err != nil {
		return d, openError(err)
	}
	if err := di.usable(ctx, l); err != nil {
		return d, err
	}
	if err := di.load(ctx, in, l); err != nil {
		return d, classify(err)
	}
	if _, err = p.Up(ctx); err != nil {
		err = openError(err)
	}
	return d, err
}

// usable refuses a database that somebody uses.
func (d *dialect) usable(ctx context.Context, l Loading) error {
	tables, err := d.tables(ctx, d.read)
	if err != nil {
		return classify(err)
	}
	var mark string
	err = d.read.QueryRowContext(ctx, `SELECT holder FROM lease WHERE name = $1`, markName).Scan(&mark)
	if err == nil && mark == l.Mark {
		return nil
	}
	for _, t := range tables {
		var there bool
		if err := d.read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM `+quoted(t)+`)`).Scan(&there); err != nil {
			return classify(err)
		}
		if there {
			return slipway.Errorf(slipway.Conflict, slipway.CodeNotEmpty, "name an empty database", "the database holds something already, in %s", t)
		}
	}
	return nil
}

// load fills the tables, in one transaction.
func (d *dialect) load(ctx context.Context, in *dumpReader, l Loading) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it was committed, or is not wanted
	if d.goose == goose.DialectPostgres {
		if _, err := tx.ExecContext(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil { // the target may be slow
			return err
		}
	}
	tables, err := d.tables(ctx, tx)
	if err != nil {
		return err
	}
	for _, t := range slices.Backward(tables) { // what a migration, or a restore before, has put there
		if _, err := tx.ExecContext(ctx, `DELETE FROM `+quoted(t)); err != nil {
			return err
		}
	}
	if err := in.rows(tables, func(table string, columns []string, rows [][]any) error {
		return insert(ctx, tx, table, columns, rows, l.Edit)
	}); err != nil {
		return err
	}
	for name, holder := range map[string]string{"home": l.Home, markName: l.Mark} {
		_, err := tx.ExecContext(ctx, `INSERT INTO lease (name, holder, term, expires) VALUES ($1, $2, 0, 0) ON CONFLICT (name) DO UPDATE SET holder = $2`, name, holder)
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

// insert adds rows with one statement.
func insert(ctx context.Context, tx *sql.Tx, table string, columns []string, rows [][]any, edit func(string) string) error {
	var q strings.Builder
	names := make([]string, len(columns))
	document := -1
	for i, c := range columns {
		names[i] = quoted(c)
		if c == "document" {
			document = i
		}
	}
	q.WriteString(`INSERT INTO ` + quoted(table) + ` (` + strings.Join(names, ", ") + `) VALUES `)
	args := make([]any, 0, len(rows)*len(columns))
	for i, row := range rows {
		for j, v := range row {
			switch {
			case i+j == 0:
				q.WriteByte('(')
			case j == 0:
				q.WriteString("), (")
			default:
				q.WriteString(", ")
			}
			if text, ok := v.(string); ok && j == document {
				v = edit(text)
			}
			args = append(args, v)
			q.WriteString("$" + strconv.Itoa(len(args)))
		}
	}
	q.WriteByte(')')
	_, err := tx.ExecContext(ctx, q.String(), args...)
	return err
}

// Finish takes the mark of a restore away.
func (db *DB) Finish(ctx context.Context) error {
	return classify(db.exclusive(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM lease WHERE name = $1`, markName)
		return err
	}))
}

// dumpReader reads a dump. Its bytes may be anything.
type dumpReader struct {
	in   *bufio.Reader
	line int64
}

func (r *dumpReader) bad(format string, args ...any) error {
	return slipway.Errorf(slipway.Conflict, slipway.CodeBackupDamaged, "use another backup: platform backup list", "the dump of the database, line %d: "+format, append([]any{r.line}, args...)...)
}

// next gives a line.
func (r *dumpReader) next() ([]byte, error) {
	r.line++
	var out []byte
	for {
		part, err := r.in.ReadSlice('\n')
		out = append(out, part...)
		switch {
		case len(out) > maxDumpLine:
			return nil, r.bad("it is too long")
		case err == nil:
			return out, nil
		case errors.Is(err, io.EOF):
			return nil, r.bad("it ends here")
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

func (r *dumpReader) header() (Dumped, error) {
	b, err := r.next()
	if err != nil {
		return Dumped{}, err
	}
	var h dumpHeader
	if json.Unmarshal(b, &h) != nil || h.Slipway != dumpName || h.Format != dumpFormat || h.Schema < 2 || h.Seq < 0 {
		return Dumped{}, r.bad("it is no dump of format %d", dumpFormat)
	}
	return h.Dumped, nil
}

// rows gives all rows, some at a time, of the tables that may be named.
func (r *dumpReader) rows(tables []string, use func(table string, columns []string, rows [][]any) error) error {
	var t dumpTable
	var batch [][]any
	flush := func() error {
		rows := batch
		batch = nil
		if len(rows) == 0 {
			return nil
		}
		return use(t.Table, t.Columns, rows)
	}
	for total := int64(0); ; {
		b, err := r.next()
		if err != nil {
			return err
		}
		if b[0] != '[' {
			if err := flush(); err != nil {
				return err
			}
			end, err := r.section(b, tables, &t)
			if err != nil {
				return err
			}
			if end == nil {
				continue
			}
			if *end != total {
				return r.bad("there should be %d rows, and are %d", *end, total)
			}
			return nil
		}
		row, err := r.row(b, len(t.Columns))
		if err != nil {
			return err
		}
		total++
		if batch = append(batch, row); len(batch) == min(maxBatch, maxParameters/len(row)) {
			if err := flush(); err != nil {
				return err
			}
		}
	}
}

// section reads the line before the rows of a table, or after all: then it gives their
// number.
func (r *dumpReader) section(b []byte, tables []string, t *dumpTable) (*int64, error) {
	var line struct {
		dumpTable
		dumpEnd
	}
	if err := json.Unmarshal(b, &line); err != nil {
		return nil, r.bad("it cannot be read")
	}
	if line.Rows != nil {
		return line.Rows, nil
	}
	if !slices.Contains(tables, line.Table) || len(line.Columns) == 0 || len(line.Columns) > maxDumpColumns {
		return nil, r.bad("the database has no table %.60q like this", line.Table)
	}
	*t = line.dumpTable
	return nil, nil
}

// row reads the values of a row.
func (r *dumpReader) row(b []byte, columns int) ([]any, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil || len(raw) != columns || columns == 0 {
		return nil, r.bad("it is no row of %d values", columns)
	}
	out := make([]any, columns)
	for i, v := range raw {
		value, err := loaded(v)
		if err != nil {
			return nil, r.bad("value %d cannot be read", i+1)
		}
		out[i] = value
	}
	return out, nil
}

// loaded is the inverse of dumped.
func loaded(raw json.RawMessage) (any, error) {
	switch raw[0] {
	case 'n':
		return nil, nil
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case '{':
		var v struct {
			Float  *string `json:"float"`
			Base64 *[]byte `json:"base64"`
		}
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		switch err := d.Decode(&v); {
		case err != nil:
			return nil, err
		case v.Float != nil && v.Base64 == nil:
			return strconv.ParseFloat(*v.Float, 64)
		case v.Base64 != nil && v.Float == nil:
			return *v.Base64, nil
		}
	default:
		return strconv.ParseInt(string(raw), 10, 64)
	}
	return nil, fmt.Errorf("it has no kind")
}
