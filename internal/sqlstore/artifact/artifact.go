// Package artifact implements artifact.Store, artifact.Roots, artifact.Ledger and artifact.Uploads on SQL.
package artifact

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"path"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/artifact"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Store keeps artifacts.
type Store struct{ db *sqlstore.DB }

// New makes a Store.
func New(db *sqlstore.DB) *Store { return &Store{db} }

var (
	_ artifact.Store   = (*Store)(nil)
	_ artifact.Roots   = (*Store)(nil)
	_ artifact.Ledger  = (*Store)(nil)
	_ artifact.Uploads = (*Store)(nil)
)

// split gives the directory and the name of a path; the top directory is empty.
func split(p string) (dir, name string) {
	dir, name = path.Split(p)
	return strings.TrimSuffix(dir, "/"), name
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

func inTheWay(what string) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeArtifactPath, "choose another path, or delete what is there", "Invalid path: %s", what)
}

// maxTries bounds how often a change is tried that others race with.
const maxTries = 10

var errRaced = slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, "try again in a second", "what lies there changes all the time")

// Put implements artifact.Store.
func (s *Store) Put(ctx context.Context, f artifact.File, replaced func(artifact.File) slipway.Event) error {
	return s.putting(ctx, f, replaced, func(*sqlstore.Tx) error { return nil })
}

// putting puts a file and does something else in the same commit. Whether that has an event
// depends on what lies there, which is looked at before and must be the same still.
func (s *Store) putting(ctx context.Context, f artifact.File, replaced func(artifact.File) slipway.Event, also func(*sqlstore.Tx) error) (err error) {
	for range maxTries {
		old, e := s.File(ctx, f.Path)
		if e != nil && !errors.Is(e, &slipway.Error{Code: slipway.CodeNotFound}) {
			return e
		}
		var events []slipway.Event
		if old.Digest != "" && old.Digest != f.Digest {
			events = append(events, replaced(old))
		}
		err = s.db.Write(ctx, events, func(tx *sqlstore.Tx) error {
			if err := put(tx, f, old.Digest); err != nil {
				return err
			}
			return also(tx)
		})
		if !errors.Is(err, errRaced) {
			return err
		}
	}
	return err
}

// put makes f what lies at its path, where what is known lies now, if anything.
func put(tx *sqlstore.Tx, f artifact.File, known slipway.Digest) error {
	dir, name := split(f.Path)
	var n int
	if err := tx.QueryRow([]any{&n}, `SELECT COUNT(*) FROM artifact_dir WHERE path = $1`, f.Path); err != nil {
		return err
	}
	if n > 0 {
		return inTheWay("a directory of that name is there")
	}
	if err := makeDirs(tx, dir); err != nil {
		return err
	}
	old, err := scan(f.Path, func(dest []any) error { return tx.QueryRow(dest, selectFile, dir, name) })
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if old.Digest != known {
		return errRaced
	}
	if old.Digest != "" && old.Digest != f.Digest {
		if err := unused(tx, old.Digest); err != nil {
			return err
		}
	}
	_, err = tx.Exec(`INSERT INTO artifact (dir, name, digest, size, type, team, actor, created) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (dir, name) DO UPDATE SET digest = excluded.digest, size = excluded.size, type = excluded.type, team = excluded.team, actor = excluded.actor, created = excluded.created`,
		dir, name, string(f.Digest), f.Size, f.Type, f.Team, f.By, sqlstore.Micros(f.Created))
	return err
}

func unused(tx *sqlstore.Tx, d slipway.Digest) error {
	_, err := tx.Exec(`INSERT INTO artifact_unused (digest) VALUES ($1) ON CONFLICT DO NOTHING`, string(d))
	return err
}

// makeDirs makes a directory and those that it lies in, from the bottom up until one is there.
func makeDirs(tx *sqlstore.Tx, dir string) error {
	for dir != "" {
		parent, name := split(dir)
		n, err := tx.Exec(`INSERT INTO artifact_dir (path, parent, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, dir, parent, name)
		if err != nil || n == 0 {
			return err
		}
		var files int
		if err := tx.QueryRow([]any{&files}, `SELECT COUNT(*) FROM artifact WHERE dir = $1 AND name = $2`, parent, name); err != nil {
			return err
		}
		if files > 0 {
			return inTheWay("a file is where a directory should be")
		}
		dir = parent
	}
	return nil
}

const selectFile = `SELECT digest, size, type, team, actor, created FROM artifact WHERE dir = $1 AND name = $2`

func scan(p string, into func(dest []any) error) (artifact.File, error) {
	f := artifact.File{Path: p}
	var created int64
	err := into([]any{&f.Digest, &f.Size, &f.Type, &f.Team, &f.By, &created})
	f.Created = sqlstore.Time(created)
	return f, err
}

// File implements artifact.Store.
func (s *Store) File(ctx context.Context, p string) (artifact.File, error) {
	dir, name := split(p)
	return scan(p, func(dest []any) error { return s.db.QueryRow(ctx, "such artifact", dest, selectFile, dir, name) })
}

// List implements artifact.Store. Either half is a range of an index.
func (s *Store) List(ctx context.Context, dir, after string, limit int) ([]artifact.Entry, error) {
	var out []artifact.Entry
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var e artifact.Entry
		err := rows.Scan(&e.Name, &e.Size)
		if e.Dir = e.Size < 0; e.Dir {
			e.Size = 0
		}
		out = append(out, e)
		return err
	}, `SELECT name, size FROM (SELECT name, size FROM artifact WHERE dir = $1 AND name > $2 ORDER BY name LIMIT $3) AS files
		UNION ALL SELECT name, size FROM (SELECT name, -1 AS size FROM artifact_dir WHERE parent = $1 AND name > $2 ORDER BY name LIMIT $3) AS dirs
		ORDER BY name LIMIT $3`, dir, after, limit)
	return out, err
}

// below is a directory and all that lie in it.
const below = `WITH RECURSIVE below (path) AS (
		SELECT path FROM artifact_dir WHERE path = $1
		UNION ALL SELECT d.path FROM artifact_dir d JOIN below ON d.parent = below.path) `

// Below implements artifact.Store.
func (s *Store) Below(ctx context.Context, p string, after artifact.File, limit int) ([]artifact.File, error) {
	dir, name := split(p)
	afterDir, afterName := split(after.Path)
	var out []artifact.File
	err := s.db.Query(ctx, func(rows *sql.Rows) error {
		var dir, name string
		f, err := scan("", func(dest []any) error { return rows.Scan(append([]any{&dir, &name}, dest...)...) })
		f.Path = join(dir, name)
		out = append(out, f)
		return err
	}, below+`SELECT dir, name, digest, size, type, team, actor, created FROM artifact
		WHERE (dir IN (SELECT path FROM below) OR dir = $2 AND name = $3) AND (dir > $4 OR dir = $4 AND name > $5)
		ORDER BY dir, name LIMIT $6`, p, dir, name, afterDir, afterName, limit)
	return out, err
}

// Delete implements artifact.Store.
func (s *Store) Delete(ctx context.Context, p string, ev slipway.Event) (files int, bytes int64, err error) {
	dir, name := split(p)
	const these = ` FROM artifact WHERE dir IN (SELECT path FROM below) OR dir = $2 AND name = $3`
	ev.Detail = maps.Clone(ev.Detail)
	err = s.db.Write(ctx, []slipway.Event{ev}, func(tx *sqlstore.Tx) error {
		files, bytes = 0, 0
		if err := tx.QueryRow([]any{&files, &bytes}, below+`SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT)`+these, p, dir, name); err != nil {
			return err
		}
		if files == 0 {
			return sqlstore.Missing("such artifact")
		}
		for _, statement := range []string{`INSERT INTO artifact_unused (digest) SELECT DISTINCT digest` + these + ` ON CONFLICT DO NOTHING`, `DELETE` + these} {
			if _, err := tx.Exec(below+statement, p, dir, name); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(below+`DELETE FROM artifact_dir WHERE path IN (SELECT path FROM below)`, p); err != nil {
			return err
		}
		ev.Detail["files"], ev.Detail["bytes"] = strconv.Itoa(files), strconv.FormatInt(bytes, 10)
		return prune(tx, dir)
	})
	if err != nil {
		return 0, 0, err
	}
	return files, bytes, nil
}

// prune removes directories, from the bottom up, until one has something in it.
func prune(tx *sqlstore.Tx, dir string) error {
	for dir != "" {
		n, err := tx.Exec(`DELETE FROM artifact_dir WHERE path = $1 AND NOT EXISTS (SELECT 1 FROM artifact WHERE dir = $1)
			AND NOT EXISTS (SELECT 1 FROM artifact_dir WHERE parent = $1)`, dir)
		if err != nil || n == 0 {
			return err
		}
		dir, _ = split(dir)
	}
	return nil
}
