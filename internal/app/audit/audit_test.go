package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/app/audit"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/storetest"
)

var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// site is an installation with a log.
type site struct {
	db      *sqlstore.DB
	events  *event.Store
	dir     string
	running []string // revisions
	t       *testing.T
}

func newSite(t *testing.T, db *sqlstore.DB) *site {
	return &site{db: db, events: event.New(db), dir: t.TempDir(), t: t}
}

func (s *site) Endpoints(context.Context) ([]rollout.Endpoint, error) { return nil, nil }

func (s *site) Deployments(context.Context, string, int, int) ([]rollout.Deployment, error) {
	return nil, nil
}

func (s *site) config() audit.Config {
	return audit.Config{Dir: s.dir, KeyFile: filepath.Join(s.dir, "audit.key"), Version: "test", Events: s.events, Recorded: s.db.Recorded(), Deployments: s,
		Observe: func(context.Context) (o route.Observation, err error) {
			for _, id := range s.running {
				o.Revisions = append(o.Revisions, route.RevisionStatus{ID: id})
			}
			return o, nil
		},
		Development: func(context.Context) (bool, error) { return false, nil }, Now: time.Now, Log: slog.New(slog.NewTextHandler(s.t.Output(), nil))}
}

func (s *site) service(anchors ...audit.Anchor) *audit.Service {
	c := s.config()
	c.Anchors = anchors
	return audit.New(c)
}

func (s *site) record(n int) {
	s.t.Helper()
	for i := range n {
		ev := slipway.Event{ID: slipway.NewID("evt", start), Time: start.Add(time.Duration(i) * time.Minute), Actor: fmt.Sprintf("a%d", i%3), Action: "alias.moved", Subject: "fraud@champion",
			Detail: map[string]string{"reason": fmt.Sprintf("100 %% of %d_", i)}}
		if err := s.events.Append(s.t.Context(), ev); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *site) moved(x *audit.Service) {
	s.t.Helper()
	if err := x.Move(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) failures(x *audit.Service) []api.AuditFinding {
	s.t.Helper()
	found, err := x.Verify(s.t.Context(), func(uint64, uint64) {})
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(found, func(f api.AuditFinding) bool { return f.Verdict != "fail" })
}

func (s *site) exec(query string, args ...any) {
	s.t.Helper()
	err := s.db.Write(s.t.Context(), nil, func(tx *sqlstore.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) checkpoint(x *audit.Service) string {
	s.t.Helper()
	st, err := x.Status(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return st.Checkpoint
}

// A second server with the same key makes the same log of the same database.
func TestEverybodyMakesTheSameLog(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		s := newSite(t, open(t))
		x := s.service()
		for range 5 {
			s.record(7)
			s.moved(x)
		}
		second := newSite(t, s.db)
		key, err := os.ReadFile(filepath.Join(s.dir, "audit.key"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(second.dir, "audit.key"), key, 0o600); err != nil {
			t.Fatal(err)
		}
		y := second.service()
		second.moved(y)
		if a, b := s.checkpoint(x), second.checkpoint(y); a != b || a == "" {
			t.Errorf("%q and %q", a, b)
		}
		if found := second.failures(y); len(found) > 0 {
			t.Error(found)
		}
	})
}

// What was changed in the database behind the log's back is named, and stops changes.
func TestChangedEvents(t *testing.T) {
	for name, c := range map[string]struct {
		query string
		seq   int64
	}{
		"changed":  {`UPDATE event SET actor = 'nobody' WHERE seq = 5`, 5},
		"removed":  {`DELETE FROM event WHERE seq = 6`, 6},
		"the last": {`DELETE FROM event WHERE seq = 20`, 20},
		"swapped":  {`UPDATE event SET seq = CASE seq WHEN 3 THEN -4 WHEN 4 THEN -3 END WHERE seq IN (3, 4)`, 3},
		"inserted": {`UPDATE event SET seq = -seq - 1 WHERE seq > 9`, 10},
	} {
		s := newSite(t, storetest.SQLite(t))
		s.record(20)
		x := s.service()
		s.moved(x)
		s.exec(c.query)
		s.exec(`UPDATE event SET seq = -seq WHERE seq < 0`)
		if name == "inserted" {
			s.exec(`INSERT INTO event (seq, id, time, actor, action, subject, detail) VALUES (10, 'evt_x', 1, 'eve', 'alias.moved', 'x', '{}')`)
		}
		if found := s.failures(x); !slices.ContainsFunc(found, func(f api.AuditFinding) bool { return f.Seq == c.seq }) {
			t.Errorf("%s: %v does not name event %d", name, found, c.seq)
		}
	}
}

// Files that were damaged are made again if the database has what was signed, and only then.
func TestRebuild(t *testing.T) {
	s := newSite(t, storetest.SQLite(t))
	s.record(300)
	s.moved(s.service())
	tile := filepath.Join(s.dir, "log", "tile", "0", "000")
	damage := func() {
		if err := os.WriteFile(filepath.Join(s.dir, "log", "tile", "1", "000.p", "1"), make([]byte, 32), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(tile); err != nil {
			t.Fatal(err)
		}
	}
	damage()
	x := s.service()
	s.moved(x)
	if found := s.failures(x); len(found) > 0 {
		t.Error(found)
	}
	if found, err := s.events.Search(t.Context(), event.Query{Action: "audit.rebuilt"}, 10); err != nil || len(found) != 1 {
		t.Error(found, err)
	}
	damage()
	s.exec(`UPDATE event SET actor = 'nobody' WHERE seq = 5`)
	x = s.service()
	err := x.Move(t.Context())
	if slipway.AsError(err).Code != slipway.CodeAuditDamaged {
		t.Errorf("a log with another history: %v", err)
	}
	if err := x.Gate.Admit([]slipway.Event{{Actor: "ada", Action: "alias.moved"}}); slipway.AsError(err).Code != slipway.CodeAuditDamaged {
		t.Errorf("changes go on: %v", err)
	}
	if alerts := x.Alerts(); len(alerts) != 1 {
		t.Error(alerts)
	}
}

// A database that was brought back from a copy has fewer events than were signed.
func TestDatabaseFromYesterday(t *testing.T) {
	s := newSite(t, storetest.SQLite(t))
	s.record(20)
	s.moved(s.service())
	s.exec(`DELETE FROM event WHERE seq > 15`)
	if err := s.service().Move(t.Context()); slipway.AsError(err).Code != slipway.CodeAuditDamaged {
		t.Error(err)
	}
	s.record(10)
	if err := s.service().Move(t.Context()); slipway.AsError(err).Code != slipway.CodeAuditDamaged {
		t.Errorf("with other events in their place: %v", err)
	}
}

func TestSearchAndProve(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func(t *testing.T) *sqlstore.DB) {
		s := newSite(t, open(t))
		s.record(30)
		x := s.service()
		s.moved(x)
		for name, c := range map[string]struct {
			q    api.AuditQuery
			want []int64
		}{
			"newest":     {api.AuditQuery{Limit: 2}, []int64{30, 29}},
			"page":       {api.AuditQuery{Limit: 2, Before: 29}, []int64{28, 27}},
			"actor":      {api.AuditQuery{Actor: "a1", Limit: 2}, []int64{29, 26}},
			"time":       {api.AuditQuery{Since: start.Add(3 * time.Minute), Until: start.Add(5 * time.Minute), Limit: 9}, []int64{5, 4}},
			"text":       {api.AuditQuery{Text: "% of 7_", Limit: 9}, []int64{8}},
			"wildcard":   {api.AuditQuery{Text: "%of%7", Limit: 9}, nil},
			"everything": {api.AuditQuery{Actor: "a0", Action: "alias.moved", Subject: "fraud@champion", Text: "3_", Limit: 9}, []int64{4}},
			"nothing":    {api.AuditQuery{Actor: "a0' OR 1=1", Limit: 9}, nil},
		} {
			found, err := x.Search(t.Context(), c.q)
			if err != nil {
				t.Fatal(err)
			}
			var got []int64
			for _, e := range found {
				got = append(got, e.Seq)
			}
			if name == "everything" {
				slices.Reverse(got)
				got = got[:min(1, len(got))]
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
		}
		p, err := x.Prove(t.Context(), "17")
		if err != nil || audit.VerifyProof(p, p.Key) != nil {
			t.Error(p, err)
		}
		if again, err := x.Prove(t.Context(), p.Event.ID); err != nil || again.Index != 16 {
			t.Error(again, err)
		}
		p.Leaf += " "
		if audit.VerifyProof(p, "") == nil {
			t.Error("a changed leaf is proved")
		}
		s.record(1)
		if _, err := x.Prove(t.Context(), "31"); slipway.AsError(err).Code != slipway.CodeAuditPending {
			t.Errorf("an event that is not in the log yet: %v", err)
		}
	})
}

// Exports of any time are whole in themselves; what ran and was released before is proved.
func TestExport(t *testing.T) {
	s := newSite(t, storetest.SQLite(t))
	s.record(5)
	release := slipway.Event{ID: "evt_release", Time: start.Add(5 * time.Minute), Actor: "system", Action: "deployment.released", Subject: "dep_1", Detail: map[string]string{"revision": "fraud-1", "image": "sha256:00"}}
	if err := s.events.Append(t.Context(), release); err != nil {
		t.Fatal(err)
	}
	s.running = []string{"fraud-1"}
	s.exec(`UPDATE event SET time = time + 600000000 WHERE seq > 3`)
	x := s.service()
	s.moved(x)
	bundle := func(r api.AuditRange) []api.AuditFinding {
		t.Helper()
		var out bytes.Buffer
		if err := x.Export(t.Context(), r, func() io.Writer { return &out }); err != nil {
			t.Fatal(err)
		}
		found, err := audit.VerifyBundle(&out, "", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(found, func(f api.AuditFinding) bool { return f.Verdict != "fail" })
	}
	for _, r := range []api.AuditRange{{}, {Since: start.Add(time.Minute)}, {Until: start.Add(2 * time.Minute)}, {Since: start.Add(24 * time.Hour)}, {Until: start}} {
		if found := bundle(r); len(found) > 0 {
			t.Errorf("%v: %v", r, found)
		}
	}
	s.running = []string{"fraud-1", "fraud-2"}
	if found := bundle(api.AuditRange{}); len(found) != 1 || found[0].Check != "revisions" {
		t.Errorf("a revision that nobody released: %v", found)
	}
	if found := s.failures(x); len(found) != 1 || found[0].Check != "revisions" {
		t.Errorf("a revision that nobody released: %v", found)
	}
}

// A log that cannot be written stops changes after a while and never a rollback, loses
// nothing, and goes on by itself.
func TestLogThatCannotBeWritten(t *testing.T) {
	s := newSite(t, storetest.SQLite(t))
	s.record(3)
	now := start
	c := s.config()
	c.Now = func() time.Time { return now }
	x := audit.New(c)
	s.db.Gate(x.Gate.Admit)
	s.moved(x)
	state := filepath.Join(s.dir, "log", ".state", "treeState.lock")
	if err := os.Rename(state, state+".kept"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(state, 0o700); err != nil { // nobody can open that for writing, root neither
		t.Fatal(err)
	}
	s.record(2)
	if err := x.Move(t.Context()); slipway.AsError(err).Code != slipway.CodeAuditFull {
		t.Fatal(err)
	}
	now = now.Add(6 * time.Second)
	if err := s.events.Append(t.Context(), slipway.Event{ID: "evt_a", Actor: "ada", Action: "alias.moved"}); slipway.AsError(err).Code != slipway.CodeAuditFull || slipway.AsError(err).Next == "" {
		t.Errorf("a change: %v", err)
	}
	if err := s.events.Append(t.Context(), slipway.Event{ID: "evt_b", Actor: "judge", Action: "rollout.vetoed"}); err != nil {
		t.Errorf("a rollback: %v", err)
	}
	if err := os.Remove(state); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(state+".kept", state); err != nil {
		t.Fatal(err)
	}
	s.moved(x)
	s.record(1)
	s.moved(x)
	if found := s.failures(x); len(found) > 0 {
		t.Error(found)
	}
}

func TestRetain(t *testing.T) {
	s := newSite(t, storetest.SQLite(t))
	s.record(600)
	x := s.service()
	s.moved(x)
	to := filepath.Join(t.TempDir(), "cold")
	p := slipway.Principal{ID: "pia"}
	for _, bad := range []string{"cold", filepath.Join(s.dir, "log", "x"), ""} {
		if _, err := x.Retain(t.Context(), p, api.AuditRetain{Before: start.Add(9 * time.Hour), To: bad}); slipway.AsError(err).Kind != slipway.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	done, err := x.Retain(t.Context(), p, api.AuditRetain{Before: start.Add(9 * time.Hour), To: to})
	if err != nil || done.Events != 512 {
		t.Fatal(done, err)
	}
	s.moved(x)
	for _, y := range []*audit.Service{x, s.service()} { // and after a restart
		s.moved(y)
		if found := s.failures(y); len(found) > 0 {
			t.Error(found)
		}
	}
	if found, err := s.events.Search(t.Context(), event.Query{Action: "audit.retained", Actor: "pia"}, 2); err != nil || len(found) != 1 {
		t.Error(found, err)
	}
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if found := s.failures(x); len(found) == 0 {
		t.Error("what was moved away is gone, and not missed")
	}
	if p, err := x.Prove(t.Context(), "590"); err != nil || audit.VerifyProof(p, "") != nil {
		t.Errorf("what stays: %v", err)
	}
}
