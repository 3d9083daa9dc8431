package gateway_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whatever a caller sends, it gets one well-formed answer.
func FuzzServeHTTP(f *testing.F) {
	f.Add("POST", "/v2/models/fraud/infer", callerToken, "application/json", "500", "fraud-1", inferBody, "", "", "gzip")
	f.Add("POST", "/endpoints/fraud/invocations", ownerToken, "", "", "fraud-2", mlflowBody, "", "zstd", "")
	f.Add("GET", "/v2/models//ready", ownerToken, "text/html;x", "-1", "", "", "", "", "")
	f.Add("POST", "/v1/endpoints/fraud/rollback", ownerToken, "", "", "", `{"reason":"x"}`, "", "", "")
	f.Add("POST", "/v2/models/fraud/versions/11/infer", callerToken, "application/octet-stream", "", "", "\x00\x00\x00\x00\x00\x00\xf0\x3f", "0", "identity", "*;q=0")
	f.Add("GET", "/endpoints/fraud/docs", callerToken, "", "", "", "", "", "", "")
	h := open(f, f.TempDir(), newFake())
	h.apply(table(1, serving(.5)))
	f.Fuzz(func(t *testing.T, method, path, token, contentType, deadline, revision, body, head, encoding, accept string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)).WithContext(t.Context())
		r.Method, r.URL.Path = method, path
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Slipway-Deadline-Ms", deadline)
		r.Header.Set("Slipway-Revision", revision)
		r.Header.Set("Inference-Header-Content-Length", head)
		r.Header.Set("Content-Encoding", encoding)
		r.Header.Set("Accept-Encoding", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code < 200 || w.Code > 599 {
			t.Fatalf("status %d", w.Code)
		}
		if ct := w.Header().Get("Content-Type"); strings.Contains(ct, "json") && !json.Valid(w.Body.Bytes()) {
			t.Errorf("status %d with %q", w.Code, w.Body)
		}
	})
}
