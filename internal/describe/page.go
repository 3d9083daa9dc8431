package describe

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"strings"

	"github.com/slipway-ml/slipway/internal/tensor"
)

//go:embed page.html
var text string

var page = template.Must(template.New("page").Parse(text))

// shownFields bounds the inputs and outputs in the tables of the page.
const shownFields = 500

type line struct{ Name, Kind, Rules string }

type problem struct{ Status, Meaning string }

// Page is the endpoint's description for people, in HTML without scripts.
func (e *Endpoint) Page() ([]byte, error) {
	data := struct {
		*Endpoint
		Inputs, Outputs       []line
		More                  int
		Infer, Invocation     string
		Deadline, Body, Drops string
		Own                   bool
		Problems              []problem
	}{Endpoint: e, Inputs: lines(e.Schema.Inputs, true), Outputs: lines(e.Schema.Outputs, false), More: max(0, len(e.Schema.Inputs)-shownFields),
		Infer: pretty(e.request()), Invocation: pretty(e.invocation()), Deadline: e.Deadline.String(), Body: size(e.MaxBody), Own: e.Example != nil}
	switch e.Schema.Unknown {
	case tensor.Refuse:
		data.Drops = "Inputs that the model does not take are refused."
	case tensor.Drop:
		data.Drops = "Inputs that the model does not take are dropped."
	default:
		data.Drops = "Inputs that the model does not take are dropped at /invocations and refused at /infer."
	}
	for _, status := range predictStatuses {
		data.Problems = append(data.Problems, problem{status, meanings[status]})
	}
	var b bytes.Buffer
	err := page.Execute(&b, data)
	return b.Bytes(), err
}

func size(bytes int64) string {
	if bytes%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d bytes", bytes)
}

func lines(fields []tensor.Field, input bool) []line {
	var out []line
	for i := range fields {
		if i == shownFields {
			break
		}
		f := &fields[i]
		l := line{Name: f.Name, Kind: kind(f)}
		if input {
			l.Rules = strings.Join(rules(f), ", ")
		}
		out = append(out, l)
	}
	return out
}

func rules(f *tensor.Field) []string {
	need := "optional"
	if f.Needed() {
		need = "required"
	}
	out := []string{need}
	if f.Format != "" {
		out = append(out, f.Format)
	}
	if f.Min != nil {
		out = append(out, fmt.Sprintf("at least %g", *f.Min))
	}
	if f.Max != nil {
		out = append(out, fmt.Sprintf("at most %g", *f.Max))
	}
	if f.Missing == tensor.Refuse {
		out = append(out, "never missing")
	}
	if n := len(f.Enum); n > 20 {
		out = append(out, fmt.Sprintf("one of %d values", n))
	} else if n > 0 {
		out = append(out, "one of "+strings.Join(f.Enum, " | "))
	}
	return out
}

// pretty puts the members of objects on lines of their own, and leaves arrays on one line.
func pretty(raw json.RawMessage) string {
	var b strings.Builder
	var open []byte // the brackets around
	indent := func() { b.WriteString("\n" + strings.Repeat("  ", bytes.Count(open, []byte("{")))) }
	quoted := false
	for i, c := range raw {
		if c == '"' && !escaped(raw[:i]) {
			quoted = !quoted
		}
		if quoted {
			b.WriteByte(c)
			continue
		}
		switch c {
		case '{', '[':
			open = append(open, c)
		case '}', ']':
			open = open[:len(open)-1]
		}
		if c == '}' {
			indent()
		}
		b.WriteByte(c)
		switch {
		case c == '{', c == ',' && open[len(open)-1] == '{':
			indent()
		case c == ',' || c == ':':
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// escaped tells whether the byte after a text is escaped by it.
func escaped(before []byte) bool { return (len(before)-len(bytes.TrimRight(before, "\\")))%2 == 1 }
