package sqlstore

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"os"

	"github.com/pressly/goose/v3"

	"github.com/slipway-ml/slipway"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema is the newest schema that this program knows.
func Schema() int64 {
	files, _ := migrations.ReadDir("migrations") // embedded
	newest := int64(0)
	for _, f := range files {
		n, _ := goose.NumericComponent(f.Name())
		newest = max(newest, n)
	}
	return newest
}

func (d *dialect) provider() (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(d.goose, d.write, dir, append(d.migrating, goose.WithSlog(slog.New(slog.DiscardHandler)))...)
}

// SchemaOf gives the schema of a database as it is, 0 for one that is still empty,
// and brings nothing up to date.
func SchemaOf(ctx context.Context, o Options) (schema int64, err error) {
	d, err := connect(o)
	if err != nil {
		return 0, openError(err)
	}
	p, err := d.provider()
	if err == nil {
		schema, err = p.GetDBVersion(ctx)
	}
	if err != nil {
		err = openError(err)
	}
	return schema, errors.Join(err, d.close())
}

// Downgrade takes a database back to an older schema, a migration at a time, each in a
// transaction: one that is interrupted goes on when it is called again. The caller has
// made sure that nobody uses the database.
func Downgrade(ctx context.Context, o Options, schema int64) error {
	d, err := connect(o)
	if err != nil {
		return openError(err)
	}
	p, err := d.provider()
	if err == nil {
		_, err = p.DownTo(ctx, schema)
	}
	if err != nil {
		err = openError(err)
	}
	return errors.Join(err, d.close())
}

// Backup writes a copy of a SQLite database to a file that is not there yet.
func Backup(ctx context.Context, path, file string) (err error) {
	if _, err := os.Lstat(file); err == nil {
		return slipway.Errorf(slipway.Conflict, slipway.CodeIO, "move it away", "%s exists already", file)
	}
	d, err := connectSQLite(path)
	if err != nil {
		return openError(err)
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if _, err := d.write.ExecContext(ctx, "VACUUM INTO $1", file); err != nil {
		return openError(err)
	}
	return os.Chmod(file, 0o600)
}
