package pyenv

import (
	"regexp"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
)

var locked = regexp.MustCompile(`^(` + namePattern + `)==(\S+)`)

// pin leaves in a lock only the hashes that the requirements allow. uv takes those of the
// index when it makes a lock, whatever the requirements say. A package whose lines give no
// hash keeps all of them.
func (r Requirements) pin(lock string) (string, error) {
	allowed := map[string][]Line{}
	for _, l := range r.all() {
		if len(l.Hashes) > 0 {
			allowed[l.name()] = append(allowed[l.name()], l)
		}
	}
	if len(allowed) == 0 {
		return lock, nil
	}
	var out strings.Builder
	for _, entry := range entries(lock) {
		m := locked.FindStringSubmatch(entry)
		if m == nil || allowed[normalize(m[1])] == nil {
			out.WriteString(entry)
			continue
		}
		lines := allowed[normalize(m[1])]
		kept := entryHashes(entry, lines)
		if len(kept) == 0 {
			e := slipway.Errorf(slipway.Unprocessable, slipway.CodeEnvironment, "correct its hashes, or the version, and deploy again",
				"no file of %s %s in the index has a hash that the line gives", m[1], m[2])
			e.Field = lines[0].place()
			return "", e
		}
		head, _, _ := strings.Cut(entry, "\n")
		out.WriteString(strings.TrimRight(strings.TrimSpace(head), `\ `) + " --hash=" + strings.Join(kept, " --hash=") + "\n")
	}
	return out.String(), nil
}

// entryHashes are the hashes of a locked package that every line with hashes allows.
func entryHashes(entry string, lines []Line) []string {
	var kept []string
	for _, m := range hashes.FindAllStringSubmatch(entry, -1) {
		if !slices.ContainsFunc(lines, func(l Line) bool { return !slices.Contains(l.Hashes, m[1]) }) {
			kept = append(kept, m[1])
		}
	}
	return kept
}

// entries splits a lock into its packages: what follows a first line is indented.
func entries(lock string) []string {
	var out []string
	for line := range strings.Lines(lock) {
		if len(out) > 0 && strings.HasPrefix(line, " ") {
			out[len(out)-1] += line
		} else {
			out = append(out, line)
		}
	}
	return out
}
