package artifacts_test

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type upload struct {
	ID          string `json:"upload_id"`
	Credentials []struct {
		URL    string `json:"url"`
		Number int    `json:"part_number"`
	} `json:"credentials"`
}

type sent struct {
	Number int    `json:"part_number"`
	ETag   string `json:"etag"`
	URL    string `json:"url"`
}

func (s *site) begin(dir, name string, parts int) upload {
	s.Helper()
	u := decoded[upload](s.T, s.want(200, "upload_id", "ana", http.MethodPost, api+"mpu/create/"+dir, map[string]any{"path": name, "num_parts": parts}).Body.String())
	if len(u.Credentials) != parts {
		s.Fatalf("%d parts, want %d", len(u.Credentials), parts)
	}
	return u
}

// part is the path of the address of a part.
func (u *upload) part(t *testing.T, n int) string {
	t.Helper()
	a, err := url.Parse(u.Credentials[n-1].URL)
	if err != nil || a.Host != "example.com" || u.Credentials[n-1].Number != n {
		t.Fatal(u.Credentials[n-1], err)
	}
	return a.Path
}

func (s *site) send(u *upload, n int, content string) sent {
	s.Helper()
	w := s.want(200, "", "", http.MethodPut, u.part(s.T, n), content)
	return sent{Number: n, ETag: w.Header().Get("ETag"), URL: u.Credentials[n-1].URL}
}

func (s *site) complete(status int, text, dir, name, id string, parts ...sent) {
	s.Helper()
	s.want(status, text, "ana", http.MethodPost, api+"mpu/complete/"+dir, map[string]any{"path": name, "upload_id": id, "parts": parts})
}

func TestParts(t *testing.T) {
	s := newSite(t)
	const dir, name = "1/r/artifacts/model", `C:\Users\ana\weights.bin`
	u := s.begin(dir, name, 3)
	three := s.send(&u, 3, "c")
	one := s.send(&u, 1, strings.Repeat("a", 100_000))
	s.complete(400, "2 of 3 parts have come", dir, name, u.ID, one, three)
	s.send(&u, 2, "wrong")
	two := s.send(&u, 2, strings.Repeat("b", 70_000))
	if again := s.send(&u, 2, strings.Repeat("b", 70_000)); again != two {
		t.Errorf("%v and %v", again, two)
	}
	if w := s.want(200, "", "", http.MethodHead, u.part(t, 2), nil); w.Header().Get("ETag") != two.ETag {
		t.Errorf("HEAD: %v", w.Header())
	}
	s.want(200, "{}", "ana", http.MethodGet, api+"artifacts?path=1/r/artifacts", nil) // nothing is visible
	forged := two
	forged.ETag = `"x"`
	for text, parts := range map[string][]sent{
		"2 parts are named, the upload has 3": {one, two}, "part 2 has other bytes than were sent": {one, forged, three}, "part 1 is named twice": {one, one, three}, "0 parts are named": {},
		"part 3 is not named": {one, two, {Number: 4, ETag: "x"}},
	} {
		s.complete(400, text, dir, name, u.ID, parts...)
	}
	s.complete(404, "no such upload", "1/r/artifacts/elsewhere", name, u.ID, one, two, three)
	s.complete(200, "{}", dir, name, u.ID, three, one, two)
	s.complete(200, "{}", dir, name, u.ID, one, two, three) // who has not heard asks again
	w := s.want(200, "", "ana", http.MethodGet, api+"artifacts/"+dir+"/weights.bin", nil)
	if want := strings.Repeat("a", 100_000) + strings.Repeat("b", 70_000) + "c"; w.Body.String() != want {
		t.Errorf("%d bytes, want %d", w.Body.Len(), len(want))
	}
	s.want(404, "complete already", "", http.MethodPut, u.part(t, 1), "late")
	s.later(2 * time.Minute)
	if err := s.service.Artifacts.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(s.path, "*", "*.sealed")); err != nil || len(left) != 1 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestPartsRefused(t *testing.T) {
	s := newSite(t)
	for _, n := range []int{-1, 10_001} {
		status := 400
		if n < 1 {
			n, status = -1, 200 // as one part, which old clients leave out
		}
		s.want(status, "", "ana", http.MethodPost, api+"mpu/create/1/r", map[string]any{"path": "x", "num_parts": n})
	}
	s.want(400, "Missing value for required parameter 'path'", "ana", http.MethodPost, api+"mpu/create/1/r", map[string]any{"num_parts": 1})
	u := s.begin("1/r", "x", 2)
	first := u.part(t, 1)
	prefix, _ := strings.CutSuffix(first, "/1")
	s.want(400, "has 2 parts", "", http.MethodPut, prefix+"/3", "x")
	s.want(400, "has 2 parts", "", http.MethodPut, prefix+"/0", "x")
	for _, bad := range []string{prefix, prefix + "/x", prefix + "/1/2"} {
		s.want(404, "nothing to PUT", "", http.MethodPut, bad, "x")
	}
	for _, bad := range []string{first[:len(first)-10] + "/1", api + "signed/x/1", api + "signed//1", api + "signed/" + strings.Repeat("A", 9000) + "/1"} {
		s.want(403, "PERMISSION_DENIED", "", http.MethodPut, bad, "x")
	}
	s.want(403, "for something else", "", http.MethodGet, prefix, nil)
	s.want(404, "has not come", "", http.MethodHead, first, nil)
	s.want(200, "{}", "ana", http.MethodPost, api+"mpu/abort/1/r", map[string]any{"path": "x", "upload_id": u.ID})
	s.want(200, "{}", "ana", http.MethodPost, api+"mpu/abort/1/r", map[string]any{"path": "x", "upload_id": u.ID})
	s.want(404, "no such upload", "", http.MethodPut, first, "x")
	u = s.begin("1/r", "x", 1)
	s.send(&u, 1, "x")
	s.later(25 * time.Hour)
	s.want(403, "not good, or not any more", "", http.MethodPut, u.part(t, 1), "x")
	s.complete(404, "expired", "1/r", "x", u.ID, sent{Number: 1, ETag: "x"})
	if err := s.service.Artifacts.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(s.path, "*", "*.sealed")); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestPresigned(t *testing.T) {
	s := newSite(t)
	s.want(200, "{}", "ana", http.MethodPut, api+"artifacts/1/r/x.txt", "first bytes")
	out := decoded[struct {
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
		Size    int64             `json:"file_size"`
	}](t, s.want(200, "", "ana", http.MethodGet, api+"presigned/1/r/x.txt", nil).Body.String())
	a, err := url.Parse(out.URL)
	if err != nil || out.Size != 11 || out.Headers == nil {
		t.Fatal(out, err)
	}
	if strings.Contains(out.URL, "x.txt") {
		t.Errorf("the address tells: %s", out.URL)
	}
	w := s.want(206, "bytes", "", http.MethodGet, a.Path, nil, "Range", "bytes=6-10")
	if w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Error(w.Header())
	}
	s.want(200, "{}", "ana", http.MethodPut, api+"artifacts/1/r/x.txt", "other bytes")
	s.want(200, "first bytes", "", http.MethodGet, a.Path, nil) // ranges are of the same bytes
	s.want(403, "for something else", "", http.MethodPut, a.Path+"/1", "x")
	s.later(16 * time.Minute)
	s.want(403, "not any more", "", http.MethodGet, a.Path, nil)
}
