package event_test

import (
	"context"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

func TestStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		eventtest.Run(t, func(t *testing.T) (eventtest.Reader, eventtest.Record) {
			db := open(t)
			return event.New(db), func(ctx context.Context, fail error, events ...slipway.Event) error {
				return db.Write(ctx, events, func(tx *sqlstore.Tx) error {
					if _, err := tx.Exec(`INSERT INTO veto (gateway, seq) SELECT 'g', COALESCE(MAX(seq), 0) + 1 FROM veto`); err != nil {
						return err
					}
					return fail
				})
			}
		})
	})
}
