package access

import (
	"context"

	"github.com/slipway-ml/slipway"
)

// Dependent says why a principal is not a person of its own beside others, in whose matter it
// decides: it is one of them, no person, or acts with a token that one of them has issued.
// Empty: it is.
func (c *Control) Dependent(ctx context.Context, p slipway.Principal, others ...string) (string, error) {
	a, err := c.Identity.Account(ctx, p.ID)
	if err != nil {
		return "", err
	}
	if a.Kind != slipway.Person {
		return "a person decides, not a service", nil
	}
	t, err := c.Identity.Token(ctx, p.Token)
	if err != nil { // a session of a browser, which nobody issues for another
		t.By = ""
	}
	for _, other := range others {
		switch {
		case other == "":
		case p.ID == other:
			return p.ID + " is concerned, and does not decide", nil
		case t.By == other:
			return "the token of " + p.ID + " was issued by " + other, nil
		}
	}
	return "", nil
}
