package tlsfile_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/slipway-ml/slipway/internal/tlsfile"
)

// The authority stays, its certificate is renewed in time, or for another name.
func TestOwn(t *testing.T) {
	o := tlsfile.Own{Dir: filepath.Join(t.TempDir(), "tls"), Names: []string{"localhost", "127.0.0.1"}}
	read := func() (ca []byte, leaf *x509.Certificate) {
		t.Helper()
		ca, err := os.ReadFile(o.CA())
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tlsfile.Load(o.Cert(), o.Key())
		if err != nil {
			t.Fatal(err)
		}
		return ca, pair.Leaf
	}
	step := func(at time.Time, renewed, sameCA bool, before *x509.Certificate, ca []byte) ([]byte, *x509.Certificate) {
		t.Helper()
		if err := o.Ensure(at); err != nil {
			t.Fatal(err)
		}
		newCA, leaf := read()
		if before != nil && (leaf.Equal(before) == renewed || (string(ca) == string(newCA)) != sameCA) {
			t.Errorf("at %v: renewed %v, the same authority %v", at, !leaf.Equal(before), string(ca) == string(newCA))
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(newCA)
		for _, name := range o.Names {
			if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: pool, CurrentTime: at}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		return newCA, leaf
	}
	ca, leaf := step(noon, true, true, nil, nil)
	ca, leaf = step(noon.Add(19*24*time.Hour), false, true, leaf, ca)
	ca, leaf = step(noon.Add(21*24*time.Hour), true, true, leaf, ca)
	o.Names = append(o.Names, "models.example.test")
	ca, leaf = step(noon.Add(22*24*time.Hour), true, true, leaf, ca)
	if err := os.WriteFile(o.Key(), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	ca, leaf = step(noon.Add(22*24*time.Hour), true, true, leaf, ca)
	step(noon.Add(10*365*24*time.Hour), true, false, leaf, ca)
	for _, file := range []string{o.Key(), filepath.Join(o.Dir, "ca.key")} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
}
