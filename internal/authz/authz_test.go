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
	{ID: "owner", Kind: slipway.Person, Elevated: true, Roles: []slipway.Role{role(slipway.RoleOwner, "")}},
	{ID: "stale-owner", Kind: slipway.Person, MFA: noon.Add(-time.Hour), Roles: []slipway.Role{role(slipway.RoleOwner, "")}},
	{ID: "platform", Kind: slipway.Person, Elevated: true, Roles: []slipway.Role{role(slipway.RolePlatformEngineer, "")}},
	{ID: "lead", Kind: slipway.Person, Elevated: true, Roles: []slipway.Role{role(slipway.RoleTeamLead, "risk")}},
	{ID: "engineer", Kind: slipway.Person, Roles: []slipway.Role{role(slipway.RoleEngineer, "risk")}},
	{ID: "cleared", Kind: slipway.Person, Roles: []slipway.Role{role(slipway.RoleEngineer, "risk")}, Clearance: "restricted"},
	{ID: "ci", Kind: slipway.Service, Roles: []slipway.Role{role(slipway.RoleEngineer, "risk")}, Limit: slipway.Limit{Actions: []string{"endpoint:deploy", "endpoint:read", "model:register", "blob:upload"}}},
	{ID: "caller", Kind: slipway.Service, Roles: []slipway.Role{role(slipway.RoleCaller, "risk")}},
	{ID: "one-endpoint", Kind: slipway.Service, Roles: []slipway.Role{role(slipway.RoleCaller, "risk")}, Limit: slipway.Limit{Endpoints: []string{"fraud"}}},
	{ID: "auditor", Kind: slipway.Person, Roles: []slipway.Role{{Name: slipway.RoleAuditor, Until: noon.Add(time.Hour)}}},
	{ID: "on-call", Kind: slipway.Person, Elevated: true, Roles: []slipway.Role{role(slipway.RoleBreakGlass, "")}},
	{ID: "in-emergency", Kind: slipway.Person, Elevated: true, Roles: []slipway.Role{role(slipway.RoleBreakGlass, ""), {Name: slipway.RoleOwner, Until: noon.Add(time.Hour), BreakGlass: "bgl_1"}}},
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
	authz.KindExperiment: {
		{Kind: authz.KindExperiment, Name: "1", Team: "risk"},
		{Kind: authz.KindExperiment, Name: "2", Team: "growth"},
	},
	authz.KindAccount: {
		{Kind: authz.KindAccount, Name: "bot", Team: "risk", Is: slipway.Service},
		{Kind: authz.KindAccount, Name: "cleared-bot", Team: "risk", Is: slipway.Service, Clearance: "restricted"},
		{Kind: authz.KindAccount, Name: "bot-of-others", Team: "growth", Is: slipway.Service},
		{Kind: authz.KindAccount, Name: "ada", Is: slipway.Person},
		{Kind: authz.KindAccount, Name: "owner", Owner: true, Is: slipway.Person},
		{Kind: authz.KindAccount, Name: "caller", Team: "risk", Is: slipway.Service},
	},
	authz.KindTeam: {
		{Kind: authz.KindTeam, Name: "risk", Team: "risk"},
		{Kind: authz.KindTeam, Name: "growth", Team: "growth"},
		{Kind: authz.KindTeam}, // of nobody: the roles in the whole installation
	},
	authz.KindSecret:  {authz.SecretsOf("risk"), authz.SecretsOf("growth")},
	authz.KindWebhook: {authz.WebhooksOf("risk"), authz.WebhooksOf("growth"), authz.WebhooksOf("")},
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
			if d := e.Decide(self); d.Allow != (p.ID == "owner") {
				t.Errorf("%s gives himself %+v: %+v", p.ID, to, d)
			}
			other := self
			other.Resource = authz.Resource{Kind: authz.KindAccount, Name: "bob"}
			if d := e.Decide(other); d.Allow && to.Name == slipway.RoleOwner && p.ID != "owner" {
				t.Errorf("%s makes an owner", p.ID)
			}
		}
	}
}

func TestCheckSaysWhy(t *testing.T) {
	e := engine(t)
	err := e.Check(authz.Request{Principal: people[5], Action: authz.EndpointRollback, Resource: things[authz.KindEndpoint][2]})
	if got := slipway.AsError(err); got.Code != slipway.CodeDenied || got.Next != "platform access explain engineer endpoint:rollback endpoint/other" || !strings.Contains(got.Message, "engineer may not do endpoint:rollback on endpoint other: no policy permits it") {
		t.Errorf("%v, next %q", err, got.Next)
	}
	err = e.Check(authz.Request{Principal: people[7], Action: authz.EndpointLogs, Resource: things[authz.KindEndpoint][0]})
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
		"permit (principal, action, resource);": "line 1, column 1: the policy has no name of its own",
		"@id(\"a\")\npermit (principal, action, resource);\n@id(\"a\") permit (principal, action, resource);":      "line 3, column 1: the policy has no name of its own",
		`@id("a") permit (principal, action == Action::"endpoint:destroy", resource);`:                             "no such action",
		"@id(\"a\") forbid (principal, action in Action::\"call\", resource)\nwhen { resource.teem == \"risk\" };": "line 2, column 17",
		"@id(\"a\") forbid (principal, action in Action::\"call\", resource)\nwhen { resource.team == \"risk\" };": "optional attribute `team`",
		"@id(\"a\") forbid (principal, action, resource) when { principal.kind == 3 };":                            "not compatible",
		"@id(\"a\") permit (principal in Rolle::\"owner\", action, resource);":                                     "line 1, column 31",
		"@id(\"a\") permit (principal, action, resource) when " + strings.Repeat("{(", 60):                         "nested too deeply",
		strings.Repeat("// a policy of many words\n", authz.MaxText/20):                                            "larger than",
	} {
		_, err := authz.New([]byte(text), time.Now)
		if !errors.Is(err, &slipway.Error{Code: slipway.CodePolicy}) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.200q: %v, want %s", text, err, want)
		}
	}
}

// TestAdditions: what an installation adds stands above what the program brings, and takes
// nothing of it away.
func TestAdditions(t *testing.T) {
	e := engine(t)
	const own = "@id(\"tier-1-by-leads\")\nforbid (principal, action == Action::\"endpoint:deploy\", resource)\nwhen { resource has tier && resource.tier == 1 } unless { resource has team && principal.leads.contains(resource.team) };"
	added, err := e.With(7, []byte(own))
	if err != nil {
		t.Fatal(err)
	}
	r := authz.Request{Principal: people[5], Action: authz.EndpointDeploy, Resource: things[authz.KindEndpoint][0]}
	if d := added.Decide(r); d.Allow || len(d.Policies) != 1 || d.Policies[0] != (authz.Reason{Policy: "tier-1-by-leads", Line: 1, Version: 7}) {
		t.Errorf("%+v", d)
	}
	if !e.Decide(r).Allow || e.Version() != 0 || added.Version() != 7 {
		t.Error("the engine below has changed")
	}
	if without, err := added.With(8, nil); err != nil || !without.Decide(r).Allow {
		t.Errorf("additions stay after they were replaced: %v", err)
	}
	for _, text := range []string{
		`@id("data-needs-clearance") permit (principal, action, resource);`, // would take its place
		`@id("nobody-raises-himself") forbid (principal, action, resource) when { false };`,
	} {
		if _, err := e.With(1, []byte(text)); !errors.Is(err, &slipway.Error{Code: slipway.CodePolicy}) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestNoAdditionOpensData: whatever an installation permits, data needs the clearance, and
// nobody raises himself.
func TestNoAdditionOpensData(t *testing.T) {
	e := engine(t)
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		for i := range rapid.IntRange(1, 5).Draw(t, "policies") {
			fmt.Fprintf(&text, "@id(\"own-%d\") permit (%s, %s, resource)%s;\n", i,
				rapid.SampledFrom([]string{"principal", `principal == Principal::"ada"`, `principal in Role::"engineer"`}).Draw(t, "principal"),
				rapid.SampledFrom([]string{"action", `action in Action::"data"`, `action == Action::"dataset:read"`, `action in Action::"administer"`}).Draw(t, "action"),
				rapid.SampledFrom([]string{"", ` when { resource.name == "applicants" }`, ` when { true }`, ` unless { principal.clearance > 2 }`}).Draw(t, "condition"))
		}
		added, err := e.With(1, []byte(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		ada := slipway.Principal{ID: "ada", Kind: slipway.Person, Roles: []slipway.Role{role(rapid.SampledFrom([]string{slipway.RolePlatformEngineer, slipway.RoleEngineer}).Draw(t, "role"), "")}}
		for _, r := range []authz.Request{
			{Principal: ada, Action: authz.DatasetRead, Resource: authz.Resource{Kind: authz.KindDataset, Name: "applicants", Classification: "restricted"}},
			{Principal: ada, Action: authz.AccountGrant, Resource: authz.Resource{Kind: authz.KindAccount, Name: "ada"}, Role: role(slipway.RoleEngineer, "risk")},
			{Principal: ada, Action: authz.AccountGrant, Resource: authz.Resource{Kind: authz.KindAccount, Name: "bob"}, Role: role(slipway.RoleOwner, "")},
			{Principal: ada, Action: authz.TokenIssue, Resource: authz.Resource{Kind: authz.KindAccount, Name: "bob", Is: slipway.Person}},
		} {
			if d := added.Decide(r); d.Allow {
				t.Fatalf("%s lets ada do %s: %+v", text.String(), r.Action, d)
			}
		}
	})
}

// TestLimitsNarrow: a token does nothing that its account may not, and one that is limited
// to endpoints or teams sees nothing of the whole installation.
func TestLimitsNarrow(t *testing.T) {
	e := engine(t)
	for _, p := range people {
		limited := p
		limited.Limit.Endpoints = []string{"fraud"}
		for action, m := range authz.Actions {
			for _, thing := range things[m.Kind] {
				whole, part := e.Decide(authz.Request{Principal: p, Action: action, Resource: thing}).Allow, e.Decide(authz.Request{Principal: limited, Action: action, Resource: thing}).Allow
				open := thing.Name == "fraud" && m.Kind == authz.KindEndpoint || action == authz.ServerRead || action == authz.Upload
				if part && (!whole || !open) {
					t.Errorf("%s with a token for fraud does %s on %s", p.ID, action, thing)
				}
			}
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
	var text string
	for i := range 280 {
		text += fmt.Sprintf("@id(\"team-%d\") forbid (principal, action in Action::\"develop\", resource) when { resource has team && resource.team == \"team-%d\" && resource has tier && resource.tier == 1 } unless { resource has team && principal.leads.contains(resource.team) };\n", i, i)
	}
	e, err := engine(b).With(1, []byte(text))
	if err != nil {
		b.Fatal(err)
	}
	for _, action := range []authz.Action{authz.EndpointRead, authz.EndpointDeploy} {
		r := authz.Request{Principal: people[6], Action: action, Resource: things[authz.KindEndpoint][0]}
		b.Run(string(action), func(b *testing.B) {
			for b.Loop() {
				if !e.Decide(r).Allow {
					b.Fatal("denied")
				}
			}
		})
	}
}

// TestNoAdditionLocksOut: whatever an installation forbids, an owner can mend it; and what
// would take more from all of them is found beforehand.
func TestNoAdditionLocksOut(t *testing.T) {
	e := engine(t)
	var all []authz.Resource
	for _, list := range things {
		all = append(all, list...)
	}
	owner := people[1]
	for text, kept := range map[string]bool{
		`@id("a") forbid (principal, action, resource);`:                                                                        false,
		`@id("a") forbid (principal, action in Action::"staff", resource);`:                                                     false,
		`@id("a") forbid (principal == Principal::"owner", action == Action::"audit:read", resource);`:                          false,
		`@id("a") forbid (principal, action in Action::"administer", resource);`:                                                true, // reaches no owner
		`@id("a") forbid (principal, action, resource) unless { principal in Role::"owner" };`:                                  true,
		`@id("a") forbid (principal, action in Action::"call", resource);`:                                                      true,
		`@id("a") forbid (principal, action, resource) when { context.time > datetime("2026-11-02") };`:                         true, // not yet …
		`@id("a") forbid (principal, action == Action::"endpoint:rollback", resource) when { resource.name == "no such one" };`: true,
	} {
		added, err := e.With(1, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if lost, ok := added.Keeps([]slipway.Principal{owner}, all); ok != kept {
			t.Errorf("%s: %v, %+v", text, ok, lost)
		}
		for action, m := range authz.Actions {
			if m.Group != "administer" {
				continue
			}
			for _, r := range things[m.Kind] {
				if !added.Decide(authz.Request{Principal: owner, Action: action, Resource: r, Role: role(slipway.RoleOwner, "")}).Allow {
					t.Errorf("%s keeps an owner from %s", text, action) // … and then not from this
				}
			}
		}
	}
}

func TestEffects(t *testing.T) {
	e := engine(t)
	now, err := e.With(1, []byte(`@id("no-staging-calls") forbid (principal, action in Action::"call", resource) when { resource has environment && resource.environment == "staging" };
@id("leads-call") permit (principal, action in Action::"call", resource) when { resource has team && principal.leads.contains(resource.team) };`))
	if err != nil {
		t.Fatal(err)
	}
	effects, all := authz.Effects(e, now, people, things[authz.KindEndpoint])
	want := []authz.Effect{
		{Action: authz.EndpointPredict, Resource: things[authz.KindEndpoint][0], Gained: []string{"lead"}},
		{Action: authz.EndpointPredict, Resource: things[authz.KindEndpoint][1], Lost: []string{"owner", "stale-owner", "engineer", "cleared", "caller", "in-emergency"}},
	}
	if diff := cmp.Diff(want, effects); diff != "" || !all {
		t.Error(all, diff)
	}
	fresh, err := e.With(1, []byte(`@id("fresh") forbid (principal, action in Action::"call", resource) when { !context.connected && resource has tier && resource.tier == 1 };`))
	if err != nil {
		t.Fatal(err)
	}
	effects, _ = authz.Effects(e, fresh, people, things[authz.KindEndpoint])
	want = []authz.Effect{{Action: authz.EndpointPredict, Resource: things[authz.KindEndpoint][0], Lost: []string{"owner", "stale-owner", "engineer", "cleared", "caller", "one-endpoint", "in-emergency"}, Disconnected: true}}
	if diff := cmp.Diff(want, effects); diff != "" {
		t.Error(diff)
	}
	if same, _ := authz.Effects(now, now, people, things[authz.KindEndpoint]); len(same) != 0 {
		t.Errorf("%+v", same)
	}
}
