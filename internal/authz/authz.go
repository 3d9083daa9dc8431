// Package authz decides who may do what. The policies are written in Cedar
// (https://docs.cedarpolicy.com); without one that permits, nothing is.
package authz

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/slipway-ml/slipway"
)

// Resource is what something is done with. What is empty is not known of it, and a policy
// that asks for it does not permit.
type Resource struct {
	Kind           string
	Name           string // of the endpoint, the model, the account
	Team           string // that owns it
	Tier           int    // 1 to 4, or 0
	Environment    string
	Classification string // empty: internal
	Owner          bool   // an account that has the role owner
	Is             string // what an account is: slipway.Person or slipway.Service
	Clearance      string // of an account
}

// Request is one question.
type Request struct {
	Principal slipway.Principal
	Action    Action
	Resource  Resource
	Role      slipway.Role // that AccountGrant gives or takes
	// Disconnected is asked for a gateway that has not heard from the server for long.
	Disconnected bool
}

// Decision is an answer, with the policies that made it: those that permit, or those that
// forbid; none when nothing permits.
type Decision struct {
	Allow    bool
	Policies []Reason
}

// Reason is a policy, and where it stands: in the additions of a version, or with version
// 0 in what the program brings.
type Reason struct {
	Policy  string
	Line    int
	Version int
}

// TokenLimit is the policy that every token carries itself.
const TokenLimit = "the token's own limit"

// stepUp is the policy that asks for a second factor again.
const stepUp = "step-up"

// Engine decides by one set of policies: those of the program and, above them, the
// additions of an installation. Additions take nothing away from the program's own. It is
// safe for concurrent use, and never changes.
type Engine struct {
	version  int
	policies map[cedar.PolicyID]policy
	byAction map[Action]*about
	asks     map[string]bool // attributes of the context
	plain    [2]cedar.Record // contexts without a role: connected, and not
	// programOnly leaves the additions out.
	programOnly bool
	now         func() time.Time
}

// policy is one of them, with its layer.
type policy struct {
	*cedar.Policy
	id      string
	version int
}

//go:embed policies.cedar
var policies []byte

// Policies is the text of the policies that every installation begins with.
func Policies() []byte { return slices.Clone(policies) }

// New reads policies. It answers Invalid, with the place, for what Cedar cannot read, for
// what asks for something that there is not, and for a policy without an @id or with that
// of another.
func New(text []byte, now func() time.Time) (*Engine, error) {
	return (&Engine{now: now, policies: map[cedar.PolicyID]policy{}}).With(0, text)
}

// With is the engine with the additions of a version, in place of those that it has, for
// the same errors as New.
func (e *Engine) With(version int, text []byte) (*Engine, error) {
	next := &Engine{version: version, now: e.now, policies: map[cedar.PolicyID]policy{}, asks: map[string]bool{}}
	for key, p := range e.policies {
		if p.version == 0 {
			next.policies[key] = p
		}
	}
	list, err := read(text)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		id, place := string(p.Annotations()["id"]), p.Position()
		key := cedar.PolicyID(fmt.Sprintf("%d/%s", min(version, 1), id))
		_, base := next.policies["0/"+cedar.PolicyID(id)]
		_, twice := next.policies[key]
		if id == "" || base || twice {
			return nil, refused(place.Line, place.Column, `give it @id("…")`, "the policy has no name of its own")
		}
		if err := known(p); err != nil {
			return nil, err
		}
		if err := wellTyped(text, p); err != nil {
			return nil, err
		}
		next.policies[key] = policy{p, id, version}
	}
	next.index()
	return next, nil
}

// Version is that of the additions, 0 without any.
func (e *Engine) Version() int { return e.version }

// Asks says whether some policy asks for an attribute of the context.
func (e *Engine) Asks(attribute string) bool { return e.asks[attribute] }

// Decide answers a question. An action that there is not is denied.
func (e *Engine) Decide(r Request) Decision {
	meaning, ok := Actions[r.Action]
	if !ok || meaning.Kind != r.Resource.Kind {
		return Decision{}
	}
	if !allowed(r.Principal.Limit, r.Action, r.Resource) {
		return Decision{Policies: []Reason{{Policy: TokenLimit}}}
	}
	now := e.now()
	w, apply := e.newWorld(r, now), e.byAction[r.Action].of(r.Resource.Team)
	if e.programOnly || guarded(r.Action) && ownerAt(r.Principal, now) {
		apply = e.byAction[r.Action].own
	}
	decision, why := cedar.Authorize(apply, w, cedar.Request{Principal: w.principal.UID, Action: w.action.UID, Resource: w.resource.UID, Context: w.context})
	out := Decision{Allow: decision == cedar.Allow}
	if broken := e.broken(why.Errors); broken != nil {
		return Decision{Policies: broken}
	}
	for _, reason := range why.Reasons {
		out.Policies = append(out.Policies, e.reason(reason.PolicyID))
	}
	if slices.ContainsFunc(out.Policies, func(p Reason) bool { return p.Policy == stepUp }) {
		// Who may not do it anyhow is not asked to show a second factor for nothing.
		r.Principal.Elevated = true
		if anyhow := e.Decide(r); !anyhow.Allow {
			return anyhow
		}
	}
	slices.SortFunc(out.Policies, func(a, b Reason) int { return cmp.Or(a.Version-b.Version, a.Line-b.Line) })
	return out
}

// ownerAt says whether a principal is an owner at a time.
func ownerAt(p slipway.Principal, now time.Time) bool {
	return slices.ContainsFunc(p.Roles, func(r slipway.Role) bool {
		return r.Name == slipway.RoleOwner && (r.Until.IsZero() || now.Before(r.Until))
	})
}

func (e *Engine) reason(key cedar.PolicyID) Reason {
	p := e.policies[key]
	return Reason{p.id, p.Position().Line, p.version}
}

// broken are the policies that forbid and could not be evaluated. Cedar passes over them;
// here they forbid, since they might have.
func (e *Engine) broken(errs []cedar.DiagnosticError) (out []Reason) {
	for _, err := range errs {
		if e.policies[err.PolicyID].Effect() == cedar.Forbid {
			out = append(out, e.reason(err.PolicyID))
		}
	}
	return out
}

// Check is Decide for those that only go on when it is allowed: Denied otherwise.
func (e *Engine) Check(r Request) error {
	d := e.Decide(r)
	if d.Allow {
		return nil
	}
	next := fmt.Sprintf("platform access explain %s %s %s", r.Principal.ID, r.Action, r.Resource.Target())
	if len(d.Policies) == 1 && d.Policies[0].Policy == stepUp {
		next = "platform login, and do it again within ten minutes; in a browser: open /step-up"
	}
	return &slipway.Error{Code: slipway.CodeDenied, Kind: slipway.Denied, Message: r.denial(d), Next: next}
}

func (r Request) denial(d Decision) string {
	what := fmt.Sprintf("%s may not do %s on %s", r.Principal.ID, r.Action, r.Resource)
	if len(d.Policies) == 0 {
		return what + ": no policy permits it"
	}
	if d.Policies[0].Policy == stepUp {
		return what + " without a second factor of the last ten minutes"
	}
	return what + ": " + d.Policies[0].Policy
}

// String names a resource for people.
func (r Resource) String() string {
	if r.Kind == KindServer {
		return "the server"
	}
	return strings.TrimSpace(lower(r.Kind) + " " + slipway.OneLine(r.Name, 200))
}

// Target names a resource as commands take it.
func (r Resource) Target() string {
	if r.Kind == KindServer {
		return "server"
	}
	return lower(r.Kind) + "/" + slipway.OneLine(cmp.Or(r.Name, "NAME"), 200)
}

func lower(kind string) string {
	return strings.ToLower(kind[:min(1, len(kind))]) + kind[min(1, len(kind)):]
}

// allowed says whether a token may be used for something. One that is limited to teams or
// endpoints sees nothing of the whole installation but what it is.
func allowed(l slipway.Limit, a Action, r Resource) bool {
	if len(l.Actions) > 0 && !slices.Contains(l.Actions, string(a)) {
		return false
	}
	if len(l.Teams)+len(l.Endpoints) > 0 && r.Kind == KindServer {
		return a == ServerRead || a == Upload
	}
	if len(l.Teams) > 0 && !slices.Contains(l.Teams, r.Team) {
		return false
	}
	return len(l.Endpoints) == 0 || r.Kind == KindEndpoint && slices.Contains(l.Endpoints, r.Name)
}

// Conceivable says whether there may be a resource that a principal can do an action with:
// one of its teams, and as open as can be. What additions permit may be about any.
func (e *Engine) Conceivable(p slipway.Principal, a Action) bool {
	if len(p.Limit.Actions) > 0 && !slices.Contains(p.Limit.Actions, string(a)) {
		return false
	}
	if about := e.byAction[a]; about != nil && about.permits {
		return true
	}
	teams := []string{""}
	for _, r := range p.Roles {
		if r.Team != "" && !slices.Contains(teams, r.Team) {
			teams = append(teams, r.Team)
		}
	}
	limit := p.Limit
	p.Limit = slipway.Limit{Actions: limit.Actions} // the others are about the resource
	for _, team := range teams {
		r := Resource{Kind: Actions[a].Kind, Team: team, Tier: 4, Classification: slipway.Classifications[0]}
		if r.Kind == KindAccount {
			r.Name, r.Clearance = p.ID, slipway.Classifications[0]
		}
		if e.Decide(Request{Principal: p, Action: a, Resource: r}).Allow {
			return true
		}
	}
	return false
}
