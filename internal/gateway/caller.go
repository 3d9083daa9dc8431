package gateway

import (
	"crypto/sha256"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/gateway/refusal"
	"github.com/slipway-ml/slipway/internal/route"
)

// caller is who sent a request, over whatever transport.
type caller struct {
	grant  *route.Grant // what the caller may do; nil: nothing
	ended  *route.Grant // of a token that is good no more, so that its refusal can name it
	source string       // address and port of the peer; anything else stands for none
}

// identify finds who sends an Authorization header, of which there must be one. Tokens are
// looked up by hash, so that the time it takes says nothing about them.
func (g *Gateway) identify(authorization []string, source string) caller {
	const scheme = "Bearer "
	if len(authorization) != 1 || len(authorization[0]) <= len(scheme) || !strings.EqualFold(authorization[0][:len(scheme)], scheme) {
		return caller{source: source}
	}
	found := g.table.Load().grants[sha256.Sum256([]byte(authorization[0][len(scheme):]))]
	if found == nil {
		return caller{source: source}
	}
	now := g.c.Now()
	if !found.Expires.IsZero() && !now.Before(found.Expires) || found.Scope != route.ScopeOwner && found.Scope != route.ScopeListed {
		return caller{ended: found.Grant, source: source}
	}
	found.use(now)
	return caller{grant: found.Grant, source: source}
}

// granted finds an endpoint that a caller may ask. Whether there is another one is not told.
func (g *Gateway) granted(who caller, key string) (*endpoint, *slipway.Error) {
	e := g.table.Load().endpoints[key]
	switch {
	case !who.grant.MayPredict(key, g.c.Now(), g.age()):
		g.refuse(who, key)
		return nil, denied("this token is not for the endpoint " + slipway.OneLine(key, 130))
	case e == nil:
		return nil, unknownEndpoint(key)
	}
	return e, nil
}

// refuse notes somebody who may not: without a grant, or with one for something else.
func (g *Gateway) refuse(c caller, key string) {
	who := refusal.Who{What: route.Unauthenticated, Source: refusal.Source(c.source)}
	grant := c.ended
	if c.grant != nil {
		who.What, grant = route.Denied, c.grant
	}
	if grant != nil {
		who.Principal, who.Token = grant.Principal, grant.Token
	}
	if g.table.Load().endpoints[key] != nil { // any other name is the client's own text
		who.Endpoint = key
	}
	g.refused.Note(who)
}
