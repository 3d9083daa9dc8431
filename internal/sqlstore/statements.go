package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// Bounds of what is kept prepared.
const (
	maxStatements = 100
	maxStatement  = 4096 // bytes of one
	oftenUsed     = 3    // times, from which on it is worth it
)

// statements keeps what is asked often prepared: SQLite takes longer to read a statement
// than to find a row. It is safe for concurrent use.
//
// A page's limit belongs into the text: SQLite plans anew, at each run, a statement whose LIMIT
// is a parameter.
type statements struct {
	db *sql.DB

	mu    sync.Mutex
	known map[string]*sql.Stmt
	seen  map[string]int
}

func newStatements(db *sql.DB) *statements {
	return &statements{db: db, known: map[string]*sql.Stmt{}, seen: map[string]int{}}
}

// find gives a statement if it is prepared. due says that it should be.
func (s *statements) find(query string) (prepared *sql.Stmt, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.known[query]; st != nil {
		return st, false
	}
	if len(query) > maxStatement || len(s.known) >= maxStatements {
		return nil, false
	}
	if len(s.seen) > 10*maxStatements { // texts that differ each time
		clear(s.seen)
	}
	s.seen[query]++
	return nil, s.seen[query] == oftenUsed
}

// prepare keeps a statement. One that cannot be prepared is run as it is, and fails there.
func (s *statements) prepare(ctx context.Context, query string) *sql.Stmt {
	st, err := s.db.PrepareContext(ctx, query)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.known[query]; old != nil || len(s.known) >= maxStatements { // somebody was faster
		st.Close() //nolint:sqlclosecheck // the others are kept
		return old
	}
	s.known[query] = st
	return st
}

func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, st := range s.known {
		errs = append(errs, st.Close())
	}
	clear(s.known)
	return errors.Join(errs...)
}
