package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/httpapi"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
	signinstore "github.com/slipway-ml/slipway/internal/sqlstore/signin"
	"github.com/slipway-ml/slipway/internal/webhook"
	"github.com/slipway-ml/slipway/templates"
)

// open is a door that lets everybody in.
type open struct{}

func (open) Enter(context.Context, slipway.Principal, authz.Action, string) error { return nil }

// installed is the server of an installation with a model, an endpoint, a deployment, and
// accounts; nothing runs.
type installed struct {
	*App
	deployment, token, session, hook string
	api                              http.Handler
}

func install(t *testing.T, door httpapi.Access) *installed {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), Options{Config: config.Config{Home: t.TempDir(), Listen: "127.0.0.1:0", Public: "http://127.0.0.1"}, Version: "test", Exe: exe, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.close(); err != nil {
			t.Error(err)
		}
	})
	i := &installed{App: a, deployment: "dep_1"}
	ctx := t.Context()
	model, err := fs.Sub(templates.FS, "xgboost/model")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := fs.ReadDir(model, ".")
	if err != nil {
		t.Fatal(err)
	}
	var files []registry.File
	for _, e := range entries {
		b, err := fs.ReadFile(model, e.Name())
		if err != nil {
			t.Fatal(err)
		}
		f := registry.File{Path: e.Name(), Digest: slipway.DigestOf(b), Size: int64(len(b))}
		if err := a.blobs.Put(ctx, f.Digest, f.Size, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	if _, _, err := a.models.Register(ctx, slipway.Principal{ID: "owner"}, "fraud", "risk", files, ""); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	err = a.rollouts.Commit(ctx, rollout.Change{
		Endpoints:   []*rollout.Endpoint{{Key: "fraud", Owner: "risk", Tier: 1, Classification: "confidential", Deadline: time.Second, State: "withdrawn"}},
		Deployments: []*rollout.Deployment{{ID: i.deployment, Kind: rollout.KindDeploy, Endpoint: "fraud", Status: rollout.Failed, By: "ada", Created: now}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ada", "nobody"} {
		if _, err := a.access.Identity.Create(ctx, "owner", identity.Account{Name: name, Kind: slipway.Person}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.reviews.Start(ctx, slipway.Principal{ID: "owner", Kind: slipway.Person, Elevated: true, Roles: []slipway.Role{{Name: slipway.RoleOwner}}}, api.StartReview{}); err != nil {
		t.Fatal(err)
	}
	_, tok, err := a.access.Identity.Issue(ctx, "owner", identity.Wish{Account: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	i.token, i.session = tok.ID, "ses_1"
	session := identity.Record{Kind: "session", ID: i.session, Key: "1", Account: "ada", Expires: time.Now().Add(time.Hour), Document: []byte(`{}`)}
	if err := signinstore.New(a.db).WriteRecords(ctx, nil, []identity.Record{session}); err != nil {
		t.Fatal(err)
	}
	hook := webhook.Hook{ID: "whk_1", Team: "risk", Name: "n", URL: "https://hooks.example.com/", Events: []webhook.Event{webhook.AliasMoved}, Status: webhook.Active, Created: now, Updated: now}
	if err := a.webhooks.Store.AddHook(ctx, hook, 1, slipway.Event{ID: "evt_hook", Time: now, Action: "webhook.created", Subject: hook.ID}); err != nil {
		t.Fatal(err)
	}
	i.hook = hook.ID
	a.backups = a.newBackups(ctx)
	c := a.front()
	c.Access = door
	if door == nil {
		c.Access = a.access
	}
	i.api = httpapi.New(c)
	return i
}

// tokenOf makes a token of an account.
func (i *installed) tokenOf(t *testing.T, account string) string {
	t.Helper()
	text, _, err := i.access.Identity.Issue(t.Context(), "owner", identity.Wish{Account: account})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (i *installed) ask(method, path, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	i.api.ServeHTTP(w, r)
	return w
}

const tiny = "apiVersion: platform/v1\nkind: RealtimeModel\nname: fraud\ntier: 4\nowner: {team: risk}\nmodel: {source: ./model}\n"

func quoted(s string) string { b, _ := json.Marshal(s); return string(b) }

// bodies are requests that are right but for who makes them, by operation.
var bodies = map[string]string{
	"missing-blobs":        `{"digests":[]}`,
	"put-blob":             "x",
	"register-version":     `{"files":[{"path":"NOTE","digest":"` + string(slipway.DigestOf([]byte("x"))) + `","size":1}],"team":"risk"}`,
	"set-alias":            `{"version":1}`,
	"create-deployment":    `{"platform_yaml":` + quoted(tiny) + `,"version":1}`,
	"create-plan":          `{"platform_yaml":` + quoted(tiny) + `,"version":1}`,
	"command-deployment":   `{"command":"abort"}`,
	"create-account":       `{"name":"eve","kind":"person"}`,
	"change-account":       `{"disable":true}`,
	"answer-review":        `{"items":["1"]}`,
	"test-policy":          `{"text":""}`,
	"propose-policy":       `{"text":"","reason":"so"}`,
	"decide-policy":        `{"approve":true}`,
	"change-role":          `{"role":"engineer","team":"risk"}`,
	"break-glass":          `{"reason":"so","seconds":600}`,
	"rotate-keys":          `{"space":"team/risk","reason":"so"}`,
	"shred-keys":           `{"space":"team/risk","reason":"so"}`,
	"set-secret":           `{"value":"x"}`,
	"create-backup":        `{}`,
	"backup-verified":      `{"target":"/nowhere","parts":1,"bytes":1,"bad":0}`,
	"retain-audit":         `{"before":"2020-01-01T00:00:00Z","to":"/nowhere"}`,
	"witness-log":          `{"key":"k","from":0,"checkpoint":"c"}`,
	"change-rule":          `{"group":"g","role":"engineer","team":"risk"}`,
	"create-webhook":       `{"team":"risk","name":"n","url":"https://hooks.example.com/","events":["alias.moved"]}`,
	"redeliver":            `{"failed":true}`,
	"protect-alias":        `{"model":"fraud","alias":"champion","approvals":1,"reason":"so"}`,
	"lift-alias-rule":      `{"reason":"so"}`,
	"decide-alias-request": `{"approve":true}`,
	"ask-alias":            `{"alias":"champion","version":1,"reason":"so"}`,
	"write-card":           `{"text":"so"}`,
}

// answersAll are the operations that everybody with an account may do, and lists that leave
// out what one may not see.
var answersAll = map[string]string{"info": "", "list-emergencies": "[]", "list-models": `{"items":[]}`, "list-endpoints": "[]", "list-deployments": "[]",
	"list-alias-rules": "[]", "list-runs": `{"items":[]}`, "list-alias-requests": `{"items":[]}`, "list-signing-keys": "[",
	"list-reviews": `{"reviews":[]`, "list-accounts": `[{"name":"nobody"`, "list-sessions": "[]", "list-secrets": "[]", "list-webhooks": `{"items":[]}`, "whoami": `{"account":"nobody"`, "list-tokens": `[{"id":"tok_`}

// TestEveryUseCaseChecks opens the front door to somebody who may do nothing: each use case
// behind it says no by itself, and that is recorded.
func TestEveryUseCaseChecks(t *testing.T) {
	i := install(t, open{})
	text := i.tokenOf(t, "nobody")
	doc, err := httpapi.OpenAPI("test")
	if err != nil {
		t.Fatal(err)
	}
	var described struct {
		Paths map[string]map[string]struct {
			ID string `yaml:"operationId"`
		}
	}
	if err := yaml.Unmarshal(doc, &described); err != nil {
		t.Fatal(err)
	}
	named := map[string]string{"request": "req_1", "rule": "rul_1", "run": "0123", "endpoint": "fraud", "model": "fraud", "account": "ada", "token": i.token, "id": i.deployment, "alias": "champion", "ref": "1", "team": "risk", "version": "1", "review": "open", "emergency": "bgl_1", "session": i.session, "secret": "s", "backup": "b", "webhook": i.hook, "event": "1", "image": string(slipway.DigestOf([]byte("image"))),
		"digest": string(slipway.DigestOf([]byte("x")))}
	query := map[string]string{"compare-versions": "?from=1", "compare-runs": "?to=x", "witnessed-log": "?log=x", "diff": "?from=fraud&to=fraud", "explain-access": "?account=ada&action=server:read&resource=server"}
	asked := 0
	for path, methods := range described.Paths {
		path = regexp.MustCompile(`\{(\w+)\}`).ReplaceAllStringFunc(path, func(s string) string { return named[strings.Trim(s, "{}")] })
		for method, op := range methods {
			asked++
			body := bodies[op.ID]
			if body == "" && method != "get" {
				body = "{}"
			}
			w := i.ask(strings.ToUpper(method), path+query[op.ID], text, body)
			if want, ok := answersAll[op.ID]; ok {
				if w.Code != 200 || !strings.HasPrefix(w.Body.String(), want) || strings.Contains(w.Body.String(), "fraud") || strings.Contains(w.Body.String(), i.token) {
					t.Errorf("%s: %d %s", op.ID, w.Code, w.Body)
				}
				continue
			}
			if !strings.Contains(w.Body.String(), slipway.CodeDenied) || w.Code != http.StatusForbidden && op.ID != "watch-deployment" && op.ID != "verify-audit" {
				t.Errorf("%s answers somebody who may not: %d %.300s", op.ID, w.Code, w.Body)
			}
		}
	}
	if asked < 42 {
		t.Errorf("only %d routes were asked", asked)
	}
	if n := i.recorded(t, "access.denied"); n < 15 { // those of one action and subject in a minute are one
		t.Errorf("%d denied attempts are recorded", n)
	}
}

// TestOldModelsAreNotClaimed: a model from before there were teams is of the team on whose
// endpoint it answers, whoever registers its next version.
func TestOldModelsAreNotClaimed(t *testing.T) {
	i := install(t, nil)
	ctx := t.Context()
	v, err := i.models.Version(ctx, "fraud", registry.Ref{Number: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := i.models.Register(ctx, slipway.Principal{ID: "owner"}, "old", "", v.Files, ""); err != nil {
		t.Fatal(err)
	}
	err = i.rollouts.Commit(ctx, rollout.Change{Endpoints: []*rollout.Endpoint{{Key: "old", Owner: "risk", State: route.Serving, Stable: &route.Revision{ID: "old-1", Model: "old"}}}})
	if err != nil {
		t.Fatal(err)
	}
	gil := slipway.Principal{ID: "gil", Kind: slipway.Person, Roles: []slipway.Role{{Name: slipway.RoleEngineer, Team: "growth"}}}
	ada := slipway.Principal{ID: "ada", Kind: slipway.Person, Roles: []slipway.Role{{Name: slipway.RoleEngineer, Team: "risk"}}}
	if _, err := i.registered.Owner(ctx, gil, "old", "growth"); !errors.Is(err, &slipway.Error{Code: slipway.CodeDenied}) {
		t.Errorf("another team claims it: %v", err)
	}
	if team, err := i.registered.Owner(ctx, ada, "old", ""); err != nil || team != "risk" {
		t.Errorf("its own team does not: %q, %v", team, err)
	}
}

// recorded counts the events of an action.
func (i *installed) recorded(t *testing.T, action string) (n int) {
	t.Helper()
	events, err := i.events.List(t.Context(), 0, 10000, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Action == action {
			n++
		}
	}
	return n
}

// TestRefusedAtTheDoor: who comes without a good token is recorded, once a minute and kind
// and without the token, and what he tried afterwards as a number.
func TestRefusedAtTheDoor(t *testing.T) {
	i := install(t, nil)
	text := i.tokenOf(t, "nobody")
	tokens, err := i.access.Identity.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last := tokens[len(tokens)-1]
	if err := i.access.Identity.Revoke(t.Context(), "owner", last.ID, ""); err != nil {
		t.Fatal(err)
	}
	const invented = "slip_invented-by-an-attacker"
	for range 40 {
		for _, token := range []string{text, invented} {
			if w := i.ask(http.MethodGet, "/v1/endpoints", token, ""); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "revoked") {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
	}
	if err := i.access.Settle(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	events, err := i.events.List(t.Context(), 0, 10000, "")
	if err != nil {
		t.Fatal(err)
	}
	first, again := map[string]int{}, map[string]int{}
	for _, e := range events {
		if e.Action != "access.unauthenticated" {
			continue
		}
		if e.Detail["again"] == "39" {
			again[e.Detail["token"]]++
		} else {
			first[e.Detail["token"]]++
		}
		for _, v := range e.Detail {
			if strings.Contains(v, text) || strings.Contains(v, invented) || strings.Contains(v, last.Hash) {
				t.Errorf("an event has the token: %v", e.Detail)
			}
		}
	}
	for _, id := range []string{last.ID, ""} {
		if first[id] != 1 || again[id] != 1 {
			t.Errorf("token %q is recorded %d times, and %d times with the number of those after it", id, first[id], again[id])
		}
	}
}
