package api

import "time"

// Role is what an account is, of which team and until when.
type Role struct {
	Role  string    `json:"role" maxLength:"40" doc:"owner, platform-engineer or auditor; or of one team: team-lead, engineer or caller"`
	Team  string    `json:"team,omitempty" maxLength:"63"`
	Until time.Time `json:"until,omitzero" required:"false" doc:"When it ends by itself; an auditor's always does"`
}

// Account is a person or a service.
type Account struct {
	Name      string    `json:"name"`
	Kind      string    `json:"kind" enum:"person,service"`
	Team      string    `json:"team,omitempty" doc:"That a service belongs to"`
	Roles     []Role    `json:"roles,omitempty"`
	Clearance string    `json:"clearance,omitempty" doc:"The highest classification of data that it may see; internal unless given"`
	Created   time.Time `json:"created"`
	By        string    `json:"by"`
	Disabled  time.Time `json:"disabled,omitzero"`
}

// CreateAccount asks for an account without roles.
type CreateAccount struct {
	Name string `json:"name" maxLength:"63"`
	Kind string `json:"kind" enum:"person,service"`
	Team string `json:"team,omitempty" maxLength:"63" doc:"Of a service"`
}

// ChangeRole gives a role to an account, or takes it away.
type ChangeRole struct {
	Role
	Withdraw bool   `json:"withdraw,omitempty"`
	Reason   string `json:"reason,omitempty" maxLength:"500"`
}

// ChangeAccount changes what is not a role.
type ChangeAccount struct {
	Clearance string `json:"clearance,omitempty" maxLength:"40"`
	Disable   bool   `json:"disable,omitempty" doc:"For ever, with all its tokens"`
	Reason    string `json:"reason,omitempty" maxLength:"500"`
}

// Limit is what a token may be used for, of what its account may do. What is empty does
// not limit.
type Limit struct {
	Actions   []string `json:"actions,omitempty" maxItems:"100"`
	Teams     []string `json:"teams,omitempty" maxItems:"100"`
	Endpoints []string `json:"endpoints,omitempty" maxItems:"100"`
}

// Token is what is known of a token. Text is the token itself, and given only once, when it
// is made.
type Token struct {
	ID      string    `json:"id"`
	Text    string    `json:"text,omitempty"`
	Account string    `json:"account"`
	Note    string    `json:"note,omitempty"`
	Limit   Limit     `json:"limit"`
	By      string    `json:"by,omitempty"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	Revoked time.Time `json:"revoked,omitzero"`
	Used    time.Time `json:"used,omitzero" doc:"Last, to the minute or so"`
	Made    []string  `json:"made,omitempty" doc:"Of one that was revoked now: the tokens that were made with it, and are good still"`
}

// IssueToken asks for a token of an account.
type IssueToken struct {
	LifetimeSeconds int64  `json:"lifetime_seconds,omitempty" minimum:"0" maximum:"31536000" doc:"8 hours unless given, and 24 at most; of a service that only calls endpoints 30 days, and 90 at most"`
	Limit           Limit  `json:"limit,omitzero" required:"false"`
	Note            string `json:"note,omitempty" maxLength:"200"`
}

// RotateToken asks for a token like another, which stays good for a while.
type RotateToken struct {
	OverlapSeconds int64 `json:"overlap_seconds,omitempty" minimum:"0" maximum:"604800"`
}

// RevokeToken ends a token at once.
type RevokeToken struct {
	Reason string `json:"reason,omitempty" maxLength:"500"`
}

// AccessAnswer says whether an account may do something, and by which policies.
type AccessAnswer struct {
	Account  string         `json:"account"`
	Action   string         `json:"action"`
	Resource string         `json:"resource"`
	Allowed  bool           `json:"allowed"`
	Policies []AccessReason `json:"policies,omitempty" doc:"That permit; or those that forbid; none when nothing permits"`
	Who      []string       `json:"who,omitempty" doc:"Accounts that may, when this one may not"`
}

// AccessReason is a policy, and where it stands.
type AccessReason struct {
	Policy  string `json:"policy"`
	Line    int    `json:"line,omitempty"`
	Version int    `json:"version,omitempty" doc:"Of the policies of this installation; none for those that the platform brings"`
}
