package upgrade

import (
	"context"

	"github.com/slipway-ml/slipway/internal/sqlstore"
	protectstore "github.com/slipway-ml/slipway/internal/sqlstore/protect"
)

// protectionSchema is the first with protected aliases.
const protectionSchema = 12

// keepsProtection refuses a downgrade after which anybody could move what is protected, and
// the record of who approved what would be gone.
func keepsProtection(ctx context.Context, db *sqlstore.DB, target About) error {
	if target.Schema >= protectionSchema {
		return nil
	}
	rules, err := protectstore.New(db).Rules(ctx, "", "", true)
	if err == nil && len(rules) > 0 {
		err = refused("%s knows no protected aliases: the rule %s and what was approved by it would be lost", target.Version, rules[0].ID)
	}
	return err
}
