package gateway_test

import (
	"strings"
	"testing"

	"github.com/slipway-ml/slipway/internal/route"
)

// The repository shows a caller what it may call, and nothing else.
func TestRepository(t *testing.T) {
	h := open(t, t.TempDir(), newFake())
	other, gone := serving(0), route.Endpoint{Key: "gone.staging", State: route.Withdrawn, Reason: "it failed", Deadline: 1}
	other.Key, other.Stable = "other", revision(4)
	h.apply(table(1, serving(.5), other, gone))
	for name, c := range map[string]struct {
		method, path, token, body string
		status                    int
		want                      string
	}{
		"list":            {"GET", "/v2/models", callerToken, "", 200, `{"models":["fraud","gone.staging"]}`},
		"list of another": {"GET", "/v2/models", leadToken, "", 200, `{"models":[]}`},
		"index": {"POST", "/v2/repository/index", callerToken, "", 200, `[{"name":"fraud","version":"11","state":"READY","reason":""},` +
			`{"name":"gone.staging","state":"UNAVAILABLE","reason":"it failed"}]`},
		"what is ready": {"POST", "/v2/repository/index", ownerToken, `{"ready":true}`, 200, `{"name":"other","version":"14","state":"READY","reason":""}`},
		"bad index":     {"POST", "/v2/repository/index", ownerToken, `[`, 400, "SLIP-E0502"},
		"index by get":  {"GET", "/v2/repository/index", ownerToken, "", 405, "POST"},
		"load":          {"POST", "/v2/repository/models/fraud/load", callerToken, "", 200, `{"name":"fraud","load":true}`},
		"load gone":     {"POST", "/v2/repository/models/gone.staging/load", callerToken, "", 503, "it failed"},
		"unload":        {"POST", "/v2/repository/models/fraud/unload", ownerToken, "", 409, "deployments say"},
		"unload other":  {"POST", "/v2/repository/models/other/unload", callerToken, "", 403, ""},
		"neither":       {"POST", "/v2/repository/models/fraud", ownerToken, "", 404, ""},
		"one version":   {"GET", "/v2/models/fraud/versions/12", callerToken, "", 200, `"versions":["12"]`},
		"version ready": {"GET", "/v2/models/fraud/versions/12/ready", callerToken, "", 200, `"ready":true`},
		"no version":    {"GET", "/v2/models/fraud/versions/7", callerToken, "", 404, "SLIP-E0003"},
		"no infer":      {"POST", "/v2/models/fraud/versions/7/infer", callerToken, inferBody, 404, "SLIP-E0003"},
	} {
		t.Run(name, func(t *testing.T) {
			if w := h.send(c.method, c.path, c.token, c.body); w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}
