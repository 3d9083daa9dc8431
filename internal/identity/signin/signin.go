// Package signin is how people come in: invitations, passwords with a second factor, an
// identity provider, sessions, and the codes by which a command line signs in.
package signin

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/identity/signin/password"
)

// Sealer encrypts what must not be read from the database. It is safe for concurrent use.
type Sealer interface {
	// Seal encrypts, bound to what the bytes are for: Open with another aad fails.
	Seal(ctx context.Context, aad string, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, aad string, sealed []byte) ([]byte, error)
}

// Config is what a Service is made of.
type Config struct {
	Records  identity.Records
	Accounts *identity.Service
	Sealer   Sealer
	Hasher   *password.Hasher
	Provider Provider // nil: people sign in with passwords
	Title    string   // of this installation, as authenticator apps show it
	Changed  func()   // is told when tokens or roles may have changed
	Now      func() time.Time
}

// Service is the use cases of signing in. It is safe for concurrent use.
type Service struct {
	c        Config
	mu       sync.Mutex // one use of a credential at a time: a code is used once
	throttle *throttle
	starts   *rate.Limiter      // of command lines, and of trips to the provider
	renewing singleflight.Group // by account
}

// New makes a Service.
func New(c Config) *Service {
	return &Service{c: c, throttle: newThrottle(), starts: rate.NewLimiter(startPace, startBurst)}
}

// Source is where a request comes from.
type Source struct {
	Peer  string // network address; several people may share it
	Agent string // what the browser or the program says it is
}

// Kinds of records.
const (
	kindCredential = "credential" // by account
	kindInvitation = "invitation" // by account; key: hash of the code
	kindSession    = "session"    // key: hash of the secret in the cookie
	kindDevice     = "device"     // key: hash of the device's code
	kindCode       = "code"       // by device; key: hash of the code that people type
	kindRefresh    = "refresh"    // key: hash of the token
	kindSubject    = "subject"    // by account; key: issuer and subject at a provider
	kindRule       = "rule"       // from a group to a role
)

// credential is how an account signs in here.
type credential struct {
	Password string   `json:"password"`
	Seed     []byte   `json:"seed"` // sealed
	Step     int64    `json:"step"` // of the last code that was used
	Recovery []string `json:"recovery,omitempty"`
}

func seedOf(account string) string { return "signin/seed/" + account }

// record makes a record whose document is a value.
func record(kind, id, key, account string, expires time.Time, v any) identity.Record {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the values of this package are plain
	}
	return identity.Record{Kind: kind, ID: id, Key: key, Account: account, Expires: expires, Document: b}
}

// read is the inverse of record.
func read[T any](r identity.Record, err error) (T, error) {
	var v T
	if err == nil {
		err = json.Unmarshal(r.Document, &v)
	}
	return v, err
}

// newSecret makes 256 bits that only their bearer has, with a prefix by which people and
// scanners know what they are.
func newSecret(prefix string) string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails, says its documentation
	return prefix + base64.RawURLEncoding.EncodeToString(b)
}

func hash(secret string) string { return identity.HashText(secret) }

func missing(err error) bool { return errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) }

// nobody acts when it is not known who does.
const nobody = "nobody"

func (s *Service) event(actor, action, subject string, pairs ...string) slipway.Event {
	now := s.c.Now()
	detail := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			detail[pairs[i]] = pairs[i+1]
		}
	}
	return slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: actor, Action: action, Subject: subject, Detail: detail}
}

// usable answers whether an account is a person's, and not disabled.
func (s *Service) usable(ctx context.Context, name string) error {
	a, err := s.c.Accounts.Account(ctx, name)
	switch {
	case err != nil:
		return err
	case !a.Disabled.IsZero():
		return slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform accounts list "+name, "the account %s is disabled", name)
	case a.Kind != slipway.Person:
		return slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "platform tokens create "+name, "%s is a service: it acts with tokens, and does not sign in", name)
	}
	return nil
}

// sweepAfter is how long what has expired is kept, so that a late use can be told so.
const sweepAfter = 24 * time.Hour

// Sweep removes what has long expired.
func (s *Service) Sweep(ctx context.Context) error {
	return s.c.Records.SweepRecords(ctx, s.c.Now().Add(-sweepAfter))
}
