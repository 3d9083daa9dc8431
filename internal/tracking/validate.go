package tracking

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Bounds, in characters, and the numbers of a batch: those of MLflow's
// mlflow/utils/validation.py (3.17).
const (
	maxKey           = 250
	maxParamValue    = 6000
	maxTagValue      = 8000
	maxName          = 500 // of an experiment
	maxExperimentTag = 20_000
	maxLocation      = 2048
	maxUser          = 256
	maxMetrics       = 1000
	maxParams        = 100
	maxTags          = 100
	maxBatch         = 1000
	maxModelsTag     = 1 << 20 // bytes
	maxInputs        = 1000
	maxDatasetName   = 500
	maxDigest        = 36
	maxSource        = 65_535
	maxSchema        = 1_048_575
	maxProfile       = 16_777_215
	maxInputKey      = 255
	maxInputValue    = 500
	maxModelText     = 500
	maxModelParams   = 10_000 // of one logged model
	maxModelTags     = 10_000
	maxQuoted        = 300 // of a value in a message
)

var (
	runID    = regexp.MustCompile(`^[a-zA-Z0-9][\w\-]{0,255}$`)
	goodKey  = regexp.MustCompile(`^[/\pL\pN\pM\p{Pc}.\- :]*$`)
	badChars = "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)."
)

// short is a caller's text as a message may have it.
func short(s string) string {
	if len(s) > maxQuoted {
		return strings.ToValidUTF8(s[:maxQuoted], "") + "…"
	}
	return s
}

// quote writes a text as JSON, as MLflow's messages have values.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(short(s)); err != nil {
		return `""`
	}
	return strings.TrimSpace(b.String())
}

// place is the path of an element of a request.
func place(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

func at(where, field string) string {
	if where == "" {
		return field
	}
	return where + "." + field
}

// checkKey refuses keys that MLflow refuses: they may become paths.
func checkKey(key, where string) error {
	if !goodKey.MatchString(key) {
		return invalid("Invalid value %s for parameter '%s' supplied: %s", quote(key), where, badChars)
	}
	norm := path.Clean(key)
	if strings.HasPrefix(key, "//") && !strings.HasPrefix(key, "///") {
		norm = "/" + norm // as POSIX has it
	}
	if norm != key || norm == "." || strings.HasPrefix(norm, "..") || strings.HasPrefix(norm, "/") {
		return invalid("Invalid value %s for parameter '%s' supplied: Names may be treated as files in certain cases, and must not resolve to other names when treated as such. This name would resolve to '%s'",
			quote(key), where, short(norm))
	}
	return nil
}

func checkLength(what, value string, limit int) error {
	if len(value) > limit && utf8.RuneCountInString(value) > limit {
		return invalid("'%s' exceeds the maximum length of %d characters", what, limit)
	}
	return nil
}

// cut shortens a value to a number of characters. MLflow does so with long values of
// parameters and tags, since a run of hours must not fail on one.
func cut(value string, limit int) string {
	if len(value) <= limit || utf8.RuneCountInString(value) <= limit {
		return value
	}
	n := 0
	for i := range value {
		if n == limit {
			return value[:i]
		}
		n++
	}
	return value
}

func checkMetric(m Metric, where string) error {
	if err := checkKey(m.Key, at(where, "name")); err != nil {
		return err
	}
	if m.Timestamp < 0 {
		return invalid("Invalid value %d for parameter '%s' supplied: metric '%s' (value=%v). Timestamp must be a nonnegative long (64-bit integer) ", m.Timestamp, at(where, "timestamp"), short(m.Key), m.Value)
	}
	if err := checkLength("Metric name", m.Key, maxKey); err != nil {
		return err
	}
	if err := checkLength("dataset_name", m.DatasetName, maxDatasetName); err != nil {
		return err
	}
	return checkLength("dataset_digest", m.DatasetDigest, maxDigest)
}

func checkParam(p Param, where string) (Param, error) {
	if err := checkKey(p.Key, at(where, "key")); err != nil {
		return p, err
	}
	p.Value = cut(p.Value, maxParamValue)
	return p, checkLength("Param key", p.Key, maxKey)
}

func checkTag(t Tag, where string) (Tag, error) {
	if err := checkKey(t.Key, at(where, "key")); err != nil {
		return t, err
	}
	t.Value = cut(t.Value, maxTagValue)
	return t, checkLength(at(where, "key"), t.Key, maxKey)
}

func checkExperimentTag(t Tag) error {
	if err := checkKey(t.Key, "key"); err != nil {
		return err
	}
	if err := checkLength("key", t.Key, maxKey); err != nil {
		return err
	}
	return checkLength("value", t.Value, maxExperimentTag)
}

func checkExperimentName(name string) error {
	if name == "" {
		return invalid("Invalid experiment name: ''")
	}
	return checkLength("name", name, maxName)
}

// checkLocation refuses places of artifacts that would not stay one place when something is
// put below them.
func checkLocation(location string) error {
	if location == "" {
		return nil
	}
	if err := checkLength("artifact_location", location, maxLocation); err != nil {
		return err
	}
	u, err := url.Parse(location)
	switch {
	case err != nil:
		return invalid("'artifact_location' is not a valid URI")
	case u.Fragment != "" || u.RawQuery != "" || strings.Contains(u.Path, ";") || strings.ContainsAny(location, "#?"):
		return invalid("'artifact_location' URL can't include fragments or params.")
	case u.Scheme == "runs":
		return invalid("Artifact location cannot be a runs:/ URI. Given: '%s'", short(location))
	}
	return nil
}

// checked is a batch as it is logged.
func (b Batch) checked() (Batch, error) {
	out := Batch{Metrics: make([]Metric, len(b.Metrics)), Params: make([]Param, len(b.Params)), Tags: make([]Tag, len(b.Tags))}
	if err := b.bounded(); err != nil {
		return out, err
	}
	for i, m := range b.Metrics {
		if err := checkMetric(m, place("metrics", i)); err != nil {
			return out, err
		}
		m.Value = finite(m.Value)
		out.Metrics[i] = m
	}
	var err error
	seen, twice := map[string]bool{}, []string(nil)
	for i, p := range b.Params {
		if out.Params[i], err = checkParam(p, place("params", i)); err != nil {
			return out, err
		}
		if seen[p.Key] {
			twice = append(twice, "'"+p.Key+"'")
		}
		seen[p.Key] = true
	}
	for i, t := range b.Tags {
		if out.Tags[i], err = checkTag(t, place("tags", i)); err != nil {
			return out, err
		}
	}
	if twice != nil {
		return out, invalid("Duplicate parameter keys have been submitted: [%s]. Please ensure the request contains only one param value per param key.", strings.Join(twice, ", "))
	}
	return out, nil
}

func (b Batch) bounded() error {
	for _, x := range []struct {
		what     string
		n, limit int
	}{
		{"metrics", len(b.Metrics), maxMetrics}, {"params", len(b.Params), maxParams}, {"tags", len(b.Tags), maxTags},
		{"metrics, params, and tags", len(b.Metrics) + len(b.Params) + len(b.Tags), maxBatch},
	} {
		if x.n > x.limit {
			return invalid("A batch logging request can contain at most %[2]d %[1]s. Got %[3]d %[1]s. Please split up %[1]s across multiple requests and try again.", x.what, x.limit, x.n)
		}
	}
	return nil
}

func checkInputs(datasets []DatasetInput, models []string) error {
	if len(datasets)+len(models) > maxInputs {
		return invalid("A request can log at most %d inputs, but got %d", maxInputs, len(datasets)+len(models))
	}
	for _, d := range datasets {
		for _, x := range []struct {
			what, value string
			limit       int
		}{
			{"name", d.Dataset.Name, maxDatasetName}, {"digest", d.Dataset.Digest, maxDigest}, {"source_type", d.Dataset.SourceType, maxModelText},
			{"source", d.Dataset.Source, maxSource}, {"schema", d.Dataset.Schema, maxSchema}, {"profile", d.Dataset.Profile, maxProfile},
		} {
			if err := checkLength(x.what, x.value, x.limit); err != nil {
				return err
			}
		}
		if len(d.Tags) > maxTags {
			return invalid("An input can have at most %d tags, but got %d", maxTags, len(d.Tags))
		}
		for _, t := range d.Tags {
			if err := checkLength("key", t.Key, maxInputKey); err != nil {
				return err
			}
			if err := checkLength("value", t.Value, maxInputValue); err != nil {
				return err
			}
		}
	}
	for _, m := range models {
		if err := checkLength("model_id", m, maxKey); err != nil {
			return err
		}
	}
	return nil
}

func checkOutputs(models []ModelOutput) error {
	if len(models) > maxInputs {
		return invalid("A request can log at most %d outputs, but got %d", maxInputs, len(models))
	}
	for _, m := range models {
		if err := checkLength("model_id", m.ModelID, maxKey); err != nil {
			return err
		}
	}
	return nil
}

// modelName is the name of a logged model: a random one if none was given.
func modelName(name *string) (string, error) {
	if name == nil {
		return randomName(), nil
	}
	if *name == "" || strings.ContainsAny(*name, `/:.%"'`) {
		return "", invalid(`Invalid model name (%s) provided. Model name must be a non-empty string and cannot contain the following characters: ('/', ':', '.', '%%', '"', "'")`, "'"+short(*name)+"'")
	}
	return *name, checkLength("name", *name, maxName)
}

func checkModelText(kind, run string) error {
	if err := checkLength("model_type", kind, maxModelText); err != nil {
		return err
	}
	if run != "" && !runID.MatchString(run) {
		return invalid("Invalid value %s for parameter 'source_run_id' supplied.", quote(run))
	}
	return nil
}

func withModelTags(tags []Tag, set []Tag) ([]Tag, error) {
	for i, t := range set {
		t, err := checkTag(t, place("tags", i))
		if err != nil {
			return nil, err
		}
		tags = withTag(tags, t)
	}
	if len(tags) > maxModelTags {
		return nil, invalid("A model can have at most %d tags", maxModelTags)
	}
	return tags, nil
}

// withParams adds parameters, of which none may get another value.
func withParams(params []Param, add []Param) ([]Param, error) {
	now := State{Params: params}
	for i, p := range add {
		p, err := checkParam(p, place("params", i))
		if err != nil {
			return nil, err
		}
		c, err := Batch{Params: []Param{p}}.change("", now, batched)
		if err != nil {
			return nil, invalid("Changing param values is not allowed. Param with key='%s' was already logged.", short(p.Key))
		}
		now = c.State
	}
	if len(now.Params) > maxModelParams {
		return nil, invalid("A model can have at most %d params", maxModelParams)
	}
	return now.Params, nil
}

// below joins the path of a location and names below it.
func below(location string, names ...string) string {
	return strings.TrimSuffix(location, "/") + "/" + strings.Join(names, "/")
}
