package sqlstore

import (
	"context"
	"log/slog"
	"time"

	"github.com/pressly/goose/v3"
)

// PostgreSQL guesses how to find rows until it has looked at them, and its own look comes up
// to a minute late: a registry that was just filled would be walked through, version by
// version. So it is asked to look each time as much was written as ever before. SQLite is
// told the way in each statement.
const (
	firstLook = 200 // calls of Write
	lookLimit = time.Minute
)

// statistics counts what is written. Only the writer uses it.
type statistics struct {
	written, next int
	due           chan struct{} // has an item when it is time to look
}

func (s *statistics) add(calls int) {
	if s.written += calls; s.written < s.next {
		return
	}
	s.next = 2 * s.written
	select {
	case s.due <- struct{}{}:
	default: // a look is under way, and another one follows
	}
}

// look lets PostgreSQL look at its tables whenever it is due.
func (db *DB) look(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-db.statistics.due:
		}
		limited, cancel := context.WithTimeout(ctx, lookLimit)
		if _, err := db.read.ExecContext(limited, "ANALYZE"); err != nil && ctx.Err() == nil {
			db.log.Warn("PostgreSQL did not look at its tables", slog.Any("error", classify(err)))
		}
		cancel()
	}
}

// looks says whether the database wants to be asked.
func (d *dialect) looks() bool { return d.goose == goose.DialectPostgres }
