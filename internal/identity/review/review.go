// Package review asks each quarter whether people and services still need what they have:
// a review lists every grant, the lead of its team attests it or has it taken away.
package review

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
)

// Statuses of a review.
const (
	Open   = "open"
	Closed = "closed"
)

// What became of a grant in a review.
const (
	Waiting    = "waiting"
	Attested   = "attested"
	Revoked    = "revoked"
	Gone       = "gone"       // taken away otherwise meanwhile
	Unanswered = "unanswered" // when the review was closed, with a reason
)

// Review is one of them. Times are kept to the microsecond, in UTC.
type Review struct {
	ID      string    `json:"id"`
	Number  int       `json:"number"`
	Status  string    `json:"status"`
	Quarter string    `json:"quarter"` // "2026-Q4"
	By      string    `json:"by"`
	Started time.Time `json:"started"`
	Due     time.Time `json:"due"`
	Flagged time.Time `json:"flagged,omitzero"` // when it was overdue, and owners were told
	Closer  string    `json:"closer,omitempty"`
	Reason  string    `json:"reason,omitempty"` // of closing it with grants unanswered
	Closed  time.Time `json:"closed,omitzero"`
	Items   []Item    `json:"items"`
}

// Item is one grant: a role, or a token that outlasts a day.
type Item struct {
	ID        string        `json:"id"` // in its review
	Account   string        `json:"account"`
	Kind      string        `json:"kind"` // of the account
	Clearance string        `json:"clearance,omitempty"`
	Team      string        `json:"team,omitempty"` // whose lead answers; empty: the owners
	Role      slipway.Role  `json:"role,omitzero"`
	Token     string        `json:"token,omitempty"` // its id
	Note      string        `json:"note,omitempty"`
	Limit     slipway.Limit `json:"limit,omitzero"`
	Expires   time.Time     `json:"expires,omitzero"` // of the token
	Used      time.Time     `json:"used,omitzero"`    // last use of the token, or of any of the account
	Status    string        `json:"status"`
	By        string        `json:"by,omitempty"`
	Reason    string        `json:"reason,omitempty"`
	At        time.Time     `json:"at,omitzero"`
	Check     string        `json:"check,omitempty"` // what was seen after it was taken away
}

// Grant says what an item grants, in words.
func (i *Item) Grant() string {
	if i.Token != "" {
		return "token " + i.Token
	}
	if i.Role.Team != "" {
		return i.Role.Name + " of " + i.Role.Team
	}
	return i.Role.Name
}

// Waiting counts the grants that nobody has answered for.
func (r *Review) Waiting() (n int) {
	for _, i := range r.Items {
		if i.Status == Waiting {
			n++
		}
	}
	return n
}

// Store keeps reviews. It is safe for concurrent use; what is acknowledged is durable,
// together with its events.
type Store interface {
	// Reviews gives all, oldest first.
	Reviews(ctx context.Context) ([]Review, error)
	// SaveReview adds or replaces one. It answers Conflict for a second one that is open.
	SaveReview(ctx context.Context, r Review, events ...slipway.Event) error
}

// Quarter names the quarter of a time, and when it ends.
func Quarter(at time.Time) (name string, end time.Time) {
	at = at.UTC()
	q := (int(at.Month()) - 1) / 3
	return fmt.Sprintf("%d-Q%d", at.Year(), q+1), time.Date(at.Year(), time.Month(3*q+4), 1, 0, 0, 0, 0, time.UTC)
}

// Window is how long before the end of a quarter its review begins by itself, and how long
// there is to answer: it ends with the quarter.
const Window = 14 * 24 * time.Hour

// Next is when the review of a quarter begins by itself, and when it is due: that of the
// quarter of now, or of the next one if there was one already.
func Next(all []Review, now time.Time) (begins, due time.Time) {
	name, end := Quarter(now)
	if slices.ContainsFunc(all, func(r Review) bool { return r.Quarter == name }) {
		_, end = Quarter(end)
	}
	return end.Add(-Window), end
}

// shortLived are tokens that are gone before anybody could answer for them.
const shortLived = 24 * time.Hour

// Items lists what every account has at a time.
func Items(accounts []identity.Account, tokens []identity.Token, now time.Time) []Item {
	used := map[string]time.Time{}
	for _, t := range tokens {
		if used[t.Account].Before(t.Used) {
			used[t.Account] = t.Used
		}
	}
	var out []Item
	add := func(i Item, a *identity.Account) {
		i.ID, i.Account, i.Kind, i.Clearance, i.Status = strconv.Itoa(len(out)+1), a.Name, a.Kind, a.Clearance, Waiting
		out = append(out, i)
	}
	for n := range accounts {
		a := &accounts[n]
		if !a.Disabled.IsZero() {
			continue
		}
		for _, r := range a.Roles {
			if r.Until.IsZero() || now.Before(r.Until) {
				add(Item{Team: r.Team, Role: r, Used: used[a.Name]}, a)
			}
		}
		for _, t := range tokens {
			if t.Account == a.Name && t.Usable(now) && (t.Expires.IsZero() || t.Expires.Sub(t.Created) > shortLived) {
				add(Item{Team: a.Team, Token: t.ID, Note: t.Note, Limit: t.Limit, Expires: t.Expires, Used: t.Used}, a)
			}
		}
	}
	return out
}

// Has says whether an item's grant is still there.
func Has(i *Item, accounts []identity.Account, tokens []identity.Token, now time.Time) bool {
	for _, a := range accounts {
		if a.Name != i.Account || !a.Disabled.IsZero() {
			continue
		}
		if i.Token == "" {
			return slices.ContainsFunc(a.Roles, func(r slipway.Role) bool {
				return r.Name == i.Role.Name && r.Team == i.Role.Team && (r.Until.IsZero() || now.Before(r.Until))
			})
		}
		return slices.ContainsFunc(tokens, func(t identity.Token) bool { return t.ID == i.Token && t.Usable(now) })
	}
	return false
}
