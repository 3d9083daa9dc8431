package plan

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/slipway-ml/slipway"
)

// Text prints a plan for people: a line for each change, marked + for added, - for removed
// and ~ for changed, with where the new value comes from. Nothing in it can move a
// terminal's cursor, whatever a model or a file calls its columns.
func (p Plan) Text() string {
	var b strings.Builder
	switch {
	case p.Empty():
		fmt.Fprintf(&b, "%s: no changes against %s\n", p.Endpoint, p.Live)
	case p.Live == "":
		fmt.Fprintf(&b, "%s: nothing is live → %s\n", p.Endpoint, plain(p.Version))
	default:
		fmt.Fprintf(&b, "%s: %s → %s\n", p.Endpoint, plain(p.Live), plain(p.Version))
	}
	for _, s := range p.Sections {
		rows := make([][]string, len(s.Changes))
		for i, c := range s.Changes {
			rows[i] = c.row()
		}
		table(&b, s.Name, rows)
	}
	if len(p.Metrics) > 0 && !p.Empty() {
		rows := make([][]string, len(p.Metrics))
		for i, m := range p.Metrics {
			rows[i] = m.row(p.Live != "")
		}
		table(&b, "metrics of the last validation", rows)
	}
	return b.String()
}

// row prints a change as mark and path, values, and origin.
func (c Change) row() []string {
	show := func(v string) string {
		if d, err := slipway.ParseDigest(v); err == nil && c.Path == "digest" {
			return d.Short()
		}
		return plain(v)
	}
	origin := ""
	switch c.Origin {
	case "":
	case "file":
		origin = "(platform.yaml)"
	default:
		origin = "(" + plain(c.Origin) + ")"
	}
	path := plain(c.Path)
	switch c.Kind {
	case Added:
		return []string{"+ " + path, show(c.New), origin}
	case Removed:
		return []string{"- " + path, show(c.Old), ""}
	}
	return []string{"~ " + path, show(c.Old) + " → " + show(c.New), origin}
}

// row prints a metric as name, figures and bounds.
func (m Metric) row(live bool) []string {
	figures := figure(m.Next, "not validated yet")
	if live {
		figures = figure(m.Live, "not known") + " → " + figures
	}
	var bounds []string
	if m.Min != nil {
		bounds = append(bounds, "at least "+number(*m.Min))
	}
	if m.Max != nil {
		bounds = append(bounds, "at most "+number(*m.Max))
	}
	if m.MaxRegression != nil {
		bounds = append(bounds, "at most "+number(*m.MaxRegression)+" worse than live")
	}
	return []string{"  " + plain(m.Name), figures, strings.Join(bounds, ", ")}
}

func figure(v *float64, without string) string {
	if v == nil {
		return without
	}
	return number(*v)
}

// number prints the shortest digits that give the number back.
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// table prints rows with aligned columns below a title.
func table(b *strings.Builder, title string, rows [][]string) {
	b.WriteString("\n" + title + "\n")
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], min(utf8.RuneCountInString(cell), 60))
		}
	}
	for _, row := range rows {
		line := " "
		for i, cell := range row {
			line += " " + cell + strings.Repeat(" ", 1+max(0, widths[i]-utf8.RuneCountInString(cell)))
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// plain prints a text as it is, or quoted where it would not look as it is.
func plain(s string) string {
	if s == "" || s != strings.TrimSpace(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
		return strconv.Quote(s)
	}
	return s
}
