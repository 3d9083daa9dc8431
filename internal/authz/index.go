package authz

import (
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/slipway-ml/slipway"
)

// index sorts the policies by the actions that they are about: of 300 policies a question
// concerns a dozen. It answers Invalid for a policy about an action that there is not,
// which would never permit or forbid anything.
func (e *Engine) index() error {
	known := map[cedar.EntityUID]bool{}
	for action, m := range Actions {
		known[actionUID(string(action))], known[actionUID(m.Group)] = true, true
		e.byAction[action] = cedar.PolicyMap{}
	}
	for id, p := range e.policies {
		about, all := named(p)
		for _, uid := range about {
			if !known[uid] {
				return slipway.Errorf(slipway.Invalid, slipway.CodePolicy, "correct its action",
					"the policy %q in line %d is about %.60q, and there is no such action", id, p.Position().Line, string(uid.ID))
			}
		}
		for action, m := range Actions {
			if all || slices.Contains(about, actionUID(string(action))) || slices.Contains(about, actionUID(m.Group)) {
				e.byAction[action][id] = p
			}
		}
	}
	return nil
}

// named gives the actions and groups that the head of a policy names; all says that it
// names none.
func named(p *cedar.Policy) (about []cedar.EntityUID, all bool) {
	switch scope := (*ast.Policy)(p.AST()).Action.(type) {
	case ast.ScopeTypeEq:
		return []cedar.EntityUID{scope.Entity}, false
	case ast.ScopeTypeIn:
		return []cedar.EntityUID{scope.Entity}, false
	case ast.ScopeTypeInSet:
		return scope.Entities, false
	default:
		return nil, true
	}
}
