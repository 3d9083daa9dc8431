package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/tensor"
)

func TestAnswers(t *testing.T) {
	h := open(t, t.TempDir(), newFake())
	waiting := route.Endpoint{Key: "new", State: route.Pending, Reason: "its first replicas start", Deadline: time.Second}
	gone := route.Endpoint{Key: "gone.staging", State: route.Withdrawn, Reason: "it failed", Deadline: time.Second}
	h.apply(table(1, serving(0), waiting, gone))
	const (
		infer       = "/v2/models/fraud/infer"
		invocations = "/endpoints/fraud/invocations"
		get, post   = http.MethodGet, http.MethodPost
	)
	large := strings.Repeat(" ", 17<<20)
	for name, c := range map[string]struct {
		method, path, token, body string
		header                    []string
		status                    int
		has                       string
	}{
		"infer":              {post, infer, callerToken, inferBody, nil, 200, `"model_name":"fraud"`},
		"owner":              {post, infer, ownerToken, inferBody, nil, 200, `"id":"42"`},
		"mlflow":             {post, invocations, callerToken, mlflowBody, nil, 200, `{"predictions":[1]}`},
		"charset":            {post, infer, callerToken, inferBody, []string{"Content-Type", "application/json; charset=utf-8"}, 200, ""},
		"scheme's case":      {post, infer, "", inferBody, []string{"Authorization", "bearer " + callerToken}, 200, ""},
		"no token":           {post, infer, "", inferBody, nil, 401, slipway.CodeUnauthorized},
		"wrong token":        {post, infer, "x", inferBody, nil, 401, slipway.CodeUnauthorized},
		"expired token":      {post, infer, oldToken, inferBody, nil, 401, slipway.CodeUnauthorized},
		"basic":              {post, infer, "", inferBody, []string{"Authorization", "Basic " + callerToken}, 401, ""},
		"form":               {post, infer, callerToken, inferBody, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "Content-Type"},
		"compressed":         {post, infer, callerToken, inferBody, []string{"Content-Encoding", "br"}, 415, "Content-Encoding"},
		"no gzip":            {post, infer, callerToken, inferBody, []string{"Content-Encoding", "gzip"}, 400, "no gzip"},
		"version":            {post, "/v2/models/fraud/versions/11/infer", callerToken, inferBody, nil, 200, `"model_version":"11"`},
		"another version":    {post, "/v2/models/fraud/versions/9/infer", callerToken, inferBody, nil, 404, "that version"},
		"version's metadata": {get, "/v2/models/fraud/versions/11", callerToken, "", nil, 200, `"versions":["11"]`},
		"version is ready":   {get, "/v2/models/fraud/versions/11/ready", callerToken, "", nil, 200, `"live":true`},
		"no such version":    {get, "/v2/models/fraud/versions/9/ready", callerToken, "", nil, 404, "that version"},
		"csv":                {post, invocations, callerToken, "a,b\n1,2\n", []string{"Content-Type", "text/csv"}, 200, `{"predictions":[1]}`},
		"binary answer":      {post, infer, callerToken, strings.Replace(inferBody, "{", `{"parameters":{"binary_data_output":true},`, 1), nil, 200, `"binary_data_size":8`},
		"another output":     {post, infer, callerToken, strings.Replace(inferBody, "{", `{"outputs":[{"name":"z"}],`, 1), nil, 422, "outputs[0].name"},
		"no JSON":            {post, infer, callerToken, "{", nil, 400, slipway.CodeRequest},
		"wrong schema":       {post, infer, callerToken, "{}", nil, 422, `"field":"inputs"`},
		"mlflow schema":      {post, invocations, callerToken, "{}", nil, 422, "INVALID_PARAMETER_VALUE"},
		"too large":          {post, infer, callerToken, large, nil, 413, slipway.CodeTooLarge},
		"unknown endpoint":   {post, "/v2/models/nobody/infer", ownerToken, inferBody, nil, 404, "nobody"},
		"mlflow unknown":     {post, "/endpoints/nobody/invocations", ownerToken, mlflowBody, nil, 404, "RESOURCE_DOES_NOT_EXIST"},
		"another's endpoint": {post, "/v2/models/nobody/infer", callerToken, inferBody, nil, 403, "not for the endpoint nobody"},
		"another's metadata": {get, "/v2/models/nobody", callerToken, "", nil, 403, "not for the endpoint nobody"},
		"another's mlflow":   {post, "/endpoints/nobody/invocations", callerToken, mlflowBody, nil, 403, "PERMISSION_DENIED"},
		"unknown path":       {get, "/v3", callerToken, "", nil, 404, ""},
		"root":               {get, "/", "", "", nil, 401, ""},
		"pending":            {post, "/v2/models/new/infer", callerToken, inferBody, nil, 503, "its first replicas start"},
		"withdrawn":          {post, "/v2/models/gone.staging/infer", callerToken, inferBody, nil, 503, "it failed"},
		"method":             {get, infer, callerToken, "", nil, 405, "use POST"},
		"mlflow method":      {get, invocations, callerToken, "", nil, 405, "use POST"},
		"server":             {get, "/v2", callerToken, "", nil, 200, `"slipway"`},
		"live":               {get, "/v2/health/live", callerToken, "", nil, 200, `"live":true`},
		"ready":              {get, "/v2/health/ready", callerToken, "", nil, 200, `"ready":true`},
		"live without token": {get, "/v2/health/live", "", "", nil, 401, ""},
		"model":              {get, "/v2/models/fraud", callerToken, "", nil, 200, `"inputs":[{"name":"a","datatype":"FP64","shape":[-1]}]`},
		"model ready":        {get, "/v2/models/fraud/ready", callerToken, "", nil, 200, `"ready":true`},
		"pending ready":      {get, "/v2/models/new/ready", callerToken, "", nil, 503, `"ready":false`},
		"withdrawn model":    {get, "/v2/models/gone.staging", callerToken, "", nil, 503, "it failed"},
		"metrics":            {get, "/metrics", ownerToken, "", nil, 200, "slipway_gateway_first_attempts_total"},
		"caller's metrics":   {get, "/metrics", callerToken, "", nil, 403, ""},
		"healthz":            {get, "/healthz", "", "", nil, 200, "ok"},
		"readyz":             {get, "/readyz", "", "", nil, 200, ""},
		"no server":          {get, "/v1/endpoints", ownerToken, "", nil, 503, slipway.CodeNoServer},
		"pinned by caller":   {post, infer, callerToken, inferBody, []string{"Slipway-Revision", "fraud-1"}, 403, ""},
		"pinned":             {post, infer, ownerToken, inferBody, []string{"Slipway-Revision", "fraud-1"}, 200, ""},
		"pinned to nothing":  {post, infer, ownerToken, inferBody, []string{"Slipway-Revision", "fraud-9"}, 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := h.send(c.method, c.path, c.token, c.body, c.header...)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.has) {
				t.Errorf("status %d, want %d with %q: %.200s", w.Code, c.status, c.has, w.Body)
			}
			switch w.Code {
			case 401:
				if w.Header().Get("WWW-Authenticate") == "" {
					t.Error("no WWW-Authenticate")
				}
			case 503:
				if w.Header().Get("Retry-After") == "" && !strings.HasSuffix(c.path, "ready") {
					t.Error("no Retry-After")
				}
			}
			if ct := w.Header().Get("Content-Type"); w.Code >= 400 && !json.Valid(w.Body.Bytes()) && c.path != "/readyz" {
				t.Errorf("an error is no JSON but %s", ct)
			}
		})
	}
}

func TestHeadersOfAnswers(t *testing.T) {
	h := open(t, t.TempDir(), newFake())
	h.apply(table(1, serving(0)))
	w := h.infer("X-Request-Id", "abc.1_2-3")
	got := map[string]string{}
	for _, k := range []string{"X-Request-Id", "Slipway-Revision", "Slipway-Model-Version", "Content-Type"} {
		got[k] = w.Header().Get(k)
	}
	want := map[string]string{"X-Request-Id": "abc.1_2-3", "Slipway-Revision": "fraud-1", "Slipway-Model-Version": "11", "Content-Type": "application/json"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	seen := map[string]bool{}
	for _, bad := range []string{"", "a b", "ä", strings.Repeat("x", 65), "a\nb"} {
		id := h.infer("X-Request-Id", bad).Header().Get("X-Request-Id")
		if id == bad || id == "" || len(id) > 64 || seen[id] {
			t.Errorf("a request with id %q gets %q", bad, id)
		}
		seen[id] = true
	}
}

// A failing candidate is invisible to users as long as stable answers in time.
func TestRescue(t *testing.T) {
	for name, c := range map[string]struct {
		candidate, stable model
		status            int
		from              string
		took              time.Duration
		candidateCounts   route.Counts
		stableCounts      route.Counts
	}{
		"works": {value(2), value(1), 200, "fraud-2", 0, route.Counts{Requests: 1, Answered: 1}, route.Counts{}},
		"fails": {failing(errBroken), value(1), 200, "fraud-1", 0,
			route.Counts{Requests: 1, Failed: 1, Rescued: 1}, route.Counts{Answered: 1}},
		"unknown error": {failing(errors.New("secret row")), value(1), 200, "fraud-1", 0,
			route.Counts{Requests: 1, Failed: 1, Rescued: 1}, route.Counts{Answered: 1}},
		"hangs": {hang, after(time.Second, value(1)), 200, "fraud-1", 3500 * time.Millisecond,
			route.Counts{Requests: 1, Failed: 1, Rescued: 1}, route.Counts{Answered: 1}},
		"both hang": {hang, hang, 504, "fraud-2", 5 * time.Second, route.Counts{Requests: 1, Failed: 1, Errors: 1}, route.Counts{}},
		"both fail": {failing(errBroken), failing(errBroken), 502, "fraud-2", 0,
			route.Counts{Requests: 1, Failed: 1, Errors: 1}, route.Counts{}},
		"rejects": {failing(errRejected), value(1), 422, "fraud-2", 0, route.Counts{Requests: 1, Rejected: 1, Answered: 1}, route.Counts{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				h := open(t, t.TempDir(), f)
				e := serving(1)
				e.Rollout.Promoted = true
				h.apply(table(1, e))
				f.set("fraud-2", c.candidate)
				f.set("fraud-1", c.stable)
				start := time.Now()
				w := h.infer()
				if took := time.Since(start); w.Code != c.status || w.Header().Get("Slipway-Revision") != c.from || took != c.took {
					t.Errorf("status %d from %s after %s: %s", w.Code, w.Header().Get("Slipway-Revision"), took, w.Body)
				}
				if strings.Contains(w.Body.String(), "secret") {
					t.Error("the cause of an error reaches the caller")
				}
				got := h.counts("fraud-2")
				got.LatencyUS = 0
				if d := cmp.Diff(c.candidateCounts, got); d != "" {
					t.Error("candidate:", d)
				}
				if d := cmp.Diff(c.stableCounts, h.counts("fraud-1")); d != "" {
					t.Error("stable:", d)
				}
				h.stop()
			})
		})
	}
}

// Stable has the whole deadline, but fails as evidence at the candidate's cut-off.
func TestCutOffOfStable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := open(t, t.TempDir(), f)
		h.apply(table(1, serving(0)))
		f.set("fraud-1", after(3*time.Second, value(1)))
		if w := h.infer(); w.Code != 200 {
			t.Errorf("status %d", w.Code)
		}
		if w := h.infer("Slipway-Deadline-Ms", "2000"); w.Code != 504 {
			t.Errorf("status %d with a shorter deadline", w.Code)
		}
		if w := h.infer("Slipway-Deadline-Ms", "99999999"); w.Code != 200 {
			t.Errorf("status %d with a longer deadline", w.Code)
		}
		c := h.counts("fraud-1")
		c.LatencyUS = 0
		if d := cmp.Diff(route.Counts{Requests: 3, Failed: 2, Answered: 2, Errors: 1}, c); d != "" {
			t.Error("the client's impatience is no failure of the model:", d)
		}
		h.stop()
	})
}

func TestCandidateNeedsAnotherSchema(t *testing.T) {
	f := newFake()
	h := open(t, t.TempDir(), f)
	e := serving(1)
	e.Rollout.Promoted = true
	e.Stable.Schema.Inputs = append(e.Stable.Schema.Inputs, tensor.Field{Name: "b", Type: tensor.FP64, Required: true})
	h.apply(table(1, e))
	f.set("fraud-2", failing(errBroken))
	if w := h.infer(); w.Code != 502 { // one value is too few for stable's two columns
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	body := `{"inputs":{"a":[1.5],"b":[2]}}` // MLflow's forms may have columns that a model does not take
	if w := h.send(http.MethodPost, "/endpoints/fraud/invocations", callerToken, body); w.Code != 200 || w.Header().Get("Slipway-Revision") != "fraud-1" {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	e.Candidate, e.Stable = e.Stable, e.Candidate
	e.Rollout.Attempt++
	e.Weight = .5
	h.apply(table(2, e))
	for range 40 {
		h.infer()
	}
	if c := h.counts("fraud-1"); c.Failed != 0 {
		t.Errorf("what did not fit the schema counts as %d failures", c.Failed)
	}
}

func TestClientGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := open(t, t.TempDir(), f)
		e := serving(1)
		e.Rollout.Promoted = true
		h.apply(table(1, e))
		f.set("fraud-2", hang)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		h.sendContext(ctx)
		if c := h.counts("fraud-2"); c.Failed != 0 || c.Requests != 1 || c.Errors != 0 || c.Rescued != 0 {
			t.Errorf("%+v", c)
		}
		h.stop()
	})
}

func TestCandidateNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		h := open(t, t.TempDir(), f)
		h.apply(table(1, serving(.9)))
		f.setReady("fraud-2", false)
		synctest.Wait()
		for range 200 {
			if w := h.infer(); w.Header().Get("Slipway-Revision") != "fraud-1" {
				t.Fatal("routed to a revision that is not ready")
			}
		}
		if st := h.endpoint(); st.Weight != 0 {
			t.Errorf("weight %g", st.Weight)
		}
		f.setReady("fraud-2", true)
		synctest.Wait()
		if st := h.endpoint(); st.Weight != .9 {
			t.Errorf("weight %g", st.Weight)
		}
		e := first()
		e.Key, e.Rollout.Deployment = "lone", "dep_2"
		h.apply(table(2, serving(.9), e))
		f.setReady("fraud-2", false)
		f.set("fraud-2", failing(slipway.Errorf(slipway.Unavailable, slipway.CodeNoReplica, "", "none is ready")))
		synctest.Wait()
		for range 100 {
			if w := h.send(http.MethodPost, "/v2/models/lone/infer", callerToken, inferBody); w.Code != 503 {
				t.Fatal(w.Code)
			}
		}
		time.Sleep(10 * time.Second)
		o := h.Observe()
		if o.Endpoint("lone").Vetoed {
			t.Error("an endpoint without replicas was withdrawn, though nothing was asked of it")
		}
		h.stop()
	})
}
