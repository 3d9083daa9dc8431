// Package protect keeps aliases from being moved by one person alone: rules say who may move
// an alias and how many others have to approve, requests gather the approvals.
package protect

import (
	"slices"
	"time"

	"github.com/slipway-ml/slipway"
)

// Rule protects the aliases of one model, or of all models of a team, whose names match a
// pattern. Rules only add up: an alias that several match has to satisfy each.
type Rule struct {
	ID    string `json:"id"`
	Model string `json:"model,omitempty"` // or Team, never both
	Team  string `json:"team,omitempty"`
	Alias string `json:"alias"` // a name, in which * stands for any text
	// Movers are roles; whoever moves the alias has one of them. Empty: everybody who may
	// move aliases of the model.
	Movers []string `json:"movers,omitempty"`
	// Approvals is how many others have to approve a move, each with one of the roles
	// Approvers. 0: none.
	Approvals int           `json:"approvals"`
	Approvers []string      `json:"approvers,omitempty"`
	Valid     time.Duration `json:"valid"` // of a request, from its beginning
	By        string        `json:"by"`
	Reason    string        `json:"reason"`
	Created   time.Time     `json:"created"`
	Lifted    time.Time     `json:"lifted,omitzero"` // zero: in force
	LiftedBy  string        `json:"lifted_by,omitempty"`
}

// Move is a wish to let an alias point at a version.
type Move struct {
	Model, Team string // the model, and the team that owns it
	Alias       string
	Version     int            // 0: the alias is removed
	Digest      slipway.Digest // of the version; empty for one without files
	Author      string         // who registered the version
}

// Statuses of a request. One that waits or is approved ends with its time.
const (
	Waiting  = "waiting"
	Approved = "approved" // and may be carried out
	Done     = "done"     // the alias was moved, or the rule lifted
	Rejected = "rejected"
	Expired  = "expired"
)

// Request asks for approvals of one move, or of lifting a rule. It is bound to the digest
// that the version had when it was made.
type Request struct {
	ID        string         `json:"id"`
	Number    int            `json:"number"` // order on the installation, from 1
	Model     string         `json:"model,omitempty"`
	Team      string         `json:"team,omitempty"`
	Alias     string         `json:"alias"`
	Version   int            `json:"version"`
	Digest    slipway.Digest `json:"digest,omitempty"`
	Author    string         `json:"author,omitempty"`
	Lift      string         `json:"lift,omitempty"` // the rule to be lifted; then there is no version
	Status    string         `json:"status"`
	By        string         `json:"by"`
	Reason    string         `json:"reason"`
	Created   time.Time      `json:"created"`
	Expires   time.Time      `json:"expires"`
	Approvals []Approval     `json:"approvals,omitempty"`
	Ended     time.Time      `json:"ended,omitzero"`
	EndedBy   string         `json:"ended_by,omitempty"`
	Why       string         `json:"why,omitempty"` // it was rejected
	Revision  int            `json:"revision"`      // counts its changes
}

// Approval is one person's consent, with the roles that it was given in.
type Approval struct {
	By     string    `json:"by"`
	Roles  []string  `json:"roles"`
	Reason string    `json:"reason,omitempty"`
	Time   time.Time `json:"time"`
}

// StatusAt is the status at a time.
func (r *Request) StatusAt(now time.Time) string {
	if (r.Status == Waiting || r.Status == Approved) && !now.Before(r.Expires) {
		return Expired
	}
	return r.Status
}

// matches says whether a name fits the rule's pattern.
func (r *Rule) matches(alias string) bool { return glob(r.Alias, alias) }

// glob matches a text against a pattern in which * stands for any text.
func glob(pattern, text string) bool {
	star, resume := -1, 0
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && pattern[p] == text[t]:
			p, t = p+1, t+1
		case star >= 0: // let the star take one byte more
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// Matching are the rules in force that protect an alias.
func Matching(rules []Rule, alias string) []Rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool { return !r.Lifted.IsZero() || !r.matches(alias) })
}

// rolesIn are the roles that a principal has in a team, those of the whole installation too,
// and that have not ended.
func rolesIn(p slipway.Principal, team string, now time.Time) (out []string) {
	for _, r := range p.Roles {
		if (!slipway.OfTeam(r.Name) || r.Team == team) && (r.Until.IsZero() || now.Before(r.Until)) && !slices.Contains(out, r.Name) {
			out = append(out, r.Name)
		}
	}
	return out
}

func anyOf(have, want []string) bool {
	return slices.ContainsFunc(have, func(r string) bool { return slices.Contains(want, r) })
}

// Missing is how many approvals a request lacks under the rules: the most that any of them
// misses. An approval counts for the rules whose approvers have one of its roles, unless it
// is of whoever asked or registered the version.
func Missing(rules []Rule, r *Request) int {
	most := 0
	for _, rule := range rules {
		n := rule.Approvals
		for i, a := range r.Approvals {
			first := slices.IndexFunc(r.Approvals, func(b Approval) bool { return b.By == a.By }) == i
			if first && a.By != r.By && a.By != r.Author && anyOf(a.Roles, rule.Approvers) {
				n--
			}
		}
		most = max(most, n)
	}
	return most
}

// barred is the rule whose movers a principal is not among, or nil.
func barred(rules []Rule, roles []string) *Rule {
	for i := range rules {
		if len(rules[i].Movers) > 0 && !anyOf(roles, rules[i].Movers) {
			return &rules[i]
		}
	}
	return nil
}

// permits says whether a request allows a move now.
func (r *Request) permits(rules []Rule, m Move, now time.Time) bool {
	return r.Lift == "" && r.StatusAt(now) == Approved && r.Model == m.Model && r.Alias == m.Alias && r.Version == m.Version &&
		r.Digest == m.Digest && Missing(rules, r) == 0
}
