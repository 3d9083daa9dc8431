package route

import "time"

// What a gateway refused somebody for.
const (
	Unauthenticated = "unauthenticated" // no token that is good
	Denied          = "denied"          // one that is for something else
)

// Refusal is an attempt that a gateway refused, or with Again so many more of them since a
// time. Seq is unique for a gateway. It has neither the token's text nor anything of the
// request but the endpoint, if there is one of that name.
type Refusal struct {
	Seq       uint64    `json:"seq"`
	Time      time.Time `json:"time"`
	What      string    `json:"what"`
	Principal string    `json:"principal,omitempty"`
	Token     string    `json:"token,omitempty"` // its id
	Source    string    `json:"source,omitempty"`
	Endpoint  string    `json:"endpoint,omitempty"`
	Again     int       `json:"again,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	Lost      int       `json:"lost,omitempty"` // entries before it that found no place
}

// Refusals are those of one gateway, in order.
type Refusals struct {
	Gateway string    `json:"gateway"`
	List    []Refusal `json:"list"`
}
