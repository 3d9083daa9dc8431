package signin

import (
	"context"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/identity/signin/password"
	"github.com/slipway-ml/slipway/internal/identity/signin/totp"
)

// How long an invitation may be good, and usually is.
const (
	maxInvitation     = 7 * 24 * time.Hour
	defaultInvitation = 24 * time.Hour
)

// invitation is recorded with the hash of its code as key.
type invitation struct {
	By string `json:"by"`
}

// Invite makes the code with which a person sets a password and a second factor, in place
// of those that it may have. It is given once; one that was made before ends. A lifetime
// of 0 is the usual one.
func (s *Service) Invite(ctx context.Context, by, account string, lifetime time.Duration) (code string, expires time.Time, err error) {
	if lifetime == 0 {
		lifetime = defaultInvitation
	}
	if lifetime < time.Minute || lifetime > maxInvitation {
		return "", time.Time{}, &slipway.Error{Code: slipway.CodeInvalid, Kind: slipway.Invalid, Field: "lifetime", Message: "is too long or too short", Next: "give between 1m and 7d"}
	}
	if err := s.usable(ctx, account); err != nil {
		return "", time.Time{}, err
	}
	code, expires = newSecret("slipi_"), s.c.Now().Add(lifetime)
	err = s.c.Records.WriteRecords(ctx, nil, []identity.Record{record(kindInvitation, account, hash(code), account, expires, invitation{by})},
		s.event(by, "account.invited", account, "expires", expires.UTC().Format(time.RFC3339)))
	return code, expires, err
}

// Invited says whom a code invites. It answers CodeInvitation for one that is unknown, used
// or expired.
func (s *Service) Invited(ctx context.Context, code string) (account string, err error) {
	r, err := s.c.Records.RecordByKey(ctx, kindInvitation, hash(code))
	if err == nil && !s.c.Now().Before(r.Expires) || missing(err) {
		err = slipway.Errorf(slipway.NotFound, slipway.CodeInvitation, "ask for another: platform accounts invite NAME", "this invitation was used, has expired or never was")
	}
	if err != nil {
		return "", err
	}
	return r.Account, s.usable(ctx, r.Account)
}

// Enrol takes a new password from somebody who was invited. What follows is to show that
// the second factor works, in the session that the secret is of.
func (s *Service) Enrol(ctx context.Context, src Source, code, text string) (secret string, err error) {
	account, err := s.Invited(ctx, code)
	if err != nil {
		return "", err
	}
	if err := password.Check(text, account); err != nil {
		return "", err
	}
	hashed, err := s.c.Hasher.Hash(ctx, text)
	if err != nil {
		return "", err
	}
	seed, err := s.c.Sealer.Seal(ctx, seedOf(account), []byte(totp.NewSeed()))
	if err != nil {
		return "", err
	}
	secret, _, r := s.newSession(Session{Account: account, Stage: StageEnrol, Method: MethodPassword, Pending: &pending{Password: hashed, Seed: seed, Invitation: hash(code)}}, src)
	return secret, s.c.Records.WriteRecords(ctx, nil, []identity.Record{r})
}

// Factor is the second factor that is being set up.
type Factor struct {
	Account string
	Seed    string // base32, to type into the app
	URL     string // to be read by the app from a picture
}

// Factor gives it to the session that sets it up, and to no other.
func (s *Service) Factor(ctx context.Context, secret string) (Factor, error) {
	x, _, err := s.Resume(ctx, secret)
	if err == nil && x.Stage != StageEnrol {
		err = ended()
	}
	if err != nil {
		return Factor{}, err
	}
	seed, err := s.c.Sealer.Open(ctx, seedOf(x.Account), x.Pending.Seed)
	if err != nil {
		return Factor{}, err
	}
	u, err := totp.URL(string(seed), s.c.Title, x.Account)
	return Factor{Account: x.Account, Seed: string(seed), URL: u}, err
}

// Confirm ends an enrolment with a code of the app. It uses up the invitation, ends every
// session that the account had, and gives a new one with the recovery codes, which are kept
// nowhere.
func (s *Service) Confirm(ctx context.Context, src Source, secret, code string) (next string, recovery []string, err error) {
	f, err := s.Factor(ctx, secret)
	if err != nil {
		return "", nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, _, err := s.Resume(ctx, secret) // again: another may have used it up meanwhile
	if err != nil {
		return "", nil, err
	}
	if _, err := s.throttle.try(s.c.Now(), "enrol "+x.ID, src.Peer); err != nil {
		return "", nil, err
	}
	step, ok := totp.Verify(f.Seed, code, 0, s.c.Now())
	if !ok {
		return "", nil, wrongCode()
	}
	s.throttle.succeeded("enrol "+x.ID, src.Peer)
	invited, err := s.c.Records.RecordByKey(ctx, kindInvitation, x.Pending.Invitation)
	if err != nil {
		if missing(err) {
			err = slipway.Errorf(slipway.NotFound, slipway.CodeInvitation, "ask for another: platform accounts invite "+x.Account, "this invitation was used already")
		}
		return "", nil, err
	}
	recovery, hashes := totp.NewRecovery()
	gone, err := s.everything(ctx, x.Account)
	if err != nil {
		return "", nil, err
	}
	next, full, r := s.newSession(Session{Account: x.Account, Stage: StageFull, Method: MethodPassword, MFA: s.c.Now()}, src)
	made := record(kindCredential, x.Account, "", x.Account, time.Time{}, credential{Password: x.Pending.Password, Seed: x.Pending.Seed, Step: step, Recovery: hashes})
	err = s.c.Records.WriteRecords(ctx, append(gone, invited), []identity.Record{made, r},
		s.event(x.Account, "account.enrolled", x.Account), s.event(x.Account, "signin.succeeded", x.Account, "session", full.ID, "method", MethodPassword))
	if err != nil {
		return "", nil, err
	}
	return next, recovery, s.revokeTokens(ctx, x.Account, gone, "enrolled anew")
}
