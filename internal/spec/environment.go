package spec

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/spec/strict"
)

// Overlay is what is otherwise in one environment. A zero value is as in the file.
type Overlay struct {
	Resources Resources
	Replicas  int
	Network   Network
	Limits    Limits
}

// Endpoint is the key under which the model answers: {name} in production, {name}.{env}
// elsewhere (see slipway.ParseEndpoint).
func (s *Spec) Endpoint() string {
	return slipway.EndpointKey(s.Name, cmp.Or(s.Environment, slipway.Production))
}

// In gives the values that hold in an environment: production, staging, or one that the
// file names. It answers NotFound for another, and Conflict for a Spec that was resolved
// for another already.
func (s *Spec) In(environment string) (*Spec, error) {
	if s.Environment != "" && s.Environment != environment {
		return nil, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "use the platform.yaml from which it was made",
			"this record holds for the environment %s, not for %.80q", s.Environment, environment)
	}
	known := slices.Sorted(maps.Keys(s.Environments))
	for _, always := range []string{slipway.Production, slipway.Staging} {
		if !slices.Contains(known, always) {
			known = append(known, always)
		}
	}
	if s.Environment == "" && !slices.Contains(known, environment) {
		next := "use " + strings.Join(known, ", ") + ", or add it to environments in platform.yaml"
		if meant := strict.Nearest(environment, known); meant != "" {
			next = "did you mean " + meant + "? Otherwise add it to environments in platform.yaml"
		}
		return nil, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, next, "there is no environment %.80q", environment)
	}
	out := *s
	out.Environment, out.Environments, out.Origin = environment, nil, maps.Clone(s.Origin)
	maps.DeleteFunc(out.Origin, func(path, _ string) bool { return strings.HasPrefix(path, "environments.") })
	o := s.Environments[environment]
	override := func(path string, given bool) bool {
		if given {
			out.Origin[path] = "environment " + environment
		}
		return given
	}
	if override("resources.cpu", o.Resources.MilliCPU > 0) {
		out.Resources.MilliCPU = o.Resources.MilliCPU
	}
	if override("resources.memory", o.Resources.MemoryBytes > 0) {
		out.Resources.MemoryBytes = o.Resources.MemoryBytes
	}
	out.overrideGPU(o.Resources.GPU, override)
	out.overrideLimits(o.Limits, override)
	if override("scaling.replicas", o.Replicas > 0) {
		out.Replicas = o.Replicas
	}
	if len(o.Network.Callers) > 0 {
		out.Network = o.Network
		maps.DeleteFunc(out.Origin, func(path, _ string) bool { return strings.HasPrefix(path, "network.callers[") })
		for i := range o.Network.Callers {
			override(strict.Index("network.callers", i), true)
		}
	}
	if out.Origin["model.workers"] == "resources.cpu" {
		out.Model.Workers = workersOf(out.Resources.MilliCPU)
	}
	return &out, nil
}

// overlayPath is where the file has what is otherwise in an environment.
func overlayPath(environment string) string { return "environments." + environment }

// overlays reads environments; nil when the file names none.
func (d *document) overlays() map[string]Overlay {
	var all map[string]Overlay
	for _, name := range d.Keys("environments") {
		if all == nil {
			all = map[string]Overlay{}
		}
		path := overlayPath(name)
		o := Overlay{Network: Network{Callers: d.texts(path + ".network.callers")}}
		o.Resources.MilliCPU = optional[int](d, path+".resources.cpu")
		o.Resources.MemoryBytes = optional[int64](d, path+".resources.memory")
		o.Resources.GPU = d.gpu(path + ".resources.gpu")
		o.Replicas = optional[int](d, path+".scaling.replicas")
		o.Limits = d.givenLimits(path + ".limits")
		all[name] = o
	}
	return all
}

// pythonMemory is what a replica of a Python model gets unless the file says otherwise: the
// interpreter and its libraries alone are larger than what is right for a native model.
const pythonMemory = 1 << 30

// InPython gives the values that hold for a model that runs in Python.
func (s *Spec) InPython() *Spec {
	const memory = "resources.memory"
	if !strings.HasPrefix(s.Origin[memory], "default") || s.Resources.MemoryBytes >= pythonMemory {
		return s
	}
	out := *s
	out.Origin = maps.Clone(s.Origin)
	out.Resources.MemoryBytes, out.Origin[memory] = pythonMemory, "default of Python models"
	return &out
}
