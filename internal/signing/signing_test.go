package signing_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/signing"
)

func newKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func file(path, content string) signing.File {
	return signing.File{Path: path, Digest: slipway.DigestOf([]byte(content))}
}

var files = []signing.File{file("MLmodel", "flavors: {}\n"), file("data/model.ubj", "\x00"), file("data-2/x", ""), file("ünï.txt", "x")}

func TestSignature(t *testing.T) {
	for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key := newKey(t, c)
		b, err := signing.Sign(rand.Reader, key, "fraud", files)
		if err != nil {
			t.Fatal(err)
		}
		st, err := signing.Verify(b, &key.PublicKey)
		if err != nil || st.Name != "fraud" {
			t.Fatal(st, err)
		}
		if err := st.Match(files, false); err != nil {
			t.Error(err)
		}
		id, _ := signing.KeyID(&key.PublicKey)
		if !bytes.Contains(b, []byte(`"hint":"`+id+`"`)) {
			t.Errorf("the bundle does not name the key %s", id)
		}
		pem, _ := signing.MarshalPublic(&key.PublicKey)
		if back, err := signing.ParsePublic(pem); err != nil || !back.Equal(&key.PublicKey) {
			t.Error(err)
		}
		if _, err := signing.Verify(b, &newKey(t, c).PublicKey); !bad(err, "another key") {
			t.Error(err)
		}
	}
}

func bad(err error, text string) bool {
	return errors.Is(err, &slipway.Error{Code: slipway.CodeSignature}) && strings.Contains(err.Error(), text)
}

// TestAnyChangeIsSeen flips each bit of what is signed and of the signature.
func TestAnyChangeIsSeen(t *testing.T) {
	key := newKey(t, elliptic.P256())
	good, _ := signing.Sign(rand.Reader, key, "fraud", files[:1])
	for _, field := range []string{"payload", "sig"} {
		var b map[string]any
		_ = json.Unmarshal(good, &b)
		env := b["dsseEnvelope"].(map[string]any)
		in := env
		if field == "sig" {
			in = env["signatures"].([]any)[0].(map[string]any)
		}
		text := in[field].(string)
		for i := range text {
			changed := []byte(text)
			changed[i] ^= 1
			in[field] = string(changed)
			again, _ := json.Marshal(b)
			if _, err := signing.Verify(again, &key.PublicKey); err == nil && !sameBytes(text, string(changed)) {
				t.Fatalf("byte %d of %s was changed unseen", i, field)
			}
		}
	}
}

// sameBytes says whether two texts in base64 stand for the same: the last digit has bits that
// stand for nothing.
func sameBytes(a, b string) bool {
	var x, y []byte
	return json.Unmarshal([]byte(`"`+a+`"`), &x) == nil && json.Unmarshal([]byte(`"`+b+`"`), &y) == nil && bytes.Equal(x, y)
}

func TestFilesThatWereNotSigned(t *testing.T) {
	key := newKey(t, elliptic.P256())
	b, _ := signing.Sign(rand.Reader, key, "fraud", files)
	st, err := signing.Verify(b, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	other := append(files[:2:2], file("data-2/x", "other"), files[3])
	for text, have := range map[string][]signing.File{
		"ünï.txt is missing":                files[:3],
		"extra was not signed":              append(files[:4:4], file("extra", "")),
		"data-2/x is another file":          other,
		"MLmodel is missing, data-2/x is m": nil,
		"and 1 more":                        nil,
	} {
		if err := st.Match(have, false); !bad(err, text) {
			t.Errorf("%v, not %s", err, text)
		}
	}
}

// TestStatementsThatAreRefused: a good signature alone is not enough.
func TestStatementsThatAreRefused(t *testing.T) {
	key := newKey(t, elliptic.P256())
	if _, err := signing.Verify([]byte("{"), &key.PublicKey); !bad(err, "no signature of a model") {
		t.Error(err)
	}
	if _, err := signing.Verify(bytes.Repeat([]byte(" "), signing.MaxBundle+1), &key.PublicKey); !bad(err, "larger") {
		t.Error(err)
	}
	twice, _ := signing.Sign(rand.Reader, key, "fraud", append(files[:1:1], files[0]))
	if _, err := signing.Verify(twice, &key.PublicKey); !bad(err, "twice") {
		t.Error(err)
	}
	for _, pem := range []string{"", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", strings.Repeat("x", 20<<10)} {
		if _, err := signing.ParsePublic([]byte(pem)); err == nil {
			t.Errorf("%.30q is a key", pem)
		}
	}
}

func FuzzVerify(f *testing.F) {
	key := newKey(f, elliptic.P256())
	b, _ := signing.Sign(rand.Reader, key, "fraud", files)
	f.Add(b)
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{},"dsseEnvelope":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		st, err := signing.Verify(text, &key.PublicKey)
		if err != nil {
			return
		}
		want, _ := signing.Verify(b, &key.PublicKey)
		if diff := cmp.Diff(want, st); diff != "" { // only we have the key
			t.Fatal(diff)
		}
	})
}

// peer is a Python that has the package model-signing, or skips the test.
func peer(t *testing.T) string {
	t.Helper()
	python := os.Getenv("SLIPWAY_TEST_MODEL_SIGNING")
	if python == "" {
		python = "../../.venv/bin/python"
	}
	if err := exec.Command(python, "-c", "import model_signing").Run(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s has no model_signing: make .venv", python)
		}
		t.Skipf("%s has no model_signing", python)
	}
	return python
}

// TestPeer: the reference implementation takes our signatures, and we take its.
func TestPeer(t *testing.T) {
	python := peer(t)
	dir := t.TempDir()
	model := filepath.Join(dir, "model")
	content := map[string]string{"MLmodel": "flavors: {}\n", "data/model.ubj": "\x00\x01", "a-b/c": "1", "a/d": "2"}
	var have []signing.File
	for path, text := range content {
		write(t, filepath.Join(model, path), []byte(text))
		have = append(have, file(path, text))
	}
	key := newKey(t, elliptic.P256())
	public, _ := signing.MarshalPublic(&key.PublicKey)
	write(t, filepath.Join(dir, "key.pub"), public)
	ours, err := signing.Sign(rand.Reader, key, "model", have)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "ours.sig"), signing.Indent(ours))
	run := func(args ...string) (string, error) {
		cmd := exec.Command(python, append([]string{"-m", "model_signing"}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+dir)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	verify := []string{"verify", "key", model, "--signature", filepath.Join(dir, "ours.sig"), "--public_key", filepath.Join(dir, "key.pub")}
	if out, err := run(verify...); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	write(t, filepath.Join(model, "a/d"), []byte("3"))
	if out, err := run(verify...); err == nil {
		t.Errorf("the peer does not read what we sign: %s", out)
	}
	write(t, filepath.Join(model, "a/d"), []byte("2"))

	private := filepath.Join(dir, "their.key")
	theirKey := newKey(t, elliptic.P384())
	der, err := x509.MarshalECPrivateKey(theirKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, private, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	if out, err := run("sign", "key", model, "--signature", filepath.Join(model, "model.sig"), "--private_key", private); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	theirs, err := os.ReadFile(filepath.Join(model, "model.sig"))
	if err != nil {
		t.Fatal(err)
	}
	st, err := signing.Verify(theirs, &theirKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Match(have, false); err != nil {
		t.Error(err)
	}
	if err := st.Match(append(have, file("model.sig", "")), true); err != nil {
		t.Error(err)
	}
	if err := st.Match(append(have, file("model.sig", "")), false); !bad(err, "model.sig was not signed") {
		t.Error(err)
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
