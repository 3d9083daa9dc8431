package signin

import (
	"context"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/identity/signin/totp"
)

// wrong is one answer to all that can be wrong, so that nobody learns which names there are.
func wrong() error {
	return slipway.Errorf(slipway.Unauthorized, slipway.CodeSignIn, "check both; who has lost the password asks for: platform accounts invite NAME", "the name or the password is wrong")
}

func wrongCode() error {
	return slipway.Errorf(slipway.Unauthorized, slipway.CodeSignIn, "wait for the next code of the app, and check that the clock of the phone is right", "the code is wrong, or was used already")
}

// Password is the first half of signing in. The secret is of a session that only Second can
// make something of. Whatever is wrong, the answer and the work are the same.
func (s *Service) Password(ctx context.Context, src Source, name, text string) (secret string, err error) {
	locked, err := s.throttle.try(s.c.Now(), name, src.Peer)
	if err != nil {
		return "", err
	}
	// Both are asked whatever the other says: the work is the same.
	c, noCredential := read[credential](s.c.Records.Record(ctx, kindCredential, name))
	noAccount := s.usable(ctx, name)
	known := noAccount == nil && noCredential == nil
	for _, err := range []error{noCredential, noAccount} {
		if err != nil && !missing(err) && slipway.AsError(err).Kind != slipway.Conflict {
			return "", err
		}
	}
	if !known {
		c = credential{}
	}
	ok, err := s.c.Hasher.Verify(ctx, text, c.Password)
	if err != nil {
		return "", err
	}
	if !ok {
		return "", s.failed(ctx, name, known, locked, wrong())
	}
	secret, _, r := s.newSession(Session{Account: name, Stage: StageSecond, Method: MethodPassword}, src)
	s.throttle.succeeded(name, src.Peer)
	return secret, s.c.Records.WriteRecords(ctx, nil, []identity.Record{r})
}

// failed records an attempt. An unknown name is not recorded: it may be a password that was
// typed into the wrong field.
func (s *Service) failed(ctx context.Context, name string, known, locked bool, answer error) error {
	subject := name
	if !known {
		subject = "unknown"
	}
	events := []slipway.Event{s.event(nobody, "signin.failed", subject)}
	if locked {
		events = append(events, s.event(nobody, "signin.locked", subject))
	}
	if err := s.c.Records.WriteRecords(ctx, nil, nil, events...); err != nil {
		return err // an attempt that leaves no trace gets no answer either
	}
	return answer
}

// Second completes signing in, with a code of the app or a recovery code. The session gets
// another secret, so that one that somebody has planted is worth nothing.
func (s *Service) Second(ctx context.Context, src Source, secret, code string) (next string, err error) {
	return s.factor(ctx, src, secret, code, StageSecond, func(x Session, used string) (string, []identity.Record, []slipway.Event) {
		next, full, r := s.newSession(Session{Account: x.Account, Stage: StageFull, Method: x.Method, MFA: s.c.Now()}, src)
		return next, []identity.Record{r}, []slipway.Event{s.event(x.Account, "signin.succeeded", x.Account, "session", full.ID, "method", x.Method, "factor", used)}
	})
}

// StepUp shows the second factor again, and makes a full session elevated for a while. It
// keeps its end and gets another secret.
func (s *Service) StepUp(ctx context.Context, src Source, secret, code string) (next string, err error) {
	return s.factor(ctx, src, secret, code, StageFull, func(x Session, used string) (string, []identity.Record, []slipway.Event) {
		next, r := s.renewed(x)
		return next, []identity.Record{r}, []slipway.Event{s.event(x.Account, "signin.stepped_up", x.Account, "session", x.ID, "factor", used)}
	})
}

// renewed is a session after its second factor was shown again.
func (s *Service) renewed(x Session) (secret string, r identity.Record) {
	now := s.c.Now()
	x.MFA, x.Used = now, now
	secret = newSecret("slips_")
	return secret, record(kindSession, x.ID, hash(secret), x.Account, x.Ends, x)
}

// factor checks a code of the account of a session, and replaces the session by what
// follow gives, in one write with the use of the code.
func (s *Service) factor(ctx context.Context, src Source, secret, code, stage string, follow func(x Session, used string) (string, []identity.Record, []slipway.Event)) (string, error) {
	x, _, err := s.Resume(ctx, secret)
	if err == nil && (x.Stage != stage || x.Method != MethodPassword) {
		err = ended()
	}
	if err != nil {
		return "", err
	}
	key := "factor " + x.Account
	locked, err := s.throttle.try(s.c.Now(), key, src.Peer)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := read[credential](s.c.Records.Record(ctx, kindCredential, x.Account))
	if err != nil {
		return "", err
	}
	seed, err := s.c.Sealer.Open(ctx, seedOf(x.Account), c.Seed)
	if err != nil {
		return "", err
	}
	used := "totp"
	if step, ok := totp.Verify(string(seed), code, c.Step, s.c.Now()); ok {
		c.Step = step
	} else if left, ok := totp.Recover(c.Recovery, code); ok {
		c.Recovery, used = left, "recovery"
	} else {
		return "", s.failed(ctx, x.Account, true, locked, wrongCode())
	}
	next, made, events := follow(x, used)
	save := append(made, record(kindCredential, x.Account, "", x.Account, time.Time{}, c))
	if err := s.c.Records.WriteRecords(ctx, []identity.Record{{Kind: kindSession, ID: x.ID}}, save, events...); err != nil {
		if missing(err) {
			err = ended()
		}
		return "", err
	}
	s.throttle.succeeded(key, src.Peer)
	return next, nil
}

// RecoveryLeft counts the recovery codes that an account has left.
func (s *Service) RecoveryLeft(ctx context.Context, account string) (int, error) {
	c, err := read[credential](s.c.Records.Record(ctx, kindCredential, account))
	if missing(err) {
		return 0, nil
	}
	return len(c.Recovery), err
}
