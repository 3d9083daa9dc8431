// Package screen is what people and programs see of the command line: the printer that
// all output goes through, and the texts of deployments, endpoints and judgements.
package screen

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

// Printer is the only way out of the commands. What is printed for people is cleaned of
// control characters first: messages, names and logs come from elsewhere.
type Printer struct {
	Out, Err io.Writer
	JSON     bool // for programs: people's text is left out
	Colour   bool
	Live     bool // lines may be replaced in place
	Width    int  // characters, 0 if unknown

	mu     sync.Mutex // uploads report from several goroutines
	shown  bool       // a line in place stands on Err
	broken error      // the first failed write to Out
}

// Broken is the first failed write of data, or nil.
func (p *Printer) Broken() error { return p.broken }

// Say prints a line of data for people.
func (p *Printer) Say(format string, args ...any) {
	if !p.JSON {
		p.Clear()
		p.Raw(p.format(format, args) + "\n")
	}
}

// Note prints a line of narrative for people.
func (p *Printer) Note(format string, args ...any) {
	if !p.JSON {
		p.Clear()
		p.narrate(p.format(format, args) + "\n")
	}
}

// Next tells what to do now: one exact command.
func (p *Printer) Next(format string, args ...any) {
	p.Note("%s %s", Dim("next:"), fmt.Sprintf(format, args...))
}

// Document prints one JSON document if programs read, and says whether they do.
func (p *Printer) Document(v any) bool {
	if p.JSON {
		b, err := json.MarshalIndent(v, "", "  ")
		p.encoded(b, err)
	}
	return p.JSON
}

// Line prints a value as a line of JSON if programs read, and says whether they do.
func (p *Printer) Line(v any) bool {
	if p.JSON {
		b, err := json.Marshal(v)
		p.encoded(b, err)
	}
	return p.JSON
}

func (p *Printer) encoded(b []byte, err error) {
	if err != nil {
		p.broken = err
		return
	}
	p.Raw(string(b) + "\n")
}

// Raw writes data as they are.
func (p *Printer) Raw(s string) {
	if _, err := io.WriteString(p.Out, s); err != nil && p.broken == nil {
		p.broken = err
	}
}

// Progress shows a line in place, on a terminal only.
func (p *Printer) Progress(format string, args ...any) {
	if p.JSON || !p.Live {
		return
	}
	line := oneLine(fmt.Sprintf(format, args...))
	if p.Width > 1 {
		line = cut(line, p.Width-1)
	}
	p.mu.Lock()
	p.shown = true
	p.mu.Unlock()
	p.narrate("\r\x1b[K" + line)
}

// Clear takes the line in place away.
func (p *Printer) Clear() {
	p.mu.Lock()
	shown := p.shown
	p.shown = false
	p.mu.Unlock()
	if shown {
		p.narrate("\r\x1b[K")
	}
}

// narrate writes to Err. Who closed it does not want to know.
func (p *Printer) narrate(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = io.WriteString(p.Err, s)
}

// format is fmt.Sprintf with clean and Text arguments.
func (p *Printer) format(format string, args []any) string {
	cleaned := make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case string:
			cleaned[i] = clean(a)
		case Text:
			cleaned[i] = p.paint(a)
		default:
			cleaned[i] = a
		}
	}
	return fmt.Sprintf(format, cleaned...)
}

func (p *Printer) paint(t Text) string {
	text := clean(t.text)
	if !p.Colour || t.style == plain || text == "" {
		return text
	}
	return "\x1b[" + string(t.style) + "m" + text + "\x1b[0m"
}

// Table prints aligned columns, the last one as wide as it is, or as the terminal allows.
func (p *Printer) Table(rows [][]Text) {
	p.Say("%s", p.Lines(rows))
}

// Lines lays out a table.
func (p *Printer) Lines(rows [][]Text) Ready {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(oneLine(c.text)))
		}
	}
	var out []string
	for _, row := range rows {
		var b strings.Builder
		used := 0
		for i, c := range row {
			text := oneLine(c.text)
			if last := i == len(row)-1; last && p.Live && p.Width > 0 {
				text = cut(text, max(p.Width-used, 8))
			}
			b.WriteString(p.paint(Text{text, c.style}))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+2))
			}
			used += widths[i] + 2
		}
		out = append(out, strings.TrimRight(b.String(), " "))
	}
	return Ready(strings.Join(out, "\n"))
}

// Replace prints text over the lines that were printed before; without a terminal, below
// them.
func (p *Printer) Replace(lines int, text Ready) {
	if p.Live && lines > 0 {
		p.Raw(fmt.Sprintf("\x1b[%dA\x1b[J", lines))
	} else if lines > 0 {
		p.Raw("\n")
	}
	p.Say("%s", text)
}
