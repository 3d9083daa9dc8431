// Package web is the front door for browsers: the pages on which people sign in, let
// command lines in, and see where they are signed in.
package web

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/identity"
	"github.com/slipway-ml/slipway/internal/identity/signin"
)

// Tokens are what the accounts act with.
type Tokens interface {
	Tokens(ctx context.Context) ([]identity.Token, error)
	Revoke(ctx context.Context, by, id, reason string) error
}

// Config is what the pages are made of.
type Config struct {
	SignIn      *signin.Service
	Tokens      Tokens
	Changed     func() // is told when a token was revoked
	Public      string // scheme://host:port as people know it; empty: whatever they use
	Development bool   // answers at the loopback only
	Key         []byte // 32 random bytes of this process, for the tokens of forms
	Log         *slog.Logger
}

//go:embed pages.html signin.css
var files embed.FS

type door struct {
	Config
	pages *template.Template
}

// New builds the handler of route.Pages.
func New(c Config) http.Handler {
	d := &door{Config: c, pages: template.Must(template.ParseFS(files, "pages.html"))}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /signin.css", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		http.ServeFileFS(w, r, files, "signin.css")
	})
	d.signInPages(mux)
	d.enrolPages(mux)
	d.accountPages(mux)
	d.devicePages(mux)
	d.oauth(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		d.fail(w, r, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "go to /account", "there is no such page"))
	})
	return d.guard(mux)
}

const (
	maxForm = 32 << 10 // bytes
	policy  = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

// guard puts on every answer what keeps browsers from doing more with it than to show it,
// and refuses what does not come from our own pages.
func (d *door) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, a := w.Header(), signin.ArrivalOf(r)
		r = r.WithContext(signin.WithArrival(r.Context(), a))
		for name, value := range map[string]string{
			"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
			"Cross-Origin-Opener-Policy": "same-origin", "Permissions-Policy": "camera=(), microphone=(), geolocation=()", "Cache-Control": "no-store",
		} {
			h.Set(name, value)
		}
		if a.Secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if !d.ours(a.Host) {
			http.Error(w, "this platform is not known by that name", http.StatusMisdirectedRequest)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if r.Method == http.MethodPost && !strings.HasPrefix(r.URL.Path, "/oauth/") {
			if err := d.form(r, a); err != nil {
				d.fail(w, r, err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// ours says whether a host is one by which this installation may be called: another one may
// be a page elsewhere whose name leads here.
func (d *door) ours(host string) bool {
	if d.Public != "" {
		if u, err := url.Parse(d.Public); err == nil && strings.EqualFold(u.Host, host) {
			return true
		}
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	ip := net.ParseIP(name)
	loopback := name == "localhost" || ip != nil && ip.IsLoopback()
	return loopback || !d.Development && d.Public == ""
}

// form refuses a form that was not filled in on one of our pages.
func (d *door) form(r *http.Request, a signin.Arrival) error {
	forged := slipway.Errorf(slipway.Denied, slipway.CodeForged, "go back, load the page again, and repeat it", "this form is too old, or is not of this platform")
	if own, said := a.OwnPage(r.Header); said && !own {
		return forged
	}
	if err := r.ParseForm(); err != nil {
		return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "go back and repeat it", "the form cannot be read")
	}
	cookie, err := r.Cookie(a.Cookie() + "-form")
	if err != nil || !hmac.Equal([]byte(d.mac(cookie.Value)), []byte(r.PostForm.Get("form"))) {
		return forged
	}
	return nil
}

func (d *door) mac(value string) string {
	m := hmac.New(sha256.New, d.Key)
	m.Write([]byte(value))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// formToken is what the forms of a page carry. The browser gets its half as a cookie.
func (d *door) formToken(w http.ResponseWriter, r *http.Request) string {
	a := signin.ArrivalOf(r)
	if c, err := r.Cookie(a.Cookie() + "-form"); err == nil && len(c.Value) >= 32 {
		return d.mac(c.Value)
	}
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails, says its documentation
	value := base64.RawURLEncoding.EncodeToString(b)
	setCookie(w, a, "-form", value, 0)
	return d.mac(value)
}

// setCookie gives the browser a cookie, for so many seconds, or until it is closed: 0; or
// takes it away: -1.
func setCookie(w http.ResponseWriter, a signin.Arrival, suffix, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{Name: a.Cookie() + suffix, Value: value, Path: "/", MaxAge: seconds, Secure: a.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// enter gives the browser a session, and other halves of forms with it.
func enter(w http.ResponseWriter, r *http.Request, secret string) {
	a := signin.ArrivalOf(r)
	setCookie(w, a, "", secret, 0)
	setCookie(w, a, "-form", "", -1)
}

// secretOf is the secret of the browser's session, empty without one.
func secretOf(r *http.Request) string {
	c, err := r.Cookie(signin.ArrivalOf(r).Cookie())
	if err != nil {
		return ""
	}
	return c.Value
}

// view is what a page is made of.
type view struct {
	Title   string
	Form    string // token
	Account string // who is signed in
	Error   *slipway.Error
	Next    string
	SSO     bool
	Data    any
}

// show writes a page.
func (d *door) show(w http.ResponseWriter, r *http.Request, status int, name string, v view) {
	v.Form, v.SSO = d.formToken(w, r), d.SignIn.HasProvider()
	var b strings.Builder
	if err := d.pages.ExecuteTemplate(&b, name, v); err != nil {
		d.Log.ErrorContext(r.Context(), "a page cannot be made", "page", name, "error", err.Error())
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(b.String())) // a client that left
}

// again shows a page once more, with what was wrong.
func (d *door) again(w http.ResponseWriter, r *http.Request, name string, v view, err error) {
	v.Error = d.told(r.Context(), err)
	d.show(w, r, status(v.Error.Kind), name, v)
}

// fail shows what went wrong where there is no form to repeat. Whose session has ended is
// sent to sign in.
func (d *door) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := d.told(r.Context(), err)
	if e.Code == slipway.CodeSession && r.Method == http.MethodGet {
		setCookie(w, signin.ArrivalOf(r), "", "", -1)
		http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		return
	}
	d.show(w, r, status(e.Kind), "failed", view{Title: "That did not work", Error: e})
}

// told logs the cause of an error that is ours.
func (d *door) told(ctx context.Context, err error) *slipway.Error {
	e := slipway.AsError(err)
	if e.Kind == slipway.Internal || e.Cause != nil {
		d.Log.LogAttrs(ctx, slog.LevelError, "a page failed", slog.String("code", e.Code), slog.Any("cause", e.Cause))
	}
	return e
}

func status(k slipway.Kind) int {
	switch k {
	case slipway.Invalid, slipway.Unprocessable:
		return http.StatusUnprocessableEntity
	case slipway.Unauthorized:
		return http.StatusUnauthorized
	case slipway.Denied:
		return http.StatusForbidden
	case slipway.NotFound:
		return http.StatusNotFound
	case slipway.Conflict:
		return http.StatusConflict
	case slipway.Exhausted:
		return http.StatusTooManyRequests
	case slipway.Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// destinations are the pages to which signing in may lead.
var destinations = []string{"/account", "/device", "/step-up"}

// destination is where to go after signing in: one of our own pages, whatever was asked for.
func destination(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || !slices.Contains(destinations, u.Path) {
		return "/account"
	}
	return (&url.URL{Path: u.Path, RawQuery: u.Query().Encode()}).String()
}
