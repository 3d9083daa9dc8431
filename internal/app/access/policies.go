package access

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/authz/policyset"
	"github.com/slipway-ml/slipway/internal/identity"
)

// Policies are the use cases around what an installation adds to the policies that the
// program brings. It implements httpapi.Policies.
type Policies struct {
	*Control
	Store policyset.Store
	// Development says whether this is an instance for one person's trials: only on one may
	// that person approve what he has proposed.
	Development bool

	mu sync.Mutex // one change at a time
}

// Load puts the additions in force that were approved last. It answers CodePolicy if this
// program cannot read them: to go on without them could open what they close.
func (s *Policies) Load(ctx context.Context) error {
	all, err := s.Store.Versions(ctx)
	if err != nil {
		return err
	}
	v := policyset.InForce(all)
	e, err := s.Engine.Load().With(v.Number, []byte(v.Text))
	if err != nil {
		return slipway.Errorf(slipway.Conflict, slipway.CodePolicy, "go back to the program before, and propose policies that both can read", "version %d of this installation's policies does not fit this program: %s", v.Number, slipway.AsError(err).Message)
	}
	s.Engine.Store(e)
	return nil
}

// List gives every version without its text, newest first.
func (s *Policies) List(ctx context.Context, p slipway.Principal) ([]api.PolicyVersion, error) {
	if err := s.Check(ctx, p, authz.PolicyRead, Server); err != nil {
		return nil, err
	}
	all, err := s.Store.Versions(ctx)
	out := []api.PolicyVersion{}
	for _, v := range slices.Backward(all) {
		view := s.view(v)
		view.Text = ""
		out = append(out, view)
	}
	return out, err
}

// Show gives one version; 0 is what the program brings, which is always in force.
func (s *Policies) Show(ctx context.Context, p slipway.Principal, version int) (api.PolicyVersion, error) {
	if err := s.Check(ctx, p, authz.PolicyRead, Server); err != nil {
		return api.PolicyVersion{}, err
	}
	if version == 0 {
		return api.PolicyVersion{Status: policyset.Approved, InForce: true, Text: string(authz.Policies()), By: "the program"}, nil
	}
	v, err := s.version(ctx, version)
	return s.view(v), err
}

func (s *Policies) version(ctx context.Context, number int) (policyset.Version, error) {
	all, err := s.Store.Versions(ctx)
	if err != nil {
		return policyset.Version{}, err
	}
	i := slices.IndexFunc(all, func(v policyset.Version) bool { return v.Number == number })
	if i < 0 {
		return policyset.Version{}, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform policy list", "there is no version %d of the policies", number)
	}
	return all[i], nil
}

func (s *Policies) view(v policyset.Version) api.PolicyVersion {
	return api.PolicyVersion{Version: v.Number, Status: v.Status, InForce: v.Number != 0 && v.Number == s.Engine.Load().Version(), Text: v.Text, Reverts: v.Reverts, By: v.By, Reason: v.Reason, Created: v.Created,
		Decider: v.Decider, Why: v.Why, Decided: v.Decided, Alone: v.Alone}
}

// Test says what a text would change, and whether it could be proposed.
func (s *Policies) Test(ctx context.Context, p slipway.Principal, text string) (api.PolicyTest, error) {
	if err := s.Check(ctx, p, authz.PolicyRead, Server); err != nil {
		return api.PolicyTest{}, err
	}
	was := s.Engine.Load()
	now, err := was.With(was.Version()+1, []byte(text))
	if err != nil {
		return api.PolicyTest{}, err
	}
	who, things, err := s.everything(ctx)
	if err != nil {
		return api.PolicyTest{}, err
	}
	effects, all := authz.Effects(was, now, who, things)
	out := api.PolicyTest{Effects: []api.PolicyEffect{}, Complete: all, Accounts: len(who), Resources: len(things)}
	for _, e := range effects {
		out.Effects = append(out.Effects, api.PolicyEffect{Action: string(e.Action), Resource: e.Resource.Target(), Lost: e.Lost, Gained: e.Gained, Disconnected: e.Disconnected})
	}
	if err := s.safe(ctx, now, who, things); err != nil {
		out.Refused = slipway.AsError(err).Message
	}
	return out, nil
}

// everything is who there is, and what there is.
func (s *Policies) everything(ctx context.Context) (who []slipway.Principal, things []authz.Resource, err error) {
	accounts, err := s.Identity.Accounts(ctx)
	if err != nil {
		return nil, nil, err
	}
	things = append(things, Server, authz.Resource{Kind: authz.KindTeam})
	teams := map[string]bool{}
	team := func(name string) {
		if name != "" && !teams[name] {
			teams[name] = true
			things = append(things, authz.Resource{Kind: authz.KindTeam, Name: name, Team: name})
		}
	}
	for i := range accounts {
		a := &accounts[i]
		things = append(things, accountOf(a))
		team(a.Team)
		for _, r := range a.Roles {
			team(r.Team)
		}
		if a.Disabled.IsZero() {
			who = append(who, a.Principal(identity.Token{}))
		}
	}
	endpoints, err := s.Resources.Endpoints(ctx)
	if err != nil {
		return nil, nil, err
	}
	for i := range endpoints {
		team(endpoints[i].Owner)
		things = append(things, EndpointOf(&endpoints[i]))
	}
	models, err := s.Models.Models(ctx, "", maxModels)
	for _, m := range models {
		things = append(things, ModelOf(m.Name, m.Team))
	}
	return who, things, err
}

// maxModels bounds the models for which a change is tried out.
const maxModels = 1000

// safe refuses policies after which nobody could mend them: no owner who can do what
// administers the platform, or nobody to decide on the next proposal.
func (s *Policies) safe(_ context.Context, e *authz.Engine, who []slipway.Principal, things []authz.Resource) error {
	var owners []slipway.Principal
	for _, p := range who {
		if p.Kind == slipway.Person && slices.ContainsFunc(p.Roles, func(r slipway.Role) bool { return r.Name == slipway.RoleOwner && r.Until.IsZero() }) {
			owners = append(owners, p)
		}
	}
	things = append(things, // as they may come to be
		authz.Resource{Kind: authz.KindAccount, Name: "somebody", Is: slipway.Person}, authz.Resource{Kind: authz.KindAccount, Name: "a-service", Is: slipway.Service, Team: "a-team"},
		authz.Resource{Kind: authz.KindEndpoint, Name: "an-endpoint", Team: "a-team", Tier: 1, Environment: slipway.Production})
	if lost, ok := e.Keeps(owners, things); !ok {
		what := "no owner could do everything any more"
		if len(owners) > 0 {
			what = fmt.Sprintf("no owner could do %s on %s any more", lost.Action, lost.Resource)
		}
		return slipway.Errorf(slipway.Conflict, slipway.CodeLockout, `leave them out: unless { principal in Role::"owner" }`, "%s", what)
	}
	if before, after := deciders(s.Engine.Load(), who), deciders(e, who); before > 1 && after < 2 {
		return slipway.Errorf(slipway.Conflict, slipway.CodeLockout, `let owners and platform engineers decide`, "fewer than two people could decide on the policies any more: the next change could not be approved")
	}
	return nil
}

// deciders counts the people who may decide on a proposal.
func deciders(e *authz.Engine, who []slipway.Principal) (n int) {
	for _, p := range who {
		p.Elevated = true // as each can make himself
		if p.Kind == slipway.Person && e.Decide(authz.Request{Principal: p, Action: authz.PolicyDecide, Resource: Server}).Allow {
			n++
		}
	}
	return n
}

// Propose adds a proposal: a text, or that of an earlier version again.
func (s *Policies) Propose(ctx context.Context, p slipway.Principal, r api.ProposePolicy) (api.PolicyVersion, error) {
	if err := s.Check(ctx, p, authz.PolicyPropose, Server); err != nil {
		return api.PolicyVersion{}, err
	}
	if err := reasoned(r.Reason); err != nil {
		return api.PolicyVersion{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.Store.Versions(ctx)
	if err != nil {
		return api.PolicyVersion{}, err
	}
	v := policyset.Version{Number: len(all) + 1, Status: policyset.Proposed, Text: r.Text, By: p.ID, Reason: r.Reason, Created: s.moment()}
	if r.Revert != nil {
		v.Text, v.Reverts = "", *r.Revert
		if *r.Revert != 0 {
			old, err := s.version(ctx, *r.Revert)
			if err != nil {
				return api.PolicyVersion{}, err
			}
			v.Text = old.Text
		}
	}
	if _, err := s.compile(ctx, v); err != nil {
		return api.PolicyVersion{}, err
	}
	err = s.Store.Propose(ctx, v, s.event(p, "policy.proposed", v, "reason", v.Reason, "digest", string(slipway.DigestOf([]byte(v.Text)))))
	return s.view(v), err
}

// compile reads a version, and refuses one that nobody could mend.
func (s *Policies) compile(ctx context.Context, v policyset.Version) (*authz.Engine, error) {
	e, err := s.Engine.Load().With(v.Number, []byte(v.Text))
	if err != nil {
		return nil, err
	}
	who, things, err := s.everything(ctx)
	if err != nil {
		return nil, err
	}
	return e, s.safe(ctx, e, who, things)
}

// Decide approves a proposal, which is in force at once, or rejects it.
func (s *Policies) Decide(ctx context.Context, p slipway.Principal, version int, r api.DecidePolicy) (api.PolicyVersion, error) {
	if err := s.Check(ctx, p, authz.PolicyDecide, Server); err != nil {
		return api.PolicyVersion{}, err
	}
	if err := reasoned(r.Reason); !r.Approve && err != nil {
		return api.PolicyVersion{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.version(ctx, version)
	if err != nil {
		return api.PolicyVersion{}, err
	}
	v.Decider, v.Why, v.Decided, v.Status = p.ID, r.Reason, s.moment(), policyset.Rejected
	if !r.Approve {
		return s.view(v), s.Store.Decide(ctx, v, s.event(p, "policy.rejected", v, "reason", r.Reason, "proposer", v.By))
	}
	who, _, err := s.everything(ctx)
	if err == nil {
		v.Alone, err = s.another(ctx, p, v.By, s.Development && deciders(s.Engine.Load(), who) < 2)
	}
	if err != nil {
		return api.PolicyVersion{}, err
	}
	e, err := s.compile(ctx, v) // accounts may have changed since it was proposed
	if err != nil {
		return api.PolicyVersion{}, err
	}
	v.Status = policyset.Approved
	more := []string{"reason", r.Reason, "proposer", v.By, "digest", string(slipway.DigestOf([]byte(v.Text)))}
	if v.Alone {
		more = append(more, "four_eyes", "no: one person, on a development instance")
	}
	if err := s.Store.Decide(ctx, v, s.event(p, "policy.approved", v, more...)); err != nil {
		return api.PolicyVersion{}, err
	}
	s.Engine.Store(e)
	s.Changed()
	return s.view(v), nil
}

// another answers CodeFourEyes, and records that, unless a principal is another person than
// the one who began something, with a token that he has not issued. Alone says that there is nobody else; then it answers true.
func (c *Control) another(ctx context.Context, p slipway.Principal, began string, alone bool) (bool, error) {
	why := ""
	switch a, err := c.Identity.Account(ctx, p.ID); {
	case err != nil:
		return false, err
	case p.ID == began && alone:
		return true, nil
	case p.ID == began:
		why = "whoever proposes it does not decide on it"
	case a.Kind != slipway.Person:
		why = "a person decides, not a service"
	default:
		t, err := c.Identity.Token(ctx, p.Token)
		if err == nil && t.By == began {
			why = "the token of " + p.ID + " was issued by " + began
		}
	}
	if why == "" {
		return false, nil
	}
	return false, c.denied(ctx, authz.Request{Principal: p, Action: authz.PolicyDecide, Resource: Server},
		slipway.Errorf(slipway.Denied, slipway.CodeFourEyes, "ask another owner or platform engineer", "%s", why))
}

// reasoned refuses a reason that is missing or breaks a line.
func reasoned(reason string) error {
	if reason == "" || slipway.OneLine(reason, len(reason)) != reason {
		return &slipway.Error{Code: slipway.CodeInvalid, Kind: slipway.Invalid, Field: "reason", Message: "is missing, or has control characters", Next: "give --reason WHY; it is recorded"}
	}
	return nil
}

// moment is now as it is kept.
func (c *Control) moment() time.Time { return c.Now().UTC().Truncate(time.Microsecond) }

func (s *Policies) event(p slipway.Principal, action string, v policyset.Version, more ...string) slipway.Event {
	now := s.Now()
	ev := slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: p.ID, Action: action, Subject: "policies version " + strconv.Itoa(v.Number), Detail: map[string]string{}}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] != "" {
			ev.Detail[more[i]] = more[i+1]
		}
	}
	if v.Reverts != 0 || v.Text == "" {
		ev.Detail["as_version"] = strconv.Itoa(v.Reverts)
	}
	return ev
}
