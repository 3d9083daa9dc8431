package config

import (
	"net/netip"
	"slices"
)

// Receivers says where the platform sends events: to public addresses, and to what an operator
// has opened. Everybody who may make a webhook chooses one, so that nothing inside a company is
// open by itself.
type Receivers struct {
	Opened []netip.Prefix
	// Here opens this machine, with TLS or without: of one who tries things out on it.
	Here bool
}

// private are what no address of the internet is in, beside what netip knows and Reach closes
// (IANA's registries of special-purpose addresses): for carriers, protocols, documentation and
// measurements, and the reserved rest.
var private = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("3fff::/20"),
}

// global is where all public addresses of IPv6 are (RFC 4291 §2.4, by IANA's allocation).
var global = netip.MustParsePrefix("2000::/3")

// links are where each machine has neighbours, and clouds their metadata services.
var links = []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10")}

// Permit says whether an address may be connected to. This machine, links and metadata
// services are opened only by a network that has nothing else in it: who opens 0.0.0.0/0 does
// not mean them.
func (r Receivers) Permit(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || a.IsMulticast() || a.IsUnspecified() {
		return false
	}
	if r.Here && a.IsLoopback() {
		return true
	}
	narrowest := 0
	for _, c := range slices.Concat(closed, links, loopbacks) {
		if c.Contains(a) {
			narrowest = max(narrowest, c.Bits())
		}
	}
	opens := func(p netip.Prefix) bool { return p.Contains(a) && p.Bits() >= narrowest }
	if slices.ContainsFunc(r.Opened, opens) {
		return true
	}
	holds := func(p netip.Prefix) bool { return p.Contains(a) }
	return narrowest == 0 && !a.IsPrivate() && !slices.ContainsFunc(private, holds) && (a.Is4() || global.Contains(a))
}

// Plain says whether an address may be connected to without TLS.
func (r Receivers) Plain(a netip.Addr) bool { return r.Here && a.Unmap().IsLoopback() }

// Receivers is where this installation sends events.
func (c Config) Receivers() (Receivers, error) {
	opened, err := ParseReach(c.WebhookNetworks)
	return Receivers{Opened: opened.Allowed, Here: c.Development()}, err
}
