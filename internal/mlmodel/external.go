package mlmodel

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// external reads the flavor external.
func external(flavor map[string]any) (*External, error) {
	const field = FileName + ":flavors.external"
	e := &External{URL: strings.TrimSuffix(text(flavor, "url"), "/"), Protocol: text(flavor, "protocol"), Model: text(flavor, "model")}
	if err := CheckExternalURL(e.URL); err != nil {
		return nil, dirError(field+".url", "give the server's address, such as http://scoring.example.com:8080", "%s", err.Error())
	}
	switch {
	case e.Protocol != OpenInference && e.Protocol != MLflowScoring:
		return nil, dirError(field+".protocol", "write "+OpenInference+" or "+MLflowScoring, "is no protocol that is known")
	case e.Protocol == OpenInference && e.Model == "":
		return nil, dirError(field+".model", "give the name that the model has at its server", "is missing")
	}
	return e, nil
}

type urlError string

func (e urlError) Error() string { return string(e) }

// CheckExternalURL says what is wrong with the address of an external server. One with
// credentials in it would be kept in every record, and a link-local one is where clouds
// serve the secrets of a machine.
func CheckExternalURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || len(s) > 1024:
		return urlError("is no address")
	case u.Scheme != "http" && u.Scheme != "https":
		return urlError("is no address of http or https")
	case u.Hostname() == "":
		return urlError("names no host")
	case u.User != nil:
		return urlError("has a user or a password in it")
	case u.RawQuery != "" || u.Fragment != "":
		return urlError("has a query or a fragment")
	case forbidden(u.Hostname()):
		return urlError("is a link-local address")
	}
	return nil
}

func forbidden(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && !AllowedPeer(net.IP(a.AsSlice()))
}

// AllowedPeer says whether an external server may have the address: whoever resolves a name
// asks again, for a name may stand for any address.
func AllowedPeer(ip net.IP) bool {
	return !ip.IsLinkLocalUnicast() && !ip.IsLinkLocalMulticast() && !ip.IsMulticast() && !ip.IsUnspecified()
}
