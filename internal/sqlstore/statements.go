package sqlstore

import (
	"context"
	"database/sql"
	"errors"
)

// Bounds of what is kept prepared.
const (
	maxStatements = 100
	maxStatement  = 4096 // bytes of one
	oftenUsed     = 3    // times, from which on it is worth it
)

// statements keeps what the writer asks often prepared, as prepared does for readers: those
// that it has seen some times, since it cannot prepare one while a transaction has its
// connection. It is for the writer's goroutine alone, but for close.
type statements struct {
	db    *sql.DB
	known map[string]*sql.Stmt
	seen  map[string]int
}

func newStatements(db *sql.DB) *statements {
	return &statements{db: db, known: map[string]*sql.Stmt{}, seen: map[string]int{}}
}

// find gives a statement if it is prepared. due says that it should be.
func (s *statements) find(query string) (prepared *sql.Stmt, due bool) {
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
func (s *statements) prepare(ctx context.Context, query string) {
	if st, err := s.db.PrepareContext(ctx, query); err == nil { //nolint:sqlclosecheck // it is kept
		s.known[query] = st
	}
}

func (s *statements) close() error {
	var errs []error
	for _, st := range s.known {
		errs = append(errs, st.Close())
	}
	clear(s.known)
	return errors.Join(errs...)
}
