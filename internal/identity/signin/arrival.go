package signin

import (
	"context"
	"net"
	"net/http"
	"strings"

	"github.com/slipway-ml/slipway"
)

// Arrival is how a request came to the server: from the gateway, which is the only other
// process that can reach its socket and says where a request comes from, or from a process
// of the same user at the socket itself.
type Arrival struct {
	Source
	Direct bool // at the socket
	Secure bool // over TLS
	Host   string
}

// ArrivalOf reads what the gateway says of a request.
func ArrivalOf(r *http.Request) Arrival {
	forwarded := strings.Join(r.Header["X-Forwarded-For"], ",")
	return Arrival{Source: Source{Peer: peer(forwarded), Agent: agent(r.UserAgent())}, Direct: forwarded == "" && r.Header.Get("X-Forwarded-Host") == "", Secure: r.Header.Get("X-Forwarded-Proto") == "https", Host: r.Host}
}

// peer is who asks: the gateway's own peer, which comes last, or for whom that asks if it is
// a proxy of this machine.
func peer(forwarded string) string {
	all := strings.Split(forwarded, ",")
	for i := len(all) - 1; i > 0; i-- {
		if address := strings.TrimSpace(all[i]); !net.ParseIP(address).IsLoopback() {
			return address
		}
	}
	return strings.TrimSpace(all[0])
}

// Origin is what a browser calls the pages of this address.
func (a Arrival) Origin() string {
	if a.Secure {
		return "https://" + a.Host
	}
	return "http://" + a.Host
}

// Cookie is the name of the cookie with a session's secret. Only a page of this very host
// can set one that begins with __Host-, and only over TLS (RFC 6265bis, section 4.1.3); on
// the loopback of a development installation there is none.
func (a Arrival) Cookie() string {
	if a.Secure {
		return "__Host-slipway"
	}
	return "slipway-dev"
}

// OwnPage says whether a browser made a request from one of our pages: what it says of the
// page, if it says anything, must be our own address. Programs say nothing, and answer false.
func (a Arrival) OwnPage(h http.Header) (own, said bool) {
	site, origin := h.Get("Sec-Fetch-Site"), h.Get("Origin")
	switch {
	case site != "" && site != "same-origin" && site != "none", origin != "" && origin != a.Origin():
		return false, true
	default:
		return site != "" || origin != "", site != "" || origin != ""
	}
}

// agent is a browser for people: a few words of what it says of itself.
func agent(text string) string {
	for _, name := range []string{"Firefox", "Edg", "Chrome", "Safari"} {
		if strings.Contains(text, name+"/") {
			if name == "Edg" {
				name = "Edge"
			}
			for _, system := range []string{"Windows", "Android", "iPhone", "Macintosh", "Linux"} {
				if strings.Contains(text, system) {
					return name + " on " + system
				}
			}
			return name
		}
	}
	return text
}

type arrivalKey struct{}

// WithArrival notes how the request came that ctx belongs to. Events say the address.
func WithArrival(ctx context.Context, a Arrival) context.Context {
	if net.ParseIP(a.Peer) != nil { // nothing else that a header says
		ctx = slipway.WithAddress(ctx, a.Peer)
	}
	return context.WithValue(ctx, arrivalKey{}, a)
}

// Direct says whether the request that ctx belongs to came to the socket itself.
func Direct(ctx context.Context) bool {
	a, ok := ctx.Value(arrivalKey{}).(Arrival)
	return ok && a.Direct
}
