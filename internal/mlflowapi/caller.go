package mlflowapi

import (
	"net/http"

	"github.com/slipway-ml/slipway"
)

// CallerOf is the caller of a use case that no request of MLflow's API asks for: of a team if
// it is given, else of the principal's only one.
func CallerOf(p slipway.Principal, team string) (Caller, error) {
	return callerOf(http.Header{}, p, team, team != "")
}
