// Command trust measures what trust costs: decisions, and the door of an inference request.
// It prints one JSON line a figure.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// figure is one measured number beside the one that is asked, and a peer's if there is one.
type figure struct {
	Bench  string   `json:"bench"`
	Metric string   `json:"metric"`
	Ours   float64  `json:"ours"`
	Peer   *float64 `json:"peer"`
	Ratio  *float64 `json:"ratio"`
	Goal   string   `json:"goal"`
}

// benches are the parts, each in its own file.
var benches = []func() ([]figure, error){policyFigures}

func main() {
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for _, bench := range benches {
		figures, err := bench()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		for _, f := range figures {
			if err := out.Encode(f); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
	}
}
