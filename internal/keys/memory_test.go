package keys_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/keys"
)

// service is a key service that can be taken down, and counts.
type service struct {
	mu      sync.Mutex
	keys    map[string]*subtle.AESGCM // nil: destroyed
	down    atomic.Bool
	unwraps atomic.Int64
}

func (s *service) key(name string) (*subtle.AESGCM, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down.Load() {
		return nil, errors.New("connection refused by 192.0.2.1")
	}
	k, there := s.keys[name]
	if there && k == nil {
		return nil, &slipway.Error{Code: slipway.CodeShredded}
	}
	if !there {
		return nil, errors.New("no such key")
	}
	return k, nil
}

func (s *service) Create(_ context.Context, name string) error {
	if s.down.Load() {
		return errors.New("connection refused by 192.0.2.1")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if _, there := s.keys[name]; !there {
		s.keys[name], err = subtle.NewAESGCM(slices.Repeat([]byte{byte(len(s.keys))}, 32))
	}
	return err
}

func (s *service) Wrap(_ context.Context, name string, plain, label []byte) ([]byte, error) {
	k, err := s.key(name)
	if err != nil {
		return nil, err
	}
	return k.Encrypt(plain, label)
}

func (s *service) Unwrap(_ context.Context, name string, wrapped, label []byte) ([]byte, error) {
	s.unwraps.Add(1)
	k, err := s.key(name)
	if err != nil {
		return nil, err
	}
	out, err := k.Decrypt(wrapped, label)
	if err != nil {
		return nil, &slipway.Error{Code: slipway.CodeSealed}
	}
	return out, nil
}

func (s *service) Destroy(_ context.Context, names ...string) error {
	if s.down.Load() {
		return errors.New("connection refused by 192.0.2.1")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range names {
		s.keys[n] = nil
	}
	return nil
}

func (s *service) Check(context.Context) error { return nil }

// memory is a store of one test: it keeps the contract that the suite in storetest tests of
// the real ones.
type memory struct {
	mu      sync.Mutex
	keys    []keys.Key
	uses    map[string][]string
	objects []keys.ObjectKey
}

var errConflict = &slipway.Error{Code: slipway.CodeConflict, Kind: slipway.Conflict, Message: "conflict"}

func (m *memory) Keys(_ context.Context, s keys.Space) (out []keys.Key, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.keys {
		if s == "" || k.Space == s {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b keys.Key) int {
		return cmp.Or(cmp.Compare(a.Space, b.Space), cmp.Compare(a.Version, b.Version))
	})
	return out, nil
}

func (m *memory) find(s keys.Space, version int) *keys.Key {
	for i := range m.keys {
		if m.keys[i].Space == s && m.keys[i].Version == version {
			return &m.keys[i]
		}
	}
	return nil
}

func (m *memory) AddKey(_ context.Context, k keys.Key, _ slipway.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.find(k.Space, k.Version) != nil {
		return errConflict
	}
	for i := range m.keys {
		if m.keys[i].Space == k.Space && m.keys[i].State == keys.Active {
			m.keys[i].State = keys.DecryptOnly
		}
	}
	m.keys = append(m.keys, k)
	return nil
}

func (m *memory) SetKeys(_ context.Context, all []keys.Key, _ ...slipway.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range all {
		*m.find(k.Space, k.Version) = k
	}
	return nil
}

func (m *memory) Use(_ context.Context, s keys.Space, version int, kind string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := string(s) + string(rune(version))
	if !slices.Contains(m.uses[at], kind) {
		m.uses[at] = append(m.uses[at], kind)
	}
	return nil
}

func (m *memory) Uses(_ context.Context, s keys.Space, version int) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.uses[string(s)+string(rune(version))]), nil
}

func (m *memory) ObjectKeys(_ context.Context, objects ...string) (out []keys.ObjectKey, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.objects {
		if slices.Contains(objects, k.Object) {
			out = append(out, k)
		}
	}
	return out, nil
}

func (m *memory) SpaceObjectKeys(_ context.Context, s keys.Space, below, limit int) (some []keys.ObjectKey, all int, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.objects {
		if v, _ := keys.VersionOf(k.Sealed); k.Space == s && v < below {
			some = append(some, k)
		}
	}
	return some[:min(limit, len(some))], len(some), nil
}

func (m *memory) ChangeObjectKeys(_ context.Context, drop, add []keys.ObjectKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := slices.Clone(m.objects)
	for _, k := range drop {
		n := len(next)
		next = slices.DeleteFunc(next, func(o keys.ObjectKey) bool {
			return o.Object == k.Object && o.Space == k.Space && bytes.Equal(o.Sealed, k.Sealed)
		})
		if len(next) == n {
			return errConflict
		}
	}
	for _, k := range add {
		v, _ := keys.VersionOf(k.Sealed)
		if by := m.find(k.Space, v); by == nil || by.State != keys.Active {
			return errConflict
		}
		if slices.ContainsFunc(next, func(o keys.ObjectKey) bool { return o.Object == k.Object && o.Space == k.Space }) {
			return errConflict
		}
		next = append(next, k)
	}
	m.objects = next
	return nil
}
