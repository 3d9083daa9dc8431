package authz

import (
	"iter"
	"maps"
	"slices"
	"time"

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
	actions, _ := named(p)
	for _, uid := range actions {
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

// list is some policies, for the engine to go through.
type list []*keyed

type keyed struct {
	key cedar.PolicyID
	*cedar.Policy
}

// All implements cedar.PolicyIterator.
func (l list) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, p := range l {
			if !yield(p.key, p.Policy) {
				return
			}
		}
	}
}

// about are the policies about one action: those for the resources of any team, and with
// them those of one.
type about struct {
	all  list
	team map[string]list
	own  list // of all, the program's
	// permits says that additions permit something.
	permits bool
}

// of are the policies that may say something of a resource of a team.
func (a *about) of(team string) list {
	if l, ok := a.team[team]; ok {
		return l
	}
	return a.all
}

// index sorts the policies by the actions that they are about, and by the team if they ask
// for one: of 300 policies a question concerns a dozen.
func (e *Engine) index() {
	e.byAction = make(map[Action]*about, len(Actions))
	for action := range Actions {
		e.byAction[action] = &about{team: map[string]list{}}
	}
	e.plain = [2]cedar.Record{contextOf(Request{}, time.Time{}), contextOf(Request{Disconnected: true}, time.Time{})}
	byTeam := map[Action]map[string]list{}
	for _, key := range slices.Sorted(maps.Keys(e.policies)) {
		p := e.policies[key]
		actions, every := named(p.Policy)
		team, one := teamOf(p.Policy)
		for action, m := range Actions {
			if !every && !slices.Contains(actions, actionUID(string(action))) && !slices.Contains(actions, actionUID(m.Group)) {
				continue
			}
			k, to := &keyed{key, p.Policy}, e.byAction[action]
			to.permits = to.permits || p.version > 0 && p.Effect() == cedar.Permit
			switch {
			case one:
				if byTeam[action] == nil {
					byTeam[action] = map[string]list{}
				}
				byTeam[action][team] = append(byTeam[action][team], k)
			default:
				to.all = append(to.all, k)
				if p.version == 0 {
					to.own = append(to.own, k)
				}
			}
		}
		for attribute := range asks(p.Policy) {
			e.asks[attribute] = true
		}
	}
	for action, teams := range byTeam {
		for team, l := range teams {
			e.byAction[action].team[team] = slices.Concat(e.byAction[action].all, l)
		}
	}
}

// teamOf finds the one team whose resources a policy can be about: the constant that
// resource.team has to equal in a part of its conditions that all others are joined to.
func teamOf(p *cedar.Policy) (team string, ok bool) {
	for _, c := range (*ast.Policy)(p.AST()).Conditions {
		if c.Condition == ast.ConditionWhen {
			if team, ok := demanded(c.Body); ok {
				return team, true
			}
		}
	}
	return "", false
}

func demanded(n ast.IsNode) (team string, ok bool) {
	switch n := n.(type) {
	case ast.NodeTypeAnd:
		if team, ok := demanded(n.Left); ok {
			return team, true
		}
		return demanded(n.Right)
	case ast.NodeTypeEquals:
		for _, pair := range [][2]ast.IsNode{{n.Left, n.Right}, {n.Right, n.Left}} {
			access, isAccess := pair[0].(ast.NodeTypeAccess)
			value, isValue := pair[1].(ast.NodeValue)
			if !isAccess || !isValue || access.Value != "team" {
				continue
			}
			of, isVariable := access.Arg.(ast.NodeTypeVariable)
			name, isString := value.Value.(cedar.String)
			if isVariable && of.Name == "resource" && isString {
				return string(name), true
			}
		}
	}
	return "", false
}

// named gives the actions and groups that the head of a policy names; all says that it
// names none.
func named(p *cedar.Policy) (actions []cedar.EntityUID, all bool) {
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
