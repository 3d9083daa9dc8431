package pyenv

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
)

// What uv prints when it cannot build an environment.
var (
	nothingFits = regexp.MustCompile(`Because ([A-Za-z0-9._-]+) was not found in the package registry`)
	noVersion   = regexp.MustCompile(`there is no version of ([A-Za-z0-9._-]+)`)
	onlyVersion = regexp.MustCompile(`Because only ([A-Za-z0-9._-]+?)[=<>~!][^ ]* (?:is|are) available`)
	noWheel     = regexp.MustCompile(`([A-Za-z0-9._-]+)[=<>~!0-9.]* has no wheels? with a matching|([A-Za-z0-9._-]+)[=<>~!0-9.]* has no usable wheels`)
	badLine     = regexp.MustCompile(`Couldn't parse requirement in \S+ at position (\d+)`)
	unreachable = regexp.MustCompile(`Failed to (fetch|download)|error sending request|dns error`)
	words       = regexp.MustCompile(`[A-Za-z0-9][A-Za-z0-9._-]*`)
)

// maxNamed bounds how many lines an error names.
const maxNamed = 5

// explain makes of uv's words an error that names the lines that cause it.
func (r Requirements) explain(said string) *slipway.Error {
	said = strings.Join(strings.Fields(said), " ")
	e := &slipway.Error{Code: slipway.CodeEnvironment, Kind: slipway.Unprocessable, Next: "correct the line in the model's " + RequirementsFile + ", and deploy again"}
	if l, ok := r.at(said); ok {
		e.Field, e.Message = l.place(), fmt.Sprintf("%.120q is no requirement that uv can read", l.Text)
		return e
	}
	for _, known := range []struct {
		re   *regexp.Regexp
		text string
	}{
		{nothingFits, "there is no package of that name in the index"},
		{noVersion, "there is no such version in the index"},
		{onlyVersion, "there is no such version in the index"},
		{noWheel, "there is no wheel of it for this machine and its Python, and packages are not compiled here"},
	} {
		m := known.re.FindStringSubmatch(said)
		if m == nil {
			continue
		}
		if l, ok := r.line(strings.Join(m[1:], "")); ok {
			e.Field, e.Message = l.place(), fmt.Sprintf("%.120q: %s", l.Text, known.text)
			return e
		}
	}
	if lines := r.named(said); strings.Contains(said, "No solution found") && len(lines) > 0 {
		e.Field = lines[0].place()
		var places []string
		for _, l := range lines[:min(len(lines), maxNamed)] {
			places = append(places, fmt.Sprintf("%q (%s)", l.Text, l.place()))
		}
		e.Message = "these requirements do not go together: " + strings.Join(places, ", ") + ". " + reason(said)
		e.Next = "loosen one of them, or pin versions that go together, and deploy again"
		return e
	}
	if unreachable.MatchString(said) {
		return slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, "check the server's network and index settings (UV_DEFAULT_INDEX or PIP_INDEX_URL), and deploy again",
			"the environment cannot be built: the package index does not answer")
	}
	e.Message = "the environment cannot be built: " + reason(said)
	e.Next = "see what the stage logged: platform deployments DEPLOYMENT --log"
	return e
}

// reason is the last part of what uv says.
func reason(said string) string {
	if _, cause, ok := strings.Cut(said, "cause: "); ok {
		said = cause
	}
	return slipway.OneLine(strings.TrimPrefix(said, "error: "), 500)
}

// input is the text that uv reads lines from.
func input(lines []Line) string {
	var text strings.Builder
	for _, l := range lines {
		text.WriteString(l.canonical() + "\n")
	}
	return text.String()
}

// at finds the line that uv could not parse, which it names by its byte.
func (r Requirements) at(said string) (Line, bool) {
	m := badLine.FindStringSubmatch(said)
	if m == nil {
		return Line{}, false
	}
	lines := r.Lines
	if strings.Contains(m[0], constraintsFile) {
		lines = r.Constraints
	}
	position, err := strconv.Atoi(m[1])
	if err != nil || position >= len(input(lines)) {
		return Line{}, false
	}
	return lines[strings.Count(input(lines)[:position], "\n")], true
}

// line finds the requirement of a package.
func (r Requirements) line(name string) (Line, bool) {
	all := r.all()
	i := slices.IndexFunc(all, func(l Line) bool { return l.name() == normalize(name) })
	if i < 0 {
		return Line{}, false
	}
	return all[i], true
}

// named lists the requirements whose packages a text names, in the order of the file.
func (r Requirements) named(text string) []Line {
	seen := map[string]bool{}
	for _, w := range words.FindAllString(text, -1) {
		seen[normalize(strings.TrimRight(w, ".-"))] = true
	}
	var out []Line
	for _, l := range r.all() {
		if seen[l.name()] {
			out = append(out, l)
		}
	}
	return out
}
