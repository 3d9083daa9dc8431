package route

import "strings"

// mlflow are the paths at the public address that MLflow's clients ask for. What ends in a
// slash is all below it; below /teams/ they all are again, for one team.
var mlflow = []string{"/api/", "/ajax-api/", "/teams/", "/health", "/version", "/get-artifact", "/model-versions/get-artifact", "/graphql"}

// IsMLflow says whether a path is one that MLflow's clients ask for. Some begin with more
// than one slash, which is what becomes of a tracking URI that ends in one.
func IsMLflow(path string) bool {
	path = "/" + strings.TrimLeft(path, "/")
	for _, p := range mlflow {
		if path == p || strings.HasSuffix(p, "/") && strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}
