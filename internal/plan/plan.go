// Package plan says what a deployment would change against what is live: a pure function
// from what runs and what would run to the differences, each with the place from which the
// new value comes. The same input gives the same bytes, as text and as JSON.
package plan

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/spec"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Version is what runs, or would: Number is 0 for one that is not registered yet.
type Version struct {
	Model  string
	Number int
	Digest slipway.Digest
}

// Live is the revision that serves now. Spec is resolved for its environment; Scores are the
// metrics of its last validation by name, as far as they are known.
type Live struct {
	Revision string // "fraud-3"
	Version  Version
	Schema   tensor.Schema
	Scores   map[string]float64
	Spec     *spec.Spec
}

// Next is what would be deployed. Spec is resolved for the same environment; Scores are
// empty unless the version was validated before.
type Next struct {
	Version Version
	Schema  tensor.Schema
	Scores  map[string]float64
	Spec    *spec.Spec
}

// Plan is the differences. A plan without any is empty; Metrics are told beside them and
// change nothing.
type Plan struct {
	Endpoint string    `json:"endpoint"`
	Live     string    `json:"live,omitempty"` // the revision; empty when nothing is live
	Version  string    `json:"version"`        // what would run: "fraud:4"
	Changed  bool      `json:"changed"`
	Sections []Section `json:"sections"`
	Metrics  []Metric  `json:"metrics"`
}

// Section is the changes of one part of the record, named by its first key, or version or
// schema.
type Section struct {
	Name    string   `json:"name"`
	Changes []Change `json:"changes"`
}

// Kinds of a change.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// Change is one value that differs. Old is empty when it was added, New when it is removed.
type Change struct {
	Path   string `json:"path"`
	Kind   string `json:"kind"`
	Old    string `json:"old,omitempty"`
	New    string `json:"new,omitempty"`
	Origin string `json:"origin,omitempty"` // of the new value: see spec.Spec.Origin
}

// Metric is one figure of the last validations and what the file asks of it: nil is not
// known or not asked.
type Metric struct {
	Name          string   `json:"name"`
	Live          *float64 `json:"live,omitempty"`
	Next          *float64 `json:"next,omitempty"`
	Min           *float64 `json:"min,omitempty"`
	Max           *float64 `json:"max,omitempty"`
	MaxRegression *float64 `json:"max_regression_vs_production,omitempty"`
}

// Empty is true when a deployment would change nothing: the same version by its digest,
// with the same resolved platform.yaml.
func (p Plan) Empty() bool { return !p.Changed }

// Make compares; live is nil when nothing is. The order of lists whose order says nothing
// is not looked at: fields of a schema, metrics, slices, columns and callers.
func Make(live *Live, next Next) Plan {
	p := Plan{Endpoint: next.Spec.Endpoint(), Version: next.Version.String(), Sections: []Section{}, Metrics: []Metric{}}
	var was Live
	var before []spec.Value
	if live != nil {
		was, before = *live, live.Spec.Values()
		p.Live = live.Revision
	}
	p.add("version", versionChanges(live, next))
	p.add("schema", differences(fieldsOf(was.Schema), fieldsOf(next.Schema)))
	after := next.Spec.Values()
	for _, name := range sections(after, before) {
		p.add(name, differences(valuesOf(before, name), valuesOf(after, name)))
	}
	p.Metrics = append(p.Metrics, metrics(was.Scores, next)...)
	return p
}

// String names a version for people: "fraud:4", or its digest before it is registered.
func (v Version) String() string {
	if v.Number < 1 {
		return v.Model + " " + v.Digest.Short()
	}
	return v.Model + ":" + strconv.Itoa(v.Number)
}

func (p *Plan) add(name string, changes []Change) {
	if len(changes) > 0 {
		p.Changed = true
		p.Sections = append(p.Sections, Section{Name: name, Changes: changes})
	}
}

// versionChanges compares digests: the same files under another number are no change.
func versionChanges(live *Live, next Next) []Change {
	origin := next.Spec.Model.Source.String()
	switch {
	case live == nil:
		return []Change{{Path: "digest", Kind: Added, New: string(next.Version.Digest), Origin: origin}}
	case live.Version.Digest == next.Version.Digest:
		return nil
	}
	return []Change{{Path: "digest", Kind: Changed, Old: string(live.Version.Digest), New: string(next.Version.Digest), Origin: origin}}
}

// value is a text and where it comes from.
type value struct{ text, origin string }

// differences compares two sets of values by path.
func differences(old, next map[string]value) []Change {
	var changes []Change
	for path, n := range next {
		o, ok := old[path]
		switch {
		case !ok:
			changes = append(changes, Change{Path: path, Kind: Added, New: n.text, Origin: n.origin})
		case o.text != n.text:
			changes = append(changes, Change{Path: path, Kind: Changed, Old: o.text, New: n.text, Origin: n.origin})
		}
	}
	for path, o := range old {
		if _, ok := next[path]; !ok {
			changes = append(changes, Change{Path: path, Kind: Removed, Old: o.text})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return natural(a.Path, b.Path) })
	return changes
}

// fieldsOf lists the inputs and outputs of a schema.
func fieldsOf(s tensor.Schema) map[string]value {
	const origin = "signature of the model"
	fields := map[string]value{}
	for _, f := range s.Inputs {
		need := ", optional"
		if f.Required {
			need = ", required"
		}
		fields["inputs["+f.Name+"]"] = value{typeOf(f) + need, origin}
	}
	for _, f := range s.Outputs {
		fields["outputs["+f.Name+"]"] = value{typeOf(f), origin}
	}
	return fields
}

// typeOf prints an element type and the dimensions of a row, -1 for any: "FP32[-1,3]".
func typeOf(f tensor.Field) string {
	if len(f.Shape) == 0 {
		return f.Type.String()
	}
	var dims []string
	for _, d := range f.Shape {
		dims = append(dims, strconv.Itoa(d))
	}
	return f.Type.String() + "[" + strings.Join(dims, ",") + "]"
}

// valuesOf is the values of one section of a record.
func valuesOf(all []spec.Value, section string) map[string]value {
	out := map[string]value{}
	for _, v := range all {
		if sectionOf(v.Path) == section {
			out[v.Path] = value{v.Text, v.Origin}
		}
	}
	return out
}

// sectionOf is the first key of a path; what belongs to no section belongs to the endpoint.
func sectionOf(path string) string {
	key, _, nested := strings.Cut(path, ".")
	if !nested {
		return "endpoint"
	}
	return key
}

// sections lists the sections in the order of a record: those of the newer one first.
func sections(records ...[]spec.Value) []string {
	var names []string
	for _, values := range records {
		for _, v := range values {
			if name := sectionOf(v.Path); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// metrics lists every metric that is known or bounded, by name.
func metrics(live map[string]float64, next Next) []Metric {
	all := map[string]*Metric{}
	of := func(name string) *Metric {
		if all[name] == nil {
			all[name] = &Metric{Name: name}
		}
		return all[name]
	}
	for name, v := range live {
		if finite(v) {
			of(name).Live = &v
		}
	}
	for name, v := range next.Scores {
		if finite(v) {
			of(name).Next = &v
		}
	}
	for _, m := range next.Spec.Validation.Metrics {
		row := of(m.Name)
		row.MaxRegression, row.Max = m.MaxRegression, &m.Bound
		if m.HigherIsBetter {
			row.Min, row.Max = row.Max, nil
		}
	}
	var rows []Metric
	for _, name := range slices.Sorted(maps.Keys(all)) {
		rows = append(rows, *all[name])
	}
	return rows
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// natural orders texts as people do: steps[2] before steps[10].
func natural(a, b string) int {
	for x, y := a, b; x != "" && y != ""; {
		i, j := digits(x), digits(y)
		if i == 0 || j == 0 {
			if x[0] != y[0] {
				return cmp.Compare(x[0], y[0])
			}
			x, y = x[1:], y[1:]
			continue
		}
		m, n := strings.TrimLeft(x[:i], "0"), strings.TrimLeft(y[:j], "0")
		if c := cmp.Or(cmp.Compare(len(m), len(n)), strings.Compare(m, n)); c != 0 {
			return c
		}
		x, y = x[i:], y[j:]
	}
	return strings.Compare(a, b)
}

// digits is the length of the number at the start of a text.
func digits(s string) int {
	return len(s) - len(strings.TrimLeft(s, "0123456789"))
}
