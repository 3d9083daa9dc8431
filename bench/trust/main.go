// Command trust measures on this machine what protects the platform: one JSON line a figure,
// beside the figure of a plain peer.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	speeds, err := blobSpeeds(context.Background())
	for _, s := range speeds {
		line, _ := json.Marshal(map[string]any{"bench": "trust", "metric": s.metric, "ours": s.ours, "peer": s.peer, "ratio": s.ours / s.peer})
		fmt.Fprintln(os.Stdout, string(line))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "trust:", err)
		os.Exit(1)
	}
}
