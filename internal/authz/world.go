package authz

import (
	"slices"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/slipway-ml/slipway"
)

// world is all that the policies see of one question.
type world struct {
	principal, action, resource cedar.Entity
	context                     cedar.Record
}

// Get implements cedar.EntityGetter.
func (w *world) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	for _, e := range []*cedar.Entity{&w.principal, &w.action, &w.resource} {
		if e.UID == uid {
			return *e, true
		}
	}
	return cedar.Entity{}, false
}

// newWorld makes what is seen of a request. The context is one of two that are made once,
// unless the request has a role, or some policy asks for the time.
func (e *Engine) newWorld(r Request, now time.Time) *world {
	ctx := e.plain[0]
	switch {
	case r.Role != slipway.Role{} || e.asks["time"]:
		ctx = contextOf(r, now)
	case r.Disconnected:
		ctx = e.plain[1]
	}
	return &world{
		principal: principal(r.Principal, now),
		action:    cedar.Entity{UID: actionUID(string(r.Action)), Parents: cedar.NewEntityUIDSet(actionUID(Actions[r.Action].Group))},
		resource:  cedar.Entity{UID: cedar.NewEntityUID(cedar.EntityType(r.Resource.Kind), cedar.String(r.Resource.Name)), Attributes: r.Resource.attributes()},
		context:   ctx,
	}
}

func contextOf(r Request, now time.Time) cedar.Record {
	return cedar.NewRecord(cedar.RecordMap{"role": cedar.String(r.Role.Name), "team": cedar.String(r.Role.Team),
		"time": cedar.NewDatetime(now), "connected": cedar.Boolean(!r.Disconnected)})
}

func actionUID(name string) cedar.EntityUID { return cedar.NewEntityUID("Action", cedar.String(name)) }

// principal is in its roles that have not ended.
func principal(p slipway.Principal, now time.Time) cedar.Entity {
	var roles []cedar.EntityUID
	teams := map[string][]cedar.Value{}
	var member []cedar.Value
	emergency := false
	for _, r := range p.Roles {
		if !r.Until.IsZero() && !now.Before(r.Until) {
			continue
		}
		roles = append(roles, cedar.NewEntityUID("Role", cedar.String(r.Name)))
		emergency = emergency || r.BreakGlass != ""
		if r.Team != "" {
			teams[r.Name] = append(teams[r.Name], cedar.String(r.Team))
		}
		if r.Name == slipway.RoleTeamLead || r.Name == slipway.RoleEngineer {
			member = append(member, cedar.String(r.Team))
		}
	}
	m := cedar.RecordMap{
		"name":      cedar.String(p.ID),
		"kind":      cedar.String(p.Kind),
		"clearance": level(p.Clearance),
		"elevated":  cedar.Boolean(p.Elevated),
		"emergency": cedar.Boolean(emergency),
		"leads":     cedar.NewSet(teams[slipway.RoleTeamLead]...),
		"engineers": cedar.NewSet(teams[slipway.RoleEngineer]...),
		"calls":     cedar.NewSet(teams[slipway.RoleCaller]...),
		"member":    cedar.NewSet(member...),
	}
	if !p.MFA.IsZero() {
		m["mfa_age"] = cedar.Long(now.Sub(p.MFA) / time.Second)
	}
	return cedar.Entity{UID: cedar.NewEntityUID("Principal", cedar.String(p.ID)), Parents: cedar.NewEntityUIDSet(roles...), Attributes: cedar.NewRecord(m)}
}

func (r Resource) attributes() cedar.Record {
	m := cedar.RecordMap{"name": cedar.String(r.Name), "classification": level(r.Classification)}
	if r.Team != "" {
		m["team"] = cedar.String(r.Team)
	}
	if r.Tier != 0 {
		m["tier"] = cedar.Long(r.Tier)
	}
	if r.Environment != "" {
		m["environment"] = cedar.String(r.Environment)
	}
	if r.Kind == KindAccount {
		m["owner"], m["clearance"] = cedar.Boolean(r.Owner), level(r.Clearance)
		if r.Is != "" {
			m["kind"] = cedar.String(r.Is)
		}
	}
	return cedar.NewRecord(m)
}

// level is the place of a classification in their order. What nobody has classified is
// internal; a word that is none is as far up as can be.
func level(classification string) cedar.Long {
	if classification == "" {
		return 1
	}
	if i := slices.Index(slipway.Classifications, classification); i >= 0 {
		return cedar.Long(i)
	}
	return cedar.Long(len(slipway.Classifications))
}
