package api

import "time"

// AccessReview asks whether accounts still need what they have. Items are those that one
// may see; lists leave them out.
type AccessReview struct {
	ID      string       `json:"id"`
	Status  string       `json:"status" enum:"open,closed"`
	Quarter string       `json:"quarter"`
	By      string       `json:"by"`
	Started time.Time    `json:"started"`
	Due     time.Time    `json:"due"`
	Overdue bool         `json:"overdue"`
	Total   int          `json:"total"`
	Waiting int          `json:"waiting" doc:"Grants that nobody has answered for"`
	Closer  string       `json:"closer,omitempty"`
	Reason  string       `json:"reason,omitempty"`
	Closed  time.Time    `json:"closed,omitzero"`
	Items   []ReviewItem `json:"items,omitempty"`
}

// ReviewItem is one grant: a role, or a token that outlasts a day.
type ReviewItem struct {
	ID        string    `json:"id"`
	Account   string    `json:"account"`
	Kind      string    `json:"kind"`
	Clearance string    `json:"clearance,omitempty"`
	Team      string    `json:"team,omitempty" doc:"Whose lead answers; without one the owners"`
	Grant     string    `json:"grant"`
	Role      Role      `json:"role,omitzero" required:"false"`
	Token     string    `json:"token,omitempty"`
	Note      string    `json:"note,omitempty"`
	Limit     Limit     `json:"limit,omitzero" required:"false"`
	Expires   time.Time `json:"expires,omitzero"`
	Used      time.Time `json:"used,omitzero" doc:"Last use"`
	Status    string    `json:"status" enum:"waiting,attested,revoked,gone,unanswered"`
	By        string    `json:"by,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	At        time.Time `json:"at,omitzero"`
	Check     string    `json:"check,omitempty" doc:"What the platform saw after it was taken away"`
}

// AccessReviews are the reviews, and when the next one begins and is due.
type AccessReviews struct {
	Reviews []AccessReview `json:"reviews"`
	Begins  time.Time      `json:"begins"`
	Due     time.Time      `json:"due"`
}

// StartReview begins a review now.
type StartReview struct {
	Days int `json:"days,omitempty" minimum:"1" maximum:"60" doc:"To answer; 14 unless given"`
}

// AnswerReview attests grants, or has them taken away.
type AnswerReview struct {
	Items  []string `json:"items" maxItems:"5000"`
	Revoke bool     `json:"revoke,omitempty"`
	Reason string   `json:"reason,omitempty" maxLength:"500" doc:"Needed to revoke"`
}

// CloseReview ends a review.
type CloseReview struct {
	Reason string `json:"reason,omitempty" maxLength:"500" doc:"Needed when grants are unanswered, which only one that is overdue may have"`
}
