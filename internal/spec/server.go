package spec

import (
	"regexp"
	"strings"

	"github.com/slipway-ml/slipway/internal/spec/strict"
)

// Where servers say that they are ready, unless the file says otherwise.
const (
	healthOpenInference = "/v2/health/ready"
	healthHTTP          = "/health" // of vLLM and many others
)

// pathRE is a path as it stands in an address. That of model.proxy may end in /*, which is
// everything below.
var pathRE = regexp.MustCompile(`^(/[A-Za-z0-9_~!$&'()+,;=:@-][A-Za-z0-9._~!$&'()+,;=:@-]*)+/?$`)

func urlPath() *strict.Kind {
	return matching(pathRE, 200, "is no path", "begin with /, without empty parts, dots at their beginning, and %")
}

func proxied() *strict.Kind {
	const next = "write a path such as /v1/chat/completions, or one that ends in /* for all below it"
	return &strict.Kind{Schema: map[string]any{"type": "string", "maxLength": 200, "pattern": strings.TrimSuffix(pathRE.String(), `/?$`) + `(/|/\*)?$`},
		Parse: func(s string) (any, strict.Mistake) {
			if len(s) > 200 || !pathRE.MatchString(strings.TrimSuffix(s, "/*")) {
				return nil, strict.Mistake{Message: "is no path that can be passed on", Next: next}
			}
			return s, strict.Mistake{}
		}}
}

func serverFields() []field {
	return []field{
		{Key: "protocol", Doc: "what a custom server speaks: " + ProtocolOpenInference + ", or " + ProtocolHTTP + ", of which the platform knows nothing but model.proxy", Kind: strict.OneOf(ProtocolOpenInference, ProtocolHTTP)},
		{Key: "health", Doc: "path at which a server answers 200 once it is ready, by default " + healthOpenInference + ", or " + healthHTTP + " with protocol http", Kind: urlPath()},
		{Key: "proxy", Doc: "paths of the server that callers reach below /endpoints/NAME/proxy, streams too", Items: 64, Item: &field{Doc: "a path, or all below one: /v1/*", Kind: proxied()}},
	}
}

// server reads how a server is reached that is not the platform's own.
func (d *document) server(m *Model) {
	if m.External == nil {
		m.Protocol = get(d, "model.protocol", ProtocolOpenInference)
	}
	m.Proxy = d.texts("model.proxy")
	switch {
	case m.IsHTTP():
		m.Health = get(d, "model.health", healthHTTP)
	case m.External == nil:
		m.Health = get(d, "model.health", healthOpenInference)
	}
}

// IsHTTP says whether the model's server speaks a protocol of its own.
func (m *Model) IsHTTP() bool {
	return m.Protocol == ProtocolHTTP || m.External != nil && m.External.Protocol == ProtocolHTTP
}

func (d *document) checkServer(s *Spec) {
	m := &s.Model
	for _, key := range []string{"protocol", "health", "proxy"} {
		at := "model." + key
		switch {
		case !d.Has(at):
		case m.External == nil && len(m.Command) == 0:
			d.Report(at, at, strict.Mistake{Message: "says nothing of a model that the platform runs itself", Next: "remove it, or give model.command or model.external"})
		case m.External != nil && (key == "protocol" || key == "health" && !m.IsHTTP()):
			d.Report(at, at, strict.Mistake{Message: "says nothing beside model.external.protocol", Next: "remove it"})
		}
	}
	d.checkTwice("model.proxy", m.Proxy)
	if !m.IsHTTP() {
		return
	}
	if len(m.Proxy) == 0 && !d.Has("model.proxy") {
		d.Report("model", "model.proxy", strict.Mistake{Message: "is missing: a server of protocol http answers nothing else", Next: "add proxy: [/v1/chat/completions], with the paths that callers need"})
	}
	for _, key := range []string{"golden", "dataset", "metrics", "slices", "latency"} {
		if at := "validation." + key; d.Has(at) {
			d.Report(at, at, strict.Mistake{Message: "cannot be checked on a server of protocol http", Next: "remove it, or serve the model by the Open Inference Protocol"})
		}
	}
	if d.well("tier") && s.Tier < 4 && !d.record {
		d.Report("tier", "tier", strict.Mistake{Message: "must be 4 for a server of protocol http, whose answers the platform cannot check", Next: "set it to 4"})
	}
}
