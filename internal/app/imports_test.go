package app

import "maps"

func init() {
	maps.Copy(bodies, map[string]string{
		"query-imports":       `{"source":"x","kind":"run","ids":[]}`,
		"import-done":         `{"source":"x","source_id":"1","kind":"run","mark":"m"}`,
		"import-experiment":   `{"source":"x","source_id":"1","name":"churn","created":1,"updated":1,"team":"risk"}`,
		"import-run":          `{"source":"x","source_id":"1","experiment":"1","status":"FINISHED","start":1}`,
		"import-metrics":      `{"metrics":[]}`,
		"import-logged-model": `{"source":"x","source_id":"m-1","experiment":"1","name":"m","status":"LOGGED_MODEL_READY","created":1,"updated":1}`,
		"import-model":        `{"source":"x","source_id":"m","name":"fraud","created":1,"updated":1,"team":"risk"}`,
		"import-version":      `{"source":"x","source_id":"m/1","model":"fraud","number":1,"origin":"s3://b/x","created":1,"updated":1}`,
	})
	answersAll["query-imports"] = `{"items":[]}`
}
