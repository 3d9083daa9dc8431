package api

import "time"

// PolicyVersion is a version of the policies that an installation adds to those that the
// platform brings. Version 0 is the latter.
type PolicyVersion struct {
	Version int       `json:"version"`
	Status  string    `json:"status" enum:"proposed,approved,rejected"`
	InForce bool      `json:"in_force"`
	Text    string    `json:"text,omitempty" doc:"In Cedar; not in lists"`
	Reverts int       `json:"reverts,omitempty" doc:"The version whose text it has again"`
	By      string    `json:"by"`
	Reason  string    `json:"reason,omitempty"`
	Created time.Time `json:"created,omitzero"`
	Decider string    `json:"decider,omitempty"`
	Why     string    `json:"why,omitempty"`
	Decided time.Time `json:"decided,omitzero"`
	Alone   bool      `json:"alone,omitempty" doc:"One person proposed and approved it, on a development instance"`
}

// ProposePolicy asks for other additions in place of those in force.
type ProposePolicy struct {
	Text   string `json:"text,omitempty" maxLength:"262144" doc:"All additions, in Cedar; empty: none"`
	Revert *int   `json:"revert,omitempty" minimum:"0" doc:"The text of this version instead; 0: no additions"`
	Reason string `json:"reason" maxLength:"500"`
}

// TestPolicy asks what a text would change.
type TestPolicy struct {
	Text string `json:"text" maxLength:"262144"`
}

// PolicyTest is what a change of the policies would take and give, among the accounts and
// the resources that there are.
type PolicyTest struct {
	Effects   []PolicyEffect `json:"effects"`
	Complete  bool           `json:"complete" doc:"False: there are too many accounts and resources to try them all"`
	Accounts  int            `json:"accounts"`
	Resources int            `json:"resources"`
	Refused   string         `json:"refused,omitempty" doc:"Why it cannot be proposed"`
}

// PolicyEffect is what is taken from and given to accounts, of one action with one resource.
type PolicyEffect struct {
	Action   string   `json:"action"`
	Resource string   `json:"resource"`
	Lost     []string `json:"lost,omitempty"`
	Gained   []string `json:"gained,omitempty"`
	// Disconnected effects are those of a gateway that has not heard from the server for long.
	Disconnected bool `json:"disconnected,omitempty" doc:"While a gateway has not heard from the server for five minutes"`
}

// DecidePolicy approves a proposal, or rejects it with a reason.
type DecidePolicy struct {
	Approve bool   `json:"approve"`
	Reason  string `json:"reason,omitempty" maxLength:"500"`
}
