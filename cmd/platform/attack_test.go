package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// besieged is a platform that others try to get into: fraud is of the team risk.
type besieged struct {
	*server
	owner, gil, shop string // tokens; gil is an engineer of another team, shop a caller of risk
	shopID           string
}

func besiege(t *testing.T) *besieged {
	b := &besieged{server: newServer(t)}
	ctx := t.Context()
	b.deployed("fraud")
	text, err := os.ReadFile(filepath.Join(b.home, "owner.token"))
	if err != nil {
		t.Fatal(err)
	}
	b.owner = strings.TrimSpace(string(text))
	for _, a := range []struct{ name, kind, team, role string }{
		{"gil", slipway.Person, "", slipway.RoleEngineer}, {"shop", slipway.Service, "risk", slipway.RoleCaller}} {
		if _, err := b.c.CreateAccount(ctx, api.CreateAccount{Name: a.name, Kind: a.kind, Team: a.team}); err != nil {
			t.Fatal(err)
		}
		team := a.team
		if team == "" {
			team = "growth"
		}
		if _, err := b.c.ChangeRole(ctx, a.name, api.ChangeRole{Role: api.Role{Role: a.role, Team: team}}); err != nil {
			t.Fatal(err)
		}
		tok, err := b.c.IssueToken(ctx, a.name, api.IssueToken{})
		if err != nil {
			t.Fatal(err)
		}
		if a.name == "gil" {
			b.gil = tok.Text
		} else {
			b.shop, b.shopID = tok.Text, tok.ID
		}
	}
	return b
}

// raw sends bytes as they are and gives all that comes back until the connection is closed
// or nothing comes any more.
func (b *besieged) raw(request string) string {
	b.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		return "" // closed before it was all read
	}
	out, _ := io.ReadAll(conn) // what came is what counts
	return string(out)
}

func (b *besieged) get(method, target, token, body string, headers ...string) string {
	auth := ""
	if token != "" {
		auth = "Authorization: Bearer " + token + "\r\n"
	}
	return b.raw(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: platform.example.com\r\n%sConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s",
		method, target, auth, len(body), strings.Join(headers, ""), body))
}

func (b *besieged) await(action, actor, detail string) {
	b.t.Helper()
	for range 600 {
		events, err := b.c.Events(b.t.Context(), 0, 1000)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, e := range events {
			if text, _ := json.Marshal(e.Detail); e.Action == action && e.Actor == actor && strings.Contains(string(text)+e.Subject, detail) {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.t.Errorf("no event %s of %s about %s after 30 s", action, actor, detail)
}

const inferOne = `{"inputs":[]}`

// TestAttacks tries to get in, further in, and out again: everything is refused, and is in
// the record where somebody is known, or an address.
func TestAttacks(t *testing.T) {
	b := besiege(t)
	t.Run("the token of another team", b.otherTeam)
	t.Run("paths", b.paths)
	t.Run("headers", b.headers)
	t.Run("two requests in one", b.smuggling)
	t.Run("wider tokens", b.widening)
	t.Run("names and reasons", b.injection)
	t.Run("files outside", b.outside)
	t.Run("addresses inside", b.inside)
	t.Run("an expired token", b.expired)
	t.Run("a revoked token", b.revoked) // the last: it ends one of the tokens
	events, err := b.c.Events(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(events)
	for _, secret := range []string{b.owner, b.gil, b.shop} {
		if bytes.Contains(text, []byte(secret)) {
			t.Error("the record has the text of a token")
		}
		err := filepath.WalkDir(b.home, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || !d.Type().IsRegular() || d.Name() == "owner.token" {
				return err
			}
			content, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) { // the server writes on
				return nil
			}
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("%s has the text of a token", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func refusedWith(t *testing.T, what, answer string, statuses ...string) {
	t.Helper()
	for _, s := range statuses {
		if strings.HasPrefix(answer, "HTTP/1.1 "+s) {
			return
		}
	}
	t.Errorf("%s: %.300q, want %v", what, answer, statuses)
}

func (b *besieged) otherTeam(t *testing.T) {
	for range 1000 { // until the gateway has heard of the token
		if strings.HasPrefix(b.get("GET", "/v2/models/fraud", b.gil, ""), "HTTP/1.1 403") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, r := range []struct{ method, path, body string }{
		{"POST", "/v2/models/fraud/infer", inferOne}, {"POST", "/endpoints/fraud/invocations", inferOne}, {"GET", "/v2/models/fraud", ""},
		{"POST", "/v1/endpoints/fraud/rollback", `{"reason":"x"}`}, {"GET", "/v1/endpoints/fraud/logs", ""}, {"GET", "/metrics", ""},
		{"POST", "/v1/models/fraud/versions", `{"files":[{"path":"a","digest":"` + digest([]byte("a")) + `","size":1}]}`},
		{"GET", "/v1/events", ""}, {"POST", "/v1/accounts/shop/tokens", "{}"}, {"POST", "/v1/accounts/gil/roles", `{"role":"owner"}`},
		{"POST", "/v1/policies", `{"text":"","reason":"x"}`}, {"POST", "/v1/tokens/" + b.shopID + "/revoke", "{}"},
	} {
		refusedWith(t, r.method+" "+r.path, b.get(r.method, r.path, b.gil, r.body), "403")
		refusedWith(t, r.method+" "+r.path+" without a token", b.get(r.method, r.path, "", r.body), "401")
		refusedWith(t, r.method+" "+r.path+" with an invented token", b.get(r.method, r.path, "slip_"+strings.Repeat("A", 43), r.body), "401")
		refusedWith(t, r.method+" "+r.path+" with two tokens", b.get(r.method, r.path, b.gil, r.body, "Authorization: Bearer "+b.owner+"\r\n"), "401", "400")
	}
	b.await("access.denied", "gil", "endpoint:rollback")
	b.await("access.denied", "gil", "endpoint:predict")
	b.await("access.unauthenticated", "unknown", "127.0.0.1")
	b.await("access.unauthenticated", "unknown", "the gateway")
}

// paths: no way of writing a path reaches what its plain form does not.
func (b *besieged) paths(t *testing.T) {
	for _, path := range []string{
		"//v1/endpoints/fraud", "/v1//endpoints/fraud", "/v1/./endpoints/fraud/logs", "/v1/info/../endpoints/fraud/logs", "/v1/endpoints/fraud/../fraud/logs",
		"/%76%31/endpoints/fraud/logs", "/v1/endpoints/%66raud/logs", "/v1/endpoints/fraud%2flogs", "/v1%2fendpoints%2ffraud%2flogs", "/v1/endpoints/%2e%2e/events", "/v1/endpoints/..%2fevents",
		"/v1/endpoints/fraud%00/logs", "/v1/endpoints/fraud./logs", "/v1/endpoints/FRAUD/logs", "/V1/endpoints/fraud/logs", "/v1/endpoints/fraud;x=1/logs", "/v1/endpoints/fraud/logs/", "/v1/endpoints/fraud\\logs",
		"/v1/endpoints/" + strings.Repeat("a", 3000), "/v1/endpoints/" + strings.Repeat("%2e%2e%2f", 50) + "etc/passwd",
		"//v2/models/fraud", "/v2//models/fraud", "/v2/models/./fraud", "/v2/models/x/../fraud", "/v2/models/%66raud", "/v2/models/fraud%2fready", "/v2/models/fraud/", "/v2/models/FRAUD", "/v2/models/fraud%00",
		"/endpoints/../v2/models/fraud", "/endpoints/x/../fraud/invocations", "/openapi/../v1/events", "/docs/../metrics", "/healthz/../metrics", "/healthz/../v1/events", "/healthz%2f..%2fmetrics",
		"/table", "/observe", "/journal?after=0", "/refusals?after=0", "/fresh", "/stop?replicas=stop", "http://platform.example.com/v1/events",
	} {
		for who, token := range map[string]string{"nobody": "", "gil": b.gil} {
			answer := b.get("GET", path, token, "")
			if strings.HasPrefix(answer, "HTTP/1.1 2") || strings.Contains(answer, "fraud-1") || strings.Contains(answer, "account.created") || answer == "" {
				t.Errorf("%s gets %.60s: %.300q", who, path, answer)
			}
		}
	}
	for _, path := range []string{"/table", "/observe", "/stop?replicas=stop", "/fresh"} { // of the gateway's private socket
		refusedWith(t, "the owner asks for "+path, b.get("GET", path, b.owner, ""), "404")
	}
	for _, path := range []string{"/openapi.yaml", "/docs", "/docs/"} {
		refusedWith(t, path, b.get("GET", path, "", ""), "401")
	}
}

// headers: what a proxy before the platform might heed is nothing to it.
func (b *besieged) headers(t *testing.T) {
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		refusedWith(t, name, b.get("GET", "/v1/endpoints/fraud/rollback", b.owner, "", name+": POST\r\n"), "404", "405")
		refusedWith(t, name, b.get("POST", "/v1/endpoints/fraud/rollback", b.gil, "{}", name+": GET\r\n"), "403")
	}
	for _, name := range []string{"X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Forwarded-Path"} {
		if answer := b.get("GET", "/healthz", "", "", name+": /v1/events\r\n"); !strings.HasSuffix(answer, "ok\n") {
			t.Errorf("%s: %.200q", name, answer)
		}
	}
	for _, header := range []string{"X-Forwarded-For: 127.0.0.1\r\n", "Forwarded: for=127.0.0.1\r\n", "X-Real-IP: 127.0.0.1\r\n", "X-Forwarded-User: owner\r\n", "Cookie: token=" + b.owner + "\r\n", "X-Slipway-Principal: owner\r\n"} {
		refusedWith(t, header, b.get("GET", "/v1/events", "", "", header), "401")
	}
	evil := b.raw("GET /v1//events HTTP/1.1\r\nHost: evil.example.com\r\nAuthorization: Bearer " + b.owner + "\r\nConnection: close\r\n\r\n")
	if strings.Contains(evil, "evil.example.com") || evil == "" {
		t.Errorf("an answer names the host of the request: %.300q", evil)
	}
	refusedWith(t, "two hosts", b.raw("GET /healthz HTTP/1.1\r\nHost: a.example.com\r\nHost: b.example.com\r\nConnection: close\r\n\r\n"), "400")
	refusedWith(t, "large headers", b.raw("GET /healthz HTTP/1.1\r\nHost: a.example.com\r\nX-Large: "+strings.Repeat("a", 64<<10)+"\r\nConnection: close\r\n\r\n"), "431", "400")
	refusedWith(t, "a pinned revision", b.get("POST", "/v2/models/fraud/infer", b.shop, inferOne, "Slipway-Revision: fraud-1\r\n"), "403")
	if answer := b.get("GET", "/v2/models/fraud", "", "", "X-Request-Id: a\x1b[31mred\r\n"); strings.Contains(answer, "\x1b") {
		t.Errorf("a request's id comes back as it is: %q", answer)
	}
}

// smuggling: the gateway and the server behind it see the same requests, whatever a request
// says of its length.
func (b *besieged) smuggling(t *testing.T) {
	inner := "GET /v1/events HTTP/1.1\r\nHost: platform.example.com\r\nConnection: close\r\n\r\n"
	head := "POST /v1/plans HTTP/1.1\r\nHost: platform.example.com\r\nAuthorization: Bearer " + b.owner + "\r\nContent-Type: application/json\r\n"
	for name, request := range map[string]string{
		"a length and chunks":           head + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%s", 5+len(inner), inner),
		"chunks and a length":           head + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + inner,
		"two lengths":                   head + fmt.Sprintf("Content-Length: 2\r\nContent-Length: %d\r\n\r\n{}%s", 2+len(inner), inner),
		"chunks with a space":           head + "Transfer-Encoding : chunked\r\nContent-Length: 2\r\n\r\n{}" + inner,
		"chunks of another kind":        head + "Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n\r\n{}" + inner,
		"chunks twice":                  head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + inner,
		"a folded header":               head + "Transfer-Encoding:\r\n chunked\r\nContent-Length: 2\r\n\r\n{}" + inner,
		"a length with a sign":          head + "Content-Length: +2\r\n\r\n{}" + inner,
		"a chunk's length with a space": head + "Transfer-Encoding: chunked\r\n\r\n0 x\r\n\r\n" + inner,
		"a bare line feed":              strings.ReplaceAll(head, "\r\n", "\n") + "Content-Length: 2\n\n{}" + inner,
		"upgrade":                       "GET /v1/info HTTP/1.1\r\nHost: a.example.com\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n" + inner,
	} {
		answer := b.raw(request)
		if strings.Contains(answer, "account.created") || strings.Contains(answer, "HTTP/1.1 101") {
			t.Errorf("%s: the inner request is answered with the outer one's rights: %.400q", name, answer)
		}
		reader, statuses := bufio.NewReader(strings.NewReader(answer)), []int{}
		for {
			r, err := http.ReadResponse(reader, nil)
			if err != nil {
				break
			}
			_, _ = io.Copy(io.Discard, r.Body)
			statuses = append(statuses, r.StatusCode)
		}
		for _, code := range statuses {
			if code < 400 {
				t.Errorf("%s: statuses %v", name, statuses)
			}
		}
		if got := b.get("GET", "/v1/events?limit=1", b.owner, ""); !strings.Contains(got, `"seq":1`) {
			t.Fatalf("after %s another client gets %.200q", name, got)
		}
	}
}

func (b *besieged) widening(t *testing.T) {
	ctx := t.Context()
	narrow, err := b.c.IssueToken(ctx, "owner", api.IssueToken{Limit: api.Limit{Actions: []string{"token:issue", "token:rotate"}}})
	if err != nil {
		t.Fatal(err)
	}
	full, err := b.c.IssueToken(ctx, "owner", api.IssueToken{})
	if err != nil {
		t.Fatal(err)
	}
	refusedWith(t, "all actions", b.get("POST", "/v1/accounts/owner/tokens", narrow.Text, "{}"), "403")
	refusedWith(t, "another action", b.get("POST", "/v1/accounts/owner/tokens", narrow.Text, `{"limit":{"actions":["audit:read"]}}`), "403")
	refusedWith(t, "a token of more", b.get("POST", "/v1/tokens/"+full.ID+"/rotate", narrow.Text, "{}"), "403")
	refusedWith(t, "a caller makes tokens", b.get("POST", "/v1/accounts/shop/tokens", b.shop, "{}"), "403")
	refusedWith(t, "a long one", b.get("POST", "/v1/accounts/gil/tokens", b.gil, `{"lifetime_seconds":8640000}`), "400")
	b.await("access.denied", "owner", "your token is limited")
	b.await("access.denied", "shop", "token:issue")
}

// injection: what attackers name things is nothing that a terminal obeys or a log breaks at.
func (b *besieged) injection(t *testing.T) {
	const bad = "x\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\x1b[2J"
	quoted, _ := json.Marshal(bad)
	for path, body := range map[string]string{
		"/v1/accounts":           `{"name":` + string(quoted) + `,"kind":"person"}`,
		"/v1/accounts/gil/roles": `{"role":` + string(quoted) + `,"team":"risk"}`,
		"/v1/models/x/versions":  `{"files":[{"path":` + string(quoted) + `,"digest":"` + digest([]byte("a")) + `","size":1}],"team":"risk"}`,
		"/v1/policies":           `{"text":"","reason":` + string(quoted) + `}`,
		"/v1/policies/test":      `{"text":` + string(quoted) + `}`,
	} {
		refusedWith(t, path, b.get("POST", path, b.owner, body), "400", "422")
	}
	refusedWith(t, "a token's note", b.get("POST", "/v1/accounts/gil/tokens", b.owner, `{"note":`+string(quoted)+`}`), "400")
	if _, err := b.c.CreateAccount(t.Context(), api.CreateAccount{Name: "eve", Kind: slipway.Person}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.c.ChangeAccount(t.Context(), "eve", api.ChangeAccount{Disable: true, Reason: bad}); err != nil {
		t.Fatal(err)
	}
	b.get("GET", "/v1/nothing/%0a%1b%5b2Jforged", b.gil, "")
	b.get("GET", "/v1/endpoints/%0a%1b%5b2Jforged/logs", b.gil, "")
	logs, err := filepath.Glob(filepath.Join(b.home, "logs", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no logs: %v", err)
	}
	for _, name := range logs {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(strings.TrimSpace(string(content)), "\n") {
			if strings.Contains(line, "\x1b") || line != "" && !json.Valid([]byte(line)) && strings.Contains(line, "forged") {
				t.Errorf("%s has the line %q", name, line)
			}
		}
	}
	for _, args := range [][]string{{"accounts", "list"}, {"tokens", "list"}, {"history", "fraud"}, {"policy", "list"}} {
		out, err := exec.Command("platform", append(args, "--home", b.home)...).CombinedOutput()
		if err != nil || bytes.Contains(out, []byte("\x1b")) {
			t.Errorf("%v: %v %q", args, err, out)
		}
	}
}

// outside: no name of a file in a version leads out of its directory.
func (b *besieged) outside(t *testing.T) {
	for _, path := range []string{"../evil", "a/../../evil", "/etc/evil", "..", ".", "", "a//b", "a/./b", `..\evil`, "a\x00b", "C:\\evil", strings.Repeat("a/", 600) + "b"} {
		quoted, _ := json.Marshal(path)
		refusedWith(t, fmt.Sprintf("%.60q", path), b.get("POST", "/v1/models/evil/versions", b.owner, `{"files":[{"path":`+string(quoted)+`,"digest":"`+digest([]byte("a"))+`","size":1}],"team":"risk"}`), "400", "409", "422")
	}
	for _, d := range []string{"sha256:../../x", "sha256:" + strings.Repeat("A", 64), "..%2f..%2fstate.db", "%2e%2e", "sha256:" + strings.Repeat("a", 63) + "%2f"} {
		if answer := b.get("PUT", "/v1/blobs/"+d, b.owner, "x"); strings.HasPrefix(answer, "HTTP/1.1 2") {
			t.Errorf("%s is stored: %.200q", d, answer)
		}
	}
}

// inside: the platform asks no service of its machine's link or cloud, by whatever name, and
// pyenv takes no package from an address.
func (b *besieged) inside(t *testing.T) {
	v := b.register(t.Context(), "inside")
	for _, url := range []string{"http://169.254.169.254/latest", "http://[fe80::1]:8080", "http://[::ffff:169.254.169.254]/", "http://[64:ff9b::a9fe:a9fe]/", "http://100.100.100.200", "http://0.0.0.0:22", "http://[fd00:ec2::254]"} {
		yaml, _ := json.Marshal("apiVersion: platform/v1\nkind: RealtimeModel\nname: inside\ntier: 4\nowner: {team: risk}\nmodel:\n  source: ./model\n  external: {url: '" + url + "', protocol: open-inference, model: x}\n")
		for _, path := range []string{"/v1/plans", "/v1/deployments"} {
			answer := b.get("POST", path, b.owner, `{"platform_yaml":`+string(yaml)+fmt.Sprintf(`,"version":%d}`, v.Number))
			refusedWith(t, path+" "+url, answer, "422", "400")
			if !strings.Contains(answer, slipway.CodeForbiddenTo) && !strings.Contains(answer, slipway.CodeSpec) {
				t.Errorf("%s: %.300q", url, answer)
			}
		}
	}
}

// expired has a token end while everything goes on: nobody issues one for seconds, so its
// record is changed while the server is down.
func (b *besieged) expired(t *testing.T) {
	ctx := t.Context()
	tok, err := b.c.IssueToken(ctx, "shop", api.IssueToken{})
	if err != nil {
		t.Fatal(err)
	}
	doors := map[string]func() error{}
	shop, err := client.New(client.Config{BaseURL: b.url, Token: tok.Text})
	if err != nil {
		t.Fatal(err)
	}
	doors["the API"] = func() error { _, err := shop.WhoAmI(ctx); return err }
	doors["the gateway"] = func() error { _, err := shop.Metadata(ctx, "fraud"); return err }
	for name, enter := range doors {
		again(ctx, t, name+" refuses a token", enter)
	}
	b.stopControl()
	db, err := sqlstore.Open(ctx, sqlstore.Options{Path: filepath.Join(b.home, "state.db"), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Write(ctx, nil, func(tx *sqlstore.Tx) error {
		_, err := tx.Exec(`UPDATE token SET expires = $1 WHERE id = $2`, sqlstore.Micros(time.Now().Add(3*time.Second)), tok.ID)
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	b.up(strings.TrimPrefix(b.url, "http://"))
	for name, enter := range doors {
		again(ctx, t, name+" honours an expired token", func() error {
			if err := enter(); !errors.Is(err, &slipway.Error{Code: slipway.CodeUnauthorized}) {
				return fmt.Errorf("it answers %w", err)
			}
			return nil
		})
	}
	b.await("access.unauthenticated", "unknown", "an expired token of shop")
}

func (b *besieged) revoked(t *testing.T) {
	ctx := t.Context()
	shop, err := client.New(client.Config{BaseURL: b.url, Token: b.shop})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shop.Metadata(ctx, "fraud"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.c.RevokeToken(ctx, b.shopID, api.RevokeToken{Reason: "was in a log"}); err != nil {
		t.Fatal(err)
	}
	refusedWith(t, "the API", b.get("GET", "/v1/info", b.shop, ""), "401")
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if _, err := shop.Metadata(ctx, "fraud"); err != nil {
			break
		}
		select {
		case <-limit.Done():
			t.Fatal("the gateway honours a revoked token")
		case <-time.After(5 * time.Millisecond):
		}
	}
	b.await("access.unauthenticated", "unknown", "a revoked token of shop")
}
