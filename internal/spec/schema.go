package spec

import (
	"bytes"
	"encoding/json"

	"github.com/slipway-ml/slipway"
)

// Schema is the JSON Schema (2020-12) of platform.yaml, generated from the field table
// and the policies: what an editor can check while typing. Load checks more.
func Schema() []byte {
	root := table().Schema()
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "platform.yaml"
	var tiers []any
	for t := Tier(1); t <= 4; t++ {
		if then := t.Policy().schema(); len(then) > 0 {
			tiers = append(tiers, object{
				"if":   object{"properties": object{"tier": object{"const": t}}, "required": []string{"tier"}},
				"then": then})
		}
	}
	root["allOf"] = tiers
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		panic(err) // a fixed table always encodes
	}
	return b.Bytes()
}

type object = map[string]any

// schema is what a policy adds to the properties.
func (p Policy) schema() object {
	rollout, properties := object{}, object{}
	out := object{}
	var required []string
	if p.MustRollBack {
		rollout["on_failure"] = object{"const": OnFailureRollback}
	}
	if p.MustPause {
		rollout["on_no_data"] = object{"const": OnNoDataPause}
	}
	steps := object{}
	if p.MinSteps > 1 {
		steps["minItems"] = p.MinSteps
	}
	if p.MaxFirstWeight < 100 {
		steps["prefixItems"] = []any{object{"properties": object{"weight": object{"maximum": p.MaxFirstWeight}}}}
	}
	if len(steps) > 0 {
		rollout["steps"] = steps
	}
	if len(rollout) > 0 {
		properties["rollout"] = object{"properties": rollout}
	}
	if p.MinReplicas > 1 {
		scaling := object{"properties": object{"replicas": object{"minimum": p.MinReplicas}}}
		properties["scaling"] = scaling
		properties["environments"] = object{"properties": object{slipway.Production: object{"properties": object{"scaling": scaling}}}}
	}
	switch {
	case p.NeedsBoth:
		properties["validation"] = object{"required": []string{"golden", "dataset", "metrics"}}
		required = []string{"validation"}
	case p.NeedsOne:
		properties["validation"] = object{"anyOf": []any{
			object{"required": []string{"golden"}}, object{"required": []string{"dataset", "metrics"}}}}
		required = []string{"validation"}
	}
	if p.NeedsClassification {
		properties["data"] = object{"required": []string{"classification"}}
		required = append(required, "data")
	}
	if required != nil {
		out["required"] = required
	}
	if len(properties) > 0 {
		out["properties"] = properties
	}
	return out
}
