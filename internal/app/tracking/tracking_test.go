package tracking_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	apptracking "github.com/slipway-ml/slipway/internal/app/tracking"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	trackingapi "github.com/slipway-ml/slipway/internal/mlflowapi/tracking"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	trackingstore "github.com/slipway-ml/slipway/internal/sqlstore/tracking"
	"github.com/slipway-ml/slipway/internal/tracking"
)

func engineer(name string, teams ...string) slipway.Principal {
	p := slipway.Principal{ID: name, Kind: slipway.Person}
	for _, team := range teams {
		p.Roles = append(p.Roles, slipway.Role{Name: slipway.RoleEngineer, Team: team})
	}
	return p
}

// people by their tokens. "narrow" is an engineer of risk whose token is for growth alone.
var people = map[string]slipway.Principal{
	"ana": engineer("ana", "risk"), "gil": engineer("gil", "growth"), "two": engineer("two", "risk", "growth"),
	"owner":  {ID: "owner", Kind: slipway.Person, Roles: []slipway.Role{{Name: slipway.RoleOwner}}},
	"narrow": func() slipway.Principal { p := engineer("gil", "growth"); p.Limit.Teams = []string{"growth"}; return p }(),
	"shop":   {ID: "shop", Kind: slipway.Service, Roles: []slipway.Role{{Name: slipway.RoleCaller, Team: "risk"}}},
}

// policy is the platform's own, without its records.
type policy struct{ *authz.Engine }

func (policy) Authenticate(_ context.Context, token string) (slipway.Principal, error) {
	if p, ok := people[token]; ok {
		return p, nil
	}
	return slipway.Principal{}, slipway.Errorf(slipway.Unauthorized, slipway.CodeUnauthorized, "send a valid token", "the token is not valid")
}

func (x policy) Enter(_ context.Context, p slipway.Principal, a authz.Action, _ string) error {
	if a == authz.ServerRead || x.Conceivable(p, a) {
		return nil
	}
	return slipway.Errorf(slipway.Denied, slipway.CodeDenied, "ask", "no policy permits it")
}

func (x policy) Check(_ context.Context, p slipway.Principal, a authz.Action, r authz.Resource) error {
	return x.Engine.Check(authz.Request{Principal: p, Action: a, Resource: r})
}

func (x policy) Visible(p slipway.Principal, a authz.Action, teams []string) []string {
	return slices.DeleteFunc(slices.Clone(teams), func(team string) bool {
		return !x.Decide(authz.Request{Principal: p, Action: a, Resource: authz.Resource{Kind: authz.Actions[a].Kind, Team: team}}).Allow
	})
}

// staff has somebody of a team that has no experiments yet.
type staff struct{}

func (staff) Accounts(context.Context) ([]identity.Account, error) {
	return []identity.Account{{Name: "pia", Roles: []slipway.Role{{Name: slipway.RoleEngineer, Team: "pricing"}, {Name: slipway.RoleOwner}}}}, nil
}

// site is the API as MLflow's clients find it, on a database of its own.
type site struct {
	*testing.T
	http.Handler
	ajar http.Handler // its front door lets everybody in
}

// ajar is a policy at whose door nobody is asked.
type ajar struct{ policy }

func (ajar) Enter(context.Context, slipway.Principal, authz.Action, string) error { return nil }

func open(t *testing.T) *site {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{Path: filepath.Join(t.TempDir(), "state.db"), Now: time.Now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	e, err := authz.New(authz.Policies(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	x, store := policy{e}, trackingstore.New(db)
	service := apptracking.New(tracking.New(store.Stores(), "mlflow-artifacts:", time.Now), x, store.Teams, time.Now)
	routes := slices.Concat(trackingapi.Routes(service), mlflowapi.About(mlflowapi.Info{}, apptracking.Workspaces{Service: service, People: staff{}}))
	c := mlflowapi.Config{Auth: x, Access: x, Routes: routes, Log: log}
	door := mlflowapi.New(c)
	c.Access = ajar{x}
	return &site{t, door, mlflowapi.New(c)}
}

// do sends a request to a path below /api/2.0/mlflow, perhaps with a prefix of a team before
// it: "/teams/risk runs/create".
func (s *site) do(token, method, path, body string) *httptest.ResponseRecorder {
	return send(s, token, method, path, body)
}

func send(h http.Handler, token, method, path, body string) *httptest.ResponseRecorder {
	prefix, rest, named := strings.Cut(path, " ")
	if !named {
		prefix, rest = "", path
	}
	r := httptest.NewRequest(method, prefix+"/api/2.0/mlflow/"+rest, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func (s *site) ok(token, method, path, body string) (out map[string]any) {
	s.Helper()
	w := s.do(token, method, path, body)
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != 200 {
		s.Fatalf("%s %s %s: %d %s", method, path, body, w.Code, w.Body)
	}
	return out
}

func (s *site) fails(token, method, path, body string, status int, code, message string) {
	s.Helper()
	w := s.do(token, method, path, body)
	var f struct {
		Code    string `json:"error_code"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || w.Code != status || f.Code != code || !strings.Contains(f.Message, message) {
		s.Errorf("%s %s %s: %d %s, want %d %s %q", method, path, body, w.Code, w.Body, status, code, message)
	}
}

// at walks into an answer.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func (s *site) run(token, experiment string) string {
	s.Helper()
	return at(s.ok(token, "POST", "runs/create", fmt.Sprintf(`{"experiment_id":%q,"start_time":1}`, experiment)), "run", "info", "run_id").(string)
}

func TestWorkflow(t *testing.T) {
	s := open(t)
	s.fails("ana", "GET", "experiments/get-by-name?experiment_name=churn", "", 404, "RESOURCE_DOES_NOT_EXIST", "Could not find experiment with name 'churn'")
	id := s.ok("ana", "POST", "experiments/create", `{"name":"churn","tags":[{"key":"k","value":""}]}`)["experiment_id"].(string)
	s.fails("ana", "POST", "experiments/create", `{"name":"churn"}`, 400, "RESOURCE_ALREADY_EXISTS", "Experiment(name=churn) already exists.")
	got := s.ok("ana", "GET", "experiments/get?experiment_id="+id, "")
	if at(got, "experiment", "artifact_location") != "mlflow-artifacts:/"+id || at(got, "experiment", "lifecycle_stage") != "active" || at(got, "experiment", "tags", 0, "value") != "" {
		t.Errorf("%v", got)
	}
	run := s.run("ana", id)
	for path, body := range map[string]string{
		"log-metric":    `"key":"loss","value":"NaN","timestamp":"5"`,
		"log-parameter": `"key":"p","value":""`,
		"set-tag":       `"key":"t","value":"v"`,
		"log-batch":     `"metrics":[{"key":"auc","value":0.5,"timestamp":1,"step":1},{"key":"auc","value":1e400,"timestamp":2,"step":2}],"params":[{"key":"q","value":"1"}]`,
		"log-inputs":    `"datasets":[{"dataset":{"name":"d","digest":"1","source_type":"s","source":"x"},"tags":[{"key":"mlflow.data.context","value":"training"}]}]`,
	} {
		s.ok("ana", "POST", "runs/"+path, `{"run_uuid":"`+run+`","run_id":"`+run+`",`+body+`}`)
	}
	got = s.ok("ana", "GET", "runs/get?run_uuid="+run, "")
	want := map[string]any{"auc": 1.7976931348623157e308, "loss": "NaN"}
	for i, m := range at(got, "run", "data", "metrics").([]any) {
		if at(m, "value") != want[at(m, "key").(string)] {
			t.Errorf("metric %d: %v", i, m)
		}
	}
	if at(got, "run", "info", "run_uuid") != run || at(got, "run", "info", "end_time") != nil || at(got, "run", "inputs", "dataset_inputs", 0, "dataset", "name") != "d" {
		t.Errorf("%v", got)
	}
	ended := s.ok("ana", "POST", "runs/update", `{"runId":"`+run+`","status":3,"end_time":9,"run_name":"n"}`)
	if at(ended, "run_info", "status") != "FINISHED" || at(ended, "run_info", "end_time") != 9.0 || at(ended, "run_info", "run_name") != "n" {
		t.Errorf("%v", ended)
	}
	found := s.ok("ana", "POST", "runs/search", `{"experiment_ids":["`+id+`"],"filter":"metrics.auc > 0.9 and tags.t = 'v'","run_view_type":"ACTIVE_ONLY"}`)
	if at(found, "runs", 0, "info", "run_id") != run {
		t.Errorf("%v", found)
	}
	history := s.ok("ana", "GET", "metrics/get-history?metric_key=auc&max_results=1&run_id="+run, "")
	next := s.ok("ana", "GET", "metrics/get-history?metric_key=auc&run_id="+run+"&page_token="+history["next_page_token"].(string), "")
	if at(history, "metrics", 0, "step") != 1.0 || at(next, "metrics", 0, "step") != 2.0 || next["next_page_token"] != nil {
		t.Errorf("%v then %v", history, next)
	}
	if sets := s.ok("ana", "POST", "experiments/search-datasets", `{"experiment_ids":["`+id+`"]}`); at(sets, "dataset_summaries", 0, "context") != "training" {
		t.Errorf("%v", sets)
	}
}

func TestLoggedModels(t *testing.T) {
	s := open(t)
	id := s.ok("ana", "POST", "experiments/create", `{"name":"churn"}`)["experiment_id"].(string)
	run := s.run("ana", id)
	m := s.ok("ana", "POST", "logged-models", `{"experiment_id":"`+id+`","name":"m","source_run_id":"`+run+`","params":[{"key":"p","value":"1"}]}`)
	model := at(m, "model", "info", "model_id").(string)
	if at(m, "model", "info", "status") != "LOGGED_MODEL_PENDING" || at(m, "model", "info", "artifact_uri") != "mlflow-artifacts:/"+id+"/models/"+model+"/artifacts" {
		t.Errorf("%v", m)
	}
	s.ok("ana", "POST", "runs/outputs", `{"run_id":"`+run+`","models":[{"model_id":"`+model+`","step":3}]}`)
	s.ok("ana", "POST", "runs/log-batch", `{"run_id":"`+run+`","metrics":[{"key":"auc","value":0.5,"timestamp":1,"model_id":"`+model+`"}]}`)
	s.ok("ana", "PATCH", "logged-models/"+model, `{"model_id":"`+model+`","status":"LOGGED_MODEL_READY"}`)
	s.ok("ana", "PATCH", "logged-models/"+model+"/tags", `{"tags":[{"key":"a/b","value":"x"}]}`)
	s.ok("ana", "POST", "logged-models/"+model+"/params", `{"params":[{"key":"q","value":"2"}]}`)
	found := s.ok("ana", "POST", "logged-models/search", `{"experiment_ids":["`+id+`"],"filter":"name = 'm'","order_by":[{"field_name":"metrics.auc","ascending":false}]}`)
	if at(found, "models", 0, "info", "status") != "LOGGED_MODEL_READY" || at(found, "models", 0, "data", "metrics", 0, "value") != 0.5 || at(found, "models", 0, "data", "params", 1, "key") != "q" {
		t.Errorf("%v", found)
	}
	s.ok("ana", "DELETE", "logged-models/"+model+"/tags/a%2Fb", "")
	if out := s.ok("ana", "GET", "runs/get?run_id="+run, ""); at(out, "run", "outputs", "model_outputs", 0, "model_id") != model {
		t.Errorf("%v", out)
	}
	s.ok("ana", "DELETE", "logged-models/"+model, `{}`)
	s.fails("ana", "GET", "logged-models/"+model, "", 404, "RESOURCE_DOES_NOT_EXIST", "Logged model with ID '"+model+"' not found")
}

// TestWhoseItIs: without a word it is one's own team's, with one the named one's, and each
// team has its own Default.
func TestWhoseItIs(t *testing.T) {
	s := open(t)
	if got := s.ok("owner", "POST", "experiments/search", `{"max_results":10}`); at(got, "experiments", 0, "experiment_id") != "0" || at(got, "experiments", 0, "name") != "Default" || len(got["experiments"].([]any)) != 1 {
		t.Errorf("at first: %v", got)
	}
	default1 := at(s.ok("ana", "GET", "experiments/get?experiment_id=0", ""), "experiment", "experiment_id")
	default2 := at(s.ok("gil", "GET", "experiments/get-by-name?experiment_name=Default", ""), "experiment", "experiment_id")
	if default1 == default2 || default1 == "0" || default2 == "0" {
		t.Errorf("%v and %v", default1, default2)
	}
	run := s.run("ana", "0")
	if got := s.ok("ana", "POST", "runs/search", `{"experiment_ids":["0"]}`); at(got, "runs", 0, "info", "run_id") != run || at(got, "runs", 0, "info", "experiment_id") != default1 {
		t.Errorf("%v", got)
	}
	s.fails("two", "POST", "experiments/create", `{"name":"x"}`, 403, "PERMISSION_DENIED", "end MLFLOW_TRACKING_URI in /teams/TEAM")
	s.ok("two", "POST", "/teams/growth experiments/create", `{"name":"x"}`)
	if got := s.ok("two", "GET", "experiments/get-by-name?experiment_name=x", ""); at(got, "experiment", "name") != "x" {
		t.Errorf("%v", got)
	}
	s.fails("ana", "GET", "experiments/get-by-name?experiment_name=x", "", 404, "RESOURCE_DOES_NOT_EXIST", "Could not find") // she may read it, but not write
	s.ok("ana", "GET", "/teams/growth experiments/get-by-name?experiment_name=x", "")
	s.fails("ana", "POST", "/teams/growth experiments/create", `{"name":"y"}`, 403, "PERMISSION_DENIED", "ana may not do experiment:write")
	s.fails("owner", "GET", "/teams/grwoth experiments/get?experiment_id=0", "", 404, "RESOURCE_DOES_NOT_EXIST", "No Experiment with id=0 exists")
	if got := s.ok("owner", "POST", "/teams/grwoth experiments/search", `{"max_results":10}`); got["experiments"] != nil {
		t.Errorf("a team of a mistyped name has %v", got)
	}
	for token, want := range map[string]string{"owner": `{"workspaces":[{"name":"default"},{"name":"growth"},{"name":"pricing"},{"name":"risk"}]}`, "narrow": `{"workspaces":[{"name":"growth"}]}`, "shop": "{}"} {
		r := httptest.NewRequest(http.MethodGet, "/api/3.0/mlflow/workspaces", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Body.String() != want {
			t.Errorf("workspaces of %s: %d %s", token, w.Code, w.Body)
		}
	}
	names := func(path string) (out []string) {
		for _, e := range s.ok("ana", "POST", path, `{"max_results":10}`)["experiments"].([]any) {
			out = append(out, at(e, "name").(string))
		}
		slices.Sort(out)
		return out
	}
	if got := names("experiments/search"); !slices.Equal(got, []string{"Default", "Default", "Default", "x"}) {
		t.Errorf("%v", got)
	}
	if got := names("/teams/growth experiments/search"); !slices.Equal(got, []string{"Default", "x"}) {
		t.Errorf("%v", got)
	}
}

// plain leaves ids out of an answer.
func plain(text string, ids ...string) string {
	return regexp.MustCompile(`\b(`+strings.Join(ids, "|")+`)\b`).ReplaceAllString(text, "#")
}

// TestWhatOneMayNotSeeIsNotThere: every request about something of a team that one may not
// see is answered as one about what there is not.
func TestWhatOneMayNotSeeIsNotThere(t *testing.T) {
	s := open(t)
	id := s.ok("ana", "POST", "experiments/create", `{"name":"secret plan"}`)["experiment_id"].(string)
	run := s.run("ana", id)
	s.ok("ana", "POST", "runs/log-batch", `{"run_id":"`+run+`","metrics":[{"key":"hidden","value":7,"timestamp":1}],"params":[{"key":"hidden","value":"secret"}]}`)
	s.ok("ana", "POST", "runs/log-inputs", `{"run_id":"`+run+`","datasets":[{"dataset":{"name":"secret","digest":"1","source_type":"s","source":"x"}}]}`)
	model := at(s.ok("ana", "POST", "logged-models", `{"experiment_id":"`+id+`","name":"secret"}`), "model", "info", "model_id").(string)
	fill := func(text, id, run, model string) string {
		return strings.NewReplacer("EXP", id, "RUN", run, "LM", model).Replace(text)
	}
	const none, noRun, noModel = "987654", "0123456789abcdef0123456789abcdef", "m-0123456789abcdef0123456789abcdef"
	for _, request := range []string{
		"GET experiments/get?experiment_id=EXP", `POST experiments/update {"experiment_id":"EXP","new_name":"x"}`, `POST experiments/delete {"experiment_id":"EXP"}`,
		`POST experiments/restore {"experiment_id":"EXP"}`, `POST experiments/set-experiment-tag {"experiment_id":"EXP","key":"k"}`, `POST experiments/delete-experiment-tag {"experiment_id":"EXP","key":"k"}`,
		`POST runs/create {"experiment_id":"EXP"}`, "GET runs/get?run_id=RUN", `POST runs/update {"run_id":"RUN"}`, `POST runs/delete {"run_id":"RUN"}`, `POST runs/restore {"run_id":"RUN"}`,
		`POST runs/log-metric {"run_id":"RUN","key":"k","value":1,"timestamp":1}`, `POST runs/log-parameter {"run_id":"RUN","key":"k"}`, `POST runs/set-tag {"run_id":"RUN","key":"k"}`,
		`POST runs/delete-tag {"run_id":"RUN","key":"k"}`, `POST runs/log-batch {"run_id":"RUN"}`, `POST runs/log-inputs {"run_id":"RUN","datasets":[]}`, `POST runs/outputs {"run_id":"RUN","models":[]}`,
		`POST runs/log-model {"run_id":"RUN","model_json":"{}"}`, "GET metrics/get-history?run_id=RUN&metric_key=hidden", "GET metrics/get-history-bulk?run_id=RUN&metric_key=hidden",
		"GET metrics/get-history-bulk-interval?run_ids=RUN&metric_key=hidden", `POST runs/search {"experiment_ids":["EXP"]}`, `POST experiments/search-datasets {"experiment_ids":["EXP"]}`,
		`POST logged-models {"experiment_id":"EXP"}`, "GET logged-models/LM", `PATCH logged-models/LM {"status":"LOGGED_MODEL_READY"}`, `DELETE logged-models/LM {}`,
		`PATCH logged-models/LM/tags {"tags":[]}`, `DELETE logged-models/LM/tags/k {}`, `POST logged-models/LM/params {"params":[]}`, `POST logged-models/search {"experiment_ids":["EXP"]}`,
		"GET experiments/get-by-name?experiment_name=secret%20plan", "GET /teams/risk:experiments/get-by-name?experiment_name=secret%20plan", `POST experiments/search {"max_results":100}`,
		`POST /teams/risk:experiments/search {"max_results":100}`,
	} {
		method, rest, _ := strings.Cut(request, " ")
		path, body, _ := strings.Cut(rest, " ")
		path = strings.Replace(path, ":", " ", 1)
		there := s.do("narrow", method, fill(path, id, run, model), fill(body, id, run, model))
		absent := s.do("narrow", method, fill(path, none, noRun, noModel), fill(body, none, noRun, noModel))
		got, want := plain(there.Body.String(), id, run, model), plain(absent.Body.String(), none, noRun, noModel)
		if there.Code != absent.Code || got != want || there.Code >= 500 {
			t.Errorf("%s: %d %s\nof what is not there: %d %s", request, there.Code, got, absent.Code, want)
		}
		if strings.Contains(there.Body.String(), "hidden\",") || strings.Contains(there.Body.String(), `"secret`) {
			t.Errorf("%s tells: %s", request, there.Body)
		}
		if w := s.do("shop", method, fill(path, id, run, model), fill(body, id, run, model)); w.Code != 403 {
			t.Errorf("%s for somebody who only calls models: %d %s", request, w.Code, w.Body)
		}
		// Each use case says no by itself, too.
		w := send(s.ajar, "shop", method, fill(path, id, run, model), fill(body, id, run, model))
		empty := w.Code == 200 && (w.Body.String() == "{}" || w.Body.String() == `{"metrics":[]}`)
		if w.Code != 403 && w.Code != 404 && w.Code != 400 && !empty {
			t.Errorf("%s behind an open door: %d %s", request, w.Code, w.Body)
		}
	}
	if out := s.ok("ana", "GET", "runs/get?run_id="+run, ""); at(out, "run", "data", "tags", 1) != nil || at(out, "run", "info", "lifecycle_stage") != "active" {
		t.Errorf("somebody has changed it: %v", out)
	}
}

// TestReadersDoNotWrite: who may read something of another team is told that he may not
// change it.
func TestReadersDoNotWrite(t *testing.T) {
	s := open(t)
	id := s.ok("ana", "POST", "experiments/create", `{"name":"churn"}`)["experiment_id"].(string)
	run := s.run("ana", id)
	s.ok("gil", "GET", "runs/get?run_id="+run, "")
	s.fails("gil", "POST", "runs/set-tag", `{"run_id":"`+run+`","key":"k"}`, 403, "PERMISSION_DENIED", "gil may not do experiment:write on experiment "+id)
	s.fails("gil", "POST", "runs/delete", `{"run_id":"`+run+`"}`, 403, "PERMISSION_DENIED", "experiment:delete")
	s.fails("gil", "POST", "runs/create", `{"experiment_id":"`+id+`"}`, 403, "PERMISSION_DENIED", "")
}

// TestNothingLastingIs5xx: MLflow's clients repeat such answers for minutes.
func TestNothingLastingIs5xx(t *testing.T) {
	s := open(t)
	id := s.ok("ana", "POST", "experiments/create", `{"name":"churn"}`)["experiment_id"].(string)
	run := s.run("ana", id)
	for _, value := range []string{`""`, `"x"`, `"0"`, `-1`, `1e30`, `null`, `[]`, `{}`, `["x"]`, `true`, `"\u0000"`, `"` + strings.Repeat("9", 400) + `"`, `"' OR 1=1 --"`, `"%00"`, `"../../x"`, `"\ud800"`} {
		for _, body := range []string{
			`experiments/create {"name":V}`, `experiments/create {"name":"n","artifact_location":V}`, `experiments/create {"name":"m","tags":V}`, `experiments/search {"max_results":V}`,
			`experiments/search {"max_results":5,"page_token":V}`, `experiments/search {"max_results":5,"filter":V}`, `experiments/search {"max_results":5,"order_by":[V]}`, `experiments/search {"max_results":5,"view_type":V}`,
			`experiments/delete {"experiment_id":V}`, `runs/create {"experiment_id":V}`, `runs/create {"experiment_id":"` + id + `","start_time":V}`, `runs/create {"experiment_id":"` + id + `","tags":[{"key":V,"value":"1"}]}`,
			`runs/update {"run_id":"` + run + `","status":V}`, `runs/update {"run_id":"` + run + `","run_name":V}`, `runs/search {"experiment_ids":["` + id + `"],"filter":V}`, `runs/search {"experiment_ids":[V]}`,
			`runs/search {"experiment_ids":["` + id + `"],"max_results":V}`, `runs/search {"experiment_ids":["` + id + `"],"page_token":V}`, `runs/search {"experiment_ids":["` + id + `"],"order_by":[V]}`,
			`runs/log-metric {"run_id":"` + run + `","key":V,"value":1,"timestamp":1}`, `runs/log-metric {"run_id":"` + run + `","key":"k","value":V,"timestamp":1}`, `runs/log-metric {"run_id":"` + run + `","key":"k","value":1,"timestamp":V}`,
			`runs/log-metric {"run_id":"` + run + `","key":"k","value":1,"timestamp":1,"step":V}`, `runs/log-parameter {"run_id":V,"key":"k","value":"1"}`, `runs/log-parameter {"run_id":"` + run + `","key":V,"value":V}`,
			`runs/set-tag {"run_id":"` + run + `","key":"t","value":V}`, `runs/log-inputs {"run_id":"` + run + `","datasets":[{"dataset":{"name":V,"digest":"1"}}]}`, `runs/log-inputs {"run_id":"` + run + `","models":[{"model_id":V}]}`,
			`runs/outputs {"run_id":"` + run + `","models":[{"model_id":V,"step":V}]}`, `runs/log-model {"run_id":"` + run + `","model_json":V}`, `logged-models {"experiment_id":"` + id + `","name":V}`,
			`logged-models {"experiment_id":"` + id + `","params":[{"key":V,"value":V}]}`, `logged-models/search {"experiment_ids":["` + id + `"],"filter":V}`, `logged-models/search {"experiment_ids":["` + id + `"],"order_by":[{"field_name":V}]}`,
			`logged-models/search {"experiment_ids":["` + id + `"],"page_token":V}`, `logged-models/search {"experiment_ids":["` + id + `"],"datasets":[{"dataset_name":V}]}`,
		} {
			path, text, _ := strings.Cut(body, " ")
			w := s.do("ana", "POST", path, strings.ReplaceAll(text, "V", value))
			if w.Code >= 500 || !json.Valid(w.Body.Bytes()) || w.Body.Len() > 5000 {
				t.Errorf("%s with %.60s: %d %.300s", body, value, w.Code, w.Body)
			}
		}
	}
}
