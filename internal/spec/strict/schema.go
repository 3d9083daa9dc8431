package strict

type object = map[string]any

// Schema says the same as JSON Schema (2020-12): what an editor can check while typing.
func (f *Field) Schema() map[string]any {
	out := object{}
	switch {
	case f.Kind != nil:
		for k, v := range f.Kind.Schema {
			out[k] = v
		}
	case f.Item != nil:
		out["type"], out["minItems"], out["maxItems"], out["items"] = "array", 1, f.Items, f.Item.Schema()
	case f.Each != nil:
		out["type"], out["minProperties"], out["maxProperties"] = "object", 1, f.Items
		out["propertyNames"], out["additionalProperties"] = f.names().Schema, f.Each.Schema()
	default:
		properties := object{}
		var required []string
		for i := range f.Fields {
			properties[f.Fields[i].Key] = f.Fields[i].Schema()
			if f.Fields[i].Required {
				required = append(required, f.Fields[i].Key)
			}
		}
		out["type"], out["additionalProperties"], out["properties"] = "object", false, properties
		if required != nil {
			out["required"] = required
		}
	}
	if f.Short != "" {
		out = object{"anyOf": []any{f.child(f.Short).Schema(), out}}
	}
	if f.Doc != "" {
		out["description"] = f.Doc
	}
	return out
}
