package gateway_test

import (
	"net/http"
	"testing"
)

// TestVersionsInRollouts: while the traffic is shared out, callers may name the version that
// they had, and owners the new one; neither is evidence.
func TestVersionsInRollouts(t *testing.T) {
	h := open(t, t.TempDir(), newFake())
	h.apply(table(1, serving(.5)))
	for _, c := range []struct {
		version, token string
		status         int
		revision       string
	}{
		{"11", callerToken, http.StatusOK, "fraud-1"},
		{"12", callerToken, http.StatusForbidden, ""},
		{"12", ownerToken, http.StatusOK, "fraud-2"},
		{"13", ownerToken, http.StatusNotFound, ""},
	} {
		for range 20 {
			w := h.send(http.MethodPost, "/v2/models/fraud/versions/"+c.version+"/infer", c.token, inferBody)
			if w.Code != c.status || w.Header().Get("Slipway-Revision") != c.revision {
				t.Fatalf("%+v: %d %v %s", c, w.Code, w.Header(), w.Body)
			}
		}
	}
	for _, r := range h.Observe().Revisions {
		if r.Counts.Requests != 0 {
			t.Errorf("%s has %d first attempts", r.ID, r.Counts.Requests)
		}
	}
}
