package access

import (
	"context"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/identity/signin"
)

// Authenticate implements httpapi.Authenticator. The owner's token of this home is for who
// sits at the machine: from elsewhere it is refused, and that is recorded, unless this is a
// development installation, which is the machine's alone.
func (c *Control) Authenticate(ctx context.Context, token string) (slipway.Principal, error) {
	p, err := c.Identity.Authenticate(ctx, token)
	if err != nil {
		return p, err
	}
	if p.Home && !c.Site.Development && !signin.Direct(ctx) {
		now := c.Now()
		ev := slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: "nobody", Action: "access.denied", Subject: p.ID,
			Detail: map[string]string{"token": p.Token, "reason": "the owner's token was used over the network", "severity": "high"}}
		if err := c.Recorder.Append(ctx, ev); err != nil {
			return slipway.Principal{}, err
		}
		return slipway.Principal{}, slipway.Errorf(slipway.Unauthorized, slipway.CodeLocalOnly, "platform login", "the owner's token of a home is good on its own machine only")
	}
	return c.elevated(p), nil
}

// Principal implements httpapi.Sessions.
func (c *Control) Principal(ctx context.Context, secret string) (slipway.Principal, error) {
	p, err := c.SignIn.Principal(ctx, secret)
	if err != nil {
		return p, err
	}
	return c.elevated(p), nil
}

// elevated says of a principal what depends on the time and the installation.
func (c *Control) elevated(p slipway.Principal) slipway.Principal {
	now := c.Now()
	p.Elevated = c.Site.Development || p.Home || signin.Elevated(p.MFA, now)
	p.BreakGlass = identity.EmergencyAt(p.Roles, now)
	return p
}
