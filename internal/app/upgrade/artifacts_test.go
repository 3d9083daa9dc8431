package upgrade

import (
	"errors"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/artifact"
	artifactstore "github.com/slipway-ml/slipway/internal/sqlstore/artifact"
	"github.com/slipway-ml/slipway/internal/storetest"
)

// TestKeepsArtifacts: a build that would remove what it does not know is not given the
// database.
func TestKeepsArtifacts(t *testing.T) {
	db := storetest.SQLite(t)
	check := func(what string, schema int64, want bool) {
		t.Helper()
		err := keepsArtifacts(t.Context(), db, About{Version: "v0", Schema: schema})
		if errors.Is(err, &slipway.Error{Code: slipway.CodeDowngrade}) != want || !want && err != nil {
			t.Errorf("%s: %v, refused should be %v", what, err, want)
		}
	}
	check("without artifacts", artifactsSchema-1, false)
	f := artifact.File{Path: "1/r/x", Digest: slipway.DigestOf(nil), Team: "risk", Created: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	if err := artifactstore.New(db).Put(t.Context(), f, func(artifact.File) slipway.Event { return slipway.Event{} }); err != nil {
		t.Fatal(err)
	}
	check("with an artifact", artifactsSchema-1, true)
	check("a build that knows them", artifactsSchema, false)
}
