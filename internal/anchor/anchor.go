// Package anchor keeps checkpoints of the audit log where those who run the platform cannot
// change them: in a bucket with object lock, in a git repository, with a witness.
package anchor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/audit"
)

// Anchor is what the audit log is anchored at; internal/app/audit has the contract.
type Anchor interface {
	Name() string
	Put(ctx context.Context, c audit.Checkpoint, key string, prove func(from uint64) ([][]byte, error)) error
	Last(ctx context.Context, log string) (audit.Anchored, error)
}

// ParseAll reads addresses: s3://BUCKET/PREFIX, git+URL, witness+URL, each with parameters.
// Dir is where an anchor keeps what it needs on this machine.
func ParseAll(addresses []string, dir string, now func() time.Time) ([]Anchor, error) {
	var out []Anchor
	for _, address := range addresses {
		a, err := parse(address, dir, now)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

func parse(address, dir string, now func() time.Time) (Anchor, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, invalid("an address of an audit anchor is no URL")
	}
	if u.User != nil && u.User.String() != "git" { // which is everybody's name
		return nil, invalid("the address of an audit anchor has a secret in it, which everybody on this machine would see")
	}
	kind, rest, _ := strings.Cut(u.Scheme, "+")
	p := parameters{values: u.Query()}
	u.RawQuery, u.Scheme = "", rest
	var a Anchor
	switch {
	case kind == "s3" && rest == "":
		a, err = newBucket(u, &p, now)
	case kind == "git" && rest != "":
		sum := sha256.Sum256([]byte(address))
		a = &repository{url: u.String(), branch: p.take("branch", "slipway-audit"), dir: filepath.Join(dir, "anchor-"+hex.EncodeToString(sum[:6])+".git")}
	case kind == "witness" && (rest == "https" || rest == "http"):
		a = &witness{url: u.String(), tokenFile: p.take("token-file", ""), key: p.take("key", "")}
	default:
		return nil, invalid("an audit anchor of the kind %.20q is not known", kind)
	}
	if err == nil {
		err = p.rest()
	}
	return a, err
}

// parameters are those of an address; one that nobody takes is a mistake.
type parameters struct{ values url.Values }

func (p *parameters) take(name, otherwise string) string {
	if !p.values.Has(name) {
		return otherwise
	}
	v := p.values.Get(name)
	p.values.Del(name)
	return v
}

func (p *parameters) rest() error {
	for name := range p.values {
		return invalid("an audit anchor has no parameter %.40q", name)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeAuditAnchor,
		"give s3://BUCKET/PREFIX?endpoint=URL&region=REGION&retain=400d, git+https://HOST/REPOSITORY?branch=NAME, or witness+https://HOST?token-file=FILE", format, args...)
}

// unusable is an anchor that does not do what is asked.
func unusable(name, what string, cause error) error {
	return &slipway.Error{Code: slipway.CodeAuditAnchor, Kind: slipway.Unavailable, Message: what, Next: "ask who runs " + name, Cause: cause}
}

// maxText bounds what an anchor gives back, in bytes.
const maxText = 64 << 10
