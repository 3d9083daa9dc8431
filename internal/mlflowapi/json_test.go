package mlflowapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRequests(t *testing.T) {
	h := handler(t)
	for body, want := range map[string]string{
		`{"pet_id":"a"}`: `{"pet_id":"a"}`,
		`{"petId":"a","unknown":{"x":[1]},"age":null}`: `{"pet_id":"a"}`,
		`{"pet_uuid":"b"}`:                                     `{"pet_id":"b","pet_uuid":"b"}`,
		`{"pet_id":"a","age":"9007199254740993"}`:              `{"pet_id":"a","age":9007199254740993}`,
		`{"pet_id":"a","age":2.0,"years":["1",2]}`:             `{"pet_id":"a","age":2,"years":[1,2]}`,
		`{"pet_id":"a","weight":"NaN","pet_kind":3}`:           `{"pet_id":"a","weight":"NaN","pet_kind":"3"}`,
		`{"pet_id":"a","weight":"-Infinity"}`:                  `{"pet_id":"a","weight":"-Infinity"}`,
		`{"pet_id":"a","weight":1e400}`:                        `{"pet_id":"a","weight":"Infinity"}`,
		`{"pet_id":"a","toys":[{"key":"x"}],"pet_kind":"CAT"}`: `{"pet_id":"a","toys":[{"key":"x"}],"pet_kind":"CAT"}`,
		`"{\"pet_id\":\"a\"}"`:                                 `{"pet_id":"a"}`,
		`{"pet_id":"\ud800"}`:                                  `{"pet_id":"` + "\ufffd" + `"}`,
	} {
		w := ask(h, http.MethodPost, "/api/2.0/mlflow/pets/create", "ana", body)
		var got, expect map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
		_ = json.Unmarshal([]byte(want), &expect)
		for k, v := range expect {
			if d := cmp.Diff(v, got[k]); d != "" {
				t.Errorf("%s: %s: %s", body, k, d)
			}
		}
	}
}

func TestBadRequests(t *testing.T) {
	h := handler(t)
	const docs = " See the API docs for more information about request parameters."
	for body, want := range map[string]string{
		``:                                       "Missing value for required parameter 'pet_id'." + docs,
		`null`:                                   "Missing value for required parameter 'pet_id'." + docs,
		`{`:                                      "Missing value for required parameter 'pet_id'." + docs,
		`{"pet_id":"a"`:                          "The body of the request is no JSON object: byte 13.",
		`{"pet_id":"a"}x`:                        "The body of the request is no JSON object: byte 14.",
		`[]`:                                     "The body of the request does not fit",
		`{"pet_id":""}`:                          "Missing value for required parameter 'pet_id'." + docs,
		`{"pet_id":7}`:                           "Invalid value 7 for parameter 'pet_id' supplied:  Hint: Value was of type 'int'." + docs,
		`{"petId":9.0}`:                          "Invalid value 9.0 for parameter 'petId' supplied",
		`{"names":"x"}`:                          `Invalid value "x" for parameter 'names' supplied:  Hint: Value was of type 'str'.` + docs,
		`{"names":[{"a": 1}]}`:                   `Invalid value {"a":1} for parameter 'names[0]' supplied:  Hint: Value was of type 'dict'.` + docs,
		`{"age":"x"}`:                            `Invalid value "x" for parameter 'age' supplied`,
		`{"age":1.5}`:                            `Invalid value 1.5 for parameter 'age' supplied:  Hint: Value was of type 'float'.`,
		`{"age":true}`:                           `Invalid value true for parameter 'age' supplied:  Hint: Value was of type 'bool'.`,
		`{"weight":"0x1p4"}`:                     `Invalid value "0x1p4" for parameter 'weight' supplied`,
		`{"weight":""}`:                          `Invalid value "" for parameter 'weight' supplied`,
		`{"pet_id":"a","toys":[{"key":"x"},{}]}`: "Missing value for required parameter 'toys[1].key'." + docs,
		`{"pet_id":"a","petId":"b"}`:             "Request specifies 'petId' twice",
		`{"names":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`: "Invalid value [",
		strings.Repeat("[", 20000): "The body of the request",
	} {
		w := ask(h, http.MethodPost, "/api/2.0/mlflow/pets/create", "ana", body)
		code, message := failed(t, w)
		if w.Code != 400 || code != "INVALID_PARAMETER_VALUE" || !strings.HasPrefix(message, want) || len(message) > 600 {
			t.Errorf("%.80s: %d %s: %.300s", body, w.Code, code, message)
		}
	}
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
		if w := ask(h, http.MethodPost, "/api/2.0/mlflow/pets/create", "ana", `{"pet_id":"a"}`, "Content-Type", kind); w.Code != 400 {
			t.Errorf("%q: %d %s", kind, w.Code, w.Body)
		}
	}
	if w := ask(h, http.MethodPost, "/api/2.0/mlflow/pets/create", "ana", `{"pet_id":"`+strings.Repeat("a", 33<<20)+`"}`); w.Code != 400 {
		t.Errorf("too large: %d %.200s", w.Code, w.Body)
	}
}

func TestQueries(t *testing.T) {
	h := handler(t)
	w := ask(h, http.MethodGet, "/ajax-api/2.0/mlflow/pets/get?pet_id=a%22b&names=x&names=y&tame=True&age=7&weight=NaN&years=1&years=2&other=1", "ana", "")
	var got struct {
		ID     string   `json:"pet_id"`
		Names  []string `json:"names"`
		Tame   bool     `json:"tame"`
		Age    int      `json:"age"`
		Weight string   `json:"weight"`
		Years  []int    `json:"years"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got.ID != `a"b` || len(got.Names) != 2 || !got.Tame || got.Age != 7 || got.Weight != "NaN" || len(got.Years) != 2 {
		t.Errorf("%v: %d %s", err, w.Code, w.Body)
	}
	for query, want := range map[string]string{
		"names=x":           "Missing value for required parameter 'pet_id'.",
		"pet_id=a&tame=yes": "Invalid boolean value: yes, must be 'true' or 'false'.",
		"pet_id=a&age=x":    `Invalid value "x" for parameter 'age' supplied`,
	} {
		w := ask(h, http.MethodGet, "/api/2.0/mlflow/pets/get?"+query, "ana", "")
		if _, message := failed(t, w); w.Code != 400 || !strings.HasPrefix(message, want) {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
	if w := ask(h, http.MethodDelete, "/api/2.0/mlflow/pets/a%2Fb", "ana", `{"pet_id":"other","tame":true}`); w.Code != 200 || !strings.Contains(w.Body.String(), `"pet_id":"a/b"`) || !strings.Contains(w.Body.String(), `"tame":true`) {
		t.Errorf("a parameter of the path, and a body with DELETE: %d %s", w.Code, w.Body)
	}
}

// FuzzMessage: no body makes more of an answer than 200, or 400 with a short reason.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{`{"pet_id":"a","age":"1","toys":[{"key":"k"}]}`, `"{\"pet_id\":\"a\"}"`, `{"petId":1}`, `{"pet_id":"a","pet-id":"b"}`, `[`, "\xff", `{"weight":1e999,"":1}`} {
		f.Add(seed)
	}
	h := handler(f)
	f.Fuzz(func(t *testing.T, body string) {
		w := ask(h, http.MethodPost, "/api/2.0/mlflow/pets/create", "ana", body)
		if w.Code != 200 && w.Code != 400 || w.Code == 400 && w.Body.Len() > 4000 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
	})
}
