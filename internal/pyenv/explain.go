package pyenv

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
)

// What uv prints when it cannot build an environment.
var (
	nothingFits = regexp.MustCompile(`Because ([A-Za-z0-9._-]+) was not found in the package registry`)
	noVersion   = regexp.MustCompile(`there is no version of ([A-Za-z0-9._-]+)`)
	noWheel     = regexp.MustCompile(`([A-Za-z0-9._-]+)[=<>~!0-9.]* has no wheels? with a matching|([A-Za-z0-9._-]+)[=<>~!0-9.]* has no usable wheels`)
	words       = regexp.MustCompile(`[A-Za-z0-9][A-Za-z0-9._-]*`)
)

// maxNamed bounds how many lines an error names.
const maxNamed = 5

// explain makes of uv's words an error that names the lines that cause it.
func (r Requirements) explain(said string) *slipway.Error {
	said = strings.Join(strings.Fields(said), " ")
	e := &slipway.Error{Code: slipway.CodeEnvironment, Kind: slipway.Unprocessable, Next: "correct the line in the model's " + RequirementsFile + ", and deploy again"}
	for _, known := range []struct {
		re   *regexp.Regexp
		text string
	}{
		{nothingFits, "there is no package of that name in the index"},
		{noVersion, "there is no such version in the index"},
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
	e.Message = "the environment cannot be built: " + reason(said)
	e.Next = "see the log of the stage environment"
	return e
}

// reason is the last part of what uv says.
func reason(said string) string {
	if _, cause, ok := strings.Cut(said, "cause: "); ok {
		said = cause
	}
	return slipway.OneLine(strings.TrimPrefix(said, "error: "), 500)
}

// line finds the requirement of a package.
func (r Requirements) line(name string) (Line, bool) {
	i := slices.IndexFunc(r.Lines, func(l Line) bool { return l.name() == normalize(name) })
	if i < 0 {
		return Line{}, false
	}
	return r.Lines[i], true
}

// named lists the requirements whose packages a text names, in the order of the file.
func (r Requirements) named(text string) []Line {
	seen := map[string]bool{}
	for _, w := range words.FindAllString(text, -1) {
		seen[normalize(strings.TrimRight(w, ".-"))] = true
	}
	var out []Line
	for _, l := range r.Lines {
		if seen[l.name()] {
			out = append(out, l)
		}
	}
	return out
}
