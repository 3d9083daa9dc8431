package keys

import (
	"context"
	"errors"
	"time"

	"github.com/slipway-ml/slipway"
)

// Secret is a value that a team's models get, sealed in the team's space, or where it lies.
type Secret struct {
	Team    string
	Name    string
	From    string // a reference; empty: the value is in Sealed
	Sealed  []byte
	Number  int // counts what was set
	Changed time.Time
	By      string
}

// SecretStore keeps secrets. A change and its event are durable together.
type SecretStore interface {
	// Secrets gives those of a team, of all for "", by team and name.
	Secrets(ctx context.Context, team string) ([]Secret, error)
	// SaveSecret puts a secret in place of the one that was read before, nil if there was none.
	// It answers Conflict when that has changed, or the sealing key is not the active one any
	// more.
	SaveSecret(ctx context.Context, s Secret, was *Secret, events ...slipway.Event) error
	// DeleteSecret answers NotFound if it is not there.
	DeleteSecret(ctx context.Context, team, name string, events ...slipway.Event) error
}

// KindSecret is the kind of sealed secrets.
const KindSecret = "secret"

// SecretLabel is what a sealed secret is bound to.
func SecretLabel(s *Secret) Label { return Label{Object: s.Name, Kind: KindSecret, Version: 1} }

// Secrets moves sealed secrets to active keys.
type Secrets struct {
	ring  *Ring
	store SecretStore
}

// NewSecrets makes a Secrets.
func NewSecrets(r *Ring, s SecretStore) *Secrets {
	m := &Secrets{r, s}
	r.Register(KindSecret, m)
	return m
}

// Reseal implements Resealer. A team has few secrets: all are moved at once.
func (m *Secrets) Reseal(ctx context.Context, s Space, below int) (left int, err error) {
	all, err := m.store.Secrets(ctx, s.Owner())
	if err != nil {
		return 0, err
	}
	for i := range all {
		version, ok := VersionOf(all[i].Sealed)
		if !ok || version >= below {
			continue
		}
		moved := all[i]
		value, err := m.ring.Open(ctx, s, SecretLabel(&moved), moved.Sealed)
		if err == nil {
			moved.Sealed, err = m.ring.Seal(ctx, s, SecretLabel(&moved), value)
		}
		if err == nil {
			err = m.store.SaveSecret(ctx, moved, &all[i])
		}
		if errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) {
			left++ // others set it: the next call sees
			continue
		}
		if err != nil {
			return left + 1, err
		}
	}
	return left, nil
}
