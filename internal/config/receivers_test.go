package config_test

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/slipway-ml/slipway/internal/config"
)

// TestReceivers: what is not an address of the internet is closed in each of its forms, unless
// it is opened.
func TestReceivers(t *testing.T) {
	r, err := config.Config{Listen: "0.0.0.0:1", TLSCert: "x", WebhookNetworks: "10.1.0.0/16,fd00:1::/32"}.Receivers()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"93.184.215.14", "::ffff:93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "10.1.2.3", "::ffff:10.1.2.3", "fd00:1::7"} {
		if !r.Permit(netip.MustParseAddr(a)) {
			t.Errorf("%s is closed", a)
		}
		if r.Plain(netip.MustParseAddr(a)) {
			t.Errorf("%s without TLS", a)
		}
	}
	for _, a := range []string{
		"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "0.1.2.3", // here
		"10.2.0.1", "172.16.0.1", "192.168.1.1", "::ffff:192.168.1.1", "fd00:2::1", "fc00::1", "fec0::1", "100.64.0.1", // inside
		"169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "168.63.129.16", "100.100.100.200", "192.0.0.192", // metadata, links
		"64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1", "2001:0:7f00:1::1", "::127.0.0.1", "::ffff:0:127.0.0.1", // of IPv4 in another form
		"224.0.0.1", "ff02::1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "203.0.113.9", "2001:db8::1", "100::1", "5f00::1",
	} {
		if r.Permit(netip.MustParseAddr(a)) {
			t.Errorf("%s is open", a)
		}
	}
	if r.Permit(netip.Addr{}) {
		t.Error("no address is open")
	}
	wide, err := config.Config{Listen: "0.0.0.0:1", TLSCert: "x", WebhookNetworks: "0.0.0.0/0,::/0,169.254.10.0/24,127.0.0.1"}.Receivers()
	for a, want := range map[string]bool{"10.0.0.1": true, "fd00::1": true, "127.0.0.1": true, "169.254.10.1": true, "127.0.0.2": false, "::1": false, "169.254.169.254": false, "fd00:ec2::254": false,
		"100.100.100.200": false, "64:ff9b::7f00:1": false, "224.0.0.1": false, "0.0.0.0": false} {
		if wide.Permit(netip.MustParseAddr(a)) != want || err != nil {
			t.Errorf("%s, where all is opened: want %v, %v", a, want, err)
		}
	}
	here, err := config.Config{Listen: "127.0.0.1:8080"}.Receivers()
	if err != nil || !here.Permit(netip.MustParseAddr("127.0.0.1")) || !here.Plain(netip.MustParseAddr("::1")) || here.Permit(netip.MustParseAddr("10.0.0.1")) {
		t.Error("a development installation reaches its own machine alone, beside the internet", err)
	}
	if err := (config.Config{Listen: "127.0.0.1:8080", WebhookNetworks: "everywhere"}).Check(); err == nil {
		t.Error("a network that is none")
	}
}

// TestReceiversMapped: the form in which an address is written changes nothing.
func TestReceiversMapped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address"))
		a := netip.AddrFrom4(b)
		r := config.Receivers{}
		if got, mapped := r.Permit(a), r.Permit(netip.AddrFrom16(a.As16())); got != mapped || got && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()) {
			t.Fatalf("%v: %v, mapped %v", a, got, mapped)
		}
	})
}
