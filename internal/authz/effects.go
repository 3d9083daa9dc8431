package authz

import (
	"maps"
	"slices"

	"github.com/slipway-ml/slipway"
)

// guarded says whether an action is of those that mend everything else: to these an
// installation's own policies do not keep an owner from coming, whatever they say and
// whenever.
func guarded(a Action) bool {
	return Actions[a].Group == groupAdminister || Actions[a].Group == groupGovern
}

// Effect is what a change of the policies takes and gives, of one action with one resource.
type Effect struct {
	Action   Action
	Resource Resource
	Lost     []string // principals
	Gained   []string
	// Disconnected says that it is so at a gateway alone that has not heard from the server
	// for long.
	Disconnected bool
}

// maxAsked bounds the decisions that a comparison makes.
const maxAsked = 1_000_000

// Effects compares the decisions of two engines for principals and resources. All says
// whether there were few enough to ask all of them.
func Effects(was, now *Engine, principals []slipway.Principal, resources []Resource) (out []Effect, all bool) {
	asked, states := 0, []bool{false}
	if was.Asks("connected") || now.Asks("connected") {
		states = append(states, true)
	}
	for _, action := range slices.Sorted(maps.Keys(Actions)) {
		if samePolicies(was, now, action) {
			continue
		}
		for _, r := range resources {
			if r.Kind != Actions[action].Kind {
				continue
			}
			for _, disconnected := range states {
				if disconnected && action != EndpointPredict { // all that a gateway asks then
					continue
				}
				if asked += len(principals); asked > maxAsked {
					return out, false
				}
				effect := compared(was, now, principals, Request{Action: action, Resource: r, Role: slipway.Role{Name: slipway.RoleEngineer, Team: r.Team}, Disconnected: disconnected})
				same := disconnected && len(out) > 0 && out[len(out)-1].Resource == r && slices.Equal(out[len(out)-1].Lost, effect.Lost) && slices.Equal(out[len(out)-1].Gained, effect.Gained)
				if len(effect.Lost)+len(effect.Gained) > 0 && !same {
					out = append(out, effect)
				}
			}
		}
	}
	return out, true
}

func compared(was, now *Engine, principals []slipway.Principal, q Request) Effect {
	effect := Effect{Action: q.Action, Resource: q.Resource, Disconnected: q.Disconnected}
	for _, q.Principal = range principals {
		q.Principal.Elevated = true // as each can make himself
		switch before, after := was.Decide(q).Allow, now.Decide(q).Allow; {
		case before && !after:
			effect.Lost = append(effect.Lost, q.Principal.ID)
		case after && !before:
			effect.Gained = append(effect.Gained, q.Principal.ID)
		}
	}
	return effect
}

// samePolicies says whether two engines have the same additions about an action.
func samePolicies(was, now *Engine, a Action) bool {
	texts := func(e *Engine) (out []string) {
		for _, p := range e.additions(a) {
			out = append(out, string(p.MarshalCedar()))
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(texts(was), texts(now))
}

// additions are the policies of the installation about an action.
func (e *Engine) additions(a Action) (out list) {
	add := func(l list) {
		for _, p := range l {
			if e.policies[p.key].version > 0 && !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	add(e.byAction[a].all)
	for _, team := range slices.Sorted(maps.Keys(e.byAction[a].team)) {
		add(e.byAction[a].team[team])
	}
	return out
}

// Keeps answers whether one of some owners can still do everything that administers and
// staffs the platform, reads its record and operates it, with the resources; what is the
// first thing that none of them can?
func (e *Engine) Keeps(owners []slipway.Principal, resources []Resource) (lost Request, ok bool) {
	for _, p := range owners {
		if lost, ok = e.keeps(p, resources); ok {
			return lost, true
		}
	}
	return lost, false
}

func (e *Engine) keeps(p slipway.Principal, resources []Resource) (Request, bool) {
	p.Limit, p.Elevated = slipway.Limit{}, true
	for _, action := range slices.Sorted(maps.Keys(Actions)) {
		m := Actions[action]
		if !slices.Contains([]string{groupAdminister, groupGovern, groupStaff, groupAudit, groupRead, groupOperate}, m.Group) {
			continue
		}
		for _, r := range resources {
			q := Request{Principal: p, Action: action, Resource: r, Role: slipway.Role{Name: slipway.RoleOwner}}
			if r.Kind == m.Kind && !e.Decide(q).Allow && (&Engine{policies: e.policies, byAction: e.byAction, programOnly: true, now: e.now, asks: e.asks, plain: e.plain}).Decide(q).Allow {
				return q, false
			}
		}
	}
	return Request{}, true
}
