package sqlstore

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/slipway-ml/slipway"
)

// classify gives an error of the database its place among ours.
func classify(err error) error {
	if err == nil || errors.As(err, new(*slipway.Error)) || errors.Is(err, context.Canceled) {
		return err
	}
	e := &slipway.Error{Code: slipway.CodeInternal, Kind: slipway.Internal, Message: "the database failed", Next: "see the server's log", Cause: err}
	switch failure := failureOf(err); {
	case failure == diskFull:
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeDiskFull, slipway.Exhausted,
			"the disk of the database is full; nothing was changed", "free space on it, then try again"
	case failure == taken:
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeConflict, slipway.Conflict, "it is there already", "use it, or choose another name"
	case failure == dangling:
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeConflict, slipway.Conflict, "it refers to something that is not there", "make that first"
	case failure == busy || errors.Is(err, context.DeadlineExceeded):
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeUnavailable, slipway.Unavailable, "the database does not answer in time", "try again in a second"
	}
	return e
}

// refusedByPostgres says why a PostgreSQL server cannot be used, nil for another error. The
// driver's own text names host, user and database, and no password; it is for the log.
func refusedByPostgres(err error) error {
	var refused *pgconn.PgError
	var connect *pgconn.ConnectError
	var parse *pgconn.ParseConfigError
	e := &slipway.Error{Code: slipway.CodeDatabase, Kind: slipway.Unavailable, Cause: err}
	switch {
	case errors.As(err, &parse):
		e.Kind, e.Message, e.Next, e.Cause = slipway.Invalid, "the address of the database cannot be read", "write postgres://USER@HOST:5432/DATABASE?sslmode=require", nil
	case errors.As(err, &refused):
		switch refused.Code {
		case "28P01", "28000":
			e.Message, e.Next = "PostgreSQL does not accept the user or the password", "correct them: --database-file FILE, PGPASSWORD or ~/.pgpass"
		case "3D000":
			e.Message, e.Next = "PostgreSQL has no database of that name", "make it: CREATE DATABASE …"
		case "42501":
			e.Message, e.Next = "the user may not make tables in the database", "GRANT CREATE ON SCHEMA public TO …, or make the user the owner of the database"
		default:
			return nil
		}
	case errors.As(err, &connect):
		e.Message, e.Next = "PostgreSQL cannot be reached", "check host, port and sslmode of --database, and that it runs"
	default:
		return nil
	}
	return e
}

// storable answers Invalid for text that not every database can keep.
func storable(args []any) error {
	for _, a := range args {
		if s, ok := a.(string); ok && (!utf8.ValidString(s) || strings.ContainsRune(s, 0)) {
			return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "send text in UTF-8 without NUL", "a text is not valid UTF-8, or contains NUL")
		}
	}
	return nil
}
