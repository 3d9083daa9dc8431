package registry_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/internal/query"
	models "github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/registry"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

// BenchmarkManyVersions asks about one model of 10,000 versions.
func BenchmarkManyVersions(b *testing.B) {
	db, err := sqlstore.Open(b.Context(), sqlstore.Options{Path: b.TempDir() + "/db", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	s := registry.New(db)
	now := time.Now()
	if err := s.AddModel(b.Context(), models.Model{Name: "m", Team: "risk", Created: now, Updated: now}, nil, eventtest.At(now, "m")); err != nil {
		b.Fatal(err)
	}
	err = db.Write(b.Context(), nil, func(tx *sqlstore.Tx) error {
		for i := range 10_000 {
			if _, err := tx.Exec(`INSERT INTO version (model, number, digest, source, created, actor, updated, files) VALUES ('m', $1, '', 's3://b/x', $2, 'ada', $2, '[]')`, i+1, now.UnixMicro()+int64(i)); err != nil {
				return err
			}
			for k, v := range map[string]string{"env": "prod", "i": fmt.Sprint(i), "ten": fmt.Sprint(i % 10)} {
				if _, err := tx.Exec(`INSERT INTO version_tag (model, number, key, value) VALUES ('m', $1, $2, $3)`, i+1, k, v); err != nil {
					return err
				}
			}
		}
		_, err := tx.Exec(`UPDATE model SET latest = 10000`)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, number := range []int{4321, 0} {
		b.Run(fmt.Sprint("version ", number), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Detail(b.Context(), "m", number); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("model", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Entry(b.Context(), "m"); err != nil {
				b.Fatal(err)
			}
		}
	})
	attr := func(key string, desc bool) query.Order {
		return query.Order{Entity: query.Attribute, Key: key, Desc: desc}
	}
	order := []query.Order{attr(models.KeyUpdated, true), attr(models.KeyName, false), attr(models.KeyNumber, true)}
	for _, filter := range []string{"", "tags.env = 'prod'", "tags.i = '777'", "tags.ten = '3'", "tags.env != 'prod'", "tags.i LIKE '77%'", "version_number > 5000", "version_number > 9990", "version_number < 100", "version_number <= 9000"} {
		all := "name = 'm'"
		if filter != "" {
			all += " AND " + filter
		}
		where, err := query.ModelVersions.Filter(all)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("search "+filter, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.SearchVersions(b.Context(), models.Query{Where: where, Order: order, Limit: 101}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
