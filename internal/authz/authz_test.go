package authz_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
)

var update = flag.Bool("update", false, "rewrite the golden table")

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func engine(t testing.TB) *authz.Engine {
	t.Helper()
	e, err := authz.New(authz.Policies(), func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func role(name, team string) slipway.Role { return slipway.Role{Name: name, Team: team} }

// people are one principal of each kind.
var people = []slipway.Principal{
	{ID: "nobody", Kind: slipway.Person},
	{ID: "owner", Kind: slipway.Person, Roles: []slipway.Role{role(slipway.RoleOwner, "")}},
	{ID: "platform", Kind: slipway.Person, Roles: []slipway.Role{role(slipway.RolePlatformEngineer, "")}},
	{ID: "lead", Kind: slipway.Person, Roles: []slipway.Role{role(slipway.RoleTeamLead, "risk")}},
	{ID: "engineer", Kind: slipway.Person, Roles: []slipway.Role{role(slipway.RoleEngineer, "risk")}},
	{ID: "cleared", Kind: slipway.Person, Roles: []slipway.Role{role(slipway.RoleEngineer, "risk")}, Clearance: "restricted"},
	{ID: "ci", Kind: slipway.Service, Roles: []slipway.Role{role(slipway.RoleEngineer, "risk")}, Limit: slipway.Limit{Actions: []string{"endpoint:deploy", "endpoint:read", "model:register", "blob:upload"}}},
	{ID: "caller", Kind: slipway.Service, Roles: []slipway.Role{role(slipway.RoleCaller, "risk")}},
	{ID: "one-endpoint", Kind: slipway.Service, Roles: []slipway.Role{role(slipway.RoleCaller, "risk")}, Limit: slipway.Limit{Endpoints: []string{"fraud"}}},
	{ID: "auditor", Kind: slipway.Person, Roles: []slipway.Role{{Name: slipway.RoleAuditor, Until: noon.Add(time.Hour)}}},
	{ID: "was-auditor", Kind: slipway.Person, Roles: []slipway.Role{{Name: slipway.RoleAuditor, Until: noon}}},
}

// things are resources of each kind: of the team, of another team, and more secret ones.
var things = map[string][]authz.Resource{
	authz.KindServer: {{Kind: authz.KindServer}},
	authz.KindEndpoint: {
		{Kind: authz.KindEndpoint, Name: "fraud", Team: "risk", Tier: 1, Environment: slipway.Production},
		{Kind: authz.KindEndpoint, Name: "churn", Team: "risk", Tier: 3, Environment: slipway.Staging, Classification: "restricted"},
		{Kind: authz.KindEndpoint, Name: "other", Team: "growth", Tier: 3, Environment: slipway.Production},
		{Kind: authz.KindEndpoint, Name: "secret", Team: "growth", Tier: 3, Environment: slipway.Production, Classification: "confidential"},
	},
	authz.KindModel: {
		{Kind: authz.KindModel, Name: "fraud", Team: "risk"},
		{Kind: authz.KindModel, Name: "other", Team: "growth"},
		{Kind: authz.KindModel, Name: "unowned"},
	},
	authz.KindAccount: {
		{Kind: authz.KindAccount, Name: "bot", Team: "risk"},
		{Kind: authz.KindAccount, Name: "bot-of-others", Team: "growth"},
		{Kind: authz.KindAccount, Name: "ada"},
		{Kind: authz.KindAccount, Name: "owner", Owner: true},
	},
	authz.KindSecret: {authz.SecretsOf("risk"), authz.SecretsOf("growth")},
	authz.KindDataset: {
		{Kind: authz.KindDataset, Name: "prices", Team: "risk", Classification: "public"},
		{Kind: authz.KindDataset, Name: "applicants", Team: "risk", Classification: "restricted"},
		{Kind: authz.KindDataset, Name: "members", Team: "growth", Classification: "restricted"},
	},
}

// TestTable holds who may do what with what: the table that an auditor reads.
func TestTable(t *testing.T) {
	e := engine(t)
	var b strings.Builder
	for _, action := range slices.Sorted(maps.Keys(authz.Actions)) {
		for _, thing := range things[authz.Actions[action].Kind] {
			fmt.Fprintf(&b, "%s  %s\n", action, described(thing))
			for _, p := range people {
				r := authz.Request{Principal: p, Action: action, Resource: thing}
				if action == authz.AccountGrant {
					r.Role = role(slipway.RoleEngineer, "risk")
				}
				d := e.Decide(r)
				answer := "no "
				if d.Allow {
					answer = "yes"
				}
				var by []string
				for _, reason := range d.Policies {
					by = append(by, reason.Policy)
				}
				fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("  %s  %-12s  %s", answer, p.ID, strings.Join(by, ", ")), " "))
			}
		}
	}
	const file = "testdata/table.golden"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (go test -update rewrites it): %s", file, diff)
	}
}

func described(r authz.Resource) string {
	words := []string{r.String()}
	for _, w := range []string{r.Team, r.Environment, r.Classification} {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, ", ")
}

// TestDataNeedsClearance: engineers who work on models without personal data never have
// access to data sets that hold it, whatever roles they gather.
func TestDataNeedsClearance(t *testing.T) {
	e := engine(t)
	rapid.Check(t, func(t *rapid.T) {
		p := slipway.Principal{ID: "ada", Kind: rapid.SampledFrom([]string{slipway.Person, slipway.Service}).Draw(t, "kind"),
			Clearance: rapid.SampledFrom([]string{"", "public", "internal", "confidential", "top"}).Draw(t, "clearance")}
		for range rapid.IntRange(0, 5).Draw(t, "roles") {
			p.Roles = append(p.Roles, role(rapid.SampledFrom([]string{slipway.RoleOwner, slipway.RolePlatformEngineer, slipway.RoleAuditor, slipway.RoleTeamLead, slipway.RoleEngineer, slipway.RoleCaller}).Draw(t, "role"),
				rapid.SampledFrom([]string{"risk", "growth"}).Draw(t, "team")))
		}
		if p.Clearance == "top" {
			p.Clearance = "internal"
		}
		for _, class := range []string{"restricted", "a word that is none"} {
			d := e.Decide(authz.Request{Principal: p, Action: authz.DatasetRead, Resource: authz.Resource{Kind: authz.KindDataset, Name: "applicants", Team: "risk", Classification: class}})
			if d.Allow || len(d.Policies) != 1 || d.Policies[0].Policy != "data-needs-clearance" {
				t.Fatalf("%+v reads %s data: %+v", p, class, d)
			}
		}
	})
}

// TestNobodyRaisesHimself: no role but the owner's lets anybody give himself more.
func TestNobodyRaisesHimself(t *testing.T) {
	e := engine(t)
	for _, p := range people {
		for _, to := range []slipway.Role{role(slipway.RoleOwner, ""), role(slipway.RolePlatformEngineer, ""), role(slipway.RoleEngineer, "risk"), role(slipway.RoleEngineer, "growth")} {
			self := authz.Request{Principal: p, Action: authz.AccountGrant, Resource: authz.Resource{Kind: authz.KindAccount, Name: p.ID, Owner: p.Owner()}, Role: to}
			if d := e.Decide(self); d.Allow != p.Owner() {
				t.Errorf("%s gives himself %+v: %+v", p.ID, to, d)
			}
			other := self
			other.Resource = authz.Resource{Kind: authz.KindAccount, Name: "bob"}
			if d := e.Decide(other); d.Allow && to.Name == slipway.RoleOwner && !p.Owner() {
				t.Errorf("%s makes an owner", p.ID)
			}
		}
	}
}

func TestCheckSaysWhy(t *testing.T) {
	e := engine(t)
	err := e.Check(authz.Request{Principal: people[4], Action: authz.EndpointRollback, Resource: things[authz.KindEndpoint][2]})
	if got := slipway.AsError(err); got.Code != slipway.CodeDenied || got.Next != "platform access explain engineer endpoint:rollback endpoint/other" || !strings.Contains(got.Message, "engineer may not do endpoint:rollback on endpoint other: no policy permits it") {
		t.Errorf("%v, next %q", err, got.Next)
	}
	err = e.Check(authz.Request{Principal: people[6], Action: authz.EndpointLogs, Resource: things[authz.KindEndpoint][0]})
	if !strings.Contains(slipway.AsError(err).Message, authz.TokenLimit) {
		t.Error(err)
	}
	for _, r := range []authz.Request{
		{Principal: people[1], Action: "endpoint:destroy", Resource: things[authz.KindEndpoint][0]},
		{Principal: people[1], Action: authz.EndpointRead, Resource: things[authz.KindModel][0]},
	} {
		if d := e.Decide(r); d.Allow {
			t.Errorf("%s on %s is allowed", r.Action, r.Resource)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"permit (principal":                     "cannot be read",
		"permit (principal, action, resource);": "line 1 has no name",
		"@id(\"a\")\npermit (principal, action, resource);\n@id(\"a\") permit (principal, action, resource);": "line 3 has no name of its own",
		`@id("a") permit (principal, action == Action::"endpoint:destroy", resource);`:                        "no such action",
	} {
		_, err := authz.New([]byte(text), time.Now)
		if !errors.Is(err, &slipway.Error{Code: slipway.CodePolicy}) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzNew(f *testing.F) {
	f.Add(string(authz.Policies()))
	f.Fuzz(func(t *testing.T, text string) {
		e, err := authz.New([]byte(text), time.Now)
		if err != nil {
			return
		}
		for action, m := range authz.Actions {
			e.Decide(authz.Request{Principal: people[1], Action: action, Resource: authz.Resource{Kind: m.Kind, Name: "x"}})
		}
	})
}

// BenchmarkDecide is one decision among 300 policies.
func BenchmarkDecide(b *testing.B) {
	text := string(authz.Policies())
	for i := range 280 {
		text += fmt.Sprintf("@id(\"team-%d\") forbid (principal, action in Action::\"develop\", resource) when { resource has team && resource.team == \"team-%d\" && resource has tier && resource.tier == 1 } unless { principal.leads.contains(resource.team) };\n", i, i)
	}
	e, err := authz.New([]byte(text), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	for _, action := range []authz.Action{authz.EndpointRead, authz.EndpointDeploy} {
		r := authz.Request{Principal: people[4], Action: action, Resource: things[authz.KindEndpoint][0]}
		b.Run(string(action), func(b *testing.B) {
			for b.Loop() {
				if !e.Decide(r).Allow {
					b.Fatal("denied")
				}
			}
		})
	}
}
