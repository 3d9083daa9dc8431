package spec

import (
	"fmt"
	"strings"
)

// maxCommand bounds the arguments together, in bytes.
const maxCommand = 16 << 10

// check reports what no single field shows.
func (d *document) check(s *Spec) {
	d.checkSource(s)
	d.checkCommand(s)
	d.checkMetrics(s)
	d.checkSteps()
}

func (d *document) checkSource(s *Spec) {
	ref := s.Model.Source.Model
	if given := text(d, "model.name"); ref != "" && given != "" && given != ref {
		d.report(d.at["model.name"], "model.name", mistake{message: "differs from the model that model.source names",
			next: "remove model.name, or set it to " + ref})
	}
}

func (d *document) checkCommand(s *Spec) {
	if len(s.Model.Command) == 0 {
		return
	}
	all := strings.Join(s.Model.Command, " ")
	if len(all) > maxCommand {
		d.report(d.at["model.command"], "model.command", mistake{message: fmt.Sprintf("is longer than %d KiB", maxCommand>>10), next: "move arguments to a script beside the model"})
	}
	socket, port := strings.Contains(all, "{socket}"), strings.Contains(all, "{port}")
	switch {
	case !socket && !port:
		d.report(d.at["model.command"], "model.command", mistake{message: "does not say where the server listens",
			next: "pass {socket} (path of a Unix socket) or {port} in one of the arguments"})
	case socket && port:
		d.report(d.at["model.command"], "model.command", mistake{message: "has {socket} and {port}", next: "keep one: the platform reaches the server in one way"})
	}
}

func (d *document) checkMetrics(s *Spec) {
	seen := map[string]bool{}
	for i, m := range s.Validation.Metrics {
		if m.Name != "" && seen[m.Name] {
			path := index("validation.metrics", i)
			d.report(d.at[path], path, mistake{message: "bounds " + m.Name + " again", next: "keep one bound of each metric"})
		}
		seen[m.Name] = true
	}
	if s.Tier.Policy().NeedsBoth {
		return // the policy names what is missing
	}
	dataset, metrics := d.has("validation.dataset"), d.has("validation.metrics")
	switch {
	case metrics && !dataset:
		d.report(d.at["validation.metrics"], "validation.metrics", mistake{message: "has no dataset to be computed on", next: "add validation.dataset with file and target"})
	case dataset && !metrics:
		d.report(d.at["validation.dataset"], "validation.dataset", mistake{message: "judges nothing without metrics", next: "add validation.metrics with a bound, such as {name: roc_auc, min: 0.8}"})
	}
}

// checkSteps compares the weights that are well-formed.
func (d *document) checkSteps() {
	n := d.length("rollout.steps")
	last := 0.0
	for i := range n {
		path := index("rollout.steps", i) + ".weight"
		w, ok := d.values[path].(float64)
		if !ok {
			last = 0
			continue
		}
		if w <= last {
			d.report(d.at[path], path, mistake{message: fmt.Sprintf("is not above the weight before it (%g)", last), next: "let the weights ascend"})
		}
		last = w
		if i == n-1 && w != 100 {
			d.report(d.at[path], path, mistake{message: "is the last weight, but not 100", next: "add - {weight: 100} as the last step"})
		}
	}
}
