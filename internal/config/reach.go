package config

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
)

// Reach says where the platform may connect when somebody who deploys names an address: not
// to this machine, whose services trust who is on it, nor to its link and the metadata
// services of clouds, which give out its secrets. Allowed is what an operator allows of it.
type Reach struct{ Allowed []netip.Prefix }

var (
	loopbacks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	// closed are, beside what netip knows, the metadata services that are not link-local
	// (AWS over IPv6, Azure, Alibaba, Oracle) and what stands for an IPv4 address
	// (RFC 6052, RFC 3056, RFC 4380) or for this machine (RFC 1122 §3.2.1.3).
	closed = []netip.Prefix{
		netip.MustParsePrefix("fd00:ec2::254/128"), netip.MustParsePrefix("168.63.129.16/32"), netip.MustParsePrefix("100.100.100.200/32"), netip.MustParsePrefix("192.0.0.192/32"),
		netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("::/96"),
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("255.255.255.255/32"),
	}
)

// Permit says whether an address may be connected to.
func (r Reach) Permit(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	holds := func(p netip.Prefix) bool { return p.Contains(a) }
	if !a.IsValid() || a.IsMulticast() || a.IsUnspecified() {
		return false
	}
	if slices.ContainsFunc(r.Allowed, holds) {
		return true
	}
	return !a.IsLoopback() && !a.IsLinkLocalUnicast() && !slices.ContainsFunc(closed, holds)
}

// PermitHost says whether a host of an address may be connected to, as far as it says by
// itself; what a name stands for is seen when it is.
func (r Reach) PermitHost(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return r.Permit(netip.MustParseAddr("127.0.0.1"))
	}
	a, err := netip.ParseAddr(host)
	return err != nil || r.Permit(a)
}

// String is the form that ParseReach reads.
func (r Reach) String() string {
	var out []string
	for _, p := range r.Allowed {
		out = append(out, p.String())
	}
	return strings.Join(out, ",")
}

// ParseReach reads addresses and networks, separated by commas.
func ParseReach(s string) (r Reach, err error) {
	for part := range strings.SplitSeq(s, ",") {
		if part == "" {
			continue
		}
		p, err := netip.ParsePrefix(part)
		if a, err2 := netip.ParseAddr(part); err2 == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return Reach{}, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give addresses such as 127.0.0.1 or networks such as 10.1.0.0/16", "%.60q is no network", part)
		}
		r.Allowed = append(r.Allowed, p.Masked())
	}
	return r, nil
}

// Reach is where this installation may connect. One without TLS listens on this machine
// alone, and may ask other programs on it.
func (c Config) Reach() (Reach, error) {
	r, err := ParseReach(c.AllowExternal)
	if c.TLSCert == "" {
		r.Allowed = append(r.Allowed, loopbacks...)
	}
	return r, err
}
