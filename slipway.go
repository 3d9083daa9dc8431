// Package slipway is the vocabulary of the platform: names, digests, ids, events and the
// one error type. It imports the standard library only, and holds no behaviour beyond
// parsing and printing.
package slipway

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// Environments in which an endpoint may answer.
const (
	Production = "production"
	Staging    = "staging"
)

// nameRE is a DNS label (RFC 1123) of at most 63 characters that starts with a letter.
var nameRE = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

// ParseName checks that s names a model, an endpoint or a team: a DNS label that starts
// with a letter. It answers Invalid otherwise.
func ParseName(s string) (string, error) {
	if !nameRE.MatchString(s) {
		return "", &Error{Code: CodeInvalidName, Kind: Invalid,
			Message: fmt.Sprintf("%.80q is no valid name", s),
			Next:    "use lower-case letters, digits and dashes, starting with a letter, at most 63 characters"}
	}
	return s, nil
}

// ParseEndpoint splits the form used in URLs, {name} for production and {name}.{env} for
// any other environment.
func ParseEndpoint(s string) (name, env string, err error) {
	name, env, dotted := strings.Cut(s, ".")
	if !dotted {
		env = Production
	}
	if name, err = ParseName(name); err != nil {
		return "", "", err
	}
	if env, err = ParseName(env); err != nil {
		return "", "", err
	}
	return name, env, nil
}

// EndpointKey prints the URL form of an endpoint: the inverse of ParseEndpoint.
func EndpointKey(name, env string) string {
	if env == Production {
		return name
	}
	return name + "." + env
}

// Digest is "sha256:" and 64 lower-case hexadecimal digits.
type Digest string

// ParseDigest checks the form of a digest. It answers Invalid otherwise.
func ParseDigest(s string) (Digest, error) {
	digits, ok := strings.CutPrefix(s, "sha256:")
	if b, err := hex.DecodeString(digits); !ok || err != nil || len(b) != sha256.Size || strings.ToLower(digits) != digits {
		return "", &Error{Code: CodeInvalidDigest, Kind: Invalid, Message: fmt.Sprintf("%.80q is no digest", s),
			Next: "give sha256: and 64 lower-case hexadecimal digits"}
	}
	return Digest(s), nil
}

// DigestOf hashes bytes.
func DigestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// DigestReader hashes a stream and counts its bytes.
func DigestReader(r io.Reader) (Digest, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		return "", n, err
	}
	return Digest("sha256:" + hex.EncodeToString(h.Sum(nil))), n, nil
}

// Hex is the digest without its algorithm.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), "sha256:") }

// Short is the first twelve hexadecimal digits, for people.
func (d Digest) Short() string {
	h := d.Hex()
	return h[:min(12, len(h))]
}

// NewID makes an identifier: the kind's prefix and a UUIDv7 (RFC 9562) of the given time.
// Order is by sequence, never by id.
func NewID(prefix string, now time.Time) string {
	var u [16]byte
	if _, err := rand.Read(u[:]); err != nil {
		panic(err) // crypto/rand never fails on the platforms we build for
	}
	ms := now.UnixMilli()
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%s_%x-%x-%x-%x-%x", prefix, u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// Event is the record of one change or one denied attempt. A store commits it with the
// change it describes, or neither.
type Event struct {
	ID      string            `json:"id"`
	Time    time.Time         `json:"time"`
	Actor   string            `json:"actor"`
	Action  string            `json:"action"`  // verb in the past, dotted: "deployment.created"
	Subject string            `json:"subject"` // id or name of what changed
	Detail  map[string]string `json:"detail,omitempty"`
}
