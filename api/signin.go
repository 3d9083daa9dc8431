package api

import "time"

// Who is the principal of a request, as the server sees it.
type Who struct {
	Account    string    `json:"account"`
	Kind       string    `json:"kind" enum:"person,service"`
	Roles      []Role    `json:"roles,omitempty"`
	Clearance  string    `json:"clearance,omitempty"`
	Token      string    `json:"token,omitempty" doc:"Its id, or that of the session"`
	MFA        time.Time `json:"mfa,omitzero" required:"false" doc:"When a second factor was last shown"`
	Elevated   bool      `json:"elevated" doc:"What step-up is asked for may be done"`
	BreakGlass string    `json:"break_glass,omitempty" doc:"The emergency in which it acts"`
}

// Invite asks for an invitation.
type Invite struct {
	LifetimeSeconds int64 `json:"lifetime_seconds,omitempty" minimum:"0" maximum:"604800" doc:"A day unless given"`
}

// Invitation lets a person set a password and a second factor, once.
type Invitation struct {
	Account string    `json:"account"`
	Code    string    `json:"code"`
	URL     string    `json:"url"`
	Expires time.Time `json:"expires"`
}

// Session is a browser that somebody is signed in with.
type Session struct {
	ID      string    `json:"id"`
	Account string    `json:"account"`
	Method  string    `json:"method" enum:"password,sso"`
	Agent   string    `json:"agent,omitempty"`
	Began   time.Time `json:"began"`
	Used    time.Time `json:"used"`
	MFA     time.Time `json:"mfa,omitzero" required:"false"`
	Ends    time.Time `json:"ends"`
}

// EndSession ends a session at once.
type EndSession struct {
	Reason string `json:"reason,omitempty" maxLength:"500"`
}

// BreakGlass asks to be an owner for a while.
type BreakGlass struct {
	Reason  string `json:"reason" minLength:"1" maxLength:"500"`
	Seconds int64  `json:"seconds" minimum:"60" maximum:"14400"`
	Alone   bool   `json:"alone,omitempty" doc:"At once, with an alert, instead of waiting for a second person"`
}

// Emergency is one that has begun, until a time, or waits to be confirmed.
type Emergency struct {
	ID      string    `json:"id"`
	Account string    `json:"account"`
	Reason  string    `json:"reason,omitempty"`
	Asked   time.Time `json:"asked,omitzero" required:"false"`
	Until   time.Time `json:"until,omitzero" required:"false"`
}

// Rule gives a role to whoever is in a group of the identity provider.
type Rule struct {
	Group string `json:"group" maxLength:"200"`
	Role  string `json:"role" maxLength:"40"`
	Team  string `json:"team,omitempty" maxLength:"63"`
}

// ChangeRule adds a rule, or takes it away.
type ChangeRule struct {
	Rule
	Remove bool `json:"remove,omitempty"`
}

// DeviceCodes are what a command line gets that wants to sign in (RFC 8628, section 3.2).
type DeviceCodes struct {
	DeviceCode              string `json:"device_code"`
	UserCode                string `json:"user_code"`
	VerificationURI         string `json:"verification_uri"`
	VerificationURIComplete string `json:"verification_uri_complete"`
	ExpiresIn               int    `json:"expires_in"` // seconds
	Interval                int    `json:"interval"`   // seconds between questions
}

// Grant is what a command line acts with (RFC 6749, section 5.1), with ends as times.
type Grant struct {
	Account       string    `json:"account"`
	AccessToken   string    `json:"access_token"`
	TokenType     string    `json:"token_type"`
	ExpiresIn     int       `json:"expires_in"` // seconds
	ExpiresAt     time.Time `json:"expires_at"`
	RefreshToken  string    `json:"refresh_token"` // good once
	RefreshEndsAt time.Time `json:"refresh_ends_at"`
}

// OAuthProblem is an error in the words of RFC 6749, section 5.2, and in ours.
type OAuthProblem struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Detail      string `json:"detail"`
	Code        string `json:"code"`
	Next        string `json:"next,omitempty"`
}
