package registry

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/slipway-ml/slipway"
)

// Limits of what is said about models, in characters; MLflow's are the same or narrower.
const (
	maxName        = 256
	maxAlias       = 255
	maxTagKey      = 250
	maxTagValue    = 100_000
	maxTags        = 1000 // of one model, or one version
	maxDescription = 100_000
	maxSource      = 2000
	maxID          = 256
)

func invalidText(code, next, format string, args ...any) error {
	return slipway.Errorf(slipway.Invalid, code, next, format, args...)
}

// CheckName checks the name of a model by MLflow's rules. param is what the caller names it.
// Messages are MLflow's own, since its clients look into them.
func CheckName(param, name string) error {
	const next = "choose a name without / and :, of at most 256 characters"
	switch {
	case strings.TrimSpace(name) == "":
		return invalidText(slipway.CodeInvalidName, next, "Missing value for required parameter '%s'.", param)
	case strings.ContainsAny(name, "/:"):
		return invalidText(slipway.CodeInvalidName, next, "Invalid model name '%s'. Names cannot contain '/' or ':'.", shown(name))
	case resolves(name):
		return invalidText(slipway.CodeInvalidName, next, "Invalid value %s for parameter '%s' supplied: %s", quoted(name), param, badPath(name))
	case strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name):
		return invalidText(slipway.CodeInvalidName, next, "Invalid value %s for parameter '%s' supplied: Names cannot contain control characters.", quoted(name), param)
	}
	return atMost(param, maxName, name)
}

// resolves says whether a name, taken for a path, would be another one.
func resolves(name string) bool {
	return path.Clean(name) != name || name == "." || strings.HasPrefix(name, "..") || strings.HasPrefix(name, "/")
}

func badPath(name string) string {
	return fmt.Sprintf("Names may be treated as files in certain cases, and must not resolve to other names when treated as such. This name would resolve to '%s'", path.Clean(shown(name)))
}

// shown is as much of a text as a message repeats.
func shown(s string) string { return slipway.OneLine(s, 2*maxName) }

func quoted(s string) string {
	b, _ := json.Marshal(shown(s)) // a string
	return string(b)
}

func atMost(param string, limit int, s string) error {
	if len(s) > limit && utf8.RuneCountInString(s) > limit {
		return invalidText(slipway.CodeInvalid, "shorten it", "'%s' exceeds the maximum length of %d characters", param, limit)
	}
	return nil
}

// tagKeyRE is what MLflow lets into keys.
var tagKeyRE = regexp.MustCompile(`^[/\p{L}\p{N}_.\- :]*$`)

// checkTagKey checks the key of a tag.
func checkTagKey(key string) error {
	const next = "choose another key"
	switch {
	case key == "":
		return invalidText(slipway.CodeInvalid, next, "Missing value for required parameter 'key'.")
	case !tagKeyRE.MatchString(key):
		return invalidText(slipway.CodeInvalid, next, "Invalid value %s for parameter 'key' supplied: Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/).", quoted(key))
	case resolves(key):
		return invalidText(slipway.CodeInvalid, next, "Invalid value %s for parameter 'key' supplied: %s", quoted(key), badPath(key))
	}
	return atMost("key", maxTagKey, key)
}

func checkTag(key, value string) error {
	if err := checkTagKey(key); err != nil {
		return err
	}
	return atMost("value", maxTagValue, value)
}

func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return invalidText(slipway.CodeInvalid, "give fewer", "'tags' has more than %d entries", maxTags)
	}
	for k, v := range tags {
		if err := checkTag(k, v); err != nil {
			return err
		}
	}
	return nil
}

var (
	aliasRE = regexp.MustCompile(`^[\p{L}\p{N}_\-]+$`)
	// reservedRE is what clients take for a version.
	reservedRE = regexp.MustCompile(`^[vV][0-9]+$`)
)

// checkAlias checks the name of an alias that is set.
func checkAlias(alias string) error {
	if err := CheckAlias(alias); err != nil {
		return err
	}
	const next = "choose a name that says what the version is for, as champion does"
	if strings.EqualFold(alias, newest) {
		return invalidText(slipway.CodeInvalidName, next, "'latest' alias name (case insensitive) is reserved.")
	}
	if reservedRE.MatchString(alias) {
		return invalidText(slipway.CodeInvalidName, next, "Version alias name '%s' is reserved.", alias)
	}
	return nil
}

// CheckAlias checks what is looked for as an alias.
func CheckAlias(alias string) error {
	const next = "use letters, digits, _ and -, at most 255"
	switch {
	case alias == "":
		return invalidText(slipway.CodeInvalidName, next, "Registered model alias name cannot be empty.")
	case !aliasRE.MatchString(alias):
		return invalidText(slipway.CodeInvalidName, next, "Invalid alias name: '%s'. Names may only contain alphanumerics, underscores (_), and dashes (-).", shown(alias))
	}
	return atMost("Registered model alias name", maxAlias, alias)
}

// ParseNumber reads the number of a version.
func ParseNumber(s string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		return 0, invalidText(slipway.CodeInvalid, "give the number of a version", "Parameter 'version' must be an integer, got '%s'.", shown(s))
	}
	return n, nil
}

// NoModel is the NotFound of a model, in MLflow's words.
func NoModel(name string) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform models list", "Registered Model with name=%s not found", shown(name))
}

// NoVersion is the NotFound of a version, in MLflow's words.
func NoVersion(model string, number int) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform models show "+shown(model), "Model Version (name=%s, version=%d) not found", shown(model), number)
}

// NoAlias is the NotFound of an alias, in MLflow's words.
func NoAlias(model, alias string) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform models show "+shown(model), "Registered model alias %s not found.", shown(alias))
}

// Stages of a version. MLflow has deprecated them, and its clients still use them.
const (
	StageNone       = "None"
	StageStaging    = "Staging"
	StageProduction = "Production"
	StageArchived   = "Archived"
)

// Stages are all of them, in MLflow's order.
var Stages = []string{StageNone, StageStaging, StageProduction, StageArchived}

// ParseStage finds a stage, in whatever case it is written.
func ParseStage(s string) (string, error) {
	for _, stage := range Stages {
		if strings.EqualFold(s, stage) {
			return stage, nil
		}
	}
	return "", invalidText(slipway.CodeInvalid, "choose one of them", "Invalid Model Version stage: %s. Value must be one of %s.", shown(s), strings.Join(Stages, ", "))
}

// NoNewest is the NotFound of a model's newest version.
func NoNewest(model string) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "register a version", "Latest version not found for model %s.", shown(model))
}

// ModelExists says that a name is taken: by a model, or by a prompt, which is one with a tag.
func ModelExists(name string, isPrompt, wantPrompt bool) error {
	kinds := map[bool]string{false: "Registered Model", true: "Prompt"}
	e := slipway.Errorf(slipway.Conflict, slipway.CodeExists, "use it, or choose another name", "%s (name=%s) already exists.", kinds[wantPrompt], shown(name))
	if isPrompt != wantPrompt {
		e.Message = fmt.Sprintf("Tried to create a %s with name '%s', but the name is already taken by a %s. MLflow does not allow creating a model and a prompt with the same name.",
			strings.ToLower(kinds[wantPrompt]), shown(name), strings.ToLower(kinds[isPrompt]))
	}
	return e
}
