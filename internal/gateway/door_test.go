package gateway_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/internal/gateway"
	"github.com/slipway-ml/slipway/internal/route"
)

// doors are all paths that the public address answers itself, with what one must be allowed
// to do. What the server answers is walked by its own test.
var doors = []struct {
	path, method, action string
	body                 string
	parts                []string // of the source that make it
}{
	{"/healthz", "GET", "", "", []string{"/healthz"}},
	{"/readyz", "GET", "", "", []string{"/readyz"}},
	{"/v2", "GET", "any", "", []string{"/v2", "/v2/"}},
	{"/v2/health/live", "GET", "any", "", []string{"/v2/health/live"}},
	{"/v2/health/ready", "GET", "any", "", []string{"/v2/health/ready"}},
	{"/metrics", "GET", "metrics:read", "", []string{"/metrics"}},
	{"/v2/models/fraud", "GET", "endpoint:predict", "", []string{"/v2/models/"}},
	{"/v2/models/fraud/ready", "GET", "endpoint:predict", "", []string{"/ready"}},
	{"/v2/models/fraud/infer", "POST", "endpoint:predict", inferBody, []string{"/infer"}},
	{"/v2/models/fraud/versions/11/infer", "POST", "endpoint:predict", inferBody, []string{"/versions/"}},
	{"/v2/models", "GET", "any", "", []string{"/v2/models"}},
	{"/v2/repository/index", "POST", "any", "{}", []string{"/v2/repository/"}},
	{"/v2/repository/models/fraud/load", "POST", "endpoint:predict", "{}", []string{"/load"}},
	{"/endpoints/fraud/invocations", "POST", "endpoint:predict", mlflowBody, []string{"/endpoints/", "/invocations"}},
	{"/endpoints/fraud/proxy/v1/models", "GET", "endpoint:predict", "", []string{"/endpoints/", "/proxy/"}},
	{"/v1/endpoints/fraud/rollback", "POST", "endpoint:rollback", "{}", []string{"/v1/endpoints/", "/rollback"}},
	// passed on to the server, which authorizes:
	{"/v1/info", "GET", "server", "", []string{"/v1/", "/openapi", "/docs", "/docs/"}},
	{"/health", "GET", "server", "", nil},
	{"/version", "GET", "server", "", nil},
	{"/get-artifact", "GET", "server", "", nil},
	{"/api/2.0/mlflow/runs/get", "GET", "server", "", nil},
	{"/ajax-api/3.0/mlflow/workspaces", "GET", "server", "", nil},
	{"/teams/risk/api/2.0/mlflow-artifacts/artifacts/1/x%2Fy", "PUT", "server", "x", nil},
}

// TestEveryDoorIsGuarded walks all of them: without a token, with wrong ones, with one for
// something else, and with the right one. A path in the source that is not in the list fails.
func TestEveryDoorIsGuarded(t *testing.T) {
	listed := map[string]bool{"/": true, "/unload": true} // which nobody may, see TestRepository
	for _, d := range doors {
		for _, part := range d.parts {
			listed[part] = true
		}
	}
	for _, file := range []string{"http.go", "control.go", "invoke.go", "repository.go", "pass.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil && strings.HasPrefix(s, "/") && !listed[s] {
					t.Errorf("%s has the path %q, and no door is listed for it", file, s)
				}
			}
			return true
		})
	}
	for _, d := range doors {
		h := open(t, t.TempDir(), newFake())
		next := table(1, serving(.5), other())
		next.Grants = append(next.Grants, route.Grant{TokenSHA256: hash("for-other"), Token: "tok_other", Principal: "bot", Scope: route.ScopeListed, Predict: []string{"other"}, RollBack: []string{"other"}},
			route.Grant{TokenSHA256: hash("no-scope"), Principal: "eve", Scope: "everything"})
		h.apply(next)
		if d.action == "server" {
			if w := h.send(d.method, d.path, "", ""); w.Code != http.StatusServiceUnavailable {
				t.Errorf("%s is answered here: %d", d.path, w.Code)
			}
			continue
		}
		for _, tok := range []string{"", "wrong", oldToken, "no-scope", "for-other"} {
			w := h.send(d.method, d.path, tok, d.body)
			want := []int{http.StatusUnauthorized}
			switch {
			case d.action == "":
				want = []int{http.StatusOK}
			case d.action == "endpoint:rollback": // the server says no, and records it
				want = []int{http.StatusServiceUnavailable}
			case tok == "for-other" && d.action == "any":
				want = []int{http.StatusOK}
			case tok == "for-other":
				want = []int{http.StatusForbidden}
			}
			if w.Code != want[0] {
				t.Errorf("%s %s with token %q: %d %s, want %v", d.method, d.path, tok, w.Code, w.Body, want)
			}
		}
		noted := map[string]int{}
		for _, r := range h.Refused() {
			noted[r.What+" "+r.Token]++
		}
		for _, want := range []string{route.Unauthenticated + " ", route.Denied + " tok_other"} {
			skip := d.action == "" || d.action == "endpoint:rollback" || d.action == "any" && strings.HasPrefix(want, route.Denied)
			if !skip && noted[want] == 0 {
				t.Errorf("%s: %q is not noted: %v", d.path, want, noted)
			}
		}
		want := http.StatusOK
		if strings.Contains(d.path, "/proxy/") { // behind the door there is no server
			want = http.StatusNotFound
		}
		if w := h.send(d.method, d.path, ownerToken, d.body); w.Code != want {
			t.Errorf("%s for the owner: %d %s", d.path, w.Code, w.Body)
		}
		h.stop()
	}
}

// other is an endpoint of another team.
func other() route.Endpoint {
	e := serving(0)
	e.Key = "other"
	e.Stable = revision(1)
	e.Stable.ID = "other-1"
	return e
}

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// TestGrantsAlone: a gateway that nobody tells anything keeps to what a grant says of its
// own end: of the whole, of a part, and of what needs a fresh one. A rollback needs none.
func TestGrantsAlone(t *testing.T) {
	c := &clock{now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	f := newFake()
	h := openWith(t, gateway.Config{Name: "local", Dir: t.TempDir(), ServerSocket: "nobody", Replicas: f, Metrics: newRegistry(), Log: slog.New(slog.DiscardHandler), Now: c.Now, Rand: seeded(1).Float64}, f)
	next := table(1, serving(.5), other())
	next.Grants = []route.Grant{
		{TokenSHA256: hash("fresh"), Token: "tok_fresh", Principal: "shop", Scope: route.ScopeListed, Predict: []string{"fraud", "other"}, Connected: []string{"fraud"}, RollBack: []string{"fraud"}},
		{TokenSHA256: hash("part"), Token: "tok_part", Principal: "temp", Scope: route.ScopeListed, Predict: []string{"fraud", "other"}, Metrics: true,
			Until: map[string]time.Time{route.UntilPredict + "fraud": c.now.Add(time.Hour), route.UntilMetrics: c.now.Add(2 * time.Hour)}},
		{TokenSHA256: hash("whole"), Token: "tok_whole", Principal: "ada", Scope: route.ScopeOwner, Expires: c.now.Add(3 * time.Hour)},
	}
	h.apply(next)
	h.Hear()
	infer := func(key, token string) int {
		return h.send(http.MethodPost, "/v2/models/"+key+"/infer", token, inferBody).Code
	}
	check := func(when string, want ...int) {
		t.Helper()
		got := []int{infer("fraud", "fresh"), infer("other", "fresh"), infer("fraud", "part"), infer("other", "part"), h.send(http.MethodGet, "/metrics", "part", "").Code, infer("fraud", "whole")}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: %v, want %v", when, got, want)
				break
			}
		}
	}
	check("at first", 200, 200, 200, 200, 200, 200)
	c.pass(route.GrantAge)
	check("after five minutes", 200, 200, 200, 200, 200, 200)
	c.pass(time.Second)
	check("after more than five minutes", 403, 200, 200, 200, 200, 200)
	h.Hear()
	check("heard again", 200, 200, 200, 200, 200, 200)
	c.pass(time.Hour)
	check("after the first role's end", 403, 200, 403, 200, 200, 200)
	c.pass(time.Hour)
	check("after the second's", 403, 200, 403, 200, 403, 200)
	c.pass(time.Hour)
	check("after the whole grant's", 403, 200, 403, 200, 403, 401)
	if w := h.send(http.MethodPost, "/v1/endpoints/fraud/rollback", "fresh", "{}"); w.Code != http.StatusOK {
		t.Errorf("a rollback asks for a fresh grant: %d %s", w.Code, w.Body)
	}
	ended := false
	for _, r := range h.Refused() {
		ended = ended || r.What == route.Unauthenticated && r.Token == "tok_whole" && r.Principal == "ada"
	}
	if !ended {
		t.Errorf("whose token has ended is not said: %+v", h.Refused())
	}
}

// TestRevokedAtOnce: the next request after a table without a grant is refused, and so is
// one that was under way and has not been routed.
func TestRevokedAtOnce(t *testing.T) {
	h := open(t, t.TempDir(), newFake())
	h.apply(table(1, serving(0)))
	if w := h.infer(); w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
	without := table(2, serving(0))
	without.Grants = without.Grants[:1]
	h.apply(without)
	if w := h.infer(); w.Code != http.StatusUnauthorized {
		t.Errorf("%d after the token was revoked", w.Code)
	}
	narrower := table(3, serving(0))
	narrower.Grants[1].Predict = []string{"lone"}
	h.apply(narrower)
	if w := h.infer(); w.Code != http.StatusForbidden {
		t.Errorf("%d after the role was taken", w.Code)
	}
}

// TestUses: when a token was last used is known to the minute, beyond a new table, and of
// those that were refused nothing.
func TestUses(t *testing.T) {
	c := &clock{now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	f := newFake()
	h := openWith(t, gateway.Config{Name: "local", Dir: t.TempDir(), ServerSocket: "nobody", Replicas: f, Metrics: newRegistry(), Log: slog.New(slog.DiscardHandler), Now: c.Now, Rand: seeded(1).Float64}, f)
	next := table(1, serving(0))
	next.Grants[1].Token, next.Grants[3].Token = "tok_shop", "tok_old"
	h.apply(next)
	first := c.Now()
	h.infer()
	c.pass(30 * time.Second)
	h.infer()
	h.send(http.MethodPost, "/v2/models/fraud/infer", oldToken, inferBody)
	next.Seq++
	h.apply(next)
	if used := h.Uses(); len(used) != 1 || !used["tok_shop"].Equal(first) {
		t.Errorf("%v", used)
	}
	c.pass(time.Minute)
	h.infer()
	if used := h.Uses(); !used["tok_shop"].Equal(c.Now()) {
		t.Errorf("%v, now %v", used, c.Now())
	}
}
