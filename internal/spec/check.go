package spec

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/slipway-ml/slipway/internal/spec/strict"
)

// maxCommand bounds the arguments together, in bytes.
const maxCommand = 16 << 10

// check reports what no single field shows.
func (d *document) check(s *Spec) {
	d.checkSource(s)
	d.checkCommand(s)
	d.checkRuntime(s)
	d.checkExternal(s)
	d.checkServer(s)
	d.checkData(s)
	d.checkMetrics(s)
	d.checkSlices(s)
	d.checkSteps()
	if s.Model.External != nil && len(s.Secrets) > 0 {
		d.Report("secrets", "secrets", strict.Mistake{Message: "cannot reach a server that runs elsewhere", Next: "remove it, and give the secret to that server where it runs"})
	}
	d.checkTwice("network.callers", s.Network.Callers)
	for name, o := range s.Environments {
		d.checkTwice(overlayPath(name)+".network.callers", o.Network.Callers)
	}
	if s.Environment != "" && len(s.Environments) > 0 {
		d.Report("environments", "environments", strict.Mistake{Message: "has no place in a record that is resolved", Next: "remove environment"})
	}
}

func (d *document) checkSource(s *Spec) {
	ref := s.Model.Source.Model
	if given := text(d, "model.name"); ref != "" && given != "" && given != ref {
		d.Report("model.name", "model.name", strict.Mistake{Message: "differs from the model that model.source names",
			Next: "remove model.name, or set it to " + ref})
	}
}

func (d *document) checkCommand(s *Spec) {
	if len(s.Model.Command) == 0 {
		return
	}
	const path = "model.command"
	all := strings.Join(s.Model.Command, " ")
	if len(all) > maxCommand {
		d.Report(path, path, strict.Mistake{Message: fmt.Sprintf("is longer than %d KiB", maxCommand>>10), Next: "move arguments to a script beside the model"})
	}
	socket, port := strings.Contains(all, "{socket}"), strings.Contains(all, "{port}")
	switch {
	case !socket && !port:
		d.Report(path, path, strict.Mistake{Message: "does not say where the server listens",
			Next: "pass {socket} (path of a Unix socket) or {port} in one of the arguments"})
	case socket && port:
		d.Report(path, path, strict.Mistake{Message: "has {socket} and {port}", Next: "keep one: the platform reaches the server in one way"})
	}
}

// checkRuntime refuses what says two things about who runs the model, or nothing.
func (d *document) checkRuntime(s *Spec) {
	runner := ""
	switch {
	case d.Has("model.external"):
		runner = "model.external"
	case d.Has("model.command"):
		runner = "model.command"
	}
	for _, key := range []string{"command", "python", "workers", "batching", "placement"} {
		if path := "model." + key; runner != "" && path != runner && d.Has(path) {
			d.Report(path, path, strict.Mistake{Message: "says nothing beside " + runner + ": the platform does not run the model itself", Next: "keep one of the two"})
		}
	}
	const path = "model.external.model"
	if x := s.Model.External; x != nil && (x.Protocol == ProtocolMLflow || x.Protocol == ProtocolHTTP) && d.Has(path) {
		d.Report(path, path, strict.Mistake{Message: "says nothing: a server of the protocol " + x.Protocol + " is asked for no model", Next: "remove it"})
	}
}

// checkExternal refuses a server beyond this machine that is asked in the clear. Records from
// before that stay readable.
func (d *document) checkExternal(s *Spec) {
	if s.Model.External == nil || d.record {
		return
	}
	u, err := url.Parse(s.Model.External.URL)
	if err != nil || u.Scheme != "http" {
		return
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		const path = "model.external.url"
		d.Report(path, path, strict.Mistake{Message: "would send requests over the network in the clear", Next: "write https://; or let something on this machine encrypt: http://127.0.0.1:PORT"})
	}
}

func (d *document) checkData(s *Spec) {
	d.checkTwice("data.pii", s.Data.PII)
	seen := map[string]bool{}
	for i, t := range s.Data.Training {
		if path := strict.Index("data.training", i); t.URI != "" && seen[t.URI] {
			d.Report(path, path+".uri", strict.Mistake{Message: "is listed already", Next: "keep one entry for each data set"})
		}
		seen[t.URI] = true
	}
}

// checkTwice reports an item that a list has already.
func (d *document) checkTwice(path string, items []string) {
	seen := map[string]bool{}
	for i, item := range items {
		if at := strict.Index(path, i); item != "" && seen[item] {
			d.Report(at, at, strict.Mistake{Message: "is listed already", Next: "remove it"})
		}
		seen[item] = true
	}
}

func (d *document) checkMetrics(s *Spec) {
	seen := map[string]bool{}
	for i, m := range s.Validation.Metrics {
		if path := strict.Index("validation.metrics", i); m.Name != "" && seen[m.Name] {
			d.Report(path, path, strict.Mistake{Message: "bounds " + m.Name + " again", Next: "keep one bound of each metric"})
		}
		seen[m.Name] = true
	}
	if s.Tier.Policy().NeedsBoth && !d.record {
		return // the policy names what is missing
	}
	dataset, metrics := d.Has("validation.dataset"), d.Has("validation.metrics")
	switch {
	case metrics && !dataset:
		d.Report("validation.metrics", "validation.metrics", strict.Mistake{Message: "has no dataset to be computed on", Next: "add validation.dataset with file and target"})
	case dataset && !metrics:
		d.Report("validation.dataset", "validation.dataset", strict.Mistake{Message: "judges nothing without metrics", Next: "add validation.metrics with a bound, such as {name: roc_auc, min: 0.8}"})
	}
}

func (d *document) checkSlices(s *Spec) {
	if d.Has("validation.slices") && !d.Has("validation.dataset") && (d.record || !s.Tier.Policy().NeedsBoth) {
		d.Report("validation.slices", "validation.slices", strict.Mistake{Message: "has no dataset to be computed on", Next: "add validation.dataset with file and target"})
	}
	pii := map[string]bool{}
	for _, column := range s.Data.PII {
		pii[column] = column != ""
	}
	type pair struct{ by, metric string }
	seen := map[pair]bool{}
	for i, sl := range s.Validation.Slices {
		path := strict.Index("validation.slices", i)
		by := path + ".by"
		switch key := (pair{sl.By, sl.Metric}); {
		case sl.By == "" || sl.Metric == "":
			continue
		case seen[key]:
			d.Report(path, path, strict.Mistake{Message: "bounds " + sl.Metric + " by this column again", Next: "keep one bound of each metric and column"})
		default:
			seen[key] = true
		}
		if t := s.Validation.Dataset; t != nil && t.Target == sl.By {
			d.Report(by, by, strict.Mistake{Message: "is the target", Next: "name a column that groups the rows, such as a country"})
		}
		if pii[sl.By] {
			d.Report(by, by, strict.Mistake{Message: "is a column of data.pii, whose values would be written into the results", Next: "name a coarser column, such as a region for a postcode"})
		}
	}
}

// checkSteps compares the weights that are well-formed.
func (d *document) checkSteps() {
	n := d.Len("rollout.steps")
	last := 0.0
	for i := range n {
		path := strict.Index("rollout.steps", i) + ".weight"
		w, ok := strict.Value[float64](d.Document, path)
		if !ok {
			last = 0
			continue
		}
		if w <= last {
			d.Report(path, path, strict.Mistake{Message: fmt.Sprintf("is not above the weight before it (%g)", last), Next: "let the weights ascend"})
		}
		last = w
		if i == n-1 && w != 100 {
			d.Report(path, path, strict.Mistake{Message: "is the last weight, but not 100", Next: "add - {weight: 100} as the last step"})
		}
	}
}
