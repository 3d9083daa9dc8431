package signin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
)

// Provider signs people in elsewhere (OpenID Connect). It is safe for concurrent use, and
// bounds its calls.
type Provider interface {
	// Start gives the address to send the browser to, and what its answer is checked with. If
	// again, people show themselves there anew, whether they are signed in or not.
	Start(ctx context.Context, again bool) (url string, t Trip, err error)
	// Finish checks the answer. CodeForeign if it is not accepted, CodeNoMFA if no second
	// factor was shown there, CodeProvider if the provider does not answer.
	Finish(ctx context.Context, t Trip, code string) (Known, error)
	// Renew asks again who somebody is. CodeForeign if the provider says that nobody is any
	// more, CodeProvider if it does not answer.
	Renew(ctx context.Context, renewal string) (Known, error)
}

// Trip is a browser that is at the provider.
type Trip struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"` // of PKCE (RFC 7636)
	Again    bool      `json:"again,omitempty"`
	Ends     time.Time `json:"ends"`
	Next     string    `json:"next,omitempty"`
	Session  string    `json:"session,omitempty"` // id, of who shows himself anew
}

// Known is somebody whom a provider knows.
type Known struct {
	Issuer, Subject string
	Name            string // as the provider suggests; never what one is recognized by
	Groups          []string
	MFA             time.Time // when the second factor was shown
	Renewal         string    // to ask again; empty: cannot be
}

// renewalAAD binds what is sealed to its use.
const (
	renewalAAD = "signin/renewal"
	tripAAD    = "signin/trip"
)

// subject is what is kept of who an account is at the provider.
type subject struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
	Renewal []byte `json:"renewal,omitempty"`
}

// HasProvider says whether people may sign in elsewhere.
func (s *Service) HasProvider() bool { return s.c.Provider != nil }

func (s *Service) provider() (Provider, error) {
	if s.c.Provider == nil {
		return nil, slipway.Errorf(slipway.NotFound, slipway.CodeProvider, "start the platform with --oidc-issuer", "this installation has no identity provider")
	}
	return s.c.Provider, nil
}

// Away sends a browser to the provider. The ticket is for the browser to keep, and to bring
// back. With the secret of a full session it is to show itself anew.
func (s *Service) Away(ctx context.Context, next, secret string) (url, ticket string, err error) {
	p, err := s.provider()
	if err != nil {
		return "", "", err
	}
	if err := s.start(s.c.Now()); err != nil {
		return "", "", err
	}
	session := ""
	if secret != "" {
		x, _, err := s.Resume(ctx, secret)
		if err != nil {
			return "", "", err
		}
		session = x.ID
	}
	url, t, err := p.Start(ctx, session != "")
	if err != nil {
		return "", "", err
	}
	t.Next, t.Session, t.Again, t.Ends = next, session, session != "", s.c.Now().Add(halfway)
	b, err := json.Marshal(t)
	if err != nil {
		return "", "", err
	}
	sealed, err := s.c.Sealer.Seal(ctx, tripAAD, b)
	return url, base64.RawURLEncoding.EncodeToString(sealed), err
}

// Back completes signing in elsewhere. Accounts are made at the first time; a person is
// recognized by issuer and subject alone.
func (s *Service) Back(ctx context.Context, src Source, ticket, secret, state, code string) (made, next string, err error) {
	p, err := s.provider()
	if err != nil {
		return "", "", err
	}
	foreign := func(message string) error {
		return slipway.Errorf(slipway.Unauthorized, slipway.CodeForeign, "begin again, at the page of this platform", "%s", message)
	}
	var t Trip
	b, err := base64.RawURLEncoding.DecodeString(ticket)
	if err == nil {
		b, err = s.c.Sealer.Open(ctx, tripAAD, b)
	}
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err != nil || t.State == "" || t.State != state {
		return "", "", foreign("this browser did not ask to be signed in")
	}
	if !s.c.Now().Before(t.Ends) {
		return "", "", foreign("signing in took too long")
	}
	known, err := p.Finish(ctx, t, code)
	if err != nil {
		return "", "", s.refused(ctx, err)
	}
	if t.Again {
		made, err = s.anew(ctx, t, secret, known)
		return made, t.Next, err
	}
	account, sub, err := s.recognize(ctx, known)
	if err != nil {
		return "", "", err
	}
	made, full, r := s.newSession(Session{Account: account, Stage: StageFull, Method: MethodProvider, MFA: known.MFA}, src)
	return made, t.Next, s.c.Records.WriteRecords(ctx, nil, []identity.Record{r, sub}, s.event(account, "signin.succeeded", account, "session", full.ID, "method", MethodProvider))
}

// refused records what the provider's answer was refused for.
func (s *Service) refused(ctx context.Context, err error) error {
	e := slipway.AsError(err)
	if e.Code == slipway.CodeProvider {
		return err
	}
	if bad := s.c.Records.WriteRecords(ctx, nil, nil, s.event(nobody, "signin.failed", "unknown", "method", MethodProvider, "reason", e.Message)); bad != nil {
		return bad
	}
	return err
}

// anew makes the session elevated whose person was shown again.
func (s *Service) anew(ctx context.Context, t Trip, secret string, known Known) (string, error) {
	x, _, err := s.Resume(ctx, secret)
	if err == nil && x.ID != t.Session {
		err = ended()
	}
	if err != nil {
		return "", err
	}
	who, err := s.c.Records.RecordByKey(ctx, kindSubject, subjectKey(known))
	if err != nil && !missing(err) {
		return "", err
	}
	if err != nil || who.Account != x.Account {
		return "", slipway.Errorf(slipway.Denied, slipway.CodeForeign, "sign in as "+x.Account+" at the identity provider", "somebody else was signed in at the identity provider")
	}
	x.MFA = known.MFA
	secret, r := s.renewed(x)
	return secret, s.c.Records.WriteRecords(ctx, []identity.Record{{Kind: kindSession, ID: x.ID}}, []identity.Record{r}, s.event(x.Account, "signin.stepped_up", x.Account, "session", x.ID, "factor", MethodProvider))
}

func subjectKey(k Known) string { return hash(k.Issuer + "\n" + k.Subject) }

// recognize finds the account of somebody, or makes it, and gives it the roles of its groups.
func (s *Service) recognize(ctx context.Context, k Known) (account string, r identity.Record, err error) {
	sub := subject{Issuer: k.Issuer, Subject: k.Subject}
	if k.Renewal != "" {
		if sub.Renewal, err = s.c.Sealer.Seal(ctx, renewalAAD, []byte(k.Renewal)); err != nil {
			return "", r, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err = s.c.Records.RecordByKey(ctx, kindSubject, subjectKey(k))
	if missing(err) {
		r, err = s.provision(ctx, k)
	}
	if err != nil {
		return "", r, err
	}
	account = r.Account
	if _, err := s.c.Accounts.Account(ctx, account); missing(err) { // the first time, or that was broken off
		_, err = s.c.Accounts.Create(ctx, account, identity.Account{Name: account, Kind: slipway.Person})
		if err != nil {
			return "", r, err
		}
	}
	if err := s.adopt(ctx, account, k.Groups); err != nil {
		return "", r, err
	}
	return account, record(kindSubject, account, subjectKey(k), account, time.Time{}, sub), nil
}

// provision takes a name for somebody who comes for the first time. Whoever has it already
// may be somebody else, whatever the provider calls him.
func (s *Service) provision(ctx context.Context, k Known) (identity.Record, error) {
	name, err := NameOf(k.Name)
	if err != nil {
		return identity.Record{}, err
	}
	_, noAccount := s.c.Accounts.Account(ctx, name)
	_, noSubject := s.c.Records.Record(ctx, kindSubject, name)
	for _, err := range []error{noAccount, noSubject} {
		switch {
		case err == nil:
			return identity.Record{}, slipway.Errorf(slipway.Conflict, slipway.CodeNameTaken, "ask a platform engineer: the provider's name for one of you must change", "there is an account %s already, and it is not yours by what the identity provider says", name)
		case !missing(err):
			return identity.Record{}, err
		}
	}
	r := record(kindSubject, name, subjectKey(k), name, time.Time{}, subject{Issuer: k.Issuer, Subject: k.Subject})
	return r, s.c.Records.WriteRecords(ctx, nil, []identity.Record{r}, s.event(name, "account.recognized", name, "issuer", k.Issuer))
}

// NameOf makes the name of an account of what a provider calls somebody: the part before an
// at sign, with dashes for what no name has. It answers CodeForeign if nothing is left.
func NameOf(suggested string) (string, error) {
	local, _, _ := strings.Cut(strings.ToLower(suggested), "@")
	var b strings.Builder
	for _, r := range local {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
			b.WriteByte('-')
		}
		if b.Len() >= 63 {
			break
		}
	}
	name, err := slipway.ParseName(strings.TrimLeft(strings.Trim(b.String(), "-"), "0123456789-"))
	if err != nil {
		return "", slipway.Errorf(slipway.Unprocessable, slipway.CodeForeign, "let the provider send preferred_username, or an e-mail address, with letters of English", "the identity provider gives no name that an account can have")
	}
	return name, nil
}

// again asks the provider whether somebody is still who he was, and reads his groups. A
// provider that is down changes nothing: who is in stays in, until his time is over. Several
// command lines of one person ask once.
func (s *Service) again(ctx context.Context, account string) error {
	_, err, _ := s.renewing.Do(account, func() (any, error) { return nil, s.renew(context.WithoutCancel(ctx), account) })
	return err
}

func (s *Service) renew(ctx context.Context, account string) error {
	sub, err := read[subject](s.c.Records.Record(ctx, kindSubject, account))
	if missing(err) || err == nil && (len(sub.Renewal) == 0 || s.c.Provider == nil) {
		return nil
	}
	var text []byte
	if err == nil {
		text, err = s.c.Sealer.Open(ctx, renewalAAD, sub.Renewal)
	}
	if err != nil {
		return err
	}
	k, err := s.c.Provider.Renew(ctx, string(text))
	switch {
	case err != nil && slipway.AsError(err).Code == slipway.CodeProvider:
		return nil
	case err != nil:
		return err
	case k.Issuer != sub.Issuer || k.Subject != sub.Subject:
		return slipway.Errorf(slipway.Denied, slipway.CodeForeign, "platform login", "the identity provider answers for somebody else")
	}
	if k.Renewal != "" {
		if sub.Renewal, err = s.c.Sealer.Seal(ctx, renewalAAD, []byte(k.Renewal)); err != nil {
			return err
		}
		s.mu.Lock()
		err := s.c.Records.WriteRecords(ctx, nil, []identity.Record{record(kindSubject, account, subjectKey(k), account, time.Time{}, sub)})
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return s.adopt(ctx, account, k.Groups)
}

// Rule gives a role to whoever is in a group.
type Rule struct {
	Group string       `json:"group"`
	Role  slipway.Role `json:"role"`
}

func (r Rule) id() string { return hash(fmt.Sprint(r.Group, "\n", r.Role.Name, "\n", r.Role.Team)) }

// Rules gives them by group and role.
func (s *Service) Rules(ctx context.Context) ([]Rule, error) {
	all, err := s.c.Records.RecordsOf(ctx, kindRule, "")
	var out []Rule
	for _, r := range all {
		rule, bad := read[Rule](r, nil)
		if bad != nil {
			return nil, bad
		}
		out = append(out, rule)
	}
	slices.SortFunc(out, func(a, b Rule) int {
		return strings.Compare(a.Group+"\n"+a.Role.Name+"\n"+a.Role.Team, b.Group+"\n"+b.Role.Name+"\n"+b.Role.Team)
	})
	return out, err
}

// maxGroup bounds the name of a group, in bytes.
const maxGroup = 200

// Map adds a rule, or takes it away. It holds from the next time that somebody signs in, or
// a command line is renewed.
func (s *Service) Map(ctx context.Context, by string, r Rule, remove bool) error {
	if r.Group == "" || len(r.Group) > maxGroup {
		return &slipway.Error{Code: slipway.CodeInvalid, Kind: slipway.Invalid, Field: "group", Message: "is empty or too long", Next: "name a group of the identity provider"}
	}
	if err := r.Role.Check(); err != nil {
		return err
	}
	event := func(action string) slipway.Event {
		return s.event(by, action, r.Group, "role", r.Role.Name, "team", r.Role.Team)
	}
	kept := record(kindRule, r.id(), "", "", time.Time{}, r)
	if remove {
		return s.c.Records.WriteRecords(ctx, []identity.Record{kept}, nil, event("sso.unmapped"))
	}
	return s.c.Records.WriteRecords(ctx, nil, []identity.Record{kept}, event("sso.mapped"))
}

// adopt gives an account the roles of its groups.
func (s *Service) adopt(ctx context.Context, account string, groups []string) error {
	rules, err := s.Rules(ctx)
	if err != nil {
		return err
	}
	var roles []slipway.Role
	for _, r := range rules {
		if slices.Contains(groups, r.Group) && !slices.Contains(roles, r.Role) {
			roles = append(roles, r.Role)
		}
	}
	_, err = s.c.Accounts.Adopt(ctx, account, roles)
	s.c.Changed()
	return err
}
