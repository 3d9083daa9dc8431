package access

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/identity/review"
)

// Reviews are the use cases around access reviews. It implements httpapi.Reviews.
type Reviews struct {
	*Control
	Store review.Store

	mu sync.Mutex // one change at a time
}

// system is who begins reviews when nobody does.
const system = "system"

// teamOf is what the grants of an item belong to; without a team, to the owners.
func teamOf(i *review.Item) authz.Resource {
	return authz.Resource{Kind: authz.KindTeam, Name: i.Team, Team: i.Team}
}

// All gives the reviews without their items, newest first.
func (s *Reviews) All(ctx context.Context, p slipway.Principal) (api.AccessReviews, error) {
	all, err := s.Store.Reviews(ctx)
	if err != nil {
		return api.AccessReviews{}, err
	}
	out := api.AccessReviews{Reviews: []api.AccessReview{}}
	for _, r := range slices.Backward(all) {
		if v := s.view(r, p); len(v.Items) > 0 || s.Allows(p, authz.ReviewManage, Server) {
			v.Items = nil
			out.Reviews = append(out.Reviews, v)
		}
	}
	out.Begins, out.Due = review.Next(all, s.Now())
	return out, nil
}

// One gives a review with the items that the principal may see.
func (s *Reviews) One(ctx context.Context, p slipway.Principal, id string) (api.AccessReview, error) {
	r, err := s.find(ctx, id)
	if err != nil {
		return api.AccessReview{}, err
	}
	v := s.view(r, p)
	if len(v.Items) == 0 && len(r.Items) > 0 {
		return api.AccessReview{}, s.Check(ctx, p, authz.ReviewRead, authz.Resource{Kind: authz.KindTeam})
	}
	return v, nil
}

// find gives a review by its id, or the one that is open. What there is not is told to
// nobody who may see none: their list is empty.
func (s *Reviews) find(ctx context.Context, id string) (review.Review, error) {
	all, err := s.Store.Reviews(ctx)
	if err != nil {
		return review.Review{}, err
	}
	for _, r := range slices.Backward(all) {
		if r.ID == id || id == review.Open && r.Status == review.Open || strings.EqualFold(r.Quarter, id) {
			return r, nil
		}
	}
	return review.Review{}, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform access review list", "there is no such review")
}

func (s *Reviews) view(r review.Review, p slipway.Principal) api.AccessReview {
	out := api.AccessReview{ID: r.ID, Status: r.Status, Quarter: r.Quarter, By: r.By, Started: r.Started, Due: r.Due, Total: len(r.Items), Waiting: r.Waiting(),
		Overdue: r.Status == review.Open && !s.Now().Before(r.Due), Closer: r.Closer, Reason: r.Reason, Closed: r.Closed}
	seen := map[string]bool{}
	for _, i := range r.Items {
		if _, known := seen[i.Team]; !known {
			seen[i.Team] = s.Allows(p, authz.ReviewRead, teamOf(&i))
		}
		if !seen[i.Team] {
			continue
		}
		out.Items = append(out.Items, api.ReviewItem{ID: i.ID, Account: i.Account, Kind: i.Kind, Clearance: i.Clearance, Team: i.Team, Grant: i.Grant(), Role: api.Role{Role: i.Role.Name, Team: i.Role.Team, Until: i.Role.Until},
			Token: i.Token, Note: i.Note, Limit: api.Limit(i.Limit), Expires: i.Expires, Used: i.Used, Status: i.Status, By: i.By, Reason: i.Reason, At: i.At, Check: i.Check})
	}
	return out
}

// Start begins a review now.
func (s *Reviews) Start(ctx context.Context, p slipway.Principal, r api.StartReview) (api.AccessReview, error) {
	if err := s.Check(ctx, p, authz.ReviewManage, Server); err != nil {
		return api.AccessReview{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	begun, err := s.start(ctx, p.ID, s.moment().Add(time.Duration(cmp.Or(r.Days, int(review.Window/(24*time.Hour))))*24*time.Hour))
	return s.view(begun, p), err
}

func (s *Reviews) start(ctx context.Context, by string, due time.Time) (review.Review, error) {
	all, err := s.Store.Reviews(ctx)
	if err == nil {
		err = s.Identity.Flush(ctx) // the last uses, too
	}
	if err != nil {
		return review.Review{}, err
	}
	accounts, err := s.Identity.Accounts(ctx)
	if err != nil {
		return review.Review{}, err
	}
	tokens, err := s.Identity.Tokens(ctx)
	if err != nil {
		return review.Review{}, err
	}
	now := s.moment()
	quarter, _ := review.Quarter(now)
	r := review.Review{ID: slipway.NewID("rev", now), Number: len(all) + 1, Status: review.Open, Quarter: quarter, By: by, Started: now, Due: due, Items: review.Items(accounts, tokens, now)}
	ev := s.reviewEvent(by, "review.started", r, "grants", strconv.Itoa(len(r.Items)), "due", due.Format(time.RFC3339))
	return r, s.Store.SaveReview(ctx, r, ev)
}

func (s *Reviews) reviewEvent(by, action string, r review.Review, more ...string) slipway.Event {
	now := s.Now()
	ev := slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: by, Action: action, Subject: r.ID, Detail: map[string]string{"quarter": r.Quarter}}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] != "" {
			ev.Detail[more[i]] = more[i+1]
		}
	}
	return ev
}

// Answer attests grants, or has them taken away and looks whether they are.
func (s *Reviews) Answer(ctx context.Context, p slipway.Principal, id string, a api.AnswerReview) (api.AccessReview, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(ctx, id)
	if err != nil { // who may answer nothing does not learn what there is
		return api.AccessReview{}, cmp.Or[error](s.conceivable(ctx, p), err)
	}
	var chosen []*review.Item
	for _, wanted := range a.Items {
		i := slices.IndexFunc(r.Items, func(i review.Item) bool { return i.ID == wanted })
		if i < 0 {
			return api.AccessReview{}, cmp.Or[error](s.conceivable(ctx, p), slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform access review show", "%.20q is no grant of this review", wanted))
		}
		if err := s.mayAnswer(ctx, p, &r.Items[i]); err != nil {
			return api.AccessReview{}, err
		}
		chosen = append(chosen, &r.Items[i])
	}
	if len(chosen) == 0 {
		return api.AccessReview{}, cmp.Or[error](s.conceivable(ctx, p), slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "platform access review show", "no grant was named"))
	}
	if r.Status != review.Open {
		return api.AccessReview{}, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform access review list", "the review of %s is closed", r.Quarter)
	}
	if a.Revoke || a.Reason != "" {
		if err := reasoned(a.Reason); err != nil {
			return api.AccessReview{}, err
		}
	}
	for _, i := range chosen {
		if i.Status != review.Waiting {
			return api.AccessReview{}, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform access review show", "grant %s is answered already: %s by %s", i.ID, i.Status, i.By)
		}
	}
	for _, i := range chosen {
		if err := s.answer(ctx, p, &r, i, a); err != nil {
			return s.view(r, p), err
		}
	}
	return s.view(r, p), nil
}

// conceivable answers Denied, and records that, unless there may be grants that the
// principal can answer for.
func (s *Reviews) conceivable(ctx context.Context, p slipway.Principal) error {
	if s.Engine.Load().Conceivable(p, authz.ReviewAttest) {
		return nil
	}
	return s.Check(ctx, p, authz.ReviewAttest, authz.Resource{Kind: authz.KindTeam})
}

// mayAnswer lets a person who leads the team answer, but nobody for himself.
func (s *Reviews) mayAnswer(ctx context.Context, p slipway.Principal, i *review.Item) error {
	if err := s.Check(ctx, p, authz.ReviewAttest, teamOf(i)); err != nil {
		return err
	}
	why := ""
	switch {
	case i.Account == p.ID:
		why = "nobody answers for what he has himself"
	case p.Kind != slipway.Person:
		why = "a person answers, not a service"
	default:
		return nil
	}
	return s.denied(ctx, authz.Request{Principal: p, Action: authz.ReviewAttest, Resource: teamOf(i)}, slipway.Errorf(slipway.Denied, slipway.CodeFourEyes, "ask another lead of the team, or an owner", "%s", why))
}

// answer records one answer; a revocation after it is done. One that was interrupted in
// between is done again, and finds it done.
func (s *Reviews) answer(ctx context.Context, p slipway.Principal, r *review.Review, i *review.Item, a api.AnswerReview) error {
	action := "review.attested"
	done := *i
	done.Status, done.By, done.Reason, done.At = review.Attested, p.ID, a.Reason, s.moment()
	if a.Revoke {
		action, done.Status = "review.revoked", review.Revoked
		var err error
		if done.Check, err = s.revoke(ctx, p, i, "access review "+r.Quarter+": "+a.Reason); err != nil {
			return err
		}
	}
	before := *i
	*i = done
	if err := s.Store.SaveReview(ctx, *r, s.reviewEvent(p.ID, action, *r, "account", i.Account, "grant", i.Grant(), "reason", a.Reason, "check", done.Check)); err != nil {
		*i = before
		return err
	}
	return nil
}

// revoke takes a grant away, and says what is left of it by the policies.
func (s *Reviews) revoke(ctx context.Context, p slipway.Principal, i *review.Item, reason string) (string, error) {
	var err error
	if i.Token != "" {
		err = s.Identity.Revoke(ctx, p.ID, i.Token, reason)
	} else {
		_, err = s.Identity.Withdraw(ctx, p.ID, i.Account, i.Role, reason)
	}
	if err != nil && slipway.AsError(err).Code != slipway.CodeNotFound { // it is gone already
		return "", err
	}
	s.Changed()
	accounts, err := s.Identity.Accounts(ctx)
	if err != nil {
		return "", err
	}
	tokens, err := s.Identity.Tokens(ctx)
	if err != nil {
		return "", err
	}
	grants, err := s.Grants(ctx)
	if err != nil {
		return "", err
	}
	if review.Has(i, accounts, tokens, s.Now()) {
		return "", slipway.Errorf(slipway.Internal, slipway.CodeInternal, "try again", "%s of %s was taken away, and is there still", i.Grant(), i.Account)
	}
	if i.Token != "" {
		for _, g := range grants {
			if g.Token == i.Token {
				return "", slipway.Errorf(slipway.Internal, slipway.CodeInternal, "try again", "%s was revoked, and gateways would honour it still", i.Token)
			}
		}
		return "it is revoked, and no gateway is told to honour it", nil
	}
	left := s.left(ctx, i)
	if len(left) == 0 {
		return "it is gone, and nothing that it allowed is allowed any more", nil
	}
	const shown = 6
	text := strings.Join(left[:min(shown, len(left))], ", ")
	if len(left) > shown {
		text += fmt.Sprintf(" and %d more", len(left)-shown)
	}
	return "it is gone; another role allows still: " + text, nil
}

// left are the actions that a role allowed on what its team has, and that its account may
// do all the same, though nobody without roles may.
func (s *Reviews) left(ctx context.Context, i *review.Item) (out []string) {
	a, err := s.Identity.Account(ctx, i.Account)
	if err != nil || !a.Disabled.IsZero() {
		return nil
	}
	team := cmp.Or(i.Role.Team, "a-team")
	now := slipway.Principal{ID: a.Name, Kind: a.Kind, Roles: a.Roles, Clearance: a.Clearance}
	was, bare := now, now
	was.Roles, bare.Roles = []slipway.Role{i.Role}, nil
	for _, action := range slices.Sorted(maps.Keys(authz.Actions)) {
		r := authz.Resource{Kind: authz.Actions[action].Kind, Name: "any", Team: team}
		if r.Kind == authz.KindServer {
			r = Server
		}
		if s.Allows(was, action, r) && s.Allows(now, action, r) && !s.Allows(bare, action, r) {
			out = append(out, string(action))
		}
	}
	return out
}

// Close ends a review. Grants that nobody answered for are never passed over: it is refused
// while there is time, and afterwards needs a reason, which is recorded with their number.
func (s *Reviews) Close(ctx context.Context, p slipway.Principal, id string, c api.CloseReview) (api.AccessReview, error) {
	if err := s.Check(ctx, p, authz.ReviewManage, Server); err != nil {
		return api.AccessReview{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(ctx, id)
	if err == nil && r.Status != review.Open {
		err = slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform access review list", "the review of %s is closed", r.Quarter)
	}
	if err == nil {
		_, err = s.sweep(ctx, &r)
	}
	if err != nil {
		return api.AccessReview{}, err
	}
	waiting := r.Waiting()
	switch {
	case waiting > 0 && s.Now().Before(r.Due):
		return api.AccessReview{}, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform access review show "+r.Quarter, "%d grants wait for an answer, until %s", waiting, r.Due.Format("2006-01-02 15:04"))
	case waiting > 0:
		if err := reasoned(c.Reason); err != nil {
			return api.AccessReview{}, err
		}
	}
	for i := range r.Items {
		if r.Items[i].Status == review.Waiting {
			r.Items[i].Status = review.Unanswered
		}
	}
	r.Status, r.Closer, r.Reason, r.Closed = review.Closed, p.ID, c.Reason, s.moment()
	err = s.Store.SaveReview(ctx, r, s.reviewEvent(p.ID, "review.closed", r, "unanswered", strconv.Itoa(waiting), "reason", c.Reason))
	return s.view(r, p), err
}

// sweep notes which grants are gone, since somebody else took them away or they ended.
func (s *Reviews) sweep(ctx context.Context, r *review.Review) (changed bool, err error) {
	accounts, err := s.Identity.Accounts(ctx)
	if err != nil {
		return false, err
	}
	tokens, err := s.Identity.Tokens(ctx)
	if err != nil {
		return false, err
	}
	for i := range r.Items {
		if item := &r.Items[i]; item.Status == review.Waiting && !review.Has(item, accounts, tokens, s.Now()) {
			item.Status, item.At, changed = review.Gone, s.moment(), true
		}
	}
	return changed, nil
}

// reviewPace is how often it is looked whether a review is due.
const reviewPace = 10 * time.Minute

// Run does what is due by itself until ctx ends.
func (s *Reviews) Run(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(reviewPace)
	defer tick.Stop()
	for {
		if err := s.Keep(ctx); err != nil && ctx.Err() == nil {
			log.Warn("the access review was not looked after", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Keep does what is due by itself: it begins the review of a quarter, and tells the owners
// of one that is overdue. Each is done once, whenever the server was down.
func (s *Reviews) Keep(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.Store.Reviews(ctx)
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.Status == review.Open {
			return s.keep(ctx, r)
		}
	}
	if begins, due := review.Next(all, s.Now()); !s.Now().Before(begins) {
		_, err = s.start(ctx, system, due)
	}
	return err
}

func (s *Reviews) keep(ctx context.Context, r review.Review) error {
	changed, err := s.sweep(ctx, &r)
	if err != nil {
		return err
	}
	var events []slipway.Event
	if waiting := r.Waiting(); waiting > 0 && r.Flagged.IsZero() && !s.Now().Before(r.Due) {
		r.Flagged, changed = s.moment(), true
		events = append(events, s.reviewEvent(system, "review.overdue", r, "unanswered", strconv.Itoa(waiting), "teams", strings.Join(waitingTeams(r), " "), "escalated", "owners"))
	}
	if !changed {
		return nil
	}
	return s.Store.SaveReview(ctx, r, events...)
}

func waitingTeams(r review.Review) []string {
	teams := map[string]bool{}
	for _, i := range r.Items {
		if i.Status == review.Waiting {
			teams[cmp.Or(i.Team, "(owners)")] = true
		}
	}
	return slices.Sorted(maps.Keys(teams))
}

// Notice says in a line what is due, empty while nothing is.
func (s *Reviews) Notice(ctx context.Context) (string, error) {
	all, err := s.Store.Reviews(ctx)
	if err != nil {
		return "", err
	}
	for _, r := range all {
		if r.Status != review.Open {
			continue
		}
		state := "due"
		if !s.Now().Before(r.Due) {
			state = "OVERDUE since"
		}
		return fmt.Sprintf("access review %s: %d of %d grants wait for an answer, %s %s", r.Quarter, r.Waiting(), len(r.Items), state, r.Due.Format("2006-01-02")), nil
	}
	begins, due := review.Next(all, s.Now())
	return fmt.Sprintf("next access review: begins %s, due %s", begins.Format("2006-01-02"), due.Format("2006-01-02")), nil
}
