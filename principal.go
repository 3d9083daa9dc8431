package slipway

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kinds of principals.
const (
	Person  = "person"
	Service = "service" // a caller of endpoints, or CI
)

// Roles. The first four are of the whole installation, the others of one team.
const (
	RoleOwner            = "owner"
	RolePlatformEngineer = "platform-engineer"
	RoleAuditor          = "auditor"     // reads, for a time
	RoleBreakGlass       = "break-glass" // may become an owner for hours, in an emergency
	RoleTeamLead         = "team-lead"
	RoleEngineer         = "engineer"
	RoleCaller           = "caller" // predictions only
)

var roles = []string{RoleOwner, RolePlatformEngineer, RoleAuditor, RoleBreakGlass, RoleTeamLead, RoleEngineer, RoleCaller}

// Role is what a principal is, of which team and until when.
type Role struct {
	Name  string    `json:"role"`
	Team  string    `json:"team,omitempty"`
	Until time.Time `json:"until,omitzero"` // zero: no end

	// BreakGlass is the id of the emergency in which the role was taken; empty: it was given.
	BreakGlass string `json:"break_glass,omitempty"`
}

// OfTeam says whether a role belongs to one team.
func OfTeam(role string) bool {
	return role == RoleTeamLead || role == RoleEngineer || role == RoleCaller
}

// Check answers Invalid, with the field, for a role that there is not.
func (r Role) Check() error {
	switch {
	case !slices.Contains(roles, r.Name):
		return &Error{Code: CodeInvalid, Kind: Invalid, Field: "role", Message: fmt.Sprintf("%.40q is not one that there is", r.Name), Next: "choose one of " + strings.Join(roles, ", ")}
	case OfTeam(r.Name) && r.Team == "":
		return &Error{Code: CodeInvalid, Kind: Invalid, Field: "team", Message: "is missing: " + r.Name + " is a role in a team", Next: "name the team"}
	case !OfTeam(r.Name) && r.Team != "":
		return &Error{Code: CodeInvalid, Kind: Invalid, Field: "team", Message: "is too much: " + r.Name + " is a role in the whole installation", Next: "leave the team out"}
	case r.Name == RoleAuditor && r.Until.IsZero():
		return &Error{Code: CodeInvalid, Kind: Invalid, Field: "until", Message: "is missing: an auditor is one for a time", Next: "say until when"}
	case r.Team != "":
		if _, err := ParseName(r.Team); err != nil {
			e := AsError(err)
			e.Field = "team"
			return e
		}
	}
	return nil
}

// Classifications of data, from what everybody may see to what few may.
var Classifications = []string{"public", "internal", "confidential", "restricted"}

// Principal is who acts, with what a token makes of it.
type Principal struct {
	ID        string // the account's name
	Kind      string // Person or Service
	Roles     []Role
	Clearance string    // the highest classification of data that it may see; empty: internal
	Limit     Limit     // of the token
	Token     string    // its id, or that of a session
	MFA       time.Time // when a second factor was last shown; zero: never, by what is acted with

	Home bool // acts by the owner's token of this home, which never expires

	// BreakGlass is the emergency in which it acts, empty without one.
	BreakGlass string

	// Elevated says that a second factor was shown lately, or that nothing less than sitting at
	// the machine would do: what step-up is asked for may be done.
	Elevated bool
}

// Owner says whether it may do everything.
func (p *Principal) Owner() bool {
	return slices.ContainsFunc(p.Roles, func(r Role) bool { return r.Name == RoleOwner })
}

// Limit is what a token may be used for, of what its account may do. What is empty does not
// limit.
type Limit struct {
	Actions   []string `json:"actions,omitempty"`
	Teams     []string `json:"teams,omitempty"`
	Endpoints []string `json:"endpoints,omitempty"`
}
