package web

import (
	"net/http"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity/signin"
	"github.com/slipway-ml/slipway/internal/identity/signin/password"
	"github.com/slipway-ml/slipway/internal/identity/signin/totp"
)

func (d *door) enrolPages(mux *http.ServeMux) {
	mux.HandleFunc("GET /enrol", d.invited)
	mux.HandleFunc("POST /enrol", d.enrol)
	mux.HandleFunc("GET /enrol/totp", d.askFactor)
	mux.HandleFunc("POST /enrol/totp", d.confirm)
}

// enrolment is what the page of an invitation is made of.
type enrolment struct {
	Code string
	Name string
	Min  int
}

func (d *door) invited(w http.ResponseWriter, r *http.Request) {
	code := r.URL.Query().Get("code")
	if code == "" {
		d.show(w, r, http.StatusOK, "invitation", view{Title: "Accept an invitation"})
		return
	}
	name, err := d.SignIn.Invited(r.Context(), code)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.show(w, r, http.StatusOK, "enrol", view{Title: "Choose a password", Data: enrolment{code, name, password.Min}})
}

func (d *door) enrol(w http.ResponseWriter, r *http.Request) {
	code, text := r.PostForm.Get("code"), r.PostForm.Get("password")
	name, err := d.SignIn.Invited(r.Context(), code)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := view{Title: "Choose a password", Data: enrolment{code, name, password.Min}}
	if text != r.PostForm.Get("again") {
		d.again(w, r, "enrol", v, &slipway.Error{Code: slipway.CodePassword, Kind: slipway.Invalid, Message: "the two passwords are not the same", Next: "type it twice"})
		return
	}
	secret, err := d.SignIn.Enrol(r.Context(), signin.ArrivalOf(r).Source, code, text)
	if err != nil {
		d.again(w, r, "enrol", v, err)
		return
	}
	enter(w, r, secret)
	http.Redirect(w, r, "/enrol/totp", http.StatusSeeOther)
}

// factor is what the page of a second factor is made of.
type factor struct {
	signin.Factor
	Path string // of the picture
	Size int
}

func (d *door) factorView(r *http.Request) (view, error) {
	f, err := d.SignIn.Factor(r.Context(), secretOf(r))
	if err != nil {
		return view{}, err
	}
	path, size, err := totp.Picture(f.URL)
	return view{Title: "Set up your second factor", Data: factor{f, path, size}}, err
}

func (d *door) askFactor(w http.ResponseWriter, r *http.Request) {
	v, err := d.factorView(r)
	if err != nil {
		d.fail(w, r, slipway.Errorf(slipway.Unauthorized, slipway.CodeInvitation, "open the link of your invitation again", "this page is no longer good"))
		return
	}
	d.show(w, r, http.StatusOK, "factor", v)
}

func (d *door) confirm(w http.ResponseWriter, r *http.Request) {
	v, err := d.factorView(r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	secret, recovery, err := d.SignIn.Confirm(r.Context(), signin.ArrivalOf(r).Source, secretOf(r), r.PostForm.Get("code"))
	if err != nil {
		d.again(w, r, "factor", v, err)
		return
	}
	enter(w, r, secret)
	d.show(w, r, http.StatusOK, "recovery", view{Title: "Keep your recovery codes", Data: recovery})
}
