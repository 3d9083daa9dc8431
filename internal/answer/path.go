package answer

import "strings"

// Path is what a path of the data plane names.
type Path struct {
	Protocol Protocol
	Name     string // of the model or the endpoint; not empty
	Version  string // of the model; empty when not given
	What     What
}

// What is asked of a model.
type What uint8

// What a path may ask for.
const (
	Nothing       What = iota // of the paths of a model there is no such one
	Predict                   // POST
	ModelMetadata             // GET, as the following
	ModelReady                //
	OpenAPI                   // the endpoint's OpenAPI document
	Page                      // a page for people
)

// ParsePath reads the paths of Open Inference's models and those of endpoints:
//
//	/v2/models/NAME[/versions/VERSION][/infer|/ready]
//	/endpoints/NAME/invocations|openapi.json|docs
//
// It answers false for every other path.
func ParsePath(path string) (Path, bool) {
	if rest, ok := strings.CutPrefix(path, "/v2/models/"); ok {
		p := Path{Protocol: OpenInference}
		var below string
		p.Name, below, _ = strings.Cut(rest, "/")
		if version, ok := strings.CutPrefix(below, "versions/"); ok {
			if p.Version, below, _ = strings.Cut(version, "/"); p.Version == "" {
				return p, p.Name != ""
			}
		}
		switch below {
		case "infer":
			p.What = Predict
		case "ready":
			p.What = ModelReady
		case "":
			p.What = ModelMetadata
		}
		return p, p.Name != ""
	}
	rest, ok := strings.CutPrefix(path, "/endpoints/")
	if !ok {
		return Path{}, false
	}
	p := Path{Protocol: MLflowScoring}
	var below string
	p.Name, below, _ = strings.Cut(rest, "/")
	switch below {
	case "invocations":
		p.What = Predict
	case "openapi.json":
		p.What = OpenAPI
	case "docs":
		p.What = Page
	}
	return p, p.Name != ""
}
