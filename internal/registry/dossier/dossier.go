// Package dossier keeps what is known of models beside their files: where their aliases
// pointed and when, who signed versions with which key, and the cards that describe them.
package dossier

import (
	"context"
	"crypto/ecdsa"
	"time"

	"github.com/slipway-ml/slipway"
)

// Span is a time in which an alias pointed at one version: From inclusive, To exclusive.
type Span struct {
	Seq       int64 // of the move that began it: the order of moves, whatever the clock said
	Alias     string
	Version   int // 0: the alias was removed, and pointed nowhere
	Digest    slipway.Digest
	From      time.Time
	To        time.Time // zero: it is so still
	By        string
	Reason    string
	Request   string // that permitted the move; empty: none was needed
	Requested string // who asked for it
	// Approvers said yes to the request.
	Approvers []string
}

// SpanQuery chooses the spans of an alias that have a moment in [From, Until) in common. A
// zero time is no bound.
type SpanQuery struct {
	Model, Alias string
	From, Until  time.Time
	Before       int64 // only spans that began earlier, by sequence; 0: from the newest
	Limit        int
}

// Signature is one signature of a version, as a sigstore bundle.
type Signature struct {
	Model   string
	Number  int
	Key     string // signing.KeyID
	Bundle  []byte
	Created time.Time
	By      string
}

// Card is one text of a version's model card, in Markdown.
type Card struct {
	Model   string
	Number  int
	Seq     int // counts the texts of this version from 1
	Text    string
	Created time.Time
	By      string
	Reason  string
}

// Key signs versions. Sealed is its private half in PKCS #8, as the installation's keys seal it.
type Key struct {
	ID      string
	Public  []byte // PEM
	Sealed  []byte
	Created time.Time
	Retired time.Time // zero: it signs
}

// Store keeps dossiers. Every method is safe for concurrent use; what is acknowledged is
// durable together with its event.
type Store interface {
	// Spans lists newest first, at most q.Limit.
	Spans(ctx context.Context, q SpanQuery) ([]Span, error)
	Signatures
	Cards
	// Renamed gives a context under which the next change commits with the dossiers of a
	// model going over to its new name.
	Renamed(ctx context.Context, model, to string) context.Context
}

// Signatures are those of versions.
type Signatures interface {
	// SignaturesOf lists newest first.
	SignaturesOf(ctx context.Context, model string, number int) ([]Signature, error)
	Sign(ctx context.Context, s Signature, ev slipway.Event) error
	// Signed gives a context under which the next version that is added to s.Model commits
	// with the signature: the number of that version is taken for s.Number.
	Signed(ctx context.Context, s Signature, digest slipway.Digest, ev slipway.Event) context.Context
}

// Cards are the model cards of versions.
type Cards interface {
	// CardsOf lists newest first, at most limit.
	CardsOf(ctx context.Context, model string, number, limit int) ([]Card, error)
	// Describe adds a text, and gives it its number.
	Describe(ctx context.Context, c Card, ev slipway.Event) (Card, error)
}

// KeyStore keeps keys that sign.
type KeyStore interface {
	// SigningKeys lists newest first.
	SigningKeys(ctx context.Context) ([]Key, error)
	// AddSigningKey adds a key that signs from now on; the others are retired with it.
	AddSigningKey(ctx context.Context, k Key, ev slipway.Event) error
	// ResealSigningKey replaces what is sealed, if it is still what it was.
	ResealSigningKey(ctx context.Context, id string, was, now []byte) error
}

// Signer is the key that an installation signs with now.
type Signer struct {
	ID      string
	Private *ecdsa.PrivateKey
	Since   time.Time // when the installation first had one
}
