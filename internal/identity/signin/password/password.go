// Package password keeps passwords as argon2id hashes, and says which passwords are good
// enough.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/slipway-ml/slipway"
)

// Params are the costs of argon2id (RFC 9106).
type Params struct {
	Memory uint32 // KiB
	Passes uint32
	Lanes  uint8
}

// Usual is what RFC 9106, section 4, recommends where memory is not plentiful, with one
// lane since the hashes of several people share two cores.
var Usual = Params{Memory: 64 << 10, Passes: 3, Lanes: 1}

// Limits of what Verify reads from a hash: they bound what one login may cost.
const (
	maxMemory = 256 << 10
	maxPasses = 10
	saltSize  = 16
	keySize   = 32
)

// turnLimit is how long one waits for one's turn.
const turnLimit = 10 * time.Second

// Hasher makes and verifies hashes, a few at a time, so that many logins at once wait
// instead of exhausting the memory. It is safe for concurrent use.
type Hasher struct {
	p     Params
	slots chan struct{}
	dummy string
	work  atomic.Int64
}

// NewHasher makes a Hasher that works on at most so many passwords at a time.
func NewHasher(p Params, atOnce int) *Hasher {
	h := &Hasher{p: p, slots: make(chan struct{}, atOnce)}
	h.dummy = h.encode(make([]byte, saltSize), make([]byte, keySize))
	return h
}

// Hash makes the hash of a password, in PHC's form. It answers Unavailable when its
// turn does not come in time.
func (h *Hasher) Hash(ctx context.Context, text string) (string, error) {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails, says its documentation
	key, err := h.key(ctx, text, salt, h.p, keySize)
	if err != nil {
		return "", err
	}
	return h.encode(salt, key), nil
}

// Verify says whether a password has a hash. Without one it works as long and says no, so
// that the time does not tell who has an account. It answers Unavailable when its
// turn does not come in time.
func (h *Hasher) Verify(ctx context.Context, text, hash string) (bool, error) {
	known := hash != ""
	if !known {
		hash = h.dummy
	}
	p, salt, want, err := decode(hash)
	if err != nil {
		return false, err
	}
	got, err := h.key(ctx, text, salt, p, len(want))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && known, nil
}

// Work counts the hashes that were computed.
func (h *Hasher) Work() int64 { return h.work.Load() }

func (h *Hasher) key(ctx context.Context, text string, salt []byte, p Params, size int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, turnLimit)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, "try again in a minute", "too many people sign in at once")
	}
	h.work.Add(1)
	return argon2.IDKey([]byte(norm.NFKC.String(text)), salt, p.Passes, p.Memory, p.Lanes, uint32(size)), nil //nolint:gosec // decode bounds it
}

func (h *Hasher) encode(salt, key []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.p.Memory, h.p.Passes, h.p.Lanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

func decode(hash string) (p Params, salt, key []byte, err error) {
	parts := strings.Split(hash, "$")
	var version int
	bad := fmt.Errorf("a stored hash of a password is damaged")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return p, nil, nil, bad
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return p, nil, nil, bad
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.Memory, &p.Passes, &p.Lanes); err != nil || p.Memory > maxMemory || p.Passes > maxPasses || p.Passes < 1 || p.Lanes < 1 {
		return p, nil, nil, bad
	}
	salt, err = base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil || len(salt) != saltSize {
		return p, nil, nil, bad
	}
	key, err = base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(key) != keySize {
		return p, nil, nil, bad
	}
	return p, salt, key, nil
}

// Lengths of a password in characters, and the most bytes that are read of one.
const (
	Min      = 12
	Max      = 128
	maxBytes = 4 * Max
)

//go:embed banned.txt
var bannedText string

var banned = func() map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(bannedText) {
		out[strings.TrimSpace(line)] = true
	}
	return out
}()

// Check answers Invalid for a password that is too short, too long, well known, or made of
// the account's name. There is no rule about kinds of characters: those make passwords that
// are hard to remember and easy to guess (NIST SP 800-63B, section 5.1.1.2).
func Check(text, account string) error {
	refuse := func(next, message string) error {
		return &slipway.Error{Code: slipway.CodePassword, Kind: slipway.Invalid, Field: "password", Message: message, Next: next}
	}
	plain := skeleton(text)
	switch n := utf8.RuneCountInString(text); {
	case n < Min:
		return refuse(fmt.Sprintf("take at least %d characters: four words are easy to remember", Min), "is too short")
	case n > Max || len(text) > maxBytes || !utf8.ValidString(text):
		return refuse(fmt.Sprintf("take at most %d characters", Max), "is too long")
	case banned[plain], strings.Trim(plain, string([]rune(plain)[:1])) == "":
		return refuse("take four words that have nothing to do with one another", "is one that everybody tries first")
	case account != "" && strings.ReplaceAll(plain, skeleton(account), "") == "", len(account) > 3 && strings.Contains(plain, skeleton(account)):
		return refuse("take four words that have nothing to do with one another", "has the account's name in it")
	}
	return nil
}

// skeleton is what is left of a password without the usual disguise: case, and digits and
// signs at its ends.
func skeleton(text string) string {
	lower := strings.ToLower(norm.NFKC.String(text))
	if inner := strings.Trim(lower, "0123456789!?.,*#$-_ "); inner != "" {
		return inner
	}
	return lower
}
