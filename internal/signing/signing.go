// Package signing makes and verifies OpenSSF model signatures: a sigstore bundle whose DSSE
// envelope holds an in-toto statement about the digest of every file of a model.
//
// The format is that of model_signing 1.x (github.com/ossf/model-signing-spec): predicate
// https://model_signing/signature/v1.0, serialization by whole files, signed with an ECDSA key
// on P-256, P-384 or P-521. It is read and written here in so few fields that a library would
// bring more than it saves; docs/decisions/0023 says which were tried.
package signing

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
)

// The names that the format fixes.
const (
	bundleType    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	bundlePrefix  = "application/vnd.dev.sigstore.bundle"
	payloadType   = "application/vnd.in-toto+json"
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://model_signing/signature/v1.0"
	byFiles       = "files"
	sha256Name    = "sha256"
)

// Bounds of a signature.
const (
	MaxBundle    = 16 << 20 // bytes
	maxResources = 20_000
	maxIgnored   = 1_000
)

// File is one file of a model: its path with slashes, below the model's directory, and the
// SHA-256 of its bytes.
type File struct {
	Path   string
	Digest slipway.Digest
}

type bundle struct {
	MediaType string   `json:"mediaType"`
	Material  material `json:"verificationMaterial"`
	Envelope  envelope `json:"dsseEnvelope"`
}

type material struct {
	PublicKey *publicKey `json:"publicKey,omitempty"`
	TLog      []any      `json:"tlogEntries"`
}

type publicKey struct {
	Hint string `json:"hint"` // KeyID
}

type envelope struct {
	Payload     []byte      `json:"payload"`
	PayloadType string      `json:"payloadType"`
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	Sig   []byte `json:"sig"`
	KeyID string `json:"keyid"`
}

type statement struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     predicate `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

type predicate struct {
	Serialization serialization `json:"serialization"`
	Resources     []resource    `json:"resources"`
}

type serialization struct {
	Method        string   `json:"method"`
	HashType      string   `json:"hash_type"`
	AllowSymlinks bool     `json:"allow_symlinks"`
	IgnorePaths   []string `json:"ignore_paths"`
}

type resource struct {
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	Digest    string `json:"digest"`
}

// Statement is what a signature says: a model's name and its files.
type Statement struct {
	Name    string
	Files   []File
	Ignored []string // paths that the signature does not speak of
}

// wrong is an error of a signature that does not hold.
func wrong(format string, args ...any) error {
	return slipway.Errorf(slipway.Unprocessable, slipway.CodeSignature, "do not use the files; fetch them and their signature again, from where they were signed", format, args...)
}

// KeyID names a public key as signatures do: the SHA-256 of its PEM form, in hexadecimal.
func KeyID(key *ecdsa.PublicKey) (string, error) {
	text, err := MarshalPublic(key)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// MarshalPublic gives a public key in PEM.
func MarshalPublic(key *ecdsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// maxKey bounds a public key's file.
const maxKey = 16 << 10

// ParsePublic reads a public key in PEM. It answers Invalid for what is none that signs models.
func ParsePublic(text []byte) (*ecdsa.PublicKey, error) {
	bad := slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give the file with the public key, which begins with -----BEGIN PUBLIC KEY-----", "this is no ECDSA public key in PEM")
	if len(text) > maxKey {
		return nil, bad
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, bad
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	key, ok := parsed.(*ecdsa.PublicKey)
	if err != nil || !ok || hashFor(key.Curve, nil) == nil {
		return nil, bad
	}
	return key, nil
}

// hashFor hashes with the function that belongs to a curve, nil for another curve.
func hashFor(c elliptic.Curve, text []byte) []byte {
	switch c {
	case elliptic.P256():
		sum := sha256.Sum256(text)
		return sum[:]
	case elliptic.P384():
		sum := sha512.Sum384(text)
		return sum[:]
	case elliptic.P521():
		sum := sha512.Sum512(text)
		return sum[:]
	}
	return nil
}

// pae is the text that is signed (DSSE v1, pre-authentication encoding).
func pae(payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// Sign makes the signature of a model's files. The random numbers go into the signature.
func Sign(random io.Reader, key *ecdsa.PrivateKey, name string, files []File) ([]byte, error) {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	st := statement{Type: statementType, PredicateType: predicateType,
		Predicate: predicate{Serialization: serialization{Method: byFiles, HashType: sha256Name, IgnorePaths: []string{}}}}
	root := sha256.New()
	for _, f := range files {
		digest, err := hex.DecodeString(f.Digest.Hex())
		if err != nil {
			return nil, err
		}
		root.Write(digest)
		st.Predicate.Resources = append(st.Predicate.Resources, resource{f.Path, sha256Name, f.Digest.Hex()})
	}
	st.Subject = []subject{{name, map[string]string{sha256Name: hex.EncodeToString(root.Sum(nil))}}}
	payload, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	id, err := KeyID(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	sig, err := ecdsa.SignASN1(random, key, hashFor(key.Curve, pae(payload)))
	if err != nil {
		return nil, err
	}
	return json.Marshal(bundle{MediaType: bundleType, Material: material{&publicKey{id}, []any{}},
		Envelope: envelope{payload, payloadType, []signature{{Sig: sig}}}})
}

func parse(text []byte) (bundle, error) {
	var b bundle
	if len(text) > MaxBundle {
		return b, wrong("the signature is larger than %d MiB", MaxBundle>>20)
	}
	if err := json.Unmarshal(text, &b); err != nil || !strings.HasPrefix(b.MediaType, bundlePrefix) {
		return b, wrong("this is no signature of a model: a sigstore bundle in JSON is one")
	}
	return b, nil
}

// Verify checks a bundle's signature with a key and gives what it says. It answers
// CodeSignature unless all of it holds.
func Verify(text []byte, key *ecdsa.PublicKey) (Statement, error) {
	b, err := parse(text)
	if err != nil {
		return Statement{}, err
	}
	id, err := KeyID(key)
	if err != nil {
		return Statement{}, err
	}
	if k := b.Material.PublicKey; k != nil && k.Hint != "" && k.Hint != id {
		return Statement{}, wrong("it was signed with another key, %.16s…, and not with %.16s…", slipway.OneLine(k.Hint, 64), id)
	}
	if b.Envelope.PayloadType != payloadType || len(b.Envelope.Signatures) != 1 {
		return Statement{}, wrong("the signature has not one signer of an in-toto statement")
	}
	if !ecdsa.VerifyASN1(key, hashFor(key.Curve, pae(b.Envelope.Payload)), b.Envelope.Signatures[0].Sig) {
		return Statement{}, wrong("the signature is not one of this key over this statement")
	}
	return read(b.Envelope.Payload)
}

// read reads a statement whose signature holds.
func read(payload []byte) (Statement, error) {
	var st statement
	if err := json.Unmarshal(payload, &st); err != nil || st.Type != statementType || st.PredicateType != predicateType || len(st.Subject) != 1 {
		return Statement{}, wrong("what is signed is no statement about a model of version 1")
	}
	s := st.Predicate.Serialization
	if s.Method != byFiles || s.HashType != sha256Name {
		return Statement{}, wrong("the model was hashed by %.20q with %.20q, and only whole files with sha256 are read here", s.Method, s.HashType)
	}
	if len(st.Predicate.Resources) > maxResources || len(s.IgnorePaths) > maxIgnored {
		return Statement{}, wrong("the statement is about too many files")
	}
	out := Statement{Name: st.Subject[0].Name, Ignored: s.IgnorePaths}
	root := sha256.New()
	seen := map[string]bool{}
	for _, r := range st.Predicate.Resources {
		digest, err := slipway.ParseDigest("sha256:" + r.Digest)
		if err != nil || r.Algorithm != sha256Name || r.Name == "" || seen[r.Name] {
			return Statement{}, wrong("the statement has a file without a name or a digest, or twice")
		}
		seen[r.Name] = true
		sum, _ := hex.DecodeString(r.Digest) // parsed above
		root.Write(sum)
		out.Files = append(out.Files, File{r.Name, digest})
	}
	if st.Subject[0].Digest[sha256Name] != hex.EncodeToString(root.Sum(nil)) {
		return Statement{}, wrong("the statement's own digest is not that of its files")
	}
	return out, nil
}

// maxNamed is how many files an error names.
const maxNamed = 3

// Match answers CodeSignature unless the statement is about exactly these files. What it says
// to ignore is ignored only with lax: files in a directory that somebody works in.
func (s Statement) Match(files []File, lax bool) error {
	have := map[string]slipway.Digest{}
	for _, f := range files {
		have[f.Path] = f.Digest
	}
	var bad []string
	for _, f := range s.Files {
		switch digest, ok := have[f.Path]; {
		case !ok:
			bad = append(bad, f.Path+" is missing")
		case digest != f.Digest:
			bad = append(bad, f.Path+" is another file than was signed")
		}
		delete(have, f.Path)
	}
	for path := range have {
		if !lax || !s.ignores(path) {
			bad = append(bad, path+" was not signed")
		}
	}
	if len(bad) == 0 {
		return nil
	}
	slices.Sort(bad)
	more := ""
	if n := len(bad) - maxNamed; n > 0 {
		more = fmt.Sprintf(", and %d more", n)
		bad = bad[:maxNamed]
	}
	return wrong("the files are not those that were signed: %s%s", slipway.OneLine(strings.Join(bad, ", "), 400), more)
}

// ignores says whether a path is one of those that the statement leaves out, or below one.
func (s Statement) ignores(path string) bool {
	return slices.ContainsFunc(s.Ignored, func(p string) bool {
		p = strings.TrimPrefix(p, "./")
		return path == p || strings.HasPrefix(path, p+"/")
	})
}

// Indent prints a bundle for people to read.
func Indent(text []byte) []byte {
	var out bytes.Buffer
	if json.Indent(&out, text, "", "  ") != nil {
		return text
	}
	return out.Bytes()
}
