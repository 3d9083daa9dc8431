package web

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/identity/signin"
)

func (d *door) devicePages(mux *http.ServeMux) {
	mux.HandleFunc("GET /device", d.askDevice)
	mux.HandleFunc("POST /device", d.device)
}

// waiting is what the page is made of on which one lets a command line in.
type waiting struct {
	Code string
	ID   string // of the device, once its code is known
	signin.Device
}

func (d *door) askDevice(w http.ResponseWriter, r *http.Request) {
	if x, ok := d.full(w, r); ok {
		d.show(w, r, http.StatusOK, "device", view{Title: "Sign in a command line", Account: x.Account, Data: waiting{Code: r.URL.Query().Get("code")}})
	}
}

// device takes the code, and then the decision.
func (d *door) device(w http.ResponseWriter, r *http.Request) {
	x, ok := d.full(w, r)
	if !ok {
		return
	}
	v := view{Title: "Sign in a command line", Account: x.Account}
	if decision := r.PostForm.Get("decision"); decision != "" {
		if err := d.SignIn.Decide(r.Context(), secretOf(r), r.PostForm.Get("id"), decision == "allow"); err != nil {
			d.fail(w, r, err)
			return
		}
		v.Data = decision == "allow"
		d.show(w, r, http.StatusOK, "decided", v)
		return
	}
	code := r.PostForm.Get("code")
	found, err := d.SignIn.Waiting(r.Context(), signin.ArrivalOf(r).Source, x.Account, code)
	v.Data = waiting{Code: code, ID: found.ID, Device: found}
	if err != nil {
		d.again(w, r, "device", v, err)
		return
	}
	d.show(w, r, http.StatusOK, "decide", v)
}

// ClientID is the one client that there is.
const ClientID = "platform"

const (
	grantDevice  = "urn:ietf:params:oauth:grant-type:device_code"
	grantRefresh = "refresh_token"
)

// oauth is what command lines call: RFC 8628, RFC 6749 section 6, and RFC 7009.
func (d *door) oauth(mux *http.ServeMux) {
	mux.HandleFunc("POST /oauth/device", d.beginDevice)
	mux.HandleFunc("POST /oauth/token", d.token)
	mux.HandleFunc("POST /oauth/revoke", d.revoke)
}

// client reads the form of a command line, and answers if it is none of ours.
func (d *door) client(w http.ResponseWriter, r *http.Request) bool {
	if err := r.ParseForm(); err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_request", misused("send a form", "the form cannot be read"))
		return false
	}
	if r.PostForm.Get("client_id") != ClientID {
		oauthError(w, http.StatusUnauthorized, "invalid_client", misused("send client_id="+ClientID, "the client is unknown"))
		return false
	}
	return true
}

func (d *door) beginDevice(w http.ResponseWriter, r *http.Request) {
	if !d.client(w, r) {
		return
	}
	a := signin.ArrivalOf(r)
	codes, err := d.SignIn.Begin(r.Context(), a.Source)
	if err != nil {
		d.oauthFail(w, r, err)
		return
	}
	page := d.Public
	if page == "" {
		page = a.Origin()
	}
	page += "/device"
	writeJSON(w, http.StatusOK, api.DeviceCodes{DeviceCode: codes.Device, UserCode: codes.User, VerificationURI: page, VerificationURIComplete: page + "?code=" + url.QueryEscape(codes.User),
		ExpiresIn: int(signin.DeviceLife.Seconds()), Interval: int(signin.PollInterval.Seconds())})
}

func (d *door) token(w http.ResponseWriter, r *http.Request) {
	if !d.client(w, r) {
		return
	}
	var g signin.Grant
	var err error
	switch r.PostForm.Get("grant_type") {
	case grantDevice:
		g, err = d.SignIn.Fetch(r.Context(), r.PostForm.Get("device_code"))
	case grantRefresh:
		g, err = d.SignIn.Refresh(r.Context(), r.PostForm.Get("refresh_token"))
	default:
		oauthError(w, http.StatusBadRequest, "unsupported_grant_type", misused("use "+grantDevice+" or "+grantRefresh, "there is no such grant"))
		return
	}
	if err != nil {
		d.oauthFail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, api.Grant{Account: g.Account, AccessToken: g.Access, TokenType: "Bearer", ExpiresIn: int(g.Expires.Sub(g.Issued).Seconds()), ExpiresAt: g.Expires,
		RefreshToken: g.Refresh, RefreshEndsAt: g.Ends})
}

func (d *door) revoke(w http.ResponseWriter, r *http.Request) {
	if !d.client(w, r) {
		return
	}
	if err := d.SignIn.Leave(r.Context(), r.PostForm.Get("token")); err != nil {
		d.oauthFail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, struct{}{})
}

// words are what RFC 8628, section 3.5, calls some outcomes.
var words = map[*slipway.Error]string{signin.ErrPending: "authorization_pending", signin.ErrSlowDown: "slow_down", signin.ErrDenied: "access_denied", signin.ErrExpired: "expired_token"}

// oauthFail answers with those words, and with others of RFC 6749, section 5.2.
func (d *door) oauthFail(w http.ResponseWriter, r *http.Request, err error) {
	e := d.told(r.Context(), err)
	if word, ok := words[e]; ok {
		oauthError(w, http.StatusBadRequest, word, e)
		return
	}
	switch e.Kind {
	case slipway.Unauthorized, slipway.Denied, slipway.NotFound, slipway.Conflict, slipway.Invalid, slipway.Unprocessable:
		oauthError(w, http.StatusBadRequest, "invalid_grant", e)
	case slipway.Exhausted, slipway.Unavailable:
		oauthError(w, http.StatusServiceUnavailable, "temporarily_unavailable", e)
	default:
		oauthError(w, http.StatusInternalServerError, "server_error", e)
	}
}

func oauthError(w http.ResponseWriter, status int, word string, e *slipway.Error) {
	writeJSON(w, status, api.OAuthProblem{Error: word, Description: e.Error(), Detail: e.Message, Code: e.Code, Next: e.Next})
}

// misused is a request that no command line of ours makes.
func misused(next, message string) *slipway.Error {
	return &slipway.Error{Code: slipway.CodeInvalid, Kind: slipway.Invalid, Message: message, Next: next}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that left
}
