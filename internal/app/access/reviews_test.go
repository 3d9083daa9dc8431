package access_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/app/access"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/identity/review"
)

// reviews is a review.Store of one test.
type reviews struct {
	site *site
	all  []review.Review
	fail error
}

func (m *reviews) Reviews(context.Context) ([]review.Review, error) {
	out := slices.Clone(m.all)
	for i := range out {
		out[i].Items = slices.Clone(out[i].Items)
	}
	return out, nil
}

func (m *reviews) SaveReview(ctx context.Context, r review.Review, events ...slipway.Event) error {
	if m.fail != nil {
		return m.fail
	}
	r.Items = slices.Clone(r.Items)
	if i := slices.IndexFunc(m.all, func(o review.Review) bool { return o.ID == r.ID }); i >= 0 {
		m.all[i] = r
	} else {
		m.all = append(m.all, r)
	}
	return m.site.Append(ctx, events...)
}

func newReviews(t *testing.T) (*site, *access.Reviews, *reviews) {
	s := newSite(t)
	store := &reviews{site: s}
	return s, &access.Reviews{Control: s.Control, Store: store}, store
}

func grantOf(t *testing.T, r api.AccessReview, account, grant string) api.ReviewItem {
	t.Helper()
	for _, i := range r.Items {
		if i.Account == account && strings.HasPrefix(i.Grant, grant) {
			return i
		}
	}
	t.Fatalf("the review has no %s of %s: %+v", grant, account, r.Items)
	return api.ReviewItem{}
}

// TestReview: leads answer for their teams, owners for the rest, nobody for himself; what is
// revoked is taken away, and looked at.
func TestReview(t *testing.T) {
	s, rs, _ := newReviews(t)
	ctx := t.Context()
	owner, _ := s.as(t, "owner", slipway.Limit{})
	lea, _ := s.as(t, "lea", slipway.Limit{})
	pat, _ := s.as(t, "pat", slipway.Limit{})
	ada, _ := s.as(t, "ada", slipway.Limit{})
	shop, _ := s.as(t, "shop", slipway.Limit{})
	if _, err := s.Identity.Grant(ctx, "owner", "ada", role(slipway.RoleCaller, "risk"), ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Identity.UseTokens(ctx, map[string]time.Time{shop.Token: s.now}); err != nil {
		t.Fatal(err)
	}
	_, err := rs.Start(ctx, lea, api.StartReview{})
	wantCode(t, "started by a lead", err, slipway.CodeDenied)
	r, err := rs.Start(ctx, pat, api.StartReview{})
	if err != nil || r.Quarter != "2026-Q4" || r.Waiting != r.Total || r.Due.Sub(s.now) != review.Window || s.last().Action != "review.started" {
		t.Fatalf("%+v, %v", r, err)
	}
	mine, err := rs.One(ctx, lea, review.Open)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range mine.Items {
		if i.Team != "risk" {
			t.Errorf("a lead sees %+v", i)
		}
	}
	_, err = rs.One(ctx, ada, review.Open)
	wantCode(t, "read by an engineer", err, slipway.CodeDenied)
	answer := func(who slipway.Principal, i api.ReviewItem, revoke bool) (api.AccessReview, error) {
		return rs.Answer(ctx, who, review.Open, api.AnswerReview{Items: []string{i.ID}, Revoke: revoke, Reason: "moved on"})
	}
	self := grantOf(t, mine, "lea", "team-lead of risk")
	_, err = answer(lea, self, false)
	wantCode(t, "for oneself", err, slipway.CodeFourEyes)
	if s.last().Action != "access.denied" {
		t.Errorf("that is not recorded: %+v", s.last())
	}
	all, err := rs.One(ctx, owner, "2026-Q4")
	if err != nil {
		t.Fatal(err)
	}
	_, err = answer(lea, grantOf(t, all, "gil", "engineer of growth"), true)
	wantCode(t, "for another team", err, slipway.CodeDenied)
	_, err = answer(lea, grantOf(t, all, "pat", "platform-engineer"), true)
	wantCode(t, "for the whole installation", err, slipway.CodeDenied)
	_, err = rs.Answer(ctx, lea, review.Open, api.AnswerReview{Items: []string{grantOf(t, all, "ada", "engineer").ID}, Revoke: true})
	wantCode(t, "revoked without a reason", err, slipway.CodeInvalid)

	after, err := answer(lea, grantOf(t, all, "ada", "engineer of risk"), true)
	got := grantOf(t, after, "ada", "engineer of risk")
	if err != nil || got.Status != review.Revoked || got.By != "lea" || !strings.Contains(got.Check, "another role allows still: endpoint:predict") {
		t.Errorf("%+v, %v", got, err)
	}
	if a, err := s.Identity.Account(ctx, "ada"); err != nil || len(a.Roles) != 1 {
		t.Errorf("ada has %+v, %v", a.Roles, err)
	}
	after, err = answer(lea, grantOf(t, all, "shop", "token "), true)
	if got := grantOf(t, after, "shop", "token "); err != nil || got.Status != review.Revoked || !strings.Contains(got.Check, "no gateway") {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := answer(lea, grantOf(t, all, "shop", "caller of risk"), false); err != nil || s.last().Action != "review.attested" || s.last().Detail["account"] != "shop" {
		t.Errorf("%v, %+v", err, s.last())
	}
	_, err = answer(lea, grantOf(t, all, "shop", "caller of risk"), true)
	wantCode(t, "answered twice", err, slipway.CodeConflict)
	_, err = answer(owner, grantOf(t, all, "owner", "owner"), true)
	wantCode(t, "the owner for himself", err, slipway.CodeFourEyes)
	_, err = answer(pat, grantOf(t, all, "owner", "owner"), true)
	wantCode(t, "the last owner", err, slipway.CodeConflict)

	_, err = rs.Close(ctx, owner, review.Open, api.CloseReview{Reason: "enough"})
	wantCode(t, "closed while grants wait", err, slipway.CodeConflict)
	s.now = r.Due
	if err := rs.Keep(ctx); err != nil || s.last().Action != "review.overdue" || !strings.Contains(s.last().Detail["teams"], "risk") {
		t.Errorf("%v, %+v", err, s.last())
	}
	events := len(s.events)
	if err := rs.Keep(ctx); err != nil || len(s.events) != events {
		t.Errorf("flagged again: %v", err)
	}
	_, err = rs.Close(ctx, owner, review.Open, api.CloseReview{})
	wantCode(t, "closed without a reason", err, slipway.CodeInvalid)
	closed, err := rs.Close(ctx, owner, review.Open, api.CloseReview{Reason: "the lead of growth has left"})
	if err != nil || closed.Status != review.Closed || s.last().Detail["unanswered"] == "0" || grantOf(t, closed, "gil", "engineer").Status != review.Unanswered {
		t.Errorf("%+v, %v, %+v", closed, err, s.last())
	}
}

// TestReviewResumes: a revocation whose answer could not be recorded is answered again, and
// finds it done; what others took away meanwhile is gone.
func TestReviewResumes(t *testing.T) {
	s, rs, store := newReviews(t)
	ctx := t.Context()
	owner, _ := s.as(t, "owner", slipway.Limit{})
	lea, _ := s.as(t, "lea", slipway.Limit{})
	if _, err := rs.Start(ctx, owner, api.StartReview{}); err != nil {
		t.Fatal(err)
	}
	all, err := rs.One(ctx, owner, review.Open)
	if err != nil {
		t.Fatal(err)
	}
	i := grantOf(t, all, "ada", "engineer of risk")
	store.fail = errors.New("the disk is full")
	if _, err := rs.Answer(ctx, lea, review.Open, api.AnswerReview{Items: []string{i.ID}, Revoke: true, Reason: "moved on"}); err == nil {
		t.Error("an answer that is not recorded is one")
	}
	store.fail = nil
	after, err := rs.Answer(ctx, lea, review.Open, api.AnswerReview{Items: []string{i.ID}, Revoke: true, Reason: "moved on"})
	if err != nil || grantOf(t, after, "ada", "engineer of risk").Status != review.Revoked {
		t.Errorf("%v", err)
	}
	if _, err := s.Identity.Disable(ctx, "owner", "gil", ""); err != nil {
		t.Fatal(err)
	}
	if err := rs.Keep(ctx); err != nil {
		t.Fatal(err)
	}
	all, err = rs.One(ctx, owner, review.Open)
	if err != nil || grantOf(t, all, "gil", "engineer").Status != review.Gone {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestReviewsBegin: one a quarter, by itself, at its end, and once however often it is
// looked at.
func TestReviewsBegin(t *testing.T) {
	s, rs, store := newReviews(t)
	ctx := t.Context()
	for _, tt := range []struct {
		at   string
		want int
	}{
		{"2026-11-27T12:00:00Z", 0}, {"2026-12-17T23:59:59Z", 0}, {"2026-12-18T00:00:00Z", 1}, {"2026-12-20T00:00:00Z", 1},
	} {
		s.now, _ = time.Parse(time.RFC3339, tt.at)
		if err := rs.Keep(ctx); err != nil || len(store.all) != tt.want {
			t.Errorf("%s: %d reviews, %v", tt.at, len(store.all), err)
		}
	}
	if r := store.all[0]; r.By != "system" || r.Due.Format(time.DateOnly) != "2027-01-01" {
		t.Errorf("%+v", r)
	}
	note, err := rs.Notice(ctx)
	if err != nil || !strings.Contains(note, "access review 2026-Q4") || !strings.Contains(note, "due 2027-01-01") {
		t.Errorf("%q, %v", note, err)
	}
	store.all[0].Status = review.Closed
	note, err = rs.Notice(ctx)
	if err != nil || note != "next access review: begins 2027-03-18, due 2027-04-01" {
		t.Errorf("%q, %v", note, err)
	}
}

func TestItems(t *testing.T) {
	now := noon
	items := review.Items([]identity.Account{
		{Name: "ada", Kind: slipway.Person, Roles: []slipway.Role{role(slipway.RoleEngineer, "risk"), {Name: slipway.RoleAuditor, Until: now}}},
		{Name: "gone", Disabled: now, Roles: []slipway.Role{role(slipway.RoleOwner, "")}},
		{Name: "shop", Kind: slipway.Service, Team: "risk"},
	}, []identity.Token{
		{ID: "tok_1", Account: "shop", Created: now, Expires: now.Add(90 * 24 * time.Hour), Used: now},
		{ID: "tok_2", Account: "shop", Created: now, Expires: now.Add(8 * time.Hour)},
		{ID: "tok_3", Account: "shop", Created: now, Revoked: now},
		{ID: "tok_4", Account: "ada", Created: now, Used: now.Add(-time.Hour), Expires: now.Add(time.Hour)},
	}, now)
	if len(items) != 2 || items[0].Grant() != "engineer of risk" || !items[0].Used.Equal(now.Add(-time.Hour)) || items[1].Token != "tok_1" || items[1].Team != "risk" {
		t.Errorf("%+v", items)
	}
}
