package registrytest

import (
	"fmt"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/query"
	"github.com/slipway-ml/slipway/internal/registry"
	eventtest "github.com/slipway-ml/slipway/internal/storetest/event"
)

func ptr[T any](v T) *T { return &v }

func (f fixture) model(name, team string, tags map[string]string) {
	f.Helper()
	m := registry.Model{Name: name, Team: team, Description: "of " + name, Created: start, Updated: start, By: "ada"}
	if err := f.store.AddModel(f.Context(), m, tags, eventtest.At(start, name)); err != nil {
		f.Fatal(err)
	}
}

// foreign is a version whose files lie elsewhere.
func (f fixture) foreign(model string, minute int, tags map[string]string) registry.Version {
	f.Helper()
	at := start.Add(time.Duration(minute) * time.Minute)
	v := registry.Version{Model: model, Source: fmt.Sprint("s3://bucket/", minute), Created: at, Updated: at, By: "ada", Stage: registry.StageNone,
		Description: "ü", RunID: fmt.Sprint("run", minute%2), RunLink: "https://example.com/run", LoggedModel: "m-1", Place: "s3://other", Tags: tags}
	out, err := f.store.AppendVersion(f.Context(), v, eventtest.At(at, model))
	if err != nil {
		f.Fatal(err)
	}
	return out
}

// stage brings a version of m to a stage.
func (f fixture) stage(number int, stage string, archive bool) {
	f.Helper()
	c := registry.Change{Stage: stage, Archive: archive, Touch: true, Time: start.Add(time.Hour)}
	if err := f.store.ChangeVersion(f.Context(), "m", number, c, eventtest.At(start, "m")); err != nil {
		f.Fatal(err)
	}
}

func (f fixture) lastEvent() slipway.Event {
	all := eventtest.All(f.T, f.events)
	return all[len(all)-1].Event
}

var gone = registry.AliasChange{By: "bob", Reason: "deleted", Time: start.Add(2 * time.Hour)}

func testAddModel(f fixture) {
	f.model("My model", "risk", map[string]string{"a": "1", "b": ""})
	want := registry.Entry{Model: registry.Model{Name: "My model", Team: "risk", Description: "of My model", Created: start, Updated: start, By: "ada"},
		Tags: map[string]string{"a": "1", "b": ""}, Aliases: map[string]int{}}
	got, err := f.store.Entry(f.Context(), "My model")
	f.same("the model", want, got, err)
	later := start.Add(time.Hour)
	err = f.store.ChangeModel(f.Context(), "My model", registry.Change{Description: ptr("new"), Touch: true, Time: later, Tags: map[string]*string{"a": nil, "c": ptr("3")}}, eventtest.At(later, "x"))
	want.Description, want.Updated, want.Tags = "new", later, map[string]string{"b": "", "c": "3"}
	got, e := f.store.Entry(f.Context(), "My model")
	f.same("changed", want, got, e)
	f.same("the change", nil, err, nil)

	err = f.store.AddModel(f.Context(), want.Model, nil, eventtest.At(start, "x"))
	f.refused("the name again", err, slipway.CodeExists)
	_, err = f.store.Entry(f.Context(), "none")
	f.refused("a model that is not there", err, slipway.CodeNotFound)
	f.refused("its change", f.store.ChangeModel(f.Context(), "none", registry.Change{}, eventtest.At(start, "x")), slipway.CodeNotFound)
	teams, err := f.store.Teams(f.Context())
	f.same("teams", []string{"risk"}, teams, err)
	f.same("events", 2, f.recorded(), nil)
}

func testAppend(f fixture) {
	f.model("m", "risk", nil)
	v := f.foreign("m", 3, map[string]string{"k": strings.Repeat("ü", 10_000)})
	f.same("number and team", []any{1, "risk"}, []any{v.Number, v.Team}, nil)
	f.same("the event's number", "1", f.lastEvent().Detail["number"], nil)
	v.Team = ""
	got, err := f.store.Detail(f.Context(), "m", 1)
	f.same("the version", v, got, err)
	later := start.Add(time.Hour)
	f.same("the change", nil, f.store.ChangeVersion(f.Context(), "m", 1, registry.Change{Description: ptr(""), Touch: true, Time: later, Tags: map[string]*string{"k": nil, "x": ptr("y")}}, eventtest.At(later, "x")), nil)
	v.Description, v.Updated, v.Tags = "", later, map[string]string{"x": "y"}
	for _, number := range []int{1, 0} {
		got, err = f.store.Detail(f.Context(), "m", number)
		f.same("changed", v, got, err)
	}
	m, err := f.store.Model(f.Context(), "m")
	f.same("the model was not updated", v.Created, m.Updated, err)
	_, err = f.store.AppendVersion(f.Context(), registry.Version{Model: "none"}, eventtest.At(start, "x"))
	f.refused("a version of no model", err, slipway.CodeNotFound)
	f.refused("a change of no version", f.store.ChangeVersion(f.Context(), "m", 2, registry.Change{}, eventtest.At(start, "x")), slipway.CodeNotFound)
}

func testTwice(f fixture) {
	first, _ := f.add(version("m", "a"))
	f.add(version("m", "b"))
	again, err := f.store.AppendVersion(f.Context(), version("m", "a"), eventtest.At(start, "m"))
	f.same("appended", 3, again.Number, err)
	got, added := f.add(version("m", "a"))
	f.same("the newest of that digest", []any{3, false}, []any{got.Number, added}, nil)
	f.same("the digest", first.Digest, got.Digest, nil)
	f.same("deleted", nil, f.store.DeleteVersion(f.Context(), "m", 3, gone, eventtest.At(start, "m")), nil)
	got, added = f.add(version("m", "a"))
	f.same("the newest that is there", []any{1, false}, []any{got.Number, added}, nil)
	f.same("deleted", nil, f.store.DeleteVersion(f.Context(), "m", 1, gone, eventtest.At(start, "m")), nil)
	got, added = f.add(version("m", "a"))
	f.same("added anew", []any{4, true}, []any{got.Number, added}, nil)
}

// newest gives the newest versions of m by stage.
func (f fixture) newest() map[string]int {
	f.Helper()
	e, err := f.store.Entry(f.Context(), "m")
	if err != nil {
		f.Fatal(err)
	}
	out := map[string]int{}
	for _, v := range e.Newest {
		out[v.Stage] = v.Number
	}
	return out
}

func testStages(f fixture) {
	f.model("m", "", nil)
	for i := range 5 {
		f.foreign("m", i, nil)
	}
	f.same("all at the beginning", map[string]int{"None": 5}, f.newest(), nil)
	f.stage(2, registry.StageProduction, false)
	f.stage(4, registry.StageProduction, false)
	f.same("from", "None", f.lastEvent().Detail["from"], nil)
	f.stage(5, registry.StageStaging, false)
	f.same("three stages", map[string]int{"None": 3, "Production": 4, "Staging": 5}, f.newest(), nil)
	f.stage(1, registry.StageProduction, true)
	f.same("archived", map[string]int{"None": 3, "Production": 1, "Staging": 5, "Archived": 4}, f.newest(), nil)
	v, err := f.store.Detail(f.Context(), "m", 2)
	f.same("what was archived was updated", start.Add(time.Hour), v.Updated, err)
	m, err := f.store.Model(f.Context(), "m")
	f.same("the model, too", start.Add(time.Hour), m.Updated, err)
	f.same("deleted", nil, f.store.DeleteVersion(f.Context(), "m", 4, gone, eventtest.At(start, "m")), nil)
	f.same("the one before", map[string]int{"None": 3, "Production": 1, "Staging": 5, "Archived": 2}, f.newest(), nil)
}

func testDeleteVersion(f fixture) {
	for _, c := range []string{"a", "b"} {
		f.add(version("m", c))
	}
	f.set(change("m", "champion", 2))
	f.set(change("m", "other", 1))
	f.same("tagged", nil, f.store.ChangeVersion(f.Context(), "m", 2, registry.Change{Tags: map[string]*string{"k": ptr("v")}}, eventtest.At(start, "m")), nil)
	before := f.recorded()
	f.same("deleted", nil, f.store.DeleteVersion(f.Context(), "m", 2, gone, eventtest.At(start, "m")), nil)
	f.same("events", before+1, f.recorded(), nil)
	for what, err := range map[string]error{
		"again":  f.store.DeleteVersion(f.Context(), "m", 2, gone, eventtest.At(start, "m")),
		"change": f.store.ChangeVersion(f.Context(), "m", 2, registry.Change{}, eventtest.At(start, "m")),
	} {
		f.refused(what, err, slipway.CodeNotFound)
	}
	_, err := f.store.Version(f.Context(), "m", 2)
	f.refused("the version", err, slipway.CodeNotFound)
	_, err = f.store.Detail(f.Context(), "m", 2)
	f.refused("its detail", err, slipway.CodeNotFound)
	_, err = f.store.Alias(f.Context(), "m", "champion")
	f.refused("its alias", err, slipway.CodeNotFound)
	f.refused("a new alias", f.store.SetAlias(f.Context(), change("m", "champion", 2), eventtest.At(start, "m")), slipway.CodeConflict)
	history, err := f.store.AliasHistory(f.Context(), "m", 1)
	f.same("the alias's end", []registry.AliasChange{{Model: "m", Alias: "champion", From: 2, By: gone.By, Reason: gone.Reason, Time: gone.Time}}, history, err)
	m, err := f.store.Model(f.Context(), "m")
	f.same("the newest", 1, m.Latest, err)
	all, err := f.store.Versions(f.Context(), "m", 0, 10)
	f.same("the list", 1, len(all), err)
	found, err := f.store.SearchVersions(f.Context(), registry.Query{Order: newestFirst, Limit: 10})
	f.same("the search", 1, len(found), err)
	next, _ := f.add(version("m", "c"))
	f.same("the next number", 3, next.Number, nil)
}

func testDeleteModel(f fixture) {
	f.add(version("m", "a"))
	f.add(version("m", "b"))
	f.set(change("m", "x", 2))
	f.set(change("m", "y", 1))
	f.same("tagged", nil, f.store.ChangeModel(f.Context(), "m", registry.Change{Tags: map[string]*string{"k": ptr("v")}}, eventtest.At(start, "m")), nil)
	f.same("deleted", nil, f.store.DeleteModel(f.Context(), "m", gone, eventtest.At(start, "m")), nil)
	f.refused("again", f.store.DeleteModel(f.Context(), "m", gone, eventtest.At(start, "m")), slipway.CodeNotFound)
	_, err := f.store.Model(f.Context(), "m")
	f.refused("the model", err, slipway.CodeNotFound)
	_, err = f.store.Version(f.Context(), "m", 1)
	f.refused("a version", err, slipway.CodeNotFound)
	history, err := f.store.AliasHistory(f.Context(), "m", 10)
	f.same("moves", 4, len(history), err)
	f.same("the last", []any{0, "y", 1}, []any{history[0].To, history[0].Alias, history[0].From}, nil)
	f.model("m", "other", nil)
	e, err := f.store.Entry(f.Context(), "m")
	f.same("a new one of its name", []any{0, "other", 0, 0}, []any{e.Latest, e.Team, len(e.Tags), len(e.Aliases)}, err)
	f.same("its first number", 3, f.foreign("m", 1, nil).Number, nil)
}

func testRename(f fixture) {
	f.add(version("old", "a"))
	f.add(version("old", "b"))
	f.set(change("old", "x", 2))
	f.same("tagged", nil, f.store.ChangeVersion(f.Context(), "old", 2, registry.Change{Tags: map[string]*string{"k": ptr("v")}}, eventtest.At(start, "m")), nil)
	f.add(version("taken", "a"))
	f.set(change("taken", "x", 1))
	later := start.Add(time.Hour)
	f.refused("a name that is taken", f.store.RenameModel(f.Context(), "old", "taken", later, eventtest.At(start, "m")), slipway.CodeExists)
	f.refused("a model that is not there", f.store.RenameModel(f.Context(), "none", "new", later, eventtest.At(start, "m")), slipway.CodeNotFound)
	f.same("renamed", nil, f.store.RenameModel(f.Context(), "old", "new", later, eventtest.At(start, "m")), nil)
	_, err := f.store.Model(f.Context(), "old")
	f.refused("the old name", err, slipway.CodeNotFound)
	v, err := f.store.Detail(f.Context(), "new", 2)
	f.same("the version", []any{"new", "v", []string{"x"}}, []any{v.Model, v.Tags["k"], v.Aliases}, err)
	history, err := f.store.AliasHistory(f.Context(), "new", 10)
	f.same("the history", 1, len(history), err)
	f.same("numbers of the old name go on", 3, first(f.add(version("old", "z"))).Number, nil)

	f.same("deleted", nil, f.store.DeleteModel(f.Context(), "taken", gone, eventtest.At(start, "m")), nil)
	f.same("renamed to what was deleted", nil, f.store.RenameModel(f.Context(), "new", "taken", later, eventtest.At(start, "m")), nil)
	history, err = f.store.AliasHistory(f.Context(), "taken", 10)
	f.same("both histories", 3, len(history), err)
	f.same("and its numbers", 3, first(f.add(version("taken", "q"))).Number, nil)
}

func first[A, B any](a A, _ B) A { return a }

func testRemoveAlias(f fixture) {
	f.add(version("m", "a"))
	f.set(change("m", "x", 1))
	before := f.recorded()
	c := change("m", "x", 0)
	f.set(c)
	f.same("from", "1", f.lastEvent().Detail["from"], nil)
	f.set(c) // it is not there
	f.same("events", before+1, f.recorded(), nil)
	c.From = 1
	history, err := f.store.AliasHistory(f.Context(), "m", 1)
	f.same("history", []registry.AliasChange{c}, history, err)
}

var (
	byName      = []query.Order{{Entity: query.Attribute, Key: registry.KeyName}}
	newestFirst = []query.Order{{Entity: query.Attribute, Key: registry.KeyUpdated, Desc: true}, {Entity: query.Attribute, Key: registry.KeyName}, {Entity: query.Attribute, Key: registry.KeyNumber, Desc: true}}
)

func (f fixture) clauses(g *query.Grammar, filter string) []query.Clause {
	f.Helper()
	out, err := g.Filter(filter)
	if err != nil {
		f.Fatal(err)
	}
	return out
}

func testFindModels(f fixture) {
	long := strings.Repeat("x", 70)
	f.model("Abc", "risk", map[string]string{"k": "v", "long": long + "1"})
	f.model("abd", "growth", map[string]string{"k": "w", "j": "v"})
	f.model("x_y", "", map[string]string{"k": "v", "long": long + "2"})
	f.model("prompt", "risk", map[string]string{registry.PromptTag: "true"})
	for _, c := range []struct {
		filter string
		teams  []string
		want   string
	}{
		{"", nil, "Abc abd x_y"},
		{"name = 'Abc'", nil, "Abc"},
		{"name != 'Abc'", nil, "abd x_y"},
		{"name LIKE 'ab%'", nil, "abd"},
		{"name ILIKE 'AB%'", nil, "Abc abd"},
		{"name LIKE 'x__'", nil, "x_y"},
		{"name IN ('Abc', 'abd')", nil, "Abc abd"},
		{"tags.k = 'v'", nil, "Abc x_y"},
		{"tags.k != 'v'", nil, "abd"}, // who has no such tag does not match
		{"tags.j != 'x'", nil, "abd"},
		{"tags.k = 'v' AND tags.j = 'v'", nil, ""},
		{"tags.k LIKE 'w%' AND tags.j = 'v'", nil, "abd"},
		{"tags.long = '" + long + "2'", nil, "x_y"},
		{"", []string{"risk"}, "Abc"},
		{"", []string{"growth", ""}, "abd x_y"},
		{"", []string{}, ""},
		{"tags.k = 'v'", []string{"risk"}, "Abc"},
	} {
		found, err := f.store.SearchModels(f.Context(), registry.Query{Where: f.clauses(query.RegisteredModels, c.filter), Order: byName, Teams: c.teams, Limit: 10})
		var got []string
		for _, e := range found {
			got = append(got, e.Name)
		}
		f.same(fmt.Sprint(c.filter, c.teams), c.want, strings.Join(got, " "), err)
	}
	found, err := f.store.SearchModels(f.Context(), registry.Query{Order: byName, Limit: 10, Prompts: true})
	f.same("with prompts", 4, len(found), err)
	f.same("no prompt any more", nil, f.store.ChangeModel(f.Context(), "prompt", registry.Change{Tags: map[string]*string{registry.PromptTag: ptr("false")}}, eventtest.At(start, "m")), nil)
	found, err = f.store.SearchModels(f.Context(), registry.Query{Order: byName, Limit: 10})
	f.same("with what was one", 4, len(found), err)
}

func testFindVersions(f fixture) {
	f.model("a", "risk", nil)
	f.model("b", "growth", nil)
	f.foreign("a", 1, map[string]string{"k": "v"})
	f.foreign("b", 2, map[string]string{"k": "w"})
	f.foreign("a", 3, map[string]string{"k": "v", "j": "v"})
	f.foreign("b", 4, nil)
	f.model("prompt", "risk", nil)
	f.foreign("prompt", 5, map[string]string{registry.PromptTag: "true"})
	for _, c := range []struct {
		filter string
		teams  []string
		want   string
	}{
		{"", nil, "b:2 a:2 b:1 a:1"},
		{"name = 'a'", nil, "a:2 a:1"},
		{"name = 'a' AND version_number > 1", nil, "a:2"},
		{"run_id = 'run1'", nil, "a:2 a:1"},
		{"run_id IN ('run0', 'none')", nil, "b:2 b:1"},
		{"source_path = 's3://bucket/2'", nil, "b:1"},
		{"source_path LIKE 's3://bucket/%'", []string{"risk"}, "a:2 a:1"},
		{"tags.k = 'v'", nil, "a:2 a:1"},
		{"tags.k != 'v'", nil, "b:1"},
		{"name = 'a' AND tags.k = 'v' AND tags.j = 'v'", nil, "a:2"},
		{"", []string{"growth"}, "b:2 b:1"},
		{"", []string{}, ""},
	} {
		found, err := f.store.SearchVersions(f.Context(), registry.Query{Where: f.clauses(query.ModelVersions, c.filter), Order: newestFirst, Teams: c.teams, Limit: 10})
		var got []string
		for _, v := range found {
			got = append(got, fmt.Sprint(v.Model, ":", v.Number))
		}
		f.same(fmt.Sprint(c.filter, c.teams), c.want, strings.Join(got, " "), err)
	}
}

func testPages(f fixture) {
	f.model("a", "", nil)
	f.model("b", "", nil)
	for i := range 6 {
		f.foreign("a", i/2, nil) // two of one time
		f.foreign("b", i/2, nil)
	}
	for _, order := range [][]query.Order{
		newestFirst,
		{{Entity: query.Attribute, Key: registry.KeyNumber}, {Entity: query.Attribute, Key: registry.KeyName, Desc: true}},
		{{Entity: query.Attribute, Key: registry.KeyName, Desc: true}, {Entity: query.Attribute, Key: registry.KeyCreated}, {Entity: query.Attribute, Key: registry.KeyNumber, Desc: true}},
	} {
		all, err := f.store.SearchVersions(f.Context(), registry.Query{Order: order, Limit: 100})
		f.same("all", 12, len(all), err)
		var got []registry.Version
		var after []any
		for len(got) < len(all) {
			page, err := f.store.SearchVersions(f.Context(), registry.Query{Order: order, After: after, Limit: 5})
			if err != nil || len(page) == 0 {
				f.Fatalf("after %v: %d, %v", after, len(page), err)
			}
			got = append(got, page...)
			last := page[len(page)-1]
			after = nil
			for _, o := range order {
				after = append(after, map[string]any{registry.KeyName: last.Model, registry.KeyNumber: int64(last.Number),
					registry.KeyCreated: last.Created.UnixMicro(), registry.KeyUpdated: last.Updated.UnixMicro()}[o.Key])
			}
		}
		f.same("in pages", all, got, nil)
	}
	page, err := f.store.SearchModels(f.Context(), registry.Query{Order: byName, After: []any{"a"}, Limit: 5})
	f.same("models after a", 1, len(page), err)
}
