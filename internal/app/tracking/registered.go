package tracking

import (
	"encoding/json"
	"fmt"
	"strings"
)

// VersionsTag is the tag of a logged model in which MLflow's clients find the versions that were
// made of it, as a JSON list of names and numbers.
const VersionsTag = "mlflow.modelVersions"

// eachOnce takes what the list of versions has twice out of it: a client adds to it what the
// server has added, with a text as the number. What is no such list stays as it is.
func eachOnce(value string) string {
	var all []struct {
		Name    string `json:"name"`
		Version any    `json:"version"`
	}
	d := json.NewDecoder(strings.NewReader(value))
	d.UseNumber()
	if d.Decode(&all) != nil {
		return value
	}
	type version struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	out := []version{}
	seen := map[version]bool{}
	for _, v := range all {
		if one := (version{v.Name, fmt.Sprint(v.Version)}); !seen[one] {
			seen[one] = true
			out = append(out, one)
		}
	}
	b, err := json.Marshal(out)
	if err != nil {
		return value
	}
	return string(b)
}
