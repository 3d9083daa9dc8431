package signin

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
)

// How long a session lasts: without use, in all, and while it is only half signed in. For
// Elevation after a second factor was shown one may do what step-up is asked for.
const (
	Idle      = time.Hour
	Absolute  = 12 * time.Hour
	halfway   = 10 * time.Minute
	Elevation = 10 * time.Minute

	touchPace = time.Minute
)

// Stages of a session. Only a full one stands for its account.
const (
	StageEnrol  = "enrol"  // an invitation and a new password were given, the second factor is being set up
	StageSecond = "second" // the password was right
	StageFull   = "full"
)

// How one has signed in.
const (
	MethodPassword = "password"
	MethodProvider = "sso"
)

// Session is a browser that somebody signs in with, or has.
type Session struct {
	ID      string    `json:"-"`
	Account string    `json:"-"`
	Ends    time.Time `json:"-"`
	Stage   string    `json:"stage"`
	Method  string    `json:"method"`
	Agent   string    `json:"agent,omitempty"`
	Began   time.Time `json:"began"`
	Used    time.Time `json:"used"`
	MFA     time.Time `json:"mfa,omitzero"` // when a second factor was last shown

	Pending *pending `json:"pending,omitempty"` // of StageEnrol
}

// Elevated says whether a second factor was shown lately.
func Elevated(mfa, now time.Time) bool { return !mfa.IsZero() && now.Sub(mfa) < Elevation }

// pending is what an enrolment becomes once the second factor works.
type pending struct {
	Password   string `json:"password"`
	Seed       []byte `json:"seed"` // sealed
	Invitation string `json:"invitation"`
}

// alive says whether a session is good at a time.
func (x *Session) alive(now time.Time) bool {
	return now.Before(x.Ends) && (x.Stage != StageFull || now.Sub(x.Used) < Idle)
}

func ended() error {
	return slipway.Errorf(slipway.Unauthorized, slipway.CodeSession, "sign in again", "the session has ended")
}

// newSession makes a session with a secret of its own, and its record.
func (s *Service) newSession(x Session, src Source) (secret string, made Session, r identity.Record) {
	now := s.c.Now()
	x.ID, x.Began, x.Used = slipway.NewID("ses", now), now, now
	x.Agent = slipway.OneLine(src.Agent, 80)
	x.Ends = now.Add(halfway)
	if x.Stage == StageFull {
		x.Ends = now.Add(Absolute)
	}
	secret = newSecret("slips_")
	return secret, x, record(kindSession, x.ID, hash(secret), x.Account, x.Ends, x)
}

func sessionOf(r identity.Record, err error) (Session, error) {
	x, err := read[Session](r, err)
	x.ID, x.Account, x.Ends = r.ID, r.Account, r.Expires
	return x, err
}

// Resume finds the session of a secret, at whatever stage. It answers CodeSession for one
// that has ended, was revoked or never was, and for one whose account is disabled.
func (s *Service) Resume(ctx context.Context, secret string) (Session, identity.Account, error) {
	r, err := s.c.Records.RecordByKey(ctx, kindSession, hash(secret))
	x, err := sessionOf(r, err)
	if err != nil {
		if missing(err) {
			err = ended()
		}
		return Session{}, identity.Account{}, err
	}
	now := s.c.Now()
	if !x.alive(now) {
		return Session{}, identity.Account{}, ended()
	}
	a, err := s.c.Accounts.Account(ctx, x.Account)
	switch {
	case err != nil && !missing(err):
		return Session{}, identity.Account{}, err
	case err != nil || !a.Disabled.IsZero():
		return Session{}, identity.Account{}, ended()
	}
	if x.Stage == StageFull && now.Sub(x.Used) >= touchPace {
		x.Used = now
		// The write may cross the session's end: what is removed must not come back.
		if err := s.c.Records.WriteRecords(ctx, []identity.Record{r}, []identity.Record{record(kindSession, x.ID, r.Key, x.Account, x.Ends, x)}); err != nil {
			if missing(err) {
				err = ended()
			}
			return Session{}, identity.Account{}, err
		}
	}
	return x, a, nil
}

// Principal is who a full session stands for. It answers CodeSession for any other.
func (s *Service) Principal(ctx context.Context, secret string) (slipway.Principal, error) {
	x, a, err := s.Resume(ctx, secret)
	if err == nil && x.Stage != StageFull {
		err = ended()
	}
	if err != nil {
		return slipway.Principal{}, err
	}
	p := a.Principal(identity.Token{ID: x.ID, MFA: x.MFA, Expires: x.Ends})
	p.Elevated = Elevated(x.MFA, s.c.Now())
	return p, nil
}

// Sessions gives those of an account that are good, the newest first; of all accounts
// without one.
func (s *Service) Sessions(ctx context.Context, account string) ([]Session, error) {
	all, err := s.c.Records.RecordsOf(ctx, kindSession, account)
	var out []Session
	for _, r := range all {
		x, bad := sessionOf(r, nil)
		if bad != nil {
			return nil, bad
		}
		if x.Stage == StageFull && x.alive(s.c.Now()) {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b Session) int { return b.Began.Compare(a.Began) })
	return out, err
}

// Session finds one by its id; NotFound if there is none that is good.
func (s *Service) Session(ctx context.Context, id string) (Session, error) {
	x, err := sessionOf(s.c.Records.Record(ctx, kindSession, id))
	if err == nil && !x.alive(s.c.Now()) {
		err = slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform sessions list", "there is no session %.64q", id)
	}
	return x, err
}

// End ends a session: by its own account, who signs out, or by somebody else.
func (s *Service) End(ctx context.Context, by, id, reason string) error {
	x, err := s.Session(ctx, id)
	if err != nil {
		return err
	}
	return s.c.Records.WriteRecords(ctx, []identity.Record{{Kind: kindSession, ID: id}}, nil, s.event(by, "session.ended", x.Account, "session", id, "reason", reason))
}

// EndAll ends every session and every command line of an account.
func (s *Service) EndAll(ctx context.Context, by, account, reason string) error {
	gone, err := s.everything(ctx, account)
	if err != nil || len(gone) == 0 {
		return err
	}
	if err := s.c.Records.WriteRecords(ctx, gone, nil, s.event(by, "session.all_ended", account, "sessions", fmt.Sprint(len(gone)), "reason", reason)); err != nil {
		return err
	}
	return s.revokeTokens(ctx, by, gone, reason)
}

// everything is what an account is signed in with.
func (s *Service) everything(ctx context.Context, account string) ([]identity.Record, error) {
	sessions, err := s.c.Records.RecordsOf(ctx, kindSession, account)
	if err != nil {
		return nil, err
	}
	lines, err := s.c.Records.RecordsOf(ctx, kindRefresh, account)
	return append(sessions, lines...), err
}
