package web

import (
	"net/http"
	"net/url"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity/signin"
)

// maxName bounds what is looked up as a name, in bytes; no account has one as long.
const maxName = 64

func (d *door) signInPages(mux *http.ServeMux) {
	mux.HandleFunc("GET /login", d.login)
	mux.HandleFunc("POST /login", d.password)
	mux.HandleFunc("GET /login/totp", d.askSecond)
	mux.HandleFunc("POST /login/totp", d.second)
	mux.HandleFunc("GET /step-up", d.askStepUp)
	mux.HandleFunc("POST /step-up", d.stepUp)
	mux.HandleFunc("GET /logout", d.askLogout)
	mux.HandleFunc("POST /logout", d.logout)
	mux.HandleFunc("GET /sso/start", d.away)
	mux.HandleFunc("GET /sso/callback", d.back)
}

func (d *door) login(w http.ResponseWriter, r *http.Request) {
	next := destination(r.URL.Query().Get("next"))
	if x, _, err := d.SignIn.Resume(r.Context(), secretOf(r)); err == nil && x.Stage == signin.StageFull {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	d.show(w, r, http.StatusOK, "login", view{Title: "Sign in", Next: next})
}

func (d *door) password(w http.ResponseWriter, r *http.Request) {
	next := destination(r.PostForm.Get("next"))
	name := r.PostForm.Get("name")
	secret, err := "", error(nil)
	if len(name) > maxName {
		name = "" // unknown, and as much work
	}
	if secret, err = d.SignIn.Password(r.Context(), signin.ArrivalOf(r).Source, name, r.PostForm.Get("password")); err != nil {
		d.again(w, r, "login", view{Title: "Sign in", Next: next}, err)
		return
	}
	enter(w, r, secret)
	http.Redirect(w, r, "/login/totp?next="+url.QueryEscape(next), http.StatusSeeOther)
}

func (d *door) askSecond(w http.ResponseWriter, r *http.Request) {
	next := destination(r.URL.Query().Get("next"))
	x, _, err := d.SignIn.Resume(r.Context(), secretOf(r))
	if err != nil || x.Stage != signin.StageSecond {
		http.Redirect(w, r, "/login?next="+url.QueryEscape(next), http.StatusSeeOther)
		return
	}
	d.show(w, r, http.StatusOK, "second", view{Title: "Second factor", Next: next})
}

func (d *door) second(w http.ResponseWriter, r *http.Request) {
	next := destination(r.PostForm.Get("next"))
	secret, err := d.SignIn.Second(r.Context(), signin.ArrivalOf(r).Source, secretOf(r), r.PostForm.Get("code"))
	if err != nil {
		d.again(w, r, "second", view{Title: "Second factor", Next: next}, err)
		return
	}
	enter(w, r, secret)
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// full finds the browser's session, and answers if it has none that is fully signed in.
func (d *door) full(w http.ResponseWriter, r *http.Request) (signin.Session, bool) {
	x, _, err := d.SignIn.Resume(r.Context(), secretOf(r))
	if err == nil && x.Stage != signin.StageFull {
		err = slipway.Errorf(slipway.Unauthorized, slipway.CodeSession, "sign in", "nobody is signed in")
	}
	if err != nil {
		d.fail(w, r, err)
		return signin.Session{}, false
	}
	return x, true
}

func (d *door) askStepUp(w http.ResponseWriter, r *http.Request) {
	x, ok := d.full(w, r)
	if !ok {
		return
	}
	next := destination(r.URL.Query().Get("next"))
	if x.Method == signin.MethodProvider {
		http.Redirect(w, r, "/sso/start?again=1&next="+url.QueryEscape(next), http.StatusSeeOther)
		return
	}
	d.show(w, r, http.StatusOK, "step-up", view{Title: "Show your second factor again", Account: x.Account, Next: next})
}

func (d *door) stepUp(w http.ResponseWriter, r *http.Request) {
	x, ok := d.full(w, r)
	if !ok {
		return
	}
	next := destination(r.PostForm.Get("next"))
	secret, err := d.SignIn.StepUp(r.Context(), signin.ArrivalOf(r).Source, secretOf(r), r.PostForm.Get("code"))
	if err != nil {
		d.again(w, r, "step-up", view{Title: "Show your second factor again", Account: x.Account, Next: next}, err)
		return
	}
	enter(w, r, secret)
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (d *door) askLogout(w http.ResponseWriter, r *http.Request) {
	if x, ok := d.full(w, r); ok {
		d.show(w, r, http.StatusOK, "logout", view{Title: "Sign out", Account: x.Account})
	}
}

func (d *door) logout(w http.ResponseWriter, r *http.Request) {
	x, _, err := d.SignIn.Resume(r.Context(), secretOf(r))
	if err == nil {
		err = d.SignIn.End(r.Context(), x.Account, x.ID, "signed out")
	}
	if err != nil && slipway.AsError(err).Code != slipway.CodeSession {
		d.fail(w, r, err)
		return
	}
	a := signin.ArrivalOf(r)
	setCookie(w, a, "", "", -1)
	setCookie(w, a, "-form", "", -1)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// away sends the browser to the identity provider; with again, to show itself anew.
func (d *door) away(w http.ResponseWriter, r *http.Request) {
	secret := ""
	if r.URL.Query().Get("again") != "" {
		if _, ok := d.full(w, r); !ok {
			return
		}
		secret = secretOf(r)
	}
	to, ticket, err := d.SignIn.Away(r.Context(), destination(r.URL.Query().Get("next")), secret)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	setCookie(w, signin.ArrivalOf(r), "-sso", ticket, 600)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// back is where the identity provider sends the browser.
func (d *door) back(w http.ResponseWriter, r *http.Request) {
	a, q := signin.ArrivalOf(r), r.URL.Query()
	ticket := ""
	if c, err := r.Cookie(a.Cookie() + "-sso"); err == nil {
		ticket = c.Value
	}
	setCookie(w, a, "-sso", "", -1)
	if q.Get("code") == "" {
		d.fail(w, r, slipway.Errorf(slipway.Unauthorized, slipway.CodeForeign, "begin again at /login", "the identity provider did not sign you in (%s)", slipway.OneLine(q.Get("error"), 60)))
		return
	}
	secret, next, err := d.SignIn.Back(r.Context(), a.Source, ticket, secretOf(r), q.Get("state"), q.Get("code"))
	if err != nil {
		d.fail(w, r, err)
		return
	}
	enter(w, r, secret)
	http.Redirect(w, r, destination(next), http.StatusSeeOther)
}
