package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/bench/figure"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/gateway"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/tensor"
)

const (
	principals = 1000
	teams      = 60
	added      = 300
	decisions  = 40_000 // a round
	rounds     = 5
	requests   = 20_000
)

// policy reports what a decision costs, and the door of a request.
func (b *bench) policy(context.Context) error {
	for _, measure := range []func() ([]figure.Figure, error){b.decisionFigures, b.doorFigures} {
		figures, err := measure()
		if err != nil {
			return err
		}
		b.Print(figures...)
	}
	return nil
}

// mixed are policies as an installation may come to have: a third about deployments, a third
// about calls, and the others about who reads and staffs, each for one team.
func mixed() string {
	var b strings.Builder
	for i := range added {
		team := fmt.Sprint("team-", i%teams)
		switch i % 3 {
		case 0:
			fmt.Fprintf(&b, "@id(\"own-%d\") forbid (principal, action == Action::\"endpoint:deploy\", resource) when { resource has team && resource.team == %q && resource has tier && resource.tier == 1 } unless { resource has team && principal.leads.contains(resource.team) };\n", i, team)
		case 1:
			fmt.Fprintf(&b, "@id(\"own-%d\") permit (principal, action in Action::\"call\", resource) when { resource has team && resource.team == %q && principal.member.contains(\"team-%d\") };\n", i, team, (i+7)%teams)
		default:
			fmt.Fprintf(&b, "@id(\"own-%d\") forbid (principal, action in [Action::\"read\", Action::\"staff\"], resource) when { resource has team && resource.team == %q && resource.classification > 2 } unless { principal.clearance > 2 };\n", i, team)
		}
	}
	return b.String()
}

func (b *bench) decisionFigures() ([]figure.Figure, error) {
	e, err := authz.New(authz.Policies(), time.Now)
	if err != nil {
		return nil, err
	}
	if e, err = e.With(1, []byte(mixed())); err != nil {
		return nil, err
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	roles := []string{slipway.RoleTeamLead, slipway.RoleEngineer, slipway.RoleCaller}
	var who []slipway.Principal
	for i := range principals {
		p := slipway.Principal{ID: fmt.Sprint("p-", i), Kind: slipway.Person, Clearance: slipway.Classifications[rnd.IntN(4)]}
		for range 1 + rnd.IntN(4) {
			p.Roles = append(p.Roles, slipway.Role{Name: roles[rnd.IntN(3)], Team: fmt.Sprint("team-", rnd.IntN(teams))})
		}
		who = append(who, p)
	}
	actions := []authz.Action{authz.EndpointRead, authz.EndpointDeploy, authz.EndpointPredict, authz.EndpointRollback, authz.ModelRead, authz.ModelRegister, authz.AccountRead, authz.TokenIssue}
	// As much as a server of that size holds: in an empty process the collector would run
	// every few hundred decisions.
	held := make([]byte, 32<<20)
	defer runtime.KeepAlive(held)
	p50, p99 := math.Inf(1), math.Inf(1)
	for range rounds { // other work on the machine only adds: the quietest counts
		took := make([]time.Duration, decisions)
		allowed := 0
		for i := range took {
			a := actions[rnd.IntN(len(actions))]
			r := authz.Request{Principal: who[rnd.IntN(principals)], Action: a, Resource: authz.Resource{Kind: authz.Actions[a].Kind, Name: fmt.Sprint("r-", rnd.IntN(500)),
				Team: fmt.Sprint("team-", rnd.IntN(teams)), Tier: 1 + rnd.IntN(4), Environment: slipway.Production, Classification: slipway.Classifications[rnd.IntN(4)]}}
			start := time.Now()
			if e.Decide(r).Allow {
				allowed++
			}
			took[i] = time.Since(start)
		}
		if allowed == 0 || allowed == decisions {
			return nil, fmt.Errorf("%d of %d decisions allow: the bench asks nothing", allowed, decisions)
		}
		p50, p99 = min(p50, us(took, .5)), min(p99, us(took, .99))
	}
	return []figure.Figure{
		b.AtMost("decision_p50_us", p50, 50),
		b.AtMost("decision_p99_us", p99, 50),
	}, nil
}

// us is a quantile in microseconds.
func us(took []time.Duration, q float64) float64 {
	sorted := slices.Clone(took)
	slices.Sort(sorted)
	return math.Round(float64(sorted[int(q*float64(len(sorted)-1))].Nanoseconds())/10) / 100
}

// replicas answer at once: what is left is the gateway.
type replicas struct{ answer *tensor.Batch }

func (replicas) Want([]*route.Revision) {}
func (replicas) Status(revision string) route.RevisionStatus {
	return route.RevisionStatus{ID: revision, Want: 1, Ready: 1}
}
func (r replicas) Predict(context.Context, string, *tensor.Batch) (*tensor.Batch, error) {
	return r.answer, nil
}
func (replicas) Through(context.Context, string) (string, func(), error) {
	return "", nil, errors.ErrUnsupported
}
func (replicas) Changed() <-chan struct{} { return nil }

// doorFigures compares the same requests with a grant that lists 60 endpoints, among 1,000
// grants, with the owner's, which lists none; and the door as a whole with a path that has
// none.
func (b *bench) doorFigures() ([]figure.Figure, error) {
	dir, err := os.MkdirTemp("", "slipway-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	answer := &tensor.Batch{Tensors: []tensor.Tensor{{Name: "y", Type: tensor.FP64, Shape: []int{1}, Data: binary.LittleEndian.AppendUint64(nil, math.Float64bits(1))}}}
	g, err := gateway.Open(gateway.Config{Name: "bench", Dir: dir, ServerSocket: dir + "/nobody", Replicas: replicas{answer}, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: time.Now, Rand: rand.Float64})
	if err != nil {
		return nil, err
	}
	defer g.Close()
	if _, err := g.Apply(doorTable()); err != nil {
		return nil, err
	}
	const body = `{"inputs":[{"name":"a","shape":[1,1],"datatype":"FP64","data":[1.5]}]}`
	infer := func(token string) request {
		return request{http.MethodPost, "/v2/models/endpoint-30/infer", token, body}
	}
	kinds := []request{infer("caller-500"), infer("owner"), {http.MethodGet, "/v2/health/live", "caller-500", ""}, {http.MethodGet, "/healthz", "", ""}}
	took := make([][]time.Duration, len(kinds))
	for range requests { // by turns, so that all have the same machine
		for i, kind := range kinds {
			d, err := kind.run(g)
			if err != nil {
				return nil, err
			}
			took[i] = append(took[i], d)
		}
	}
	listed, owner, guarded, open := us(took[0], .5), us(took[1], .5), us(took[2], .5), us(took[3], .5)
	return []figure.Figure{
		// beside the owner's grant, which lists nothing
		{Bench: b.Bench, Metric: "infer_listed_grant_p50_us", Ours: listed, Peer: owner, Ratio: owner / listed, Goal: .5},
		b.AtMost("door_added_us", math.Round(100*(max(0, listed-owner)+max(0, guarded-open)))/100, 30),
	}, nil
}

type request struct{ method, path, token, body string }

func (q request) run(h http.Handler) (time.Duration, error) {
	r := httptest.NewRequestWithContext(context.Background(), q.method, q.path, bytes.NewReader([]byte(q.body)))
	if q.token != "" {
		r.Header.Set("Authorization", "Bearer "+q.token)
	}
	w := httptest.NewRecorder()
	start := time.Now()
	h.ServeHTTP(w, r)
	took := time.Since(start)
	if w.Code != http.StatusOK {
		text, _ := io.ReadAll(w.Body)
		return 0, fmt.Errorf("%s answers %d: %s", q.path, w.Code, text)
	}
	return took, nil
}

func doorTable() route.Table {
	t := route.Table{Seq: 1}
	var keys []string
	for i := range teams {
		key := fmt.Sprintf("endpoint-%02d", i)
		keys = append(keys, key)
		t.Endpoints = append(t.Endpoints, route.Endpoint{Key: key, State: route.Serving, Deadline: time.Second, Stable: &route.Revision{ID: key + "-1", Number: 1, Model: key, Version: 1, Replicas: 1,
			Schema: tensor.Schema{Inputs: []tensor.Field{{Name: "a", Type: tensor.FP64, Required: true}}, Outputs: []tensor.Field{{Name: "y", Type: tensor.FP64}}}, Runtime: route.Runtime{Kind: route.RuntimeTree}}})
	}
	hash := func(token string) string { return slipway.DigestOf([]byte(token)).Hex() }
	later := time.Now().Add(time.Hour)
	for i := range principals {
		name := fmt.Sprint("caller-", i)
		t.Grants = append(t.Grants, route.Grant{TokenSHA256: hash(name), Token: "tok_" + name, Principal: name, Scope: route.ScopeListed, Expires: later, Predict: keys, Connected: keys,
			Until: map[string]time.Time{route.UntilPredict + keys[30]: later}})
	}
	t.Grants = append(t.Grants, route.Grant{TokenSHA256: hash("owner"), Principal: "owner", Scope: route.ScopeOwner})
	return t
}
