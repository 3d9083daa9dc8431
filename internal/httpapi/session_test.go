package httpapi_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/httpapi"
)

// browsers knows ana's session.
type browsers struct{}

func (browsers) Principal(_ context.Context, secret string) (slipway.Principal, error) {
	if secret == "ana's" {
		return slipway.Principal{ID: "ana", BreakGlass: "bgl_1"}, nil
	}
	return slipway.Principal{}, slipway.Errorf(slipway.Unauthorized, slipway.CodeSession, "sign in again", "the session has ended")
}

// people says who asks, and in which emergency.
type people struct{ httpapi.People }

func (people) Who(ctx context.Context, p slipway.Principal) (api.Who, error) {
	return api.Who{Account: p.ID, BreakGlass: slipway.BreakGlassOf(ctx)}, nil
}

func (people) Confirm(_ context.Context, p slipway.Principal, id string) (api.Emergency, error) {
	return api.Emergency{ID: id, Account: p.ID}, nil
}

// TestSessions: a browser's cookie is as good as a token, for requests of our own pages.
func TestSessions(t *testing.T) {
	h := httpapi.New(httpapi.Config{Version: "test", Auth: tokens{}, Sessions: browsers{}, Access: access{t}, People: people{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	const host = "slipway.test"
	for name, c := range map[string]struct {
		method, path, cookie string
		header               map[string]string
		status               int
		code                 string
	}{
		"reading":                          {http.MethodGet, "/v1/whoami", "__Host-slipway=ana's", nil, 200, ""},
		"reading, from our page":           {http.MethodGet, "/v1/whoami", "__Host-slipway=ana's", map[string]string{"Sec-Fetch-Site": "same-origin"}, 200, ""},
		"reading, from another site":       {http.MethodGet, "/v1/whoami", "__Host-slipway=ana's", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403, slipway.CodeForged},
		"an ended session":                 {http.MethodGet, "/v1/whoami", "__Host-slipway=other", nil, 401, slipway.CodeSession},
		"the cookie of plain loopback":     {http.MethodGet, "/v1/whoami", "slipway-dev=ana's", nil, 401, slipway.CodeUnauthorized},
		"changing, from our page":          {http.MethodPost, "/v1/emergencies/x/confirm", "__Host-slipway=ana's", map[string]string{"Origin": "https://" + host}, 200, ""},
		"changing, by our script":          {http.MethodPost, "/v1/emergencies/x/confirm", "__Host-slipway=ana's", map[string]string{"X-Slipway-Request": "1"}, 200, ""},
		"changing, and nothing said":       {http.MethodPost, "/v1/emergencies/x/confirm", "__Host-slipway=ana's", nil, 403, slipway.CodeForged},
		"changing, from another site":      {http.MethodPost, "/v1/emergencies/x/confirm", "__Host-slipway=ana's", map[string]string{"Origin": "https://evil.test"}, 403, slipway.CodeForged},
		"changing, from no site":           {http.MethodPost, "/v1/emergencies/x/confirm", "__Host-slipway=ana's", map[string]string{"Origin": "null"}, 403, slipway.CodeForged},
		"a header does not help elsewhere": {http.MethodPost, "/v1/emergencies/x/confirm", "__Host-slipway=ana's", map[string]string{"Origin": "https://evil.test", "X-Slipway-Request": "1"}, 403, slipway.CodeForged},
		"a token needs no page":            {http.MethodPost, "/v1/emergencies/x/confirm", "", map[string]string{"Authorization": "Bearer owner"}, 200, ""},
		"a bad token is not saved by it":   {http.MethodGet, "/v1/whoami", "__Host-slipway=ana's", map[string]string{"Authorization": "Bearer wrong"}, 401, slipway.CodeUnauthorized},
		"the method in a header":           {http.MethodGet, "/v1/emergencies/x/confirm", "__Host-slipway=ana's", map[string]string{"X-HTTP-Method-Override": "POST", "X-Slipway-Request": "1"}, 405, ""},
	} {
		r := httptest.NewRequest(c.method, "http://"+host+c.path, strings.NewReader(""))
		r.Header.Set("X-Forwarded-For", "192.0.2.7")
		r.Header.Set("X-Forwarded-Proto", "https")
		if c.cookie != "" {
			r.Header.Set("Cookie", c.cookie)
		}
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var p api.Problem
		_ = json.Unmarshal(w.Body.Bytes(), &p)
		if w.Code != c.status && !(c.status == 405 && w.Code == 404) || p.Code != c.code && c.code != "" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "http://"+host+"/v1/whoami", nil)
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("Cookie", "__Host-slipway=ana's")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var who api.Who
	if err := json.Unmarshal(w.Body.Bytes(), &who); err != nil || who.BreakGlass != "bgl_1" {
		t.Errorf("the emergency is not in the context of what is done in it: %+v, %v", who, err)
	}
}
