package webhook_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/webhook"
)

var start = time.Date(2026, 11, 1, 12, 0, 0, 123456000, time.UTC)

// reach is that of an installation in production.
var reach = config.Receivers{Opened: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}

func TestURL(t *testing.T) {
	for url, want := range map[string]string{
		"https://hooks.example.com/services/T0/B0?x=1":      "",
		"https://hooks.example.com:8443/":                   "",
		"https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/": "",
		"https://10.1.2.3/":                                 "",
		"https://xn--bcher-kva.example/":                    "",
		"":                                                  "Webhook URL cannot be empty or just whitespace: ''",
		" ":                                                 "Webhook URL cannot be empty or just whitespace: ' '",
		"http://hooks.example.com/":                         "Invalid webhook URL scheme: 'http'. Allowed schemes are: https.",
		"http://127.0.0.1/":                                 "Invalid webhook URL scheme: 'http'.",
		"HTTPS://":                                          "Webhook URL must include a hostname",
		"ftp://hooks.example.com/":                          "Invalid webhook URL scheme: 'ftp'.",
		"file:///etc/passwd":                                "Invalid webhook URL scheme: 'file'.",
		"gopher://127.0.0.1:11211/_stats":                   "Invalid webhook URL scheme: 'gopher'.",
		"hooks.example.com":                                 "Invalid webhook URL scheme: ''.",
		"https://user:pass@hooks.example.com/":              "user or a password",
		"https://hooks.example.com/#x":                      "fragment",
		"https://localhost/":                                "'localhost' is closed",
		"https://LOCALHOST./":                               "'localhost' is closed",
		"https://x.localhost/":                              "'x.localhost' is closed",
		"https://127.0.0.1/":                                "'127.0.0.1' is closed",
		"https://[::1]/":                                    "'::1' is closed",
		"https://[::ffff:169.254.169.254]/":                 "closed",
		"https://[fe80::1%25eth0]/":                         "closed",
		"https://169.254.169.254/latest/meta-data/":         "closed",
		"https://10.2.0.1/":                                 "closed",
		"https://0/":                                        "not a canonical IP address literal",
		"https://127.1/":                                    "not a canonical IP address literal",
		"https://2130706433/":                               "not a canonical IP address literal",
		"https://0x7f.0.0.1/":                               "not a canonical IP address literal",
		"https://0x7f000001/":                               "not a canonical IP address literal",
		"https://0177.0.0.1/":                               "not a canonical IP address literal",
		"https://1.2.3.4.5/":                                "not a canonical IP address literal",
		"https://a\x00b/":                                   "it is no address",
		"https://" + strings.Repeat("a", 2050):              "longer than",
		"https://hooks.example.com:99999999/\x7f":           "it is no address",
	} {
		err := webhook.CheckURL(url, reach)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(slipway.AsError(err).Message, want) || slipway.AsError(err).Code != slipway.CodeWebhook) {
			t.Errorf("%.80q: %v, want %q", url, err, want)
		}
	}
	here := config.Receivers{Here: true}
	for url, good := range map[string]bool{"http://127.0.0.1:9/x": true, "http://localhost:9/": true, "https://[::1]/": true, "http://hooks.example.com/": false, "http://10.1.2.3/": false, "https://10.1.2.3/": false} {
		if err := webhook.CheckURL(url, here); (err == nil) != good {
			t.Errorf("on a development installation, %s: %v", url, err)
		}
	}
}

// FuzzCheckURL: what is let through has TLS, and a host that is a name or a public address.
func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://hooks.example.com/", "https://127.0.0.1/", "https://[::ffff:a9fe:a9fe]:1/", "https://0x7f.1/", "https://a@b#c", "https://%31%32%37.0.0.1/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, url string) {
		if webhook.CheckURL(url, reach) != nil {
			return
		}
		if !strings.HasPrefix(strings.ToLower(url), "https://") {
			t.Errorf("%q has no TLS", url)
		}
		h := webhook.Hook{URL: url}
		host := h.Host()
		if at, err := netip.ParseAddrPort(host); err == nil && !reach.Permit(at.Addr()) {
			t.Errorf("%q is open", url)
		}
		if host == "" || host == "?" || strings.ContainsAny(host, "@/# ") {
			t.Errorf("%q has the host %q", url, host)
		}
	})
}

func TestNames(t *testing.T) {
	for _, good := range []string{"a", "slack", "A.b_c-9", strings.Repeat("x", 63)} {
		if err := webhook.CheckName(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "-a", "a-", "a b", "a/b", "é", strings.Repeat("x", 64), "a\n"} {
		if err := webhook.CheckName(bad); err == nil || !strings.Contains(err.Error(), "Webhook name '") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestChange(t *testing.T) {
	ptr := func(s string) *string { return &s }
	h := webhook.Hook{ID: "whk_1", Team: "risk", Name: "slack", URL: "http://was.good/once", Events: []webhook.Event{webhook.AliasMoved}, Status: webhook.Disabled, Why: "it is gone",
		Health: webhook.Health{Failing: start, Failures: 7, Trouble: "status 500"}, Revision: 3}
	c := webhook.Change{Events: []webhook.Event{webhook.StageChanged, webhook.AliasMoved, webhook.StageChanged}, Status: webhook.Active}
	got, err := c.Apply(h, reach, start)
	want := h
	want.Events, want.Status, want.Why, want.Health, want.Updated = []webhook.Event{webhook.StageChanged, webhook.AliasMoved}, webhook.Active, "", webhook.Health{}, start
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for name, c := range map[string]webhook.Change{
		"name": {Name: ptr("")}, "URL": {URL: ptr("http://x")}, "description": {Description: ptr(strings.Repeat("é", 1001))}, "no events": {Events: []webhook.Event{}}, "events": {Events: []webhook.Event{"model.exploded"}},
		"status": {Status: "asleep"}, "short secret": {Secret: ptr("1234567")}, "long secret": {Secret: ptr(strings.Repeat("x", 1025))}, "binary secret": {Secret: ptr("\xff\xff\xff\xff\xff\xff\xff\xff")},
	} {
		if _, err := c.Apply(h, reach, start); err == nil || slipway.AsError(err).Kind != slipway.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (&webhook.Change{Secret: ptr("")}).Apply(h, reach, start); err != nil {
		t.Error("without a secret:", err)
	}
}

// TestSign compares with what MLflow's own _generate_hmac_signature gives.
func TestSign(t *testing.T) {
	const want = "v1,78CKuq+k77X1GGNUoocuXxONvjZ5C4NE/1PgBVjah2w="
	if got := webhook.Sign([]byte("s3cret-é"), "01a21f2c-51f3-70f1-ae08-6e54aa890b9b", time.Unix(1795819327, 999), []byte(`{"entity":"registered_model","data":{"name":"fraud é"}}`)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestEvents(t *testing.T) {
	var all []string
	for _, e := range slices.Concat(webhook.MLflowEvents, webhook.PlatformEvents) {
		all = append(all, string(e))
		if _, err := webhook.ParseEvent(string(e)); err != nil || e.Entity() == "" || e.Action() == "" {
			t.Errorf("%s: %v", e, err)
		}
		if len(e.Example()) < 2 {
			t.Errorf("the example of %s says nothing: %v", e, e.Example())
		}
	}
	if diff := cmp.Diff(all, api.WebhookEvents); diff != "" {
		t.Error("what clients are told that there is:", diff)
	}
	for _, bad := range []string{"", "alias", "alias.", "budget_policy.exceeded", "alias.moved "} {
		if e, err := webhook.ParseEvent(bad); err == nil {
			t.Errorf("%q is %s", bad, e)
		}
	}
	mixed := []webhook.Event{webhook.AliasMoved, webhook.ModelCreated, webhook.StageChanged}
	if got := webhook.MLflowPart(mixed); !reflect.DeepEqual(got, []webhook.Event{webhook.ModelCreated}) {
		t.Error(got)
	}
	if got := webhook.OwnPart(mixed); len(got) != 2 || len(mixed) != 3 || mixed[1] != webhook.ModelCreated {
		t.Error(got, mixed)
	}
}

func TestBody(t *testing.T) {
	got, err := webhook.Body(webhook.AliasMoved, "risk", start, map[string]any{"name": "a<b>&é", "from": nil})
	if want := `{"entity":"alias","action":"moved","timestamp":"2026-11-01T12:00:00.123456+00:00","workspace":"risk","data":{"from":null,"name":"a<b>&é"}}`; string(got) != want || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	long := map[string]any{"name": "fraud", "version": "1", "tags": map[string]string{"k": strings.Repeat("x", 300<<10)}, "description": "short"}
	got, err = webhook.Body(webhook.VersionCreated, "", start, long)
	if err != nil || len(got) > 1000 || len(long) != 4 {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	var read struct {
		Workspace string
		Data      map[string]any
	}
	if err := json.Unmarshal(got, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"name": "fraud", "version": "1", "tags": nil, "description": nil, "truncated": true}, read.Data); diff != "" || read.Workspace != "default" {
		t.Error(diff, read.Workspace)
	}
}
