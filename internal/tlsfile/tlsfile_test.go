package tlsfile_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tlsfile"
)

var noon = time.Now().Truncate(time.Second)

// issue makes a self-signed certificate and its key.
func issue(t *testing.T, serial int64, from, until time.Time) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: from, NotAfter: until, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	b, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b})
}

func write(t *testing.T, name string, content []byte, at time.Time) {
	t.Helper()
	if err := errors.Join(os.WriteFile(name, content, 0o600), os.Chtimes(name, at, at)); err != nil {
		t.Fatal(err)
	}
}

// A renewed pair serves new connections; a half, a bad or an expired one never does, and is
// told. Connections that are there go on.
func TestFollows(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	c1, k1 := issue(t, 1, noon.Add(-time.Hour), noon.Add(time.Hour))
	c2, k2 := issue(t, 2, noon.Add(-time.Hour), noon.Add(time.Hour))
	old, oldKey := issue(t, 3, noon.Add(-2*time.Hour), noon.Add(-time.Hour))
	write(t, cert, c1, noon)
	write(t, key, k1, noon)
	var log bytes.Buffer
	p, err := tlsfile.Open(cert, key, func() time.Time { return noon }, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{TLSConfig: p.Config(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })}
	go func() { _ = s.ServeTLS(ln, "", "") }()
	defer s.Close()
	serial := func() int64 {
		t.Helper()
		conn, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	at := noon
	step := func(what string, c, k []byte, want int64, logged string) {
		t.Helper()
		log.Reset()
		at = at.Add(time.Second)
		write(t, cert, c, at)
		write(t, key, k, at)
		p.Look()
		if got := serial(); got != want {
			t.Errorf("%s: certificate %d serves, want %d", what, got, want)
		}
		if !strings.Contains(log.String(), logged) || logged == "" && log.Len() > 0 {
			t.Errorf("%s: logged %s", what, log.String())
		}
	}
	if serial() != 1 {
		t.Error("the first is not served")
	}
	step("half renewed", c2, k1, 1, "are no pair")
	step("renewed", c2, k2, 2, "a new certificate serves")
	step("expired", old, oldKey, 2, "expired on")
	step("no PEM", []byte("x"), k2, 2, "are no pair")
	step("back", c1, k1, 1, "a new certificate serves")
	if strings.Contains(log.String(), "PRIVATE") {
		t.Error("the log has a key")
	}
	_ = os.Remove(key)
	p.Look()
	if serial() != 1 {
		t.Error("a lost file took the certificate away")
	}
}

func load(cert, key string) (*tls.Certificate, error) {
	c, err := tlsfile.Load(cert, key)
	if err == nil {
		err = tlsfile.Timely(c.Leaf, noon)
	}
	return c, err
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		write(t, path, b, noon)
		return path
	}
	c, k := issue(t, 1, noon.Add(-time.Hour), noon.Add(time.Hour))
	_, other := issue(t, 2, noon.Add(-time.Hour), noon.Add(time.Hour))
	early, earlyKey := issue(t, 3, noon.Add(time.Hour), noon.Add(2*time.Hour))
	for name, pair := range map[string][2]string{
		"no file": {filepath.Join(dir, "none"), file("k", k)}, "no key": {file("c", c), filepath.Join(dir, "none")}, "another's key": {file("c", c), file("o", other)},
		"not yet": {file("e", early), file("ek", earlyKey)}, "swapped": {file("k", k), file("c", c)}, "empty": {file("x", nil), file("k", k)},
	} {
		if _, err := load(pair[0], pair[1]); !errors.Is(err, &slipway.Error{Code: slipway.CodeCertificate}) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is old is not spoken, and HTTP/2 is.
func TestProtocols(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c"), filepath.Join(dir, "k")
	c, k := issue(t, 1, noon.Add(-time.Hour), noon.Add(time.Hour))
	write(t, cert, c, noon)
	write(t, key, k, noon)
	p, err := tlsfile.Open(cert, key, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{TLSConfig: p.Config(), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	go func() { _ = s.ServeTLS(ln, "", "") }()
	defer s.Close()
	for name, tt := range map[string]struct {
		c  *tls.Config
		ok bool
	}{
		"TLS 1.1":     {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		"CBC":         {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, false},
		"TLS 1.2 GCM": {&tls.Config{MaxVersion: tls.VersionTLS12}, true},
		"TLS 1.3":     {&tls.Config{NextProtos: []string{"h2"}}, true},
	} {
		tt.c.InsecureSkipVerify = true
		conn, err := tls.Dial("tcp", ln.Addr().String(), tt.c)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			if name == "TLS 1.3" && conn.ConnectionState().NegotiatedProtocol != "h2" {
				t.Error("no HTTP/2")
			}
			conn.Close()
		}
	}
}
