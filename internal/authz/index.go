package authz

import (
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/slipway-ml/slipway"
)

// Limits of a text of policies.
const (
	MaxText   = 256 << 10 // bytes
	maxNested = 100       // brackets in one another: the parser is recursive
	maxList   = 1000      // policies
)

// read parses a text of bounded size.
func read(text []byte) (cedar.PolicyList, error) {
	if len(text) > MaxText {
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodePolicy, "shorten it", "the policies are larger than %d bytes", MaxText)
	}
	depth := 0
	for i, b := range text {
		switch b {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		}
		if depth > maxNested {
			line, column := place(text, i)
			return nil, refused(line, column, "simplify it", "the brackets are nested too deeply")
		}
	}
	list, err := cedar.NewPolicyListFromBytes("policies.cedar", text)
	if err != nil {
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodePolicy, "correct the policy", "the policies cannot be read: %s", slipway.OneLine(err.Error(), 200))
	}
	if len(list) > maxList {
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodePolicy, "join some of them", "there are more than %d policies", maxList)
	}
	return list, nil
}

// place is the line and the column of a byte, both from 1.
func place(text []byte, at int) (line, column int) {
	line, column = 1, 1
	for _, b := range text[:at] {
		column++
		if b == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}

func refused(line, column int, next, format string, args ...any) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodePolicy, next, "line %d, column %d: "+format, append([]any{line, column}, args...)...)
}

// known answers Invalid for a policy about an action that there is not, which would never
// permit or forbid anything.
func known(p *cedar.Policy) error {
	about, _ := named(p)
	for _, uid := range about {
		if !slices.ContainsFunc(actionUIDs(), func(known cedar.EntityUID) bool { return known == uid }) {
			return refused(p.Position().Line, p.Position().Column, "correct its action", "the policy %q is about %.60q, and there is no such action", p.Annotations()["id"], string(uid.ID))
		}
	}
	return nil
}

// actionUIDs are the actions and their groups.
func actionUIDs() (out []cedar.EntityUID) {
	for action, m := range Actions {
		out = append(out, actionUID(string(action)), actionUID(m.Group))
	}
	return out
}

// index sorts the policies by the actions that they are about: of 300 policies a question
// concerns a dozen.
func (e *Engine) index() {
	e.byAction, e.own = make(map[Action]cedar.PolicyMap, len(Actions)), make(map[Action]cedar.PolicyMap, len(Actions))
	for action := range Actions {
		e.byAction[action], e.own[action] = cedar.PolicyMap{}, cedar.PolicyMap{}
	}
	for key, p := range e.policies {
		about, all := named(p.Policy)
		for action, m := range Actions {
			if all || slices.Contains(about, actionUID(string(action))) || slices.Contains(about, actionUID(m.Group)) {
				e.byAction[action][key] = p.Policy
				if p.version == 0 {
					e.own[action][key] = p.Policy
				}
			}
		}
		for attribute := range asks(p.Policy) {
			e.asks[attribute] = true
		}
	}
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
