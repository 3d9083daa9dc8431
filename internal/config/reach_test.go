package config_test

import (
	"net/netip"
	"testing"

	"github.com/slipway-ml/slipway/internal/config"
)

func TestReach(t *testing.T) {
	production, err := (config.Config{TLSCert: "cert.pem"}).Reach()
	if err != nil {
		t.Fatal(err)
	}
	development, _ := (config.Config{}).Reach()
	allowing, err := (config.Config{TLSCert: "cert.pem", AllowExternal: "169.254.10.0/24,127.0.0.1"}).Reach()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		address         string
		prod, dev, more bool
	}{
		{"10.1.2.3", true, true, true}, {"192.0.2.1", true, true, true}, {"2001:db8::1", true, true, true},
		{"127.0.0.1", false, true, true}, {"127.8.8.8", false, true, false}, {"::1", false, true, false}, {"::ffff:127.0.0.1", false, true, true},
		{"169.254.169.254", false, false, false}, {"169.254.10.1", false, false, true}, {"::ffff:169.254.169.254", false, false, false},
		{"fe80::1", false, false, false}, {"fd00:ec2::254", false, false, false}, {"64:ff9b::a9fe:a9fe", false, false, false}, {"2002:a9fe:a9fe::1", false, false, false},
		{"::169.254.169.254", false, false, false}, {"168.63.129.16", false, false, false}, {"100.100.100.200", false, false, false},
		{"0.0.0.0", false, false, false}, {"0.1.2.3", false, false, false}, {"::", false, false, false}, {"224.0.0.1", false, false, false}, {"ff02::1", false, false, false}, {"255.255.255.255", false, false, false},
	} {
		a := netip.MustParseAddr(tt.address)
		if got := [3]bool{production.Permit(a), development.Permit(a), allowing.Permit(a)}; got != [3]bool{tt.prod, tt.dev, tt.more} {
			t.Errorf("%s: %v", tt.address, got)
		}
	}
	for host, want := range map[string]bool{"models.example.com": true, "localhost": false, "LOCALHOST.": false, "a.localhost": false, "169.254.169.254": false, "10.0.0.1": true} {
		if production.PermitHost(host) != want {
			t.Errorf("%s: %v", host, !want)
		}
	}
	if again, err := config.ParseReach(allowing.String()); err != nil || again.String() != allowing.String() {
		t.Errorf("%s, %v", again, err)
	}
	if _, err := config.ParseReach("example.com"); err == nil {
		t.Error("a name is a network")
	}
}

func FuzzParseReach(f *testing.F) {
	f.Add("127.0.0.1,10.0.0.0/8,::1/128")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := config.ParseReach(s)
		if err != nil {
			return
		}
		if again, err := config.ParseReach(r.String()); err != nil || again.String() != r.String() {
			t.Errorf("%q: %v, %v", s, again, err)
		}
	})
}
