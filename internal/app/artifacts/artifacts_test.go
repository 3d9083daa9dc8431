package artifacts_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/artifact"
)

func TestFiles(t *testing.T) {
	s := newSite(t)
	const dir = api + "artifacts/1/r/artifacts/"
	s.want(200, "{}", "ana", http.MethodPut, dir+"model/MLmodel", "flavors", "Content-Type", "text/plain")
	s.want(200, "{}", "ana", http.MethodPut, dir+"a%20b%C3%A4.bin", strings.Repeat("x", 200_000))
	s.want(200, "{}", "ana", http.MethodPut, dir+"empty.txt", nil)
	w := s.want(200, "flavors", "ana", http.MethodGet, dir+"model/MLmodel", nil)
	want := map[string]string{"Content-Type": "text/plain", "X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment; filename=MLmodel",
		"Content-Length": "7", "Etag": `"` + slipway.DigestOf([]byte("flavors")).Hex() + `"`, "Accept-Ranges": "bytes"}
	for name, value := range want {
		if got := w.Header().Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	w = s.want(200, "", "ana", http.MethodHead, dir+"a%20b%C3%A4.bin", nil)
	if w.Header().Get("Content-Length") != "200000" || w.Body.Len() != 0 || !strings.Contains(w.Header().Get("Content-Disposition"), "filename*=UTF-8''a%20b%C3%A4.bin") {
		t.Errorf("HEAD: %v, %d bytes", w.Header(), w.Body.Len())
	}
	s.want(200, "", "ana", http.MethodGet, dir+"empty.txt", nil)
	s.want(404, "RESOURCE_DOES_NOT_EXIST", "ana", http.MethodGet, dir+"none", nil)
	s.want(400, "refers to a directory, not a file: '1/r/artifacts/model'", "ana", http.MethodGet, dir+"model", nil)
	s.want(400, "Invalid path", "ana", http.MethodPut, dir+"model", "x")
	s.want(404, "No Experiment with id=7 exists", "ana", http.MethodPut, api+"artifacts/7/x", "x")
	s.want(404, "No Experiment with id=7 exists", "ana", http.MethodGet, api+"artifacts/7/x", nil)

	list := s.want(200, "", "ana", http.MethodGet, api+"artifacts?path=1/r/artifacts", nil).Body.String()
	if diff := cmp.Diff(`{"files":[{"path":"a bä.bin","is_dir":false,"file_size":200000},{"path":"empty.txt","is_dir":false,"file_size":0},{"path":"model","is_dir":true}]}`, list); diff != "" {
		t.Error(diff)
	}
	for _, nothing := range []string{"1/r/artifacts/empty.txt", "1/none", "7"} {
		s.want(200, "{}", "ana", http.MethodGet, api+"artifacts?path="+nothing, nil)
	}
	s.want(200, `"root_uri":"mlflow-artifacts:/1/r/artifacts","files":[{"path":"model/MLmodel"`, "ana", http.MethodGet, "/api/2.0/mlflow/artifacts/list?run_id=r&path=model", nil)
	s.want(200, `"path":"empty.txt"`, "ana", http.MethodGet, "/ajax-api/2.0/mlflow/artifacts/list?run_uuid=r", nil)
	s.want(400, "run_id", "ana", http.MethodGet, "/api/2.0/mlflow/artifacts/list", nil)
	s.want(200, "flavors", "ana", http.MethodGet, "/get-artifact?run_id=r&path=model/MLmodel", nil)
	s.want(400, "Missing value for required parameter 'path'", "ana", http.MethodGet, "/get-artifact?run_id=r", nil)
	s.want(400, "Missing value for required parameter 'run_id'", "ana", http.MethodGet, "/get-artifact?path=x", nil)
	s.want(400, "do not lie on this server", "ana", http.MethodGet, "/get-artifact?run_id=s3&path=x", nil)
	s.want(200, "{}", "ana", http.MethodPut, api+"artifacts/1/models/m-1/artifacts/data/x", "weights")
	s.want(200, `"files":[{"path":"data/x"`, "ana", http.MethodGet, "/api/2.0/mlflow/logged-models/m-1/artifacts/directories?artifact_directory_path=data", nil)
	s.want(200, "weights", "ana", http.MethodGet, "/ajax-api/2.0/mlflow/logged-models/m-1/artifacts/files?artifact_file_path=data/x", nil)
	s.want(200, "{}", "ana", http.MethodPost, "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=r&path=up/x.txt", "pasted")
	s.want(200, "pasted", "ana", http.MethodGet, dir+"up/x.txt", nil)

	s.want(200, "{}", "ana", http.MethodPut, dir+"model/MLmodel", "others")
	s.want(200, "{}", "ana", http.MethodDelete, dir+"model", map[string]string{})
	s.want(200, "{}", "ana", http.MethodDelete, dir+"model", nil)
	s.want(404, "", "ana", http.MethodGet, dir+"model/MLmodel", nil)
	if diff := cmp.Diff([]string{"artifact.replaced", "artifact.deleted"}, s.actions()); diff != "" {
		t.Error(diff)
	}
}

func TestRanges(t *testing.T) {
	s := newSite(t)
	const file = api + "artifacts/1/r/artifacts/x.bin"
	content := strings.Repeat("0123456789", 30_000)
	etag := `"` + slipway.DigestOf([]byte(content)).Hex() + `"`
	s.want(200, "{}", "ana", http.MethodPut, file, content)
	for _, c := range []struct {
		method, header, value string
		status, bytes         int
		also                  []string
	}{
		{http.MethodGet, "Range", "bytes=65530-65541", 206, 12, nil},
		{http.MethodGet, "Range", "bytes=299990-", 206, 10, nil},
		{http.MethodGet, "Range", "bytes=-3", 206, 3, nil},
		{http.MethodHead, "Range", "bytes=0-9", 206, 0, nil},
		{http.MethodGet, "Range", "bytes=300000-", 416, -1, nil},
		{http.MethodGet, "Range", "bytes=5-1", 416, -1, nil},
		{http.MethodGet, "Range", "bytes=0-9", 206, 10, []string{"If-Range", etag}},
		{http.MethodGet, "Range", "bytes=0-9", 200, 300_000, []string{"If-Range", `"other"`}},
		{http.MethodGet, "If-None-Match", etag, 304, 0, nil},
		{http.MethodGet, "If-Match", `"other"`, 412, -1, nil},
	} {
		w := s.do("ana", c.method, file, nil, append([]string{c.header, c.value}, c.also...)...)
		if w.Code != c.status || c.bytes >= 0 && w.Body.Len() != c.bytes {
			t.Errorf("%s %s: %d with %d bytes, want %d with %d", c.header, c.value, w.Code, w.Body.Len(), c.status, c.bytes)
		}
		if at := strings.Index(content, w.Body.String()); c.status == 206 && at < 0 {
			t.Errorf("%s %s: other bytes", c.header, c.value)
		}
	}
}

// Nothing leads out of the tree, however it is written.
func TestConfined(t *testing.T) {
	s := newSite(t)
	for _, p := range []string{"..%2f..%2fetc/passwd", "1/r/..%2f..%2fx", "%252e%252e/x", "1/%252e%252e%252fx", "1/r/a%5Cb", "1/r/a%255Cb", "1/r/a%23b", "1/r/a%00b", "1/r/a%2500", "%2fetc/passwd",
		"1/%2e%2e/%2e%2e/x", "file:/etc/passwd", "C:/x", "1/r/../../2/secret", "1/../2/secret"} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			s.want(400, "Invalid path", "ana", method, api+"artifacts/"+p, nil)
		}
		s.want(400, "Invalid path", "ana", http.MethodGet, api+"artifacts?path="+p, nil)
		s.want(400, "Invalid path", "ana", http.MethodGet, api+"presigned/"+p, nil)
		s.want(400, "Invalid path", "ana", http.MethodPost, api+"mpu/create/"+p, map[string]any{"path": "x", "num_parts": 1})
		for _, route := range []string{"/get-artifact?run_id=r&path=", "/model-versions/get-artifact?name=fraud&version=3&path=", "/ajax-api/2.0/mlflow/logged-models/m-1/artifacts/files?artifact_file_path=",
			"/api/2.0/mlflow/artifacts/list?run_id=r&path=", "/api/2.0/mlflow/logged-models/m-1/artifacts/directories?artifact_directory_path="} {
			s.want(400, "Invalid path", "ana", http.MethodGet, route+p, nil)
		}
	}
	s.want(400, "Invalid path", "ana", http.MethodPost, api+"mpu/create/1/r", map[string]any{"path": "/home/ana/..", "num_parts": 1})
}

// The leaks that MLflow's own servers have had, and their like: who may not read an experiment
// gets nothing of it by any way, nor learns what is there.
func TestNothingLeaks(t *testing.T) {
	s := newSite(t)
	const file = "1/r/artifacts/secret.txt"
	s.want(200, "{}", "ana", http.MethodPut, api+"artifacts/"+file, "secret")
	s.want(200, "{}", "ana", http.MethodPut, api+"artifacts/1/models/m-1/artifacts/secret.txt", "secret")
	s.want(200, "{}", "ana", http.MethodPut, api+"artifacts/versions-of-risk/x", "secret")
	s.want(200, "{}", "gus", http.MethodPut, api+"artifacts/2/q/artifacts/own.txt", "own")
	reads := map[string]string{ // with what is there to read
		api + "artifacts/" + file:                                                               "",
		api + "presigned/" + file:                                                               "",
		"/get-artifact?run_id=r&path=secret.txt":                                                "",
		"/model-versions/get-artifact?name=fraud&version=3&path=MLmodel":                        "",
		"/ajax-api/2.0/mlflow/logged-models/m-1/artifacts/files?artifact_file_path=secret.txt":  "",
		"/api/2.0/mlflow/logged-models/m-1/artifacts/directories":                               "",
		"/ajax-api/2.0/mlflow/logged-models/m-1/artifacts/directories?artifact_directory_path=": "",
		"/api/2.0/mlflow/artifacts/list?run_id=r":                                               "",
		api + "artifacts/versions-of-risk/x":                                                    "",
		api + "artifacts/versions/fraud/3/MLmodel":                                              "",
		api + "presigned/versions/fraud/3/MLmodel":                                              "",
	}
	for path := range reads {
		for _, prefix := range []string{"", "/teams/risk", "/teams/growth"} {
			w := s.want(404, "RESOURCE_DOES_NOT_EXIST", "gus", http.MethodGet, prefix+path, nil)
			if strings.Contains(w.Body.String(), "secret.txt") && !strings.Contains(path, "secret.txt") {
				t.Errorf("%s says %s", path, w.Body)
			}
			s.want(403, "PERMISSION_DENIED", "shop", http.MethodGet, prefix+path, nil)
			s.want(401, "UNAUTHENTICATED", "", http.MethodGet, prefix+path, nil)
		}
	}
	for _, dir := range []string{"1", "1/r/artifacts", "versions-of-risk", "versions/fraud/3"} {
		s.want(200, "{}", "gus", http.MethodGet, api+"artifacts?path="+dir, nil)
	}
	s.want(200, `{"files":[{"path":"2","is_dir":true}]}`, "gus", http.MethodGet, api+"artifacts", nil)
	s.want(404, "", "gus", http.MethodPut, api+"artifacts/"+file, "forged")
	s.want(404, "", "gus", http.MethodPost, api+"mpu/create/1/r/artifacts", map[string]any{"path": "x", "num_parts": 1})
	s.want(200, "{}", "gus", http.MethodDelete, api+"artifacts/"+file, nil) // as of what is not there
	s.want(403, "PERMISSION_DENIED", "eve", http.MethodPut, api+"artifacts/"+file, "forged")
	s.want(403, "PERMISSION_DENIED", "eve", http.MethodDelete, api+"artifacts/"+file, nil)
	s.want(200, "secret", "ana", http.MethodGet, api+"artifacts/"+file, nil)
	if len(s.denied) == 0 {
		t.Error("no attempt was recorded")
	}
}

// What belongs to no experiment is of the team that writes it first.
func TestClaims(t *testing.T) {
	s := newSite(t)
	s.want(200, "{}", "ana", http.MethodPut, api+"artifacts/shared/a", "1")
	s.want(403, "PERMISSION_DENIED", "eve", http.MethodPut, api+"artifacts/shared/b", "2")
	s.want(404, "", "gus", http.MethodPut, api+"artifacts/shared/b", "2")
	s.want(200, "{}", "gus", http.MethodPut, api+"artifacts/a.txt", "3")
	s.want(200, "3", "gus", http.MethodGet, api+"artifacts/a.txt", nil)
	s.want(403, "PERMISSION_DENIED", "ana", http.MethodPut, "/teams/growth"+api+"artifacts/other/b", "2")
	s.want(403, "never change", "ana", http.MethodPut, api+"artifacts/versions/fraud/3/MLmodel", "2")
	s.want(403, "never change", "ana", http.MethodDelete, api+"artifacts/versions/fraud/3", nil)
}

func TestVersions(t *testing.T) {
	s := newSite(t)
	for _, content := range []string{"flavors", "weights"} {
		s.want(200, "{}", "ana", http.MethodPut, api+"artifacts/1/"+content, content)
	}
	s.want(200, `{"files":[{"path":"MLmodel","is_dir":false,"file_size":7},{"path":"data","is_dir":true}]}`, "ana", http.MethodGet, api+"artifacts?path=versions/fraud/3", nil)
	s.want(200, `{"files":[{"path":"model.bin","is_dir":false,"file_size":7}]}`, "ana", http.MethodGet, api+"artifacts?path=versions/fraud/3/data", nil)
	s.want(200, "weights", "ana", http.MethodGet, api+"artifacts/versions/fraud/3/data/model.bin", nil)
	s.want(200, "weights", "ana", http.MethodGet, "/model-versions/get-artifact?name=fraud&version=3&path=data/model.bin", nil)
	s.want(400, "directory", "ana", http.MethodGet, api+"artifacts/versions/fraud/3/data", nil)
	for _, none := range []string{"versions/fraud/3/none", "versions/fraud/4/MLmodel", "versions/fraud/x/MLmodel", "versions/fraud", "versions/none/3/MLmodel"} {
		s.want(404, "RESOURCE_DOES_NOT_EXIST", "ana", http.MethodGet, api+"artifacts/"+none, nil)
		s.want(200, "{}", "ana", http.MethodGet, api+"artifacts?path="+none, nil)
	}
}

// Deleting frees bytes, but not those that something else names, or has asked for just now.
func TestDeletionFrees(t *testing.T) {
	s := newSite(t)
	shared, own, version := strings.Repeat("s", 1000), strings.Repeat("o", 100), strings.Repeat("v", 10)
	s.want(200, "{}", "ana", http.MethodPut, api+"artifacts/1/a/shared", shared)
	s.want(200, "{}", "ana", http.MethodPut, api+"artifacts/1/b/shared", shared)
	s.want(200, "{}", "ana", http.MethodPut, api+"artifacts/1/a/own", own)
	s.want(200, "{}", "ana", http.MethodPut, api+"artifacts/1/a/version", version)
	s.named[slipway.DigestOf([]byte(version))] = true
	ana, _ := s.Authenticate(t.Context(), "ana")
	d, err := s.service.Artifacts.Delete(t.Context(), ana, "1/a")
	if err != nil || d.Files != 3 || d.Bytes != 1110 || d.Freed != (artifact.Freed{Later: 1}) {
		t.Fatalf("%+v, %v: what is young stays for a minute", d, err)
	}
	s.later(2 * time.Minute)
	s.backup = true
	if f, err := s.service.Artifacts.Reclaim(t.Context()); f != (artifact.Freed{Later: 1}) || err != nil {
		t.Errorf("while a backup runs: %+v, %v", f, err)
	}
	s.backup = false
	f, err := s.service.Artifacts.Reclaim(t.Context())
	if err != nil || f != (artifact.Freed{Blobs: 1, Bytes: 100}) {
		t.Errorf("freed %+v, %v", f, err)
	}
	s.want(200, "ss", "ana", http.MethodGet, api+"artifacts/1/b/shared", nil)
	s.later(time.Hour)
	s.want(200, "{}", "ana", http.MethodDelete, api+"artifacts/1/b", nil)
	delete(s.named, slipway.DigestOf([]byte(version)))
	if f, err := s.service.Artifacts.Release(t.Context(), []slipway.Digest{slipway.DigestOf([]byte(version))}); f != (artifact.Freed{Blobs: 1, Bytes: 10}) || err != nil {
		t.Errorf("released: %+v, %v", f, err)
	}
	left, err := filepath.Glob(filepath.Join(s.path, "*", "*.sealed"))
	if err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// A file that has rotted is not answered with what clients take for a passing error.
func TestRotIsLasting(t *testing.T) {
	s := newSite(t)
	s.want(200, "{}", "ana", http.MethodPut, api+"artifacts/1/x", "content")
	hex := slipway.DigestOf([]byte("content")).Hex()
	at := filepath.Join(s.path, hex[:2], hex+".sealed")
	b, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.Chmod(at, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s.want(409, "has rotted", "ana", http.MethodGet, api+"artifacts/1/x", nil)
	if err := s.blobs.Remove(t.Context(), slipway.DigestOf([]byte("content"))); err != nil {
		t.Fatal(err)
	}
	s.want(404, "", "ana", http.MethodGet, api+"artifacts/1/x", nil)
}

// decoded reads an answer.
func decoded[T any](t *testing.T, text string) (out T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return out
}
