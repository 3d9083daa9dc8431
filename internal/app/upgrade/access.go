package upgrade

import (
	"context"
	"slices"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz/policyset"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	identitystore "github.com/slipway-ml/slipway/internal/sqlstore/identity"
	policysetstore "github.com/slipway-ml/slipway/internal/sqlstore/policyset"
	reviewstore "github.com/slipway-ml/slipway/internal/sqlstore/review"
)

// accountsSchema is the first schema with accounts: builds before it know one owner, who
// may do everything, and tokens without limits.
const accountsSchema = 3

// policiesSchema is the first with policies of the installation's own: builds before it
// would allow what those forbid.
const policiesSchema = 7

// keepsAccess refuses a downgrade after which somebody could do more than now, or nobody
// would know any more who may do what.
func keepsAccess(ctx context.Context, db *sqlstore.DB, target About) error {
	if target.Schema < policiesSchema {
		all, err := policysetstore.New(db).Versions(ctx)
		if err != nil {
			return err
		}
		reviews, err := reviewstore.New(db).Reviews(ctx)
		if err != nil {
			return err
		}
		if len(reviews) > 0 {
			return refused("%s knows no reviews of access, and that of %s would be lost", target.Version, reviews[0].Quarter)
		}
		if v := policyset.InForce(all); v.Text != "" {
			return refused("%s knows no policies of the installation's own, and version %d is in force", target.Version, v.Number)
		}
	}
	if target.Schema >= accountsSchema {
		return nil
	}
	store := identitystore.New(db)
	accounts, err := store.Accounts(ctx)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		roles := slices.DeleteFunc(slices.Clone(a.Roles), func(r slipway.Role) bool { return r == slipway.Role{Name: slipway.RoleOwner} })
		if a.Name != "owner" || len(roles) > 0 || a.Clearance != "" || !a.Disabled.IsZero() {
			return refused("%s knows one owner and no accounts: %s and its roles would be lost", target.Version, a.Name)
		}
	}
	tokens, err := store.Tokens(ctx)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if isLimited(t) {
			return refused("%s knows no limits of tokens, and %s of %s has one", target.Version, t.ID, t.Account)
		}
	}
	return nil
}

// isLimited says whether a token may do less than the owner, in a way that an older build
// would forget.
func isLimited(t identity.Token) bool {
	return len(t.Limit.Actions)+len(t.Limit.Teams)+len(t.Limit.Endpoints) > 0 && t.Revoked.IsZero()
}
