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
}

// Request is one question.
type Request struct {
	Principal slipway.Principal
	Action    Action
	Resource  Resource
	Role      slipway.Role // that AccountGrant gives or takes
}

// Decision is an answer, with the policies that made it: those that permit, or those that
// forbid; none when nothing permits.
type Decision struct {
	Allow    bool
	Policies []Reason
}

// Reason is a policy, and where it stands.
type Reason struct {
	Policy string
	Line   int
}

// TokenLimit is the policy that every token carries itself.
const TokenLimit = "the token's own limit"

// stepUp is the policy that asks for a second factor again.
const stepUp = "step-up"

// Engine decides by one set of policies. It is safe for concurrent use.
type Engine struct {
	policies map[cedar.PolicyID]*cedar.Policy
	byAction map[Action]cedar.PolicyMap
	now      func() time.Time
}

//go:embed policies.cedar
var policies []byte

// Policies is the text of the policies that every installation begins with.
func Policies() []byte { return slices.Clone(policies) }

// New reads policies. It answers Invalid, with the line, for what Cedar cannot read, and
// for a policy without an @id or with that of another.
func New(text []byte, now func() time.Time) (*Engine, error) {
	list, err := cedar.NewPolicyListFromBytes("policies.cedar", text)
	if err != nil {
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodePolicy, "correct the policy", "the policies cannot be read: %.200s", slipway.OneLine(err.Error(), 200))
	}
	e := &Engine{policies: map[cedar.PolicyID]*cedar.Policy{}, byAction: map[Action]cedar.PolicyMap{}, now: now}
	for _, p := range list {
		id := cedar.PolicyID(p.Annotations()["id"])
		if id == "" || e.policies[id] != nil {
			return nil, slipway.Errorf(slipway.Invalid, slipway.CodePolicy, `give it @id("…")`, "the policy in line %d has no name of its own", p.Position().Line)
		}
		e.policies[id] = p
	}
	return e, e.index()
}

// Decide answers a question. An action that there is not is denied.
func (e *Engine) Decide(r Request) Decision {
	meaning, ok := Actions[r.Action]
	if !ok || meaning.Kind != r.Resource.Kind {
		return Decision{}
	}
	if !allowed(r.Principal.Limit, r.Action, r.Resource) {
		return Decision{Policies: []Reason{{Policy: TokenLimit}}}
	}
	w := newWorld(r, e.now())
	decision, why := cedar.Authorize(e.byAction[r.Action], w, cedar.Request{Principal: w.principal.UID, Action: w.action.UID, Resource: w.resource.UID, Context: w.context})
	out := Decision{Allow: decision == cedar.Allow}
	for _, reason := range why.Reasons {
		out.Policies = append(out.Policies, Reason{string(reason.PolicyID), reason.Position.Line})
	}
	if slices.ContainsFunc(out.Policies, func(p Reason) bool { return p.Policy == stepUp }) {
		// Who may not do it anyhow is not asked to show a second factor for nothing.
		r.Principal.Elevated = true
		if anyhow := e.Decide(r); !anyhow.Allow {
			return anyhow
		}
	}
	slices.SortFunc(out.Policies, func(a, b Reason) int { return a.Line - b.Line })
	return out
}

// Check is Decide for those that only go on when it is allowed: Denied otherwise.
func (e *Engine) Check(r Request) error {
	d := e.Decide(r)
	if d.Allow {
		return nil
	}
	next := fmt.Sprintf("platform access explain %s %s %s", r.Principal.ID, r.Action, r.Resource.target())
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

// target names a resource as commands take it.
func (r Resource) target() string {
	if r.Kind == KindServer {
		return "server"
	}
	return lower(r.Kind) + "/" + slipway.OneLine(cmp.Or(r.Name, "NAME"), 200)
}

func lower(kind string) string { return string(kind[0]|0x20) + kind[1:] }

// allowed says whether a token may be used for something.
func allowed(l slipway.Limit, a Action, r Resource) bool {
	if len(l.Actions) > 0 && !slices.Contains(l.Actions, string(a)) {
		return false
	}
	if len(l.Teams) > 0 && r.Kind != KindServer && !slices.Contains(l.Teams, r.Team) {
		return false
	}
	return len(l.Endpoints) == 0 || r.Kind == KindServer || r.Kind == KindEndpoint && slices.Contains(l.Endpoints, r.Name)
}

// Conceivable says whether there may be a resource that a principal can do an action with:
// one of its teams, and as open as can be.
func (e *Engine) Conceivable(p slipway.Principal, a Action) bool {
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
			r.Name = p.ID
		}
		if e.Decide(Request{Principal: p, Action: a, Resource: r}).Allow {
			return true
		}
	}
	return false
}
