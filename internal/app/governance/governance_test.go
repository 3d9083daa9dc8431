package governance_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/app/governance"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/registry/protect"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	dossierstore "github.com/slipway-ml/slipway/internal/sqlstore/dossier"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	protectstore "github.com/slipway-ml/slipway/internal/sqlstore/protect"
	registrystore "github.com/slipway-ml/slipway/internal/sqlstore/registry"
	rolloutstore "github.com/slipway-ml/slipway/internal/sqlstore/rollout"
)

// site is a Service on a database of its own, with what is around it played.
type site struct {
	*governance.Service
	t        *testing.T
	db       *sqlstore.DB
	events   *event.Store
	rollouts *rolloutstore.Store
	now      time.Time
	hidden   map[string]bool // what nobody may see, by name
	answers  map[string][]route.Answered
	freed    []slipway.Digest
	files    map[string]string // contents by path, of every version
}

func (s *site) Check(_ context.Context, p slipway.Principal, a authz.Action, r authz.Resource) error {
	if s.hidden[r.Name] {
		return slipway.Errorf(slipway.Denied, slipway.CodeDenied, "ask", "%s may not do %s", p.ID, a)
	}
	return nil
}

func (s *site) CheckNamed(ctx context.Context, p slipway.Principal, a authz.Action, name string) error {
	return s.Check(ctx, p, a, authz.Resource{Name: name})
}

func (s *site) Allows(p slipway.Principal, a authz.Action, r authz.Resource) bool {
	return s.Check(context.Background(), p, a, r) == nil
}

func (s *site) Dependent(_ context.Context, p slipway.Principal, others ...string) (string, error) {
	for _, o := range others {
		if p.Token == o && o != "" {
			return "the token of " + p.ID + " was issued by " + o, nil
		}
	}
	return "", nil
}

func (s *site) Append(ctx context.Context, events ...slipway.Event) error {
	return s.events.Append(ctx, events...)
}

func (s *site) Observe(context.Context) (route.Observation, error) {
	return route.Observation{}, errors.New("the gateway does not answer")
}

func (s *site) Answered(_ context.Context, id string) (route.Answers, error) {
	return route.Answers{Gateway: "local", List: s.answers[id]}, nil
}

func (s *site) Sizes(_ context.Context, digests []slipway.Digest) (map[slipway.Digest]int64, error) {
	out := map[slipway.Digest]int64{}
	for _, text := range s.files {
		out[slipway.DigestOf([]byte(text))] = int64(len(text))
	}
	return out, nil
}

// plain seals nothing.
type plain struct{}

func (plain) Seal(_ context.Context, aad string, b []byte) ([]byte, error) {
	return append([]byte(aad+"|"), b...), nil
}

func (plain) Open(_ context.Context, aad string, b []byte) ([]byte, error) {
	rest, ok := strings.CutPrefix(string(b), aad+"|")
	if !ok {
		return nil, errors.New("sealed for another key")
	}
	return []byte(rest), nil
}

func open(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, now: time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC), hidden: map[string]bool{}, answers: map[string][]route.Answered{},
		files: map[string]string{"MLmodel": "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n", "model.pkl": "old", "requirements.txt": "numpy==2.0\n"}}
	clock := func() time.Time { s.now = s.now.Add(time.Second); return s.now }
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{Path: t.TempDir() + "/state.db", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s.db, s.events, s.rollouts = db, event.New(db), rolloutstore.New(db)
	dossiers := dossierstore.New(db)
	s.Service = governance.New(governance.Config{Access: s, Models: registry.New(registrystore.New(db), s, clock), Protect: protect.New(protectstore.New(db), clock),
		Dossier: dossiers, Keys: dossiers, Sealer: plain{}, Fleet: s.rollouts, Gateway: s,
		Endpoint: func(e *rollout.Endpoint) authz.Resource { return authz.Resource{Name: e.Key} },
		Files: func(_ context.Context, v registry.Version) fs.FS {
			out := fstest.MapFS{}
			for _, f := range v.Files {
				out[f.Path] = &fstest.MapFile{Data: []byte(s.files[f.Path])}
			}
			return out
		},
		Free: func(_ context.Context, digests []slipway.Digest) (int, int64, error) {
			s.freed = digests
			return len(digests), 7, nil
		},
		Now: clock, Log: slog.New(slog.DiscardHandler)})
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	ada = slipway.Principal{ID: "ada", Kind: slipway.Person, Roles: []slipway.Role{{Name: slipway.RoleEngineer, Team: "risk"}}}
	bob = slipway.Principal{ID: "bob", Kind: slipway.Person, Roles: []slipway.Role{{Name: slipway.RoleTeamLead, Team: "risk"}}}
)

// register adds a version of the files as they are now.
func (s *site) register(model string) registry.Version {
	s.t.Helper()
	var files []registry.File
	for path, text := range s.files {
		files = append(files, registry.File{Path: path, Digest: slipway.DigestOf([]byte(text)), Size: int64(len(text))})
	}
	v, added, err := s.Models.Register(s.t.Context(), ada, model, "risk", files, "a test")
	if err != nil || !added {
		s.t.Fatal(added, err)
	}
	return v
}

func (s *site) tamper(query string, args ...any) {
	s.t.Helper()
	err := s.db.Write(s.t.Context(), nil, func(tx *sqlstore.Tx) error { _, err := tx.Exec(query, args...); return err })
	if err != nil {
		s.t.Fatal(err)
	}
}

func is(t *testing.T, err error, code, text string) {
	t.Helper()
	if !errors.Is(err, &slipway.Error{Code: code}) || !strings.Contains(err.Error(), text) {
		t.Errorf("%v, not %s with %q", err, code, text)
	}
}

// TestSignedOnRegistration: what is registered is signed in the same change, and what is not
// as it was signed is not deployed.
func TestSignedOnRegistration(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	v := s.register("fraud")
	note, unsigned, err := s.Verified(ctx, v, 1)
	if err != nil || unsigned || !strings.HasPrefix(note, "signed by ada") {
		t.Fatal(note, unsigned, err)
	}
	for name, c := range map[string]struct {
		query, code, text string
	}{
		"files":     {`UPDATE version SET files = REPLACE(files, 'model.pkl', 'other.pkl')`, slipway.CodeSignature, "not what the version's digest stands for"},
		"bundle":    {`UPDATE signature SET bundle = REPLACE(bundle, '"payload":"e', '"payload":"f')`, slipway.CodeSignature, "does not hold"},
		"key":       {`UPDATE signature SET key = 'abcdefabcdefabcdefabcdef'`, slipway.CodeSignature, "a key that this installation has never had"},
		"taken off": {`DELETE FROM signature`, slipway.CodeUnsigned, "fraud:1 has no signature"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			s.register("fraud")
			s.tamper(c.query)
			v, err := s.Models.Version(ctx, "fraud", registry.Ref{})
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = s.Verified(ctx, v, 4)
			is(t, err, c.code, c.text)
		})
	}
}

// TestOlderThanSignatures: what an older program registered may be deployed with a warning,
// but not to tier 1, until somebody signs it.
func TestOlderThanSignatures(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	s.register("fraud")
	s.tamper(`DELETE FROM signature`)
	s.tamper(`UPDATE signing_key SET created = created + 60000000`)
	v, _ := s.Models.Version(ctx, "fraud", registry.Ref{})
	note, unsigned, err := s.Verified(ctx, v, 2)
	if err != nil || !unsigned || !strings.Contains(note, "platform models sign fraud 1") {
		t.Error(note, unsigned, err)
	}
	_, _, err = s.Verified(ctx, v, 1)
	is(t, err, slipway.CodeUnsigned, "platform models sign fraud 1")
	if out, err := s.Sign(ctx, bob, "fraud", "1"); err != nil || out.State != governance.Valid {
		t.Fatal(out, err)
	}
	if _, unsigned, err := s.Verified(ctx, v, 1); unsigned || err != nil {
		t.Error(unsigned, err)
	}
	if _, err := s.RotateKey(ctx, bob); err != nil {
		t.Fatal(err)
	}
	if out, err := s.Sign(ctx, bob, "fraud", "1"); err != nil || len(out.List) != 2 || !out.List[0].Valid || !out.List[1].Valid || out.List[0].Key == out.List[1].Key {
		t.Error(out, err)
	}
}

// TestEveryWayIsGuarded: a protected alias is not moved, removed, deleted with its version or
// its model, nor gone around by a stage or a rename.
func TestEveryWayIsGuarded(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	s.register("fraud")
	if err := s.Models.SetAlias(ctx, ada, "fraud", "production", 1, "the first"); err != nil {
		t.Fatal(err)
	}
	s.files["model.pkl"] = "new"
	s.register("fraud")
	if _, err := s.ProtectAlias(ctx, bob, api.ProtectAlias{Model: "fraud", Alias: "production", Approvals: 1, Reason: "four eyes"}); err != nil {
		t.Fatal(err)
	}
	is(t, s.Models.SetAlias(ctx, ada, "fraud", "production", 2, "quickly"), slipway.CodeProtected, "platform models request fraud production 2 --reason WHY")
	is(t, s.Models.DeleteAlias(ctx, ada, "fraud", "production", "quickly"), slipway.CodeProtected, "platform models request fraud production 0")
	is(t, s.Models.DeleteVersion(ctx, ada, "fraud", 1), slipway.CodeProtected, "fraud@production")
	is(t, s.Models.DeleteModel(ctx, ada, "fraud"), slipway.CodeProtected, "fraud@production")
	_, err := s.Models.Stage(ctx, ada, "fraud", 2, "Production", true)
	is(t, err, slipway.CodeProtected, "fraud@production")
	if _, err := s.Models.Stage(ctx, ada, "fraud", 2, "Staging", false); err != nil {
		t.Error(err)
	}
	if err := s.Models.SetAlias(ctx, ada, "fraud", "canary", 2, "not protected"); err != nil {
		t.Error(err)
	}
	if _, err := s.Models.RenameModel(ctx, ada, "fraud", "scams"); err != nil {
		t.Fatal(err)
	}
	is(t, s.Models.SetAlias(ctx, ada, "scams", "production", 2, "quickly"), slipway.CodeProtected, "scams@production")
	if sig, err := s.Signatures(ctx, ada, "scams", "1"); err != nil || sig.State != governance.Valid {
		t.Error(sig, err)
	}

	asked, err := s.AskAlias(ctx, ada, "scams", api.AskAlias{Alias: "production", Version: 2, Reason: "better"})
	if err != nil || asked.Missing != 1 {
		t.Fatal(asked, err)
	}
	issued := bob
	issued.Token = "ada"
	_, err = s.DecideAlias(ctx, issued, asked.ID, api.DecideAlias{Approve: true})
	is(t, err, slipway.CodeApproval, "issued by ada")
	s.hidden["scams"] = true
	_, err = s.DecideAlias(ctx, bob, asked.ID, api.DecideAlias{Approve: true})
	is(t, err, slipway.CodeDenied, "")
	if page, err := s.Requests(ctx, bob, "", true, "", 10); err != nil || len(page.Items) != 0 {
		t.Error("a request about a hidden model is listed", page, err)
	}
	if rules, err := s.Rules(ctx, bob, "", "", true); err != nil || len(rules) != 0 {
		t.Error("a rule about a hidden model is listed", rules, err)
	}
	delete(s.hidden, "scams")
	done, err := s.DecideAlias(ctx, bob, asked.ID, api.DecideAlias{Approve: true})
	if err != nil || done.Status != protect.Done {
		t.Fatal(done, err)
	}
	spans, err := s.Spans(ctx, ada, api.SpanQuery{Model: "scams", Alias: "production", Limit: 10})
	if err != nil || len(spans.Items) != 2 || spans.Items[0].Version != 2 || spans.Items[0].By != "ada" || fmt.Sprint(spans.Items[0].Approvers) != "[bob]" || !spans.Items[0].From.Equal(spans.Items[1].To) {
		t.Errorf("%+v %v", spans.Items, err)
	}
	if page, err := s.Spans(ctx, ada, api.SpanQuery{Model: "scams", Alias: "production", Limit: 1}); err != nil || len(page.Items) != 1 || page.Next == "" {
		t.Error(page, err)
	}
	_, err = s.Spans(ctx, ada, api.SpanQuery{Model: "scams", Alias: "production", Limit: 1, Cursor: "x'--"})
	is(t, err, slipway.CodeInvalid, "cursor")
}

// deploy records a deployment of a version.
func (s *site) deploy(v registry.Version, n int, status rollout.Status, e *rollout.Endpoint) *rollout.Deployment {
	s.t.Helper()
	d := &rollout.Deployment{ID: fmt.Sprint("dep_", n), Kind: rollout.KindDeploy, Endpoint: "fraud", Status: status, Model: v.Model, Version: v.Number, Digest: v.Digest, By: "ada",
		Created: s.now, Finished: s.now.Add(time.Minute), Revision: &route.Revision{ID: fmt.Sprint("fraud-", n), Model: v.Model, Version: v.Number, VersionDigest: v.Digest}}
	if e != nil {
		e.Key = "fraud"
	}
	change := rollout.Change{Deployments: []*rollout.Deployment{d}}
	if e != nil {
		change.Endpoints = []*rollout.Endpoint{e}
	}
	if err := s.rollouts.Commit(s.t.Context(), change, slipway.Event{ID: fmt.Sprint("evt_d", n), Actor: "ada", Action: "x.y", Subject: d.ID}); err != nil {
		s.t.Fatal(err)
	}
	return d
}

// TestWhereItIs: where versions run and ran, what a deletion must leave, and what is behind an
// answer.
func TestWhereItIs(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	one := s.register("fraud")
	s.files["model.pkl"] = "new"
	two := s.register("fraud")
	s.files["model.pkl"] = "newest"
	three := s.register("fraud")
	first := s.deploy(one, 1, rollout.Succeeded, &rollout.Endpoint{})
	second := s.deploy(two, 2, rollout.Succeeded, &rollout.Endpoint{Stable: &route.Revision{ID: "fraud-2", VersionDigest: two.Digest, Version: 2, Model: "fraud"}})
	if err := s.Models.SetAlias(ctx, ada, "fraud", "champion", 2, "served"); err != nil {
		t.Fatal(err)
	}

	d, err := s.Show(ctx, ada, "fraud", "2")
	if err != nil || len(d.Where) != 1 || d.Where[0].State != "serving" || d.Where[0].Share != 100 || d.Where[0].Environment != slipway.Production || d.Signature.State != governance.Valid {
		t.Errorf("%+v %v", d, err)
	}
	if d, err = s.Show(ctx, ada, "fraud", "1"); err != nil || d.Where[0].State != "replaced" || !d.Where[0].Until.Equal(second.Finished) || d.Where[0].Deployment != first.ID {
		t.Errorf("%+v %v", d.Where, err)
	}
	s.hidden["fraud.x"] = true
	for ref, why := range map[string]string{"2": "the alias champion points at it; fraud serves it as fraud-2", "1": "a rollback of fraud would bring it back (fraud-1)"} {
		_, err := s.DeleteVersion(ctx, ada, "fraud", ref, "why", false)
		is(t, err, slipway.CodeHeld, why)
	}
	is(t, s.Models.DeleteVersion(ctx, ada, "fraud", 1), slipway.CodeHeld, "would bring it back") // the way of MLflow's clients
	if out, err := s.DeleteVersion(ctx, ada, "fraud", "3", "", true); err != nil || out.Deleted || len(out.Held) != 0 || out.Kept == 0 {
		t.Error(out, err)
	}
	out, err := s.DeleteVersion(ctx, ada, "fraud", "3", "a trial", false)
	if err != nil || !out.Deleted || out.Freed != 7 || len(s.freed) != len(three.Files) {
		t.Error(out, err)
	}

	s.answers["order-1"] = []route.Answered{{Time: s.now.Add(time.Hour), Endpoint: "fraud", Revision: "fraud-2", Outcome: "answered"}, {Time: s.now, Endpoint: "other", Revision: "other-1", Outcome: "answered"}}
	tr, err := s.Trace(ctx, ada, "order-1")
	if err != nil || len(tr.Answers) != 1 {
		t.Fatal(tr, err)
	}
	if a := tr.Answers[0]; a.Version != 2 || a.DeployedBy != "ada" || a.Deployment != second.ID || a.Signature != governance.Valid || len(a.Aliases) != 1 || a.Aliases[0].Alias != "champion" {
		t.Errorf("%+v", a)
	}
	_, err = s.Trace(ctx, ada, "order-2")
	is(t, err, slipway.CodeNoTrace, "")
	_, err = s.Trace(ctx, ada, strings.Repeat("x", 65))
	is(t, err, slipway.CodeInvalid, "")
	s.hidden["fraud"] = true // the endpoint, and the model
	_, err = s.Trace(ctx, ada, "order-1")
	is(t, err, slipway.CodeNoTrace, "")
}

func TestCompareAndCard(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	s.register("fraud")
	s.files["requirements.txt"], s.files["notes|.txt"] = "numpy==2.1\nscipy\n", "x"
	s.register("fraud")
	c, err := s.Compare(ctx, ada, "fraud", "1", "2")
	if err != nil || c.Same || len(c.Files) != 2 {
		t.Fatalf("%+v %v", c, err)
	}
	if len(c.Notes) != 2 || !strings.Contains(c.Notes[0], "does not say which run made it") {
		t.Error(c.Notes)
	}
	if c, err := s.Compare(ctx, ada, "fraud", "2", "latest"); err != nil || !c.Same || len(c.Files) != 0 {
		t.Error(c, err)
	}
	card, err := s.Card(ctx, ada, "fraud", "2")
	if err != nil || card.Number != 0 || !strings.HasPrefix(card.Text, "# fraud, version 2") {
		t.Error(card, err)
	}
	for n, text := range []string{"# Ours\n", "# Better\n"} {
		if card, err = s.WriteCard(ctx, ada, "fraud", "2", api.WriteCard{Text: text}); err != nil || card.Number != n+1 {
			t.Error(card, err)
		}
	}
	if card, err = s.Card(ctx, ada, "fraud", "2"); err != nil || card.Text != "# Better\n" {
		t.Error(card, err)
	}
	if all, err := s.Cards(ctx, ada, "fraud", "2"); err != nil || len(all) != 2 || all[1].Text != "# Ours\n" {
		t.Error(all, err)
	}
	_, err = s.WriteCard(ctx, ada, "fraud", "2", api.WriteCard{Text: " \n"})
	is(t, err, slipway.CodeInvalid, "empty")
	_, err = s.Card(ctx, ada, "fraud", "7")
	is(t, err, slipway.CodeNotFound, "")
}
