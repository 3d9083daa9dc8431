package spec

import (
	"bytes"
	"encoding/json"
)

// Schema is the JSON Schema (2020-12) of platform.yaml, generated from the field table
// and the policies: what an editor can check while typing. Load checks more.
func Schema() []byte {
	root := table().schema()
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

func (f *field) schema() object {
	out := object{}
	switch {
	case f.kind != nil:
		for k, v := range f.kind.schema {
			out[k] = v
		}
	case f.item != nil:
		out["type"], out["minItems"], out["maxItems"], out["items"] = "array", 1, f.items, f.item.schema()
	default:
		properties := object{}
		var required []string
		for i := range f.fields {
			properties[f.fields[i].key] = f.fields[i].schema()
			if f.fields[i].required {
				required = append(required, f.fields[i].key)
			}
		}
		out["type"], out["additionalProperties"], out["properties"] = "object", false, properties
		if required != nil {
			out["required"] = required
		}
	}
	if f.short != "" {
		out = object{"anyOf": []any{f.child(f.short).schema(), out}}
	}
	if f.doc != "" {
		out["description"] = f.doc
	}
	return out
}

// schema is what a policy adds to the properties.
func (p Policy) schema() object {
	rollout, properties := object{}, object{}
	out := object{}
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
		properties["scaling"] = object{"properties": object{"replicas": object{"minimum": p.MinReplicas}}}
	}
	switch {
	case p.NeedsBoth:
		properties["validation"] = object{"required": []string{"golden", "dataset", "metrics"}}
		out["required"] = []string{"validation"}
	case p.NeedsOne:
		properties["validation"] = object{"anyOf": []any{
			object{"required": []string{"golden"}}, object{"required": []string{"dataset", "metrics"}}}}
		out["required"] = []string{"validation"}
	}
	if len(properties) > 0 {
		out["properties"] = properties
	}
	return out
}
