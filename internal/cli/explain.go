package cli

import (
	"context"
	_ "embed"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

// explanations has a section for each error code: "## CODE title", what it means, a line
// that begins with "Do: ", and one that begins with "Next: ".
//
//go:embed explain.md
var explanations string

// explanation is what a code means.
type explanation struct {
	Code    string `json:"code"`
	Title   string `json:"title"`
	Meaning string `json:"meaning"`
	Do      string `json:"do"`
	Next    string `json:"next"`
}

func readExplanations() []explanation {
	var out []explanation
	for _, section := range strings.Split(explanations, "\n## ")[1:] {
		head, body, _ := strings.Cut(section, "\n")
		code, title, _ := strings.Cut(head, " ")
		e := explanation{Code: code, Title: title}
		for _, paragraph := range strings.Split(strings.TrimSpace(body), "\n\n") {
			text := strings.ReplaceAll(paragraph, "\n", " ")
			if do, ok := strings.CutPrefix(text, "Do: "); ok {
				e.Do = do
			} else if next, ok := strings.CutPrefix(text, "Next: "); ok {
				e.Next = next
			} else {
				e.Meaning = text
			}
		}
		out = append(out, e)
	}
	return out
}

func (s *session) explainCmd() *cobra.Command {
	return command("explain [CODE]", "Say what an error code means and what to do", "  platform explain SLIP-E0301\n  platform explain", cobra.MaximumNArgs(1),
		func(_ context.Context, args []string) error {
			if len(args) == 0 {
				return s.listExplanations()
			}
			return s.explain(args[0])
		})
}

func (s *session) explain(code string) error {
	digits := strings.TrimPrefix(strings.TrimPrefix(strings.ToUpper(code), "SLIP-"), "E")
	for _, e := range readExplanations() {
		if strings.TrimPrefix(e.Code, "SLIP-E") != digits {
			continue
		}
		if !s.p.Document(e) {
			s.p.Say("%s %s\n\n%s\n\n%s", screen.Bold(e.Code), screen.Bold(e.Title), e.Meaning, e.Do)
		}
		s.p.Next("%s", e.Next)
		return nil
	}
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform explain", "there is no error code %.60q", code)
}

func (s *session) listExplanations() error {
	all := readExplanations()
	if !s.p.Document(all) {
		var rows [][]screen.Text
		for _, e := range all {
			rows = append(rows, []screen.Text{screen.Bold(e.Code), screen.Plain(e.Title)})
		}
		s.p.Table(rows)
	}
	s.p.Next("platform explain %s", all[0].Code)
	return nil
}
