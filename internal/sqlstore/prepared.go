package sqlstore

import (
	"context"
	"database/sql"
	"sync"

	"github.com/pressly/goose/v3"
)

// maxPrepared is how many texts of statements are kept prepared. Searches make texts without
// end; those that come after are read each time.
const maxPrepared = 200

// prepared keeps statements that read: SQLite takes longer to read the text of a small one
// than to run it.
type prepared struct {
	mu   sync.RWMutex
	text map[string]*sql.Stmt
}

// query runs a statement that reads.
func (db *DB) query(ctx context.Context, text string, args []any) (*sql.Rows, error) {
	if s := db.prepare(ctx, text); s != nil { //nolint:sqlclosecheck // it is kept
		return s.QueryContext(ctx, args...)
	}
	return db.read.QueryContext(ctx, text, args...)
}

// prepare gives a statement that is prepared, or nil if there is no room. The driver of
// PostgreSQL does the same by itself.
func (db *DB) prepare(ctx context.Context, text string) *sql.Stmt {
	if db.goose != goose.DialectSQLite3 {
		return nil
	}
	p := &db.prepared
	p.mu.RLock()
	s, full := p.text[text], len(p.text) >= maxPrepared
	p.mu.RUnlock()
	if s != nil || full {
		return s
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.text[text]; s != nil || len(p.text) >= maxPrepared {
		return s
	}
	s, err := db.read.PrepareContext(ctx, text) //nolint:sqlclosecheck // it is kept
	if err != nil {
		return nil // running it will say the same
	}
	if p.text == nil {
		p.text = map[string]*sql.Stmt{}
	}
	p.text[text] = s
	return s
}
