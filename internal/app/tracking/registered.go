package tracking

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// VersionsTag is the tag of a logged model in which MLflow's clients find the versions that were
// made of it, as a JSON list of names and numbers.
const VersionsTag = "mlflow.modelVersions"

// EachOnce takes what the list of versions has twice out of it: a client adds to it what the
// server has added, with a text as the number. What is no such list stays as it is. It is
// written as MLflow's server writes it.
func EachOnce(value string) string {
	var all []struct {
		Name    string `json:"name"`
		Version any    `json:"version"`
	}
	d := json.NewDecoder(strings.NewReader(value))
	d.UseNumber()
	if d.Decode(&all) != nil {
		return value
	}
	type version struct{ name, number string }
	out := []string{}
	seen := map[version]bool{}
	for _, v := range all {
		one := version{v.Name, fmt.Sprint(v.Version)}
		name, err := json.Marshal(v.Name)
		if _, e := strconv.ParseUint(one.number, 10, 63); err != nil || e != nil {
			return value
		}
		if !seen[one] {
			seen[one] = true
			out = append(out, fmt.Sprintf(`{"name": %s, "version": %s}`, name, one.number))
		}
	}
	return "[" + strings.Join(out, ", ") + "]"
}
