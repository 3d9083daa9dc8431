package access_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/slipway-ml/slipway/internal/app/access"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/storetest"
)

// refused is a gateway that has refused some, and forgets what it is told to be recorded.
type refused struct {
	list []route.Refusal
	err  error // of an answer on its way
}

func (g *refused) Refusals(_ context.Context, after uint64) (route.Refusals, error) {
	for len(g.list) > 0 && g.list[0].Seq <= after {
		g.list = g.list[1:]
	}
	return route.Refusals{Gateway: "local", List: g.list}, g.err
}

// TestRefusalsAreRecordedOnce: whatever is broken off in between.
func TestRefusalsAreRecordedOnce(t *testing.T) {
	events := event.New(storetest.SQLite(t))
	g := &refused{list: []route.Refusal{
		{Seq: 7, Time: noon, What: route.Denied, Principal: "gil", Token: "tok_1", Source: "192.0.2.1", Endpoint: "fraud"},
		{Seq: 9, Time: noon, What: route.Unauthenticated, Source: "192.0.2.1", Again: 41, Since: noon, Lost: 2}}}
	c := access.Refusals{Name: "local", Gateway: g, Record: events, Log: slog.New(slog.DiscardHandler)}
	ctx := t.Context()
	g.err = errors.New("the connection broke")
	if err := c.Collect(ctx); err == nil {
		t.Error("a broken answer is one")
	}
	g.err = nil
	kept := g.list
	for range 3 {
		g.list = kept // the gateway forgot nothing: it was killed
		if err := c.Collect(ctx); err != nil {
			t.Fatal(err)
		}
	}
	all, err := events.List(ctx, 0, 100, "")
	if err != nil || len(all) != 2 {
		t.Fatalf("%d events of 2 refusals, %v", len(all), err)
	}
	if e := all[0]; e.Actor != "gil" || e.Action != "access.denied" || e.Subject != "endpoint fraud" || e.Detail["token"] != "tok_1" {
		t.Errorf("%+v", e)
	}
	if e := all[1]; e.Actor != "unknown" || e.Action != "access.unauthenticated" || e.Detail["again"] != "41" || e.Detail["lost"] != "2" {
		t.Errorf("%+v", e)
	}
	g.list = append(g.list, route.Refusal{Seq: 12, Time: noon, What: route.Denied, Principal: "gil"})
	if err := c.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	if all, err = events.List(ctx, 0, 100, ""); err != nil || len(all) != 3 {
		t.Errorf("%d events, %v", len(all), err)
	}
}
