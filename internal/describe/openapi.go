package describe

import (
	"encoding/json"

	"github.com/slipway-ml/slipway/internal/tensor"
)

type object = map[string]any

func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

func list(of object) object { return object{"type": "array", "items": of} }

// OpenAPI is the endpoint's description in OpenAPI 3.1, as JSON.
func (e *Endpoint) OpenAPI() ([]byte, error) {
	doc := object{
		"openapi": "3.1.0",
		"info": object{"title": e.Key, "version": e.Version,
			"description": "Predictions of the model " + e.Model + ", by the Open Inference Protocol (REST) and by MLflow's scoring protocol."},
		"servers":  []object{{"url": "/"}},
		"security": []object{{"token": []string{}}},
		"paths": object{
			"/endpoints/" + e.Key + "/invocations": object{"post": e.invocations()},
			"/v2/models/" + e.Key + "/infer":       object{"post": e.infer()},
			"/v2/models/" + e.Key: object{"get": object{"operationId": "metadata", "summary": "What the model takes and gives",
				"responses": responses(object{"description": "The model's metadata", "content": content(object{"type": "object"}, nil)}, "401", "403", "404", "503")}},
			"/v2/models/" + e.Key + "/ready": object{"get": object{"operationId": "ready", "summary": "Whether the model answers",
				"responses": responses(object{"description": "It does"}, "401", "403", "404", "503")}},
		},
		"components": object{
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}},
			"schemas": object{"Row": e.rowSchema(), "Columns": e.columnsSchema(), "Predictions": e.predictions(), "InferRequest": e.inferRequest(),
				"InferResponse": inferResponse(), "Error": failure()},
		},
	}
	return json.MarshalIndent(doc, "", "  ")
}

func content(schema object, example any) object {
	media := object{"schema": schema}
	if example != nil {
		media["example"] = example
	}
	return object{"application/json": media}
}

// meanings are those of the statuses that are no success.
var meanings = map[string]string{
	"400": "The body is no JSON or CSV, or did not come whole", "401": "There is no valid token", "403": "The token is not for this endpoint",
	"404": "There is no such endpoint or version", "413": "The body is too large", "415": "The content type or coding is not supported",
	"422": "The input does not fit; field says where, and next what to do", "429": "There are too many requests; Retry-After says when to try again",
	"502": "The model failed", "503": "Nothing can answer now; Retry-After says when to try again", "504": "The model did not answer before the deadline",
}

func responses(good object, statuses ...string) object {
	out := object{"200": good}
	for _, status := range statuses {
		out[status] = object{"description": meanings[status], "content": content(ref("Error"), nil)}
	}
	return out
}

var predictStatuses = []string{"400", "401", "403", "404", "413", "415", "422", "429", "502", "503", "504"}

func (e *Endpoint) invocations() object {
	body := object{"oneOf": []object{
		{"type": "object", "required": []string{"dataframe_split"}, "properties": object{"dataframe_split": object{"type": "object", "required": []string{"data"}, "properties": object{
			"columns": list(object{"type": "string"}), "index": list(object{}), "data": list(object{"type": "array"})}}}},
		{"type": "object", "required": []string{"dataframe_records"}, "properties": object{"dataframe_records": list(ref("Row"))}},
		{"type": "object", "required": []string{"instances"}, "properties": object{"instances": object{"anyOf": []object{list(ref("Row")), list(object{}), ref("Columns")}}}},
		{"type": "object", "required": []string{"inputs"}, "properties": object{"inputs": object{"anyOf": []object{ref("Columns"), list(object{})}}}},
	}}
	forms := content(body, e.invocation())
	forms["text/csv"] = object{"schema": object{"type": "string", "description": "a header with the names of the inputs, then a line for each row"}}
	return object{"operationId": "invocations", "summary": "Predict (MLflow's scoring protocol)", "requestBody": object{"required": true, "content": forms},
		"responses": responses(object{"description": "One prediction for each row", "content": content(ref("Predictions"), nil)}, predictStatuses...)}
}

func (e *Endpoint) infer() object {
	return object{"operationId": "infer", "summary": "Predict (Open Inference Protocol, with its binary tensor data extension)",
		"requestBody": object{"required": true, "content": content(ref("InferRequest"), e.request())},
		"responses":   responses(object{"description": "The outputs", "content": content(ref("InferResponse"), nil)}, predictStatuses...)}
}

func (e *Endpoint) rowSchema() object {
	properties, required := object{}, []string{}
	for i := range e.Schema.Inputs {
		f := &e.Schema.Inputs[i]
		properties[f.Name] = row(f)
		if f.Needed() {
			required = append(required, f.Name)
		}
	}
	return object{"type": "object", "properties": properties, "required": required, "additionalProperties": e.Schema.Unknown != tensor.Refuse}
}

func (e *Endpoint) columnsSchema() object {
	out := e.rowSchema()
	properties := object{}
	for name, one := range out["properties"].(object) {
		properties[name] = list(one.(object))
	}
	out["properties"] = properties
	return out
}

// predictions are the rows of the answer: a value each, or an object if there are several
// outputs and none is named predict.
func (e *Endpoint) predictions() object {
	one := object{}
	for i := range e.Schema.Outputs {
		if f := &e.Schema.Outputs[i]; f.Name == "predict" || len(e.Schema.Outputs) == 1 {
			return predictionsOf(row(f))
		}
		one[e.Schema.Outputs[i].Name] = row(&e.Schema.Outputs[i])
	}
	if len(one) == 0 {
		return predictionsOf(object{})
	}
	return predictionsOf(object{"type": "object", "properties": one})
}

func predictionsOf(one object) object {
	return object{"type": "object", "required": []string{"predictions"}, "properties": object{"predictions": list(one)}}
}

func (e *Endpoint) inferRequest() object {
	names, types := []string{}, object{"enum": []string{"BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "BF16", "FP32", "FP64", "BYTES"}}
	for i := range e.Schema.Inputs {
		names = append(names, e.Schema.Inputs[i].Name)
	}
	in := object{"type": "object", "required": []string{"name", "shape", "datatype"}, "properties": object{
		"name": object{"type": "string", "examples": names}, "datatype": types, "shape": list(object{"type": "integer", "minimum": 0}),
		"parameters": parameters(), "data": object{"type": "array", "description": "row-major, flat or nested"}}}
	out := object{"type": "object", "required": []string{"name"}, "properties": object{"name": object{"type": "string"}, "parameters": parameters()}}
	return object{"type": "object", "required": []string{"inputs"}, "properties": object{"id": object{"type": "string"}, "parameters": parameters(),
		"inputs": list(in), "outputs": list(out)}}
}

func parameters() object {
	return object{"type": "object", "additionalProperties": object{"type": []string{"string", "number", "boolean"}}}
}

func inferResponse() object {
	out := object{"type": "object", "required": []string{"name", "shape", "datatype"}, "properties": object{"name": object{"type": "string"}, "datatype": object{"type": "string"},
		"shape": list(object{"type": "integer"}), "parameters": parameters(), "data": object{"type": "array"}}}
	return object{"type": "object", "required": []string{"model_name", "outputs"}, "properties": object{"model_name": object{"type": "string"},
		"model_version": object{"type": "string"}, "id": object{"type": "string"}, "outputs": list(out)}}
}

func failure() object {
	text := object{"type": "string"}
	return object{"type": "object", "required": []string{"code"}, "properties": object{"error": text, "error_code": text, "message": text,
		"code":  object{"type": "string", "description": "platform explain CODE says more"},
		"field": object{"type": "string", "description": "the place in the request"}, "next": object{"type": "string", "description": "what to do"}}}
}
