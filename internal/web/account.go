package web

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/identity/signin"
)

func (d *door) accountPages(mux *http.ServeMux) {
	mux.HandleFunc("GET /account", d.account)
	mux.HandleFunc("POST /account/session", d.endSession)
	mux.HandleFunc("POST /account/token", d.revokeToken)
	mux.HandleFunc("POST /account/everything", d.endEverything)
}

// account is what the page of one's own account is made of.
type account struct {
	Roles    []string
	Sessions []sessionRow
	Tokens   []tokenRow
	Recovery int
	Local    bool // signed in with a password
}

type sessionRow struct {
	ID, Agent   string
	Began, Used string
	Here        bool
}

type tokenRow struct{ ID, Note, Until string }

// day is how pages print a time. Which hour it is where the reader sits, the server does
// not know.
func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func (d *door) account(w http.ResponseWriter, r *http.Request) {
	here, a, err := d.SignIn.Resume(r.Context(), secretOf(r))
	if err == nil && here.Stage != signin.StageFull {
		err = slipway.Errorf(slipway.Unauthorized, slipway.CodeSession, "sign in", "nobody is signed in")
	}
	var sessions []signin.Session
	var tokens []identity.Token
	page := account{Local: here.Method == signin.MethodPassword}
	if err == nil {
		sessions, err = d.SignIn.Sessions(r.Context(), a.Name)
	}
	if err == nil {
		tokens, err = d.Tokens.Tokens(r.Context())
	}
	if err == nil {
		page.Recovery, err = d.SignIn.RecoveryLeft(r.Context(), a.Name)
	}
	if err != nil {
		d.fail(w, r, err)
		return
	}
	for _, role := range a.Roles {
		text := role.Name
		if role.Team != "" {
			text += " of " + role.Team
		}
		if !role.Until.IsZero() {
			text += " until " + day(role.Until)
		}
		page.Roles = append(page.Roles, text)
	}
	for _, x := range sessions {
		page.Sessions = append(page.Sessions, sessionRow{ID: x.ID, Agent: strings.TrimSpace(x.Agent), Began: day(x.Began), Used: day(x.Used), Here: x.ID == here.ID})
	}
	slices.Reverse(tokens)
	for _, t := range tokens {
		if t.Account == a.Name && t.Usable(here.Used) && !t.Expires.IsZero() {
			page.Tokens = append(page.Tokens, tokenRow{t.ID, t.Note, day(t.Expires)})
		}
	}
	d.show(w, r, http.StatusOK, "account", view{Title: a.Name, Account: a.Name, Data: page})
}

func (d *door) endSession(w http.ResponseWriter, r *http.Request) {
	x, ok := d.full(w, r)
	if !ok {
		return
	}
	other, err := d.SignIn.Session(r.Context(), r.PostForm.Get("id"))
	if err == nil && other.Account != x.Account {
		err = slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "go to /account", "you have no such session")
	}
	if err == nil {
		err = d.SignIn.End(r.Context(), x.Account, other.ID, "ended by hand")
	}
	d.done(w, r, err)
}

func (d *door) revokeToken(w http.ResponseWriter, r *http.Request) {
	x, ok := d.full(w, r)
	if !ok {
		return
	}
	id := r.PostForm.Get("id")
	all, err := d.Tokens.Tokens(r.Context())
	if err == nil && !slices.ContainsFunc(all, func(t identity.Token) bool { return t.ID == id && t.Account == x.Account }) {
		err = slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "go to /account", "you have no such token")
	}
	if err == nil {
		err = d.Tokens.Revoke(r.Context(), x.Account, id, "revoked by hand")
		d.Changed()
	}
	d.done(w, r, err)
}

// endEverything signs out everywhere, also here.
func (d *door) endEverything(w http.ResponseWriter, r *http.Request) {
	if x, ok := d.full(w, r); ok {
		d.done(w, r, d.SignIn.EndAll(r.Context(), x.Account, x.Account, "ended by hand"))
	}
}

func (d *door) done(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		d.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/account", http.StatusSeeOther)
}
