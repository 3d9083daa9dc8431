package identity

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
)

// Emergency is a wish to be an owner for a while.
type Emergency struct {
	ID      string    `json:"id"`
	Reason  string    `json:"reason"`
	Seconds int64     `json:"seconds"`
	Asked   time.Time `json:"asked"`
}

// How long an emergency may last, and how long a second person has to confirm it.
const (
	MaxEmergency  = 4 * time.Hour
	minEmergency  = time.Minute
	EmergencyWait = time.Hour
)

// BreakGlass asks for the role owner for a while. It waits for a second person, or is given
// at once if alone, with an event of high severity. Who may ask is decided before; whoever
// is an owner already need not.
func (s *Service) BreakGlass(ctx context.Context, name, reason string, length time.Duration, alone bool) (Account, error) {
	if reason == "" {
		return Account{}, invalid("reason", "say what has happened: it is recorded, and read by others", "is missing")
	}
	if length < minEmergency || length > MaxEmergency {
		return Account{}, invalid("for", fmt.Sprintf("give between %v and %v", minEmergency, MaxEmergency), "is too long or too short")
	}
	now := s.now()
	e := Emergency{ID: slipway.NewID("bgl", now), Reason: reason, Seconds: int64(length / time.Second), Asked: now}
	d := map[string]string{"break_glass": e.ID, "reason": reason, "for": length.String(), "severity": "high"}
	action := "break_glass.asked"
	if alone {
		action, d["alone"] = "break_glass.started", strconv.FormatBool(true)
	}
	return s.change(ctx, name, name, action, d, func(a *Account) error {
		if a.owner() || EmergencyAt(a.Roles, now) != "" {
			return slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform whoami", "%s may do everything already", name)
		}
		a.Emergency = &e
		if alone {
			a.begin(now)
		}
		return nil
	})
}

// Confirm lets an emergency begin: by a second person, within the hour.
func (s *Service) Confirm(ctx context.Context, by, id string) (Account, error) {
	now := s.now()
	name, err := s.inEmergency(ctx, id)
	if err != nil {
		return Account{}, err
	}
	if by == name {
		return Account{}, slipway.Errorf(slipway.Denied, slipway.CodeDenied, "ask somebody else; or, if nobody is there: platform access break-glass --alone --reason …", "nobody confirms himself")
	}
	return s.change(ctx, by, name, "break_glass.started", map[string]string{"break_glass": id, "severity": "high", "confirmed_by": by}, func(a *Account) error {
		if a.Emergency == nil || a.Emergency.ID != id || !now.Before(a.Emergency.Asked.Add(EmergencyWait)) {
			return slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform access break-glass --reason …", "nothing waits to be confirmed any more")
		}
		a.begin(now)
		return nil
	})
}

// EndEmergency ends an emergency before its time, or a wish for one.
func (s *Service) EndEmergency(ctx context.Context, by, id string) (Account, error) {
	name, err := s.inEmergency(ctx, id)
	if err != nil {
		return Account{}, err
	}
	return s.change(ctx, by, name, "break_glass.ended", map[string]string{"break_glass": id}, func(a *Account) error {
		if a.Emergency != nil && a.Emergency.ID == id {
			a.Emergency = nil
		}
		a.Roles = slices.DeleteFunc(a.Roles, func(r slipway.Role) bool { return r.BreakGlass == id })
		return nil
	})
}

// begin turns the wish into the role. Those of past emergencies go: the record has them.
func (a *Account) begin(now time.Time) {
	e := a.Emergency
	a.Emergency = nil
	a.Roles = append(slices.DeleteFunc(a.Roles, func(r slipway.Role) bool { return r.BreakGlass != "" }),
		slipway.Role{Name: slipway.RoleOwner, Until: now.Add(time.Duration(e.Seconds) * time.Second), BreakGlass: e.ID})
}

// EmergencyAt is the id of the emergency whose role it has at a time, empty without one.
func EmergencyAt(roles []slipway.Role, now time.Time) string {
	for _, r := range roles {
		if r.BreakGlass != "" && now.Before(r.Until) {
			return r.BreakGlass
		}
	}
	return ""
}

// inEmergency finds whose emergency an id is of, or whose wish.
func (s *Service) inEmergency(ctx context.Context, id string) (string, error) {
	all, err := s.Accounts(ctx)
	if err != nil {
		return "", err
	}
	for _, a := range all {
		if a.Emergency != nil && a.Emergency.ID == id || EmergencyAt(a.Roles, s.now()) == id && id != "" {
			return a.Name, nil
		}
	}
	return "", slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform access emergencies", "there is no emergency %.64q", id)
}

// Adopt gives an account the roles that its groups have at an identity provider, in place
// of those that they had before. Roles that were given here stay.
func (s *Service) Adopt(ctx context.Context, name string, roles []slipway.Role) (Account, error) {
	a, err := s.active(ctx, name)
	if err != nil {
		return a, err
	}
	if after := a.adopted(roles); slices.Equal(after.Given, a.Given) && slices.Equal(after.Roles, a.Roles) {
		return a, nil
	}
	d := map[string]string{"roles": fmt.Sprintf("%.1000s", joined(titles(roles)))}
	return s.change(ctx, name, name, "account.groups_changed", d, func(a *Account) error {
		*a = a.adopted(roles)
		return nil
	})
}

// adopted is the account with the roles of its groups, beside those that were given here.
func (a *Account) adopted(roles []slipway.Role) Account {
	out := *a
	out.Roles = slices.DeleteFunc(slices.Clone(a.Roles), func(r slipway.Role) bool { return slices.Contains(a.Given, r) })
	out.Given = nil
	for _, r := range roles {
		if !slices.ContainsFunc(out.Roles, same(r)) {
			out.Roles, out.Given = append(out.Roles, r), append(out.Given, r)
		}
	}
	return out
}

func titles(roles []slipway.Role) []string {
	var out []string
	for _, r := range roles {
		title := r.Name
		if r.Team != "" {
			title += "/" + r.Team
		}
		out = append(out, title)
	}
	return out
}
