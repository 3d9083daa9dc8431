package registry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	models "github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	"github.com/slipway-ml/slipway/internal/sqlstore/registry"
	"github.com/slipway-ml/slipway/internal/storetest"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

// old is what an installation of schema 7 had of models.
const old = `{"slipway":"database","format":1,"schema":7,"seq":0}
{"table":"model","columns":["name","latest","team"]}
["fraud",2,"risk"]
["older",1,""]
{"table":"version","columns":["model","number","digest","files","source","created","actor"]}
["fraud",1,"sha256:a","[{\"path\":\"MLmodel\",\"digest\":\"sha256:b\",\"size\":3}]","git 1",1000000,"ada"]
["fraud",2,"sha256:c","[]","git 2",2000000,"bob"]
["older",1,"sha256:a","[]","",3000000,"ada"]
{"table":"alias","columns":["model","alias","number"]}
["fraud","champion",1]
{"table":"alias_change","columns":["model","seq","alias","from_number","to_number","actor","reason","time"]}
["fraud",1,"champion",0,1,"ada","first",2000000]
{"rows":7}
`

// What was registered before is as it was, and goes on: also after a program of before has
// had the database again.
func TestMigration(t *testing.T) {
	for name, options := range map[string]func(*testing.T) sqlstore.Options{"sqlite": storetest.File, "postgres": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			if _, err := sqlstore.Load(t.Context(), o, strings.NewReader(old), sqlstore.Loading{Home: "/home", Mark: "x", Edit: strings.Clone}); err != nil {
				t.Fatal(err)
			}
			db := storetest.Open(t, o)
			if err := db.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
			check(t, registry.New(db))
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if err := sqlstore.Downgrade(t.Context(), o, 7); err != nil {
				t.Fatal(err)
			}
			db = storetest.Open(t, o)
			s := registry.New(db)
			check(t, s)
			v := models.Version{Model: "fraud", Digest: "sha256:d", Created: time.UnixMicro(4), Updated: time.UnixMicro(4), By: "ada", Stage: models.StageNone}
			if v, added, err := s.AddVersion(t.Context(), v, eventtest.At(time.UnixMicro(4), "fraud")); err != nil || !added || v.Number != 3 || v.Team != "risk" {
				t.Errorf("the next is %+v, %v", v, err)
			}
			if left, err := s.Newer(t.Context()); err != nil || left != "" {
				t.Errorf("%q is not of that time, %v", left, err)
			}
		})
	}
}

func check(t *testing.T, s *registry.Store) {
	t.Helper()
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	e, err := s.Entry(t.Context(), "fraud")
	want := models.Entry{Model: models.Model{Name: "fraud", Latest: 2, Team: "risk", Created: at(1), Updated: at(2), By: "ada"},
		Tags: map[string]string{}, Aliases: map[string]int{"champion": 1},
		Newest: []models.Version{{Model: "fraud", Number: 2, Digest: "sha256:c", Source: "git 2", Created: at(2), By: "bob", Updated: at(2), Stage: "None", Tags: map[string]string{}}}}
	if diff := cmp.Diff(want, e); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	v, err := s.Version(t.Context(), "fraud", 1)
	if err != nil || v.Team != "risk" || len(v.Files) != 1 || v.Files[0] != (models.File{Path: "MLmodel", Digest: "sha256:b", Size: 3}) {
		t.Errorf("%+v, %v", v, err)
	}
	history, err := s.AliasHistory(t.Context(), "fraud", 10)
	if err != nil || len(history) != 1 || history[0].Reason != "first" {
		t.Errorf("%v, %v", history, err)
	}
}

// What a program of before would lose, or stumble over, is found before it gets the database.
func TestNewer(t *testing.T) {
	text := func(s string) *string { return &s }
	ev := func() slipway.Event { return eventtest.At(time.UnixMicro(4), "m") }
	v := models.Version{Model: "m", Digest: "sha256:d", By: "ada", Stage: models.StageNone, Created: time.UnixMicro(4), Updated: time.UnixMicro(4)}
	for name, change := range map[string]func(s *registry.Store) error{
		"a model without versions": func(s *registry.Store) error { return s.AddModel(t.Context(), models.Model{Name: "x"}, nil, ev()) },
		"a description": func(s *registry.Store) error {
			return s.ChangeModel(t.Context(), "m", models.Change{Description: text("x")}, ev())
		},
		"a tag": func(s *registry.Store) error {
			return s.ChangeModel(t.Context(), "m", models.Change{Tags: map[string]*string{"k": text("x")}}, ev())
		},
		"a tag of a version": func(s *registry.Store) error {
			return s.ChangeVersion(t.Context(), "m", 1, models.Change{Tags: map[string]*string{"k": text("x")}}, ev())
		},
		"a stage": func(s *registry.Store) error {
			return s.ChangeVersion(t.Context(), "m", 1, models.Change{Stage: models.StageProduction}, ev())
		},
		"a digest twice": func(s *registry.Store) error { _, err := s.AppendVersion(t.Context(), v, ev()); return err },
		"a version without files": func(s *registry.Store) error {
			v := v
			v.Digest = ""
			_, err := s.AppendVersion(t.Context(), v, ev())
			return err
		},
		"a gap": func(s *registry.Store) error {
			return s.DeleteVersion(t.Context(), "m", 1, models.AliasChange{Time: time.UnixMicro(5)}, ev())
		},
		"a deleted model": func(s *registry.Store) error { return s.DeleteModel(t.Context(), "m", models.AliasChange{}, ev()) },
	} {
		t.Run(name, func(t *testing.T) {
			s := registry.New(storetest.SQLite(t))
			if _, _, err := s.AddVersion(t.Context(), v, ev()); err != nil {
				t.Fatal(err)
			}
			if left, err := s.Newer(t.Context()); err != nil || left != "" {
				t.Fatalf("%q, %v", left, err)
			}
			if err := change(s); err != nil {
				t.Fatal(err)
			}
			if left, err := s.Newer(t.Context()); err != nil || left == "" {
				t.Errorf("%q, %v", left, err)
			}
		})
	}
}
