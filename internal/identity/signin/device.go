package signin

import (
	"context"
	"crypto/rand"
	"math/big"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
)

// The device grant (RFC 8628): a command line gets two codes, a person signs in with a
// browser and types one of them, and the command line fetches a token with the other.
const (
	DeviceLife   = 10 * time.Minute
	PollInterval = 5 * time.Second

	startPace  = 5 // a second, of all who ask
	startBurst = 50

	accessLife = 2 * time.Hour
	lineLife   = 24 * time.Hour // until one has to sign in again

	codeAlphabet = "BCDFGHJKLMNPQRSTVWXZ" // RFC 8628, section 6.1: no words, nothing that looks alike
	codeLength   = 8                      // 34 bits, behind a sign-in and a count of attempts
)

// Device is a command line that waits for somebody.
type Device struct {
	ID      string    `json:"-"`
	Ends    time.Time `json:"-"`
	Agent   string    `json:"agent"` // what it says that it is
	Began   time.Time `json:"began"`
	Polled  time.Time `json:"polled,omitzero"`
	Denied  bool      `json:"denied,omitempty"`
	Account string    `json:"account,omitempty"` // who let it in
	MFA     time.Time `json:"mfa,omitzero"`
}

// Codes are what a command line is told at first.
type Codes struct {
	Device string // its own
	User   string // for the person
}

func newUserCode() string {
	var b strings.Builder
	for i := range codeLength {
		if i == codeLength/2 {
			b.WriteByte('-')
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(codeAlphabet))))
		if err != nil {
			panic(err) // crypto/rand never fails on the platforms we build for
		}
		b.WriteByte(codeAlphabet[n.Int64()])
	}
	return b.String()
}

// plainCode forgives how a code was typed.
func plainCode(code string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			r -= 'a' - 'A'
		}
		if !strings.ContainsRune(codeAlphabet, r) {
			return -1
		}
		return r
	}, code)
}

// start counts what strangers may begin.
func (s *Service) start(now time.Time) error {
	if !s.starts.AllowN(now, 1) {
		return slipway.Errorf(slipway.Exhausted, slipway.CodeLocked, "try again in a minute", "too many sign in at once")
	}
	return nil
}

// Begin lets a command line wait. It answers CodeLocked when too many begin at once.
func (s *Service) Begin(ctx context.Context, src Source) (Codes, error) {
	now := s.c.Now()
	if err := s.start(now); err != nil {
		return Codes{}, err
	}
	codes := Codes{Device: newSecret("slipd_"), User: newUserCode()}
	d := Device{ID: slipway.NewID("dev", now), Began: now, Agent: slipway.OneLine(src.Agent, 80)}
	ends := now.Add(DeviceLife)
	return codes, s.c.Records.WriteRecords(ctx, nil, []identity.Record{
		record(kindDevice, d.ID, hash(codes.Device), "", ends, d), record(kindCode, d.ID, hash(plainCode(codes.User)), "", ends, d.ID)})
}

// Waiting finds the command line of a code that a person has typed, who is signed in. It
// answers CodeDevice if there is none that waits.
func (s *Service) Waiting(ctx context.Context, src Source, account, code string) (Device, error) {
	key := "device " + account
	if _, err := s.throttle.try(s.c.Now(), key, src.Peer); err != nil {
		return Device{}, err
	}
	id, err := read[string](s.c.Records.RecordByKey(ctx, kindCode, hash(plainCode(code))))
	var d Device
	if err == nil {
		d, err = deviceOf(s.c.Records.Record(ctx, kindDevice, id))
	}
	if err == nil && s.c.Now().Before(d.Ends) && !d.Denied && d.Account == "" {
		s.throttle.succeeded(key, src.Peer)
		return d, nil
	}
	if err != nil && !missing(err) {
		return Device{}, err
	}
	return Device{}, slipway.Errorf(slipway.NotFound, slipway.CodeDevice, "run platform login again, and type the code that it shows", "no command line waits with this code")
}

func deviceOf(r identity.Record, err error) (Device, error) {
	d, err := read[Device](r, err)
	d.ID, d.Ends = r.ID, r.Expires
	return d, err
}

// Decide lets a command line in as the account of a full session, or turns it away. The code
// can be used once.
func (s *Service) Decide(ctx context.Context, secret, id string, allow bool) error {
	x, _, err := s.Resume(ctx, secret)
	if err == nil && x.Stage != StageFull {
		err = ended()
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.c.Records.Record(ctx, kindDevice, id)
	d, err := deviceOf(r, err)
	if err != nil || !s.c.Now().Before(d.Ends) {
		if err == nil || missing(err) {
			err = slipway.Errorf(slipway.NotFound, slipway.CodeDevice, "run platform login again", "the command line waits no longer")
		}
		return err
	}
	action := "device.denied"
	d.Denied = !allow
	if allow {
		action, d.Account, d.MFA = "device.approved", x.Account, x.MFA
	}
	err = s.c.Records.WriteRecords(ctx, []identity.Record{{Kind: kindCode, ID: id}}, []identity.Record{record(kindDevice, id, r.Key, d.Account, r.Expires, d)},
		s.event(x.Account, action, x.Account, "device", id, "session", x.ID))
	if missing(err) {
		err = slipway.Errorf(slipway.Conflict, slipway.CodeDevice, "run platform login again", "this was decided already")
	}
	return err
}

// Grant is what a command line acts with.
type Grant struct {
	Account string
	Access  string // a token of the API
	Issued  time.Time
	Expires time.Time
	Refresh string // for the next one, once
	Ends    time.Time
}

// Outcomes of Fetch that RFC 8628 has words for.
var (
	ErrPending  = slipway.Errorf(slipway.Conflict, slipway.CodePending, "ask again later", "nobody has decided yet")
	ErrSlowDown = slipway.Errorf(slipway.Exhausted, slipway.CodeSlowDown, "ask less often", "asked too often")
	ErrDenied   = slipway.Errorf(slipway.Denied, slipway.CodeDevice, "platform login", "the sign-in was turned away in the browser")
	ErrExpired  = slipway.Errorf(slipway.NotFound, slipway.CodeDevice, "platform login", "the code has expired or was used")
)

// Fetch gives a command line what it waits for, once somebody has let it in.
func (s *Service) Fetch(ctx context.Context, device string) (Grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.c.Now()
	r, err := s.c.Records.RecordByKey(ctx, kindDevice, hash(device))
	d, err := deviceOf(r, err)
	switch {
	case missing(err):
		return Grant{}, ErrExpired
	case err != nil:
		return Grant{}, err
	case !now.Before(d.Ends):
		return Grant{}, ErrExpired
	case d.Denied:
		return Grant{}, ErrDenied
	case d.Account == "":
		if now.Sub(d.Polled) < PollInterval-time.Second { // a clock and a network are never exact
			return Grant{}, ErrSlowDown
		}
		d.Polled = now
		if err := s.c.Records.WriteRecords(ctx, nil, []identity.Record{record(kindDevice, d.ID, r.Key, "", r.Expires, d)}); err != nil {
			return Grant{}, err
		}
		return Grant{}, ErrPending
	}
	l := line{ID: slipway.NewID("cli", now), Account: d.Account, Agent: d.Agent, MFA: d.MFA}
	return s.grant(ctx, l, now.Add(lineLife), r)
}

// line is a command line that has signed in, with its present refresh token.
type line struct {
	ID      string    `json:"line"` // the same for all tokens that came of one another
	Account string    `json:"-"`
	Agent   string    `json:"agent,omitempty"`
	MFA     time.Time `json:"mfa,omitzero"`
	Token   string    `json:"token"` // id of the access token
	Used    bool      `json:"used,omitempty"`
}

func lineOf(r identity.Record, err error) (line, error) {
	l, err := read[line](r, err)
	l.Account = r.Account
	return l, err
}

// grant gives a command line its next tokens, in place of what it came with.
func (s *Service) grant(ctx context.Context, l line, ends time.Time, from identity.Record) (Grant, error) {
	if err := s.usable(ctx, l.Account); err != nil {
		return Grant{}, err
	}
	now := s.c.Now()
	life := min(accessLife, ends.Sub(now))
	access, t, err := s.c.Accounts.Issue(ctx, l.Account, identity.Wish{Account: l.Account, Lifetime: max(life, time.Minute), Note: "platform login, " + l.Agent, MFA: l.MFA})
	if err != nil {
		return Grant{}, err
	}
	l.Token = t.ID
	refresh := newSecret("slipr_")
	next := record(kindRefresh, slipway.NewID("ref", now), hash(refresh), l.Account, ends, l)
	remove, save := []identity.Record{from}, []identity.Record{next}
	if from.Kind == kindRefresh { // it stays, so that its second use is seen
		used := l
		used.Used = true
		remove, save = nil, append(save, record(kindRefresh, from.ID, from.Key, l.Account, ends, used))
	}
	err = s.c.Records.WriteRecords(ctx, remove, save, s.event(l.Account, "signin.line_renewed", l.Account, "line", l.ID, "token", t.ID))
	s.c.Changed()
	return Grant{Account: l.Account, Access: access, Issued: now, Expires: t.Expires, Refresh: refresh, Ends: ends}, err
}

// Refresh gives a command line its next tokens. A refresh token that is used twice was
// stolen, from the line or by it: the line ends, with all its tokens.
func (s *Service) Refresh(ctx context.Context, refresh string) (Grant, error) {
	key := hash(refresh)
	r, l, err := s.line(ctx, key)
	if err != nil {
		return Grant{}, err
	}
	var unknown error
	if !l.Used {
		if unknown = s.again(ctx, l.Account); unknown != nil && slipway.AsError(unknown).Code != slipway.CodeForeign {
			return Grant{}, unknown
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, l, err = s.line(ctx, key); err != nil { // again: the provider has taken its time
		return Grant{}, err
	}
	switch {
	case l.Used:
		return Grant{}, s.endLine(ctx, nobody, l, "a refresh token was used twice", ended())
	case unknown != nil:
		return Grant{}, s.endLine(ctx, l.Account, l, "the identity provider knows the person no longer", unknown)
	}
	return s.grant(ctx, l, r.Expires, r)
}

// line finds a command line that has not ended, by the hash of its refresh token.
func (s *Service) line(ctx context.Context, key string) (identity.Record, line, error) {
	r, err := s.c.Records.RecordByKey(ctx, kindRefresh, key)
	l, err := lineOf(r, err)
	if err == nil && !s.c.Now().Before(r.Expires) || missing(err) {
		err = ended()
	}
	return r, l, err
}

// Leave ends a command line, by its own refresh token.
func (s *Service) Leave(ctx context.Context, refresh string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := lineOf(s.c.Records.RecordByKey(ctx, kindRefresh, hash(refresh)))
	if missing(err) {
		return nil // it has ended: RFC 7009, section 2.2
	}
	if err != nil {
		return err
	}
	return s.endLine(ctx, l.Account, l, "", nil)
}

// endLine ends a command line with all its tokens, and gives the answer.
func (s *Service) endLine(ctx context.Context, by string, l line, reason string, answer error) error {
	all, err := s.c.Records.RecordsOf(ctx, kindRefresh, l.Account)
	if err != nil {
		return err
	}
	var gone []identity.Record
	for _, r := range all {
		if other, err := lineOf(r, nil); err == nil && other.ID == l.ID {
			gone = append(gone, r)
		}
	}
	severity := ""
	if by == nobody {
		severity = "high"
	}
	if err := s.c.Records.WriteRecords(ctx, gone, nil, s.event(by, "signin.line_ended", l.Account, "line", l.ID, "reason", reason, "severity", severity)); err != nil {
		return err
	}
	if err := s.revokeTokens(ctx, by, gone, reason); err != nil {
		return err
	}
	return answer
}

// revokeTokens revokes the access tokens of command lines that have ended.
func (s *Service) revokeTokens(ctx context.Context, by string, lines []identity.Record, reason string) error {
	defer s.c.Changed()
	for _, r := range lines {
		if r.Kind != kindRefresh {
			continue
		}
		l, err := lineOf(r, nil)
		if err == nil {
			err = s.c.Accounts.Revoke(ctx, by, l.Token, reason)
		}
		if err != nil && !missing(err) {
			return err
		}
	}
	return nil
}
