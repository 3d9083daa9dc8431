package keys

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"github.com/slipway-ml/slipway"
)

// Config is what a Ring is made of.
type Config struct {
	Store   Store
	Service Service
	// Now must be monotonic, as time.Now is: then no jump of the wall clock makes a key live
	// longer or shorter in memory.
	Now func() time.Time
	Log *slog.Logger
}

// Ring seals and opens. Safe for concurrent use.
type Ring struct {
	Config

	mu        sync.Mutex
	cache     map[slot]*entry
	used      map[use]bool
	resealers map[string]Resealer
	retired   map[slot]time.Time // when a key was first seen not to be the active one
}

type slot struct {
	space   Space
	version int
}

type use struct {
	slot
	kind string
}

// How long an unwrapped data key stays in memory.
const (
	// Fresh is how long one is used without asking the key service again.
	Fresh = 5 * time.Minute
	// Stale is how long one opens what is stored while the key service is down. It seals
	// nothing then.
	Stale = 4 * time.Hour
	// again is the pause between two attempts with a service that is down.
	again = 5 * time.Second
	// MaxCached bounds the number of keys in memory.
	MaxCached = 512
	// serviceLimit bounds one call of the key service.
	serviceLimit = 5 * time.Second
)

// entry is one data key in memory; its mutex is held while the key service is asked.
type entry struct {
	sync.Mutex
	aead  *subtle.AESGCM
	since time.Time // the service gave it last
	tried time.Time // the service failed last
}

// New makes a Ring.
func New(c Config) *Ring {
	return &Ring{Config: c, cache: map[slot]*entry{}, used: map[use]bool{}, resealers: map[string]Resealer{}, retired: map[slot]time.Time{}}
}

const (
	formatByte = 1
	headSize   = 1 + 4
	// maxPlain bounds what is sealed in one piece, in bytes; files are streams.
	maxPlain = 1 << 20
)

// Seal encrypts a small value with the active key of a space, which is made when the space
// is new. It answers CodeKeyService when the key service is down: the caller must not store
// the value then.
func (r *Ring) Seal(ctx context.Context, s Space, l Label, plaintext []byte) ([]byte, error) {
	if len(plaintext) > maxPlain {
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodeTooLarge, "store it as a file", "a value to seal has at most %d bytes", maxPlain)
	}
	k, aead, err := r.sealing(ctx, s)
	if err == nil {
		err = r.note(ctx, use{slot{s, k.Version}, l.Kind})
	}
	if err != nil {
		return nil, err
	}
	out, err := aead.Encrypt(plaintext, l.bytes(s))
	if err != nil {
		return nil, err
	}
	head := binary.BigEndian.AppendUint32([]byte{formatByte}, uint32(k.Version)) //nolint:gosec // versions are small
	return append(head, out...), nil
}

// Open is the inverse of Seal. It answers CodeSealed for what was altered or carries another
// label, CodeShredded when the key is destroyed.
func (r *Ring) Open(ctx context.Context, s Space, l Label, sealed []byte) ([]byte, error) {
	version, ok := VersionOf(sealed)
	if !ok {
		return nil, altered(l.Kind)
	}
	all, err := r.Store.Keys(ctx, s)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Version != version {
			continue
		}
		if !all[i].State.Opens() {
			r.forget(s)
			return nil, shredded(s)
		}
		aead, err := r.unwrapped(ctx, &all[i], Stale)
		if err != nil {
			return nil, err
		}
		out, err := aead.Decrypt(sealed[headSize:], l.bytes(s))
		if err != nil {
			return nil, altered(l.Kind)
		}
		return out, nil
	}
	return nil, altered(l.Kind)
}

// VersionOf is the version of the data key that something was sealed with.
func VersionOf(sealed []byte) (version int, ok bool) {
	if len(sealed) < headSize || sealed[0] != formatByte {
		return 0, false
	}
	return int(binary.BigEndian.Uint32(sealed[1:headSize])), true
}

// sealing gives the active key of a space, ready for use. One may be replaced and destroyed
// while the key service is asked.
func (r *Ring) sealing(ctx context.Context, s Space) (k Key, aead *subtle.AESGCM, err error) {
	for range maxTries {
		before := k.Version
		if k, err = r.active(ctx, s); err != nil {
			return k, nil, err
		}
		aead, err = r.unwrapped(ctx, &k, 0)
		if !errors.Is(err, &slipway.Error{Code: slipway.CodeShredded}) || k.Version == before {
			break
		}
	}
	return k, aead, err
}

// active is the key that a space seals with.
func (r *Ring) active(ctx context.Context, s Space) (Key, error) {
	all, err := r.Store.Keys(ctx, s)
	if err != nil {
		return Key{}, err
	}
	last := 0
	for _, k := range all {
		if k.State == Active {
			return k, nil
		}
		last = max(last, k.Version)
	}
	k, err := r.add(ctx, s, last+1, "system")
	if errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) { // another call was first
		return r.active(ctx, s)
	}
	return k, err
}

// add makes a version of a space's data key: first the wrapping key, then the record. A
// crash in between leaves a wrapping key that wraps nothing.
func (r *Ring) add(ctx context.Context, s Space, version int, actor string) (Key, error) {
	now := r.Now()
	k := Key{Space: s, Version: version, State: Active, Wrapper: wrapperName(s, version), Created: now, Changed: now}
	plain := make([]byte, 32)
	_, _ = rand.Read(plain) // never fails
	call, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	err := r.Service.Create(call, k.Wrapper)
	if err == nil {
		k.Wrapped, err = r.Service.Wrap(call, k.Wrapper, plain, k.label())
	}
	if err != nil {
		return k, classify(err)
	}
	return k, r.Store.AddKey(ctx, k, r.event(actor, "keys.created", s, map[string]string{"version": strconv.Itoa(version), "wrapper": k.Wrapper}))
}

// wrapperName is unique: installations may share a key service, and a name is never used
// again after its key was destroyed.
func wrapperName(s Space, version int) string {
	b := make([]byte, 6)
	_, _ = rand.Read(b)
	return "slipway-" + strings.ReplaceAll(string(s), "/", "_") + "-" + strconv.Itoa(version) + "-" + hex.EncodeToString(b)
}

func (k *Key) label() []byte {
	return Label{Object: strconv.Itoa(k.Version), Kind: "data-key", Version: 1}.bytes(k.Space)
}

// unwrapped gives a data key that the key service gave lately, or, while that is down, not
// longer than grace ago.
func (r *Ring) unwrapped(ctx context.Context, k *Key, grace time.Duration) (*subtle.AESGCM, error) {
	e := r.entry(slot{k.Space, k.Version})
	e.Lock()
	defer e.Unlock()
	now := r.Now()
	age := now.Sub(e.since)
	if e.aead != nil && age >= 0 && age < Fresh {
		return e.aead, nil
	}
	usable := e.aead != nil && age >= 0 && age < grace
	if usable && !e.tried.IsZero() && now.Sub(e.tried) < again {
		return e.aead, nil
	}
	call, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	plain, err := r.Service.Unwrap(call, k.Wrapper, k.Wrapped, k.label())
	switch {
	case errors.Is(err, &slipway.Error{Code: slipway.CodeShredded}):
		e.aead = nil
		return nil, r.gone(ctx, k)
	case errors.Is(err, &slipway.Error{Code: slipway.CodeSealed}):
		return nil, altered("data key")
	case err != nil && usable:
		r.Log.WarnContext(ctx, "the key service is down; a key in memory is used", "space", string(k.Space), "age", age.String(), "error", err.Error())
		e.tried = now
		return e.aead, nil
	case err != nil:
		return nil, classify(err)
	}
	if e.aead, err = subtle.NewAESGCM(plain); err != nil {
		return nil, altered("data key")
	}
	e.since, e.tried = now, time.Time{}
	return e.aead, nil
}

// gone tells a key that was destroyed by us from one that the key service has lost, or that
// another one has made: on the latter ground nothing may be given up.
func (r *Ring) gone(ctx context.Context, k *Key) error {
	all, err := r.Store.Keys(ctx, k.Space)
	if err != nil {
		return err
	}
	for _, now := range all {
		if now.Version == k.Version && now.State.Opens() {
			return slipway.Errorf(slipway.Unavailable, slipway.CodeKeyLost, "compare --kms with what this installation was started with before",
				"the key service has not got version %d of the key of %s, which is in use here", k.Version, k.Space)
		}
	}
	return shredded(k.Space)
}

func classify(err error) error {
	var e *slipway.Error
	if errors.As(err, &e) && e.Code != slipway.CodeInternal {
		return err
	}
	return unavailable(err)
}

// entry finds the place of a key in memory, and makes room for it.
func (r *Ring) entry(s slot) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.cache[s]
	if e == nil {
		for old := range r.cache { // any: which one matters little, that there is a bound does
			if len(r.cache) < MaxCached {
				break
			}
			delete(r.cache, old)
		}
		e = &entry{}
		r.cache[s] = e
	}
	return e
}

// forget drops the keys of a space from memory.
func (r *Ring) forget(s Space) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at := range r.cache {
		if at.space == s {
			delete(r.cache, at)
		}
	}
	for at := range r.used {
		if at.space == s {
			delete(r.used, at)
		}
	}
}

// note remembers what a version is needed for, before anything needs it.
func (r *Ring) note(ctx context.Context, u use) error {
	r.mu.Lock()
	known := r.used[u]
	r.mu.Unlock()
	if known {
		return nil
	}
	if err := r.Store.Use(ctx, u.space, u.version, u.kind); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used[u] = true
	return nil
}

func (r *Ring) event(actor, action string, s Space, detail map[string]string) slipway.Event {
	now := r.Now()
	return slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: actor, Action: action, Subject: string(s), Detail: detail}
}
