package tlsfile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/slipway-ml/slipway/internal/disk"
)

// Own is an authority of an installation's own, which signs one short-lived certificate.
// Clients that are given the authority's certificate trust it, and nobody else does.
type Own struct {
	Dir   string   // of its files, for this user alone
	Names []string // host names and addresses under which clients come
}

const (
	ownLife    = 30 * 24 * time.Hour // of the certificate
	ownRenewal = 10 * 24 * time.Hour // before its end
	authority  = 10 * 365 * 24 * time.Hour
	backdated  = time.Hour // clocks of clients may be behind
)

// CA is the file that clients need.
func (o Own) CA() string { return filepath.Join(o.Dir, "ca.pem") }

// Cert is the certificate of the address.
func (o Own) Cert() string { return filepath.Join(o.Dir, "cert.pem") }

// Key is its key.
func (o Own) Key() string   { return filepath.Join(o.Dir, "key.pem") }
func (o Own) caKey() string { return filepath.Join(o.Dir, "ca.key") }

// Ensure makes what is missing, or will soon not be valid. It is called again from time to
// time.
func (o Own) Ensure(now time.Time) error {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return unusable(err, "certificates cannot be made in %s", o.Dir)
	}
	ca, err := Load(o.CA(), o.caKey())
	if err != nil || Timely(ca.Leaf, now.Add(ownLife)) != nil {
		if ca, err = o.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "Slipway, an authority of its own"}, NotAfter: now.Add(authority), IsCA: true, BasicConstraintsValid: true,
			MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign}, nil, now, o.CA(), o.caKey()); err != nil {
			return err
		}
	}
	have, err := Load(o.Cert(), o.Key())
	if err == nil && have.Leaf.CheckSignatureFrom(ca.Leaf) == nil && Timely(have.Leaf, now.Add(ownRenewal)) == nil && o.named(have.Leaf) {
		return nil
	}
	c := &x509.Certificate{Subject: pkix.Name{CommonName: o.Names[0]}, NotAfter: now.Add(ownLife), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, name := range o.Names {
		if ip := net.ParseIP(name); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, name)
		}
	}
	_, err = o.issue(c, ca, now, o.Cert(), o.Key())
	return err
}

// named says whether a certificate is for all names.
func (o Own) named(c *x509.Certificate) bool {
	return !slices.ContainsFunc(o.Names, func(name string) bool { return c.VerifyHostname(name) != nil })
}

// issue signs a certificate, with its own key if there is no authority, and writes both.
func (o Own) issue(c *x509.Certificate, by *tls.Certificate, now time.Time, cert, key string) (*tls.Certificate, error) {
	fail := func(err error) (*tls.Certificate, error) {
		return nil, unusable(err, "no certificate can be made in %s", o.Dir)
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	if c.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return fail(err)
	}
	c.NotBefore = now.Add(-backdated)
	parent, signer := c, any(k)
	if by != nil {
		parent, signer = by.Leaf, by.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, k.Public(), signer)
	if err != nil {
		return fail(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return fail(err)
	}
	err = errors.Join(disk.Replace(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), true), disk.Replace(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), true))
	if err != nil {
		return fail(err)
	}
	return Load(cert, key)
}
