// Package keys keeps what is stored unreadable without a key service. Each key space, a team
// or a class of subjects in it, has data keys of its own; the key service wraps them, and
// never gives out what it wraps with. A ciphertext is bound to the space and to what it is of.
//
// To seal a column:
//
//	sealed, err := ring.Seal(ctx, keys.Platform, keys.Label{Object: account, Kind: "totp-seed", Version: 1}, seed)
//	seed, err := ring.Open(ctx, keys.Platform, keys.Label{Object: account, Kind: "totp-seed", Version: 1}, sealed)
//
// and, so that its key can be rotated away, Register a Resealer of that kind.
package keys

import (
	"context"
	"encoding/binary"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
)

// Space is a set of ciphertexts with keys of their own, which can be shredded alone.
type Space string

// The spaces that belong to no team.
const (
	Platform Space = "platform" // the installation's own
	Uploads  Space = "uploads"  // what was uploaded and no team has registered yet
)

const teams = "team/"

// Team is the space of a team.
func Team(name string) Space { return Space(teams + name) }

// Class is the space of a class of subjects in a team's: "team/risk/customers-eu".
func (s Space) Class(name string) Space { return s + "/" + Space(name) }

// Owner is the team of a space, empty for one that belongs to no team.
func (s Space) Owner() string {
	rest, ok := strings.CutPrefix(string(s), teams)
	if !ok {
		return ""
	}
	team, _, _ := strings.Cut(rest, "/")
	return team
}

// ParseSpace reads the name of a space.
func ParseSpace(text string) (Space, error) {
	if s := Space(text); s == Platform || s == Uploads {
		return s, nil
	}
	rest, ok := strings.CutPrefix(text, teams)
	parts := strings.Split(rest, "/")
	ok = ok && len(parts) <= 2
	for _, p := range parts {
		_, err := slipway.ParseName(p)
		ok = ok && err == nil
	}
	if !ok {
		return "", slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "write platform, uploads, team/TEAM or team/TEAM/CLASS", "%.140q is no key space", text)
	}
	return Space(text), nil
}

// Label says what a ciphertext is of. With another one it does not open, so that nobody who
// can write the database can move a value to another row, column or team.
type Label struct {
	Object  string // which one: an account, a digest, a secret
	Kind    string // of what, "totp-seed"; constant for a column
	Version int    // of its form
}

// bytes is the associated data: space, object, kind and version, so that no two differ only
// in where one part ends.
func (l Label) bytes(s Space) []byte {
	out := []byte("slipway/1")
	for _, part := range []string{string(s), l.Object, l.Kind} {
		out = binary.AppendUvarint(out, uint64(len(part)))
		out = append(out, part...)
	}
	return binary.BigEndian.AppendUint64(out, uint64(l.Version)) //nolint:gosec // any number is as good
}

// State is what a data key may be used for.
type State string

// The states, in the order in which a key goes through them.
const (
	Active      State = "active"
	DecryptOnly State = "decrypt-only"
	Leaving     State = "leaving"   // as that, and destroyed as soon as nothing here needs it
	Condemned   State = "condemned" // opens nothing any more; the key service has to be told yet
	Destroyed   State = "destroyed"
)

// Opens says whether a key opens what it has sealed.
func (s State) Opens() bool { return s == Active || s == DecryptOnly || s == Leaving }

// Key is one version of the data key of a space. Only the key service, and only with the
// wrapping key that is named after this one, gives its bytes.
type Key struct {
	Space   Space     `json:"space"`
	Version int       `json:"version"`
	State   State     `json:"state"`
	Wrapper string    `json:"wrapper"` // the wrapping key's name in the key service
	Wrapped []byte    `json:"-"`       // empty when condemned
	Created time.Time `json:"created"`
	Changed time.Time `json:"changed"`
}

// Service keeps wrapping keys and uses them where they are. Safe for concurrent use. Whatever
// it has acknowledged survives its own crash. It answers CodeKeyService, Unavailable, when it
// cannot be reached or refuses this installation; CodeShredded for a key that was destroyed;
// CodeSealed for bytes that do not open.
type Service interface {
	// Create makes a wrapping key; one that is there stays.
	Create(ctx context.Context, name string) error
	Wrap(ctx context.Context, name string, plaintext, label []byte) ([]byte, error)
	Unwrap(ctx context.Context, name string, wrapped, label []byte) ([]byte, error)
	// Destroy makes that no wrapping key of these names can be used again, by copies of what
	// the platform keeps either. One that was never there counts as destroyed.
	Destroy(ctx context.Context, names ...string) error
	// Check answers whether the service can be used now.
	Check(ctx context.Context) error
}

// Store keeps data keys. A change and its event are durable together.
type Store interface {
	// Keys gives the versions of a space, of all for "", by space and version.
	Keys(ctx context.Context, s Space) ([]Key, error)
	// AddKey makes a key the active one; the one before is decrypt-only then. It answers
	// Conflict when the version is there already.
	AddKey(ctx context.Context, k Key, ev slipway.Event) error
	// SetKeys changes the state and the wrapped bytes of keys that are there. No key goes back
	// to an earlier state: Conflict.
	SetKeys(ctx context.Context, keys []Key, events ...slipway.Event) error
	// Use remembers that something of this kind was sealed with a version.
	Use(ctx context.Context, s Space, version int, kind string) error
	// Uses gives the kinds that were sealed with a version, sorted.
	Uses(ctx context.Context, s Space, version int) ([]string, error)
}

func unavailable(err error) *slipway.Error {
	return &slipway.Error{Code: slipway.CodeKeyService, Kind: slipway.Unavailable, Message: "the key service cannot be used, and nothing is stored without it",
		Next: "platform doctor", Cause: err}
}

func shredded(s Space) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeShredded, "platform keys list", "the key of %s that this was sealed with is destroyed", s)
}

func altered(kind string) error {
	return slipway.Errorf(slipway.Internal, slipway.CodeSealed, "bring it back from a backup", "a stored %.40s does not open: it was altered, or moved from elsewhere", kind)
}
