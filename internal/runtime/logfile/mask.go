package logfile

import (
	"encoding/json"
	"io"
	"strings"
)

// minMasked is the length from which a value is looked for: shorter ones are in every line.
const minMasked = 6

// masked keeps the secrets of a model out of its log, though the model prints them. Each write
// is one record of JSON.
type masked struct {
	out io.Writer
	in  *strings.Replacer
}

// Mask looks for the values of an environment, and for each line of them.
func Mask(out io.Writer, env []string) io.Writer {
	var pairs []string
	for _, kv := range env {
		_, value, _ := strings.Cut(kv, "=")
		for _, part := range append([]string{value}, strings.Split(value, "\n")...) {
			if part = strings.TrimSpace(part); len(part) < minMasked {
				continue
			}
			pairs = append(pairs, quoted(part), "***")
		}
	}
	if pairs == nil {
		return out
	}
	return &masked{out, strings.NewReplacer(pairs...)}
}

// quoted is a text as it stands in a record, where alone it is looked for: so a record stays
// JSON.
func quoted(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // as slog writes it
	_ = e.Encode(text)     // a text always encodes
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(b.String()), `"`), `"`)
}

// Write writes a record without secrets.
func (m *masked) Write(p []byte) (int, error) {
	if _, err := m.in.WriteString(m.out, string(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}
