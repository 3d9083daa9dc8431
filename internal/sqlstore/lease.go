package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/slipway-ml/slipway"
)

// leaseName is the one lease there is: whoever holds it writes.
const leaseName = "server"

// fence is the lease that this process holds. Every transaction looks at it first, so that
// a holder that was paused, and has lost it since, writes nothing any more.
type fence struct {
	holder string
	term   int64
}

func notLeader() error {
	return slipway.Errorf(slipway.Unavailable, slipway.CodeNotLeader, "try again in a second: the other server answers", "another server has taken over the database")
}

// Acquire takes the lease for a time, by the clock of the database, unless somebody else
// has it: then it answers who. From the moment it has the lease each Write is refused with
// CodeNotLeader once another holder has taken it. Holders must have different names. From
// one that is known to be dead, empty if none is, it is taken at once.
func (db *DB) Acquire(ctx context.Context, holder, dead string, ttl time.Duration) (by string, err error) {
	var f fence
	err = db.exclusive(ctx, func(ctx context.Context, tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `INSERT INTO lease (name, holder, term, expires) VALUES ($1, $2, 1, `+db.clock+` + $3)
			ON CONFLICT (name) DO UPDATE SET holder = $2, term = lease.term + 1, expires = `+db.clock+` + $3
			WHERE lease.expires < `+db.clock+` OR lease.holder = $2 OR lease.holder = $4
			RETURNING holder, term`, leaseName, holder, ttl.Microseconds(), dead).Scan(&f.holder, &f.term)
		if errors.Is(err, sql.ErrNoRows) {
			return tx.QueryRowContext(ctx, `SELECT holder FROM lease WHERE name = $1`, leaseName).Scan(&by)
		}
		return err
	})
	if err == nil && by == "" {
		db.fence.Store(&f)
	}
	return by, classify(err)
}

// Renew keeps the lease for a time from now. It answers CodeNotLeader when another holder
// has it.
func (db *DB) Renew(ctx context.Context, ttl time.Duration) error {
	f := db.fence.Load()
	if f == nil {
		return notLeader()
	}
	err := db.exclusive(ctx, func(ctx context.Context, tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `UPDATE lease SET expires = `+db.clock+` + $1 WHERE name = $2 AND holder = $3 AND term = $4`,
			ttl.Microseconds(), leaseName, f.holder, f.term)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(notLeader(), err)
		}
		return nil
	})
	return classify(err)
}

// Release lets the lease go, so that the next server need not wait. Nothing is written by
// this process from then on.
func (db *DB) Release(ctx context.Context) error {
	f := db.fence.Load()
	if f == nil {
		return nil
	}
	return classify(db.exclusive(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE lease SET expires = 0 WHERE name = $1 AND holder = $2 AND term = $3`, leaseName, f.holder, f.term)
		return err
	}))
}

// guard answers CodeNotLeader when the lease that this process holds is another's. Without
// one there is nothing to guard: a lock on the file says who writes.
func (db *DB) guard(ctx context.Context, tx *sql.Tx) error {
	f := db.fence.Load()
	if f == nil {
		return nil
	}
	var term int64
	err := tx.QueryRowContext(ctx, `SELECT term FROM lease WHERE name = $1 AND holder = $2`, leaseName, f.holder).Scan(&term)
	switch {
	case errors.Is(err, sql.ErrNoRows) || err == nil && term != f.term:
		return notLeader()
	default:
		return err
	}
}

// Claim binds the database to a home directory, once and for all, and answers the one to
// which it is bound.
func (db *DB) Claim(ctx context.Context, home string) (bound string, err error) {
	err = db.exclusive(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO lease (name, holder, term, expires) VALUES ('home', $1, 0, 0) ON CONFLICT (name) DO NOTHING`, home)
		if err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT holder FROM lease WHERE name = 'home'`).Scan(&bound)
	})
	return bound, classify(err)
}
