package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/httpapi"
)

// wire is a transport without a network, so that time can be simulated.
type wire func(*http.Request) (*http.Response, error)

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

func answer(status int, body string, header ...string) (*http.Response, error) {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func over(t *testing.T, w wire) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{BaseURL: "http://127.0.0.1:8080", Token: "secret", HTTPClient: &http.Client{Transport: w}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct{ url, token, code string }{
		{"", "", slipway.CodeInvalid},
		{"127.0.0.1:8080", "", slipway.CodeInvalid},
		{"ftp://host", "", slipway.CodeInvalid},
		{"http://user:pw@host", "", slipway.CodeInvalid},
		{"http://host?x=1", "", slipway.CodeInvalid},
		{"http://[::1", "", slipway.CodeInvalid},
		{"http://models.example.com", "t", slipway.CodeNeedTLS},
		{"http://127.0.0.1.example.com", "t", slipway.CodeNeedTLS},
		{"https://models.example.com", "t\n", slipway.CodeUnauthorized},
		{"https://models.example.com", "t", ""},
		{"http://models.example.com", "", ""},
		{"http://localhost:1", "t", ""},
		{"http://[::1]:1", "t", ""},
	} {
		_, err := client.New(client.Config{BaseURL: tt.url, Token: tt.token})
		if got := codeOf(err); got != tt.code {
			t.Errorf("%q: %v, want %q", tt.url, err, tt.code)
		}
	}
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return slipway.AsError(err).Code
}

// route is what a method of the client calls.
type route struct {
	want string
	call func(*client.Client) error
}

func routes(ctx context.Context) []route {
	return []route{
		{"PUT /v1/blobs/sha256:0", func(c *client.Client) error {
			return c.PutBlob(ctx, "sha256:0", 1, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil })
		}},
		{"GET /v1/models/m/aliases", func(c *client.Client) error { _, err := c.AliasHistory(ctx, "m"); return err }},
		{"GET /v1/deployments?before=3&endpoint=e&limit=4", func(c *client.Client) error { _, err := c.Deployments(ctx, "e", 3, 4); return err }},
		{"GET /v1/endpoints", func(c *client.Client) error { _, err := c.Endpoints(ctx); return err }},
		{"GET /v1/endpoints/e/history?before=9&limit=5", func(c *client.Client) error { _, err := c.History(ctx, "e", 9, 5); return err }},
		{"POST /v1/examinations", func(c *client.Client) error { _, err := c.Examine(ctx, true); return err }},
		{"GET /v1/diff?from=e-1&to=e-2", func(c *client.Client) error { _, err := c.Diff(ctx, "e-1", "e-2"); return err }},
		{"GET /v1/endpoints/e/logs?revision=r&tail=5", func(c *client.Client) error {
			_, err := c.Logs(ctx, "e", api.LogQuery{Revision: "r", Tail: 5})
			return err
		}},
		{"GET /v1/events?after=1&limit=2", func(c *client.Client) error { _, err := c.Events(ctx, 1, 2); return err }},
		{"GET /v1/deployments/d/events", func(c *client.Client) error {
			for range c.WatchDeployment(ctx, "d") {
				break
			}
			return nil
		}},
		{"GET /v1/models?cursor=c&limit=2", func(c *client.Client) error { _, err := c.Models(ctx, "c", 2); return err }},
		{"GET /v1/models/m/versions", func(c *client.Client) error { _, err := c.Versions(ctx, "m", "", 0); return err }},
		{"GET /v1/models/m/versions/@champion", func(c *client.Client) error { _, err := c.Version(ctx, "m", "@champion"); return err }},
		{"POST /v1/models/m/versions", func(c *client.Client) error { _, err := c.RegisterVersion(ctx, "m", api.RegisterVersion{}); return err }},
		{"PUT /v1/models/m/aliases/a", func(c *client.Client) error {
			_, err := c.SetAlias(ctx, "m", "a", api.SetAlias{Version: 1})
			return err
		}},
		{"POST /v1/blobs/missing", func(c *client.Client) error { _, err := c.MissingBlobs(ctx, nil); return err }},
		{"POST /v1/deployments", func(c *client.Client) error {
			_, err := c.CreateDeployment(ctx, "k", api.CreateDeployment{})
			return err
		}},
		{"GET /v1/deployments/d", func(c *client.Client) error { _, err := c.Deployment(ctx, "d"); return err }},
		{"POST /v1/deployments/d/commands", func(c *client.Client) error {
			_, err := c.CommandDeployment(ctx, "d", api.Command{Command: "abort"})
			return err
		}},
		{"GET /v1/endpoints/fraud.staging", func(c *client.Client) error { _, err := c.Endpoint(ctx, "fraud.staging"); return err }},
		{"GET /v1/endpoints/%2E%2E", func(c *client.Client) error { _, err := c.Endpoint(ctx, ".."); return err }},
		{"GET /v1/endpoints/a%2Fb%3Fc", func(c *client.Client) error { _, err := c.Endpoint(ctx, "a/b?c"); return err }},
		{"POST /v1/endpoints/e/rollback", func(c *client.Client) error { _, err := c.Rollback(ctx, "e", ""); return err }},
		{"POST /v1/plans", func(c *client.Client) error { _, err := c.Plan(ctx, api.CreatePlan{}); return err }},
		{"GET /v1/accounts", func(c *client.Client) error { _, err := c.Accounts(ctx); return err }},
		{"POST /v1/accounts", func(c *client.Client) error { _, err := c.CreateAccount(ctx, api.CreateAccount{}); return err }},
		{"PATCH /v1/accounts/ada", func(c *client.Client) error {
			_, err := c.ChangeAccount(ctx, "ada", api.ChangeAccount{})
			return err
		}},
		{"POST /v1/accounts/ada/roles", func(c *client.Client) error { _, err := c.ChangeRole(ctx, "ada", api.ChangeRole{}); return err }},
		{"GET /v1/tokens?account=ada", func(c *client.Client) error { _, err := c.Tokens(ctx, "ada"); return err }},
		{"POST /v1/accounts/ada/tokens", func(c *client.Client) error { _, err := c.IssueToken(ctx, "ada", api.IssueToken{}); return err }},
		{"POST /v1/tokens/t/rotate", func(c *client.Client) error { _, err := c.RotateToken(ctx, "t", api.RotateToken{}); return err }},
		{"POST /v1/tokens/t/revoke", func(c *client.Client) error { _, err := c.RevokeToken(ctx, "t", api.RevokeToken{}); return err }},
		{"GET /v1/access?account=ada&action=a&resource=server", func(c *client.Client) error {
			_, err := c.ExplainAccess(ctx, "ada", "a", "server")
			return err
		}},
		{"GET /v1/policies", func(c *client.Client) error { _, err := c.Policies(ctx); return err }},
		{"GET /v1/policies/3", func(c *client.Client) error { _, err := c.Policy(ctx, 3); return err }},
		{"POST /v1/policies/test", func(c *client.Client) error { _, err := c.TestPolicy(ctx, api.TestPolicy{}); return err }},
		{"POST /v1/policies", func(c *client.Client) error { _, err := c.ProposePolicy(ctx, api.ProposePolicy{}); return err }},
		{"POST /v1/policies/3/decision", func(c *client.Client) error { _, err := c.DecidePolicy(ctx, 3, api.DecidePolicy{}); return err }},
		{"GET /v1/reviews", func(c *client.Client) error { _, err := c.AccessReviews(ctx); return err }},
		{"GET /v1/reviews/open", func(c *client.Client) error { _, err := c.AccessReview(ctx, "open"); return err }},
		{"POST /v1/reviews", func(c *client.Client) error { _, err := c.StartAccessReview(ctx, api.StartReview{}); return err }},
		{"POST /v1/reviews/open/answers", func(c *client.Client) error {
			_, err := c.AnswerAccessReview(ctx, "open", api.AnswerReview{})
			return err
		}},
		{"POST /v1/reviews/open/close", func(c *client.Client) error {
			_, err := c.CloseAccessReview(ctx, "open", api.CloseReview{})
			return err
		}},
		{"GET /v1/whoami", func(c *client.Client) error { _, err := c.WhoAmI(ctx); return err }},
		{"POST /v1/accounts/ada/invite", func(c *client.Client) error { _, err := c.Invite(ctx, "ada", api.Invite{}); return err }},
		{"GET /v1/sessions?account=ada", func(c *client.Client) error { _, err := c.Sessions(ctx, "ada"); return err }},
		{"POST /v1/sessions/s/end", func(c *client.Client) error { _, err := c.EndSession(ctx, "s", api.EndSession{}); return err }},
		{"GET /v1/emergencies", func(c *client.Client) error { _, err := c.Emergencies(ctx); return err }},
		{"POST /v1/emergencies", func(c *client.Client) error { _, err := c.BreakGlass(ctx, api.BreakGlass{}); return err }},
		{"POST /v1/emergencies/b/confirm", func(c *client.Client) error { _, err := c.ConfirmEmergency(ctx, "b"); return err }},
		{"POST /v1/emergencies/b/end", func(c *client.Client) error { _, err := c.EndEmergency(ctx, "b"); return err }},
		{"GET /v1/sso/rules", func(c *client.Client) error { _, err := c.Rules(ctx); return err }},
		{"POST /v1/sso/rules", func(c *client.Client) error { _, err := c.ChangeRule(ctx, api.ChangeRule{}); return err }},
		{"POST /oauth/device", func(c *client.Client) error { _, err := c.StartDevice(ctx); return err }},
		{"POST /oauth/token", func(c *client.Client) error { _, err := c.FetchGrant(ctx, "d"); return err }},
		{"POST /oauth/token", func(c *client.Client) error { _, err := c.RefreshGrant(ctx, "r"); return err }},
		{"POST /oauth/revoke", func(c *client.Client) error { return c.EndGrant(ctx, "r") }},
		{"GET /v1/keys", func(c *client.Client) error { _, err := c.Keys(ctx); return err }},
		{"POST /v1/keys/rotate", func(c *client.Client) error { _, err := c.RotateKeys(ctx, api.RotateKeys{}); return err }},
		{"POST /v1/keys/rewrap", func(c *client.Client) error { _, err := c.RewrapKeys(ctx); return err }},
		{"POST /v1/keys/shred", func(c *client.Client) error { _, err := c.ShredKeys(ctx, api.ShredKeys{}); return err }},
		{"GET /v1/secrets?team=risk", func(c *client.Client) error { _, err := c.Secrets(ctx, "risk"); return err }},
		{"PUT /v1/teams/risk/secrets/s", func(c *client.Client) error {
			_, err := c.SetSecret(ctx, "risk", "s", api.SetSecret{})
			return err
		}},
		{"DELETE /v1/teams/risk/secrets/s", func(c *client.Client) error { return c.DeleteSecret(ctx, "risk", "s") }},
		{"POST /v1/backups", func(c *client.Client) error { _, err := c.CreateBackup(ctx, api.CreateBackup{}); return err }},
		{"GET /v1/backups?target=%2Fmnt%2Fb", func(c *client.Client) error { _, err := c.Backups(ctx, "/mnt/b"); return err }},
		{"GET /v1/backups/progress", func(c *client.Client) error { _, err := c.BackupProgress(ctx); return err }},
		{"POST /v1/backups/bak_1/verified", func(c *client.Client) error { return c.BackupVerified(ctx, "bak_1", api.BackupVerified{}) }},
		{"GET /v1/audit/events?actor=ada&before=9&limit=2&since=1970-01-01T00%3A00%3A01Z", func(c *client.Client) error {
			_, err := c.SearchAudit(ctx, api.AuditQuery{Actor: "ada", Before: 9, Limit: 2, Since: time.Unix(1, 0)})
			return err
		}},
		{"GET /v1/audit/proofs/42", func(c *client.Client) error { _, err := c.ProveEvent(ctx, "42"); return err }},
		{"GET /v1/audit/status", func(c *client.Client) error { _, err := c.AuditStatus(ctx); return err }},
		{"GET /v1/audit/bundle?until=1970-01-01T00%3A00%3A01Z", func(c *client.Client) error {
			return c.ExportAudit(ctx, api.AuditRange{Until: time.Unix(1, 0)}, io.Discard)
		}},
		{"POST /v1/audit/verifications", func(c *client.Client) error {
			_, err := c.VerifyAudit(ctx, func(uint64, uint64) {})
			return err
		}},
		{"POST /v1/audit/retentions", func(c *client.Client) error { _, err := c.RetainAudit(ctx, api.AuditRetain{}); return err }},
		{"POST /v1/audit/witness", func(c *client.Client) error { _, err := c.WitnessLog(ctx, api.WitnessRequest{}); return err }},
		{"GET /v1/audit/witness?log=l", func(c *client.Client) error { _, err := c.WitnessedLog(ctx, "l"); return err }},
		{"GET /v1/models/m/versions/7/layers/sha256:0", func(c *client.Client) error {
			in, err := c.ImageLayer(ctx, "m", "7", "sha256:0")
			if err == nil {
				err = in.Close()
			}
			return err
		}},
		{"POST /v1/imports/query", func(c *client.Client) error { _, err := c.Imported(ctx, api.ImportQuery{}); return err }},
		{"POST /v1/imports/done", func(c *client.Client) error { return c.ImportDone(ctx, api.ImportDone{}) }},
		{"POST /v1/imports/experiments", func(c *client.Client) error {
			_, err := c.ImportExperiment(ctx, api.ImportExperiment{})
			return err
		}},
		{"POST /v1/imports/runs", func(c *client.Client) error { _, err := c.ImportRun(ctx, api.ImportRun{}); return err }},
		{"POST /v1/imports/runs/r/metrics", func(c *client.Client) error { return c.ImportMetrics(ctx, "r", api.ImportMetrics{}) }},
		{"POST /v1/imports/logged-models", func(c *client.Client) error {
			_, err := c.ImportLoggedModel(ctx, api.ImportLoggedModel{})
			return err
		}},
		{"POST /v1/imports/models", func(c *client.Client) error { _, err := c.ImportModel(ctx, api.ImportModel{}); return err }},
		{"POST /v1/imports/versions", func(c *client.Client) error { _, err := c.ImportVersion(ctx, api.ImportVersion{}); return err }},
		{"GET /api/2.0/mlflow-artifacts/artifacts?path=1%2Fr", func(c *client.Client) error { _, err := c.Artifacts(ctx, "1/r"); return err }},
		{"PUT /api/2.0/mlflow-artifacts/artifacts/1/r/a%20b", func(c *client.Client) error {
			return c.PutArtifact(ctx, "1/r/a b", 1, strings.NewReader("x"))
		}},
		{"GET /v1/info", func(c *client.Client) error { _, err := c.Info(ctx); return err }},
		{"GET /v2/models/e", func(c *client.Client) error { _, err := c.Metadata(ctx, "e"); return err }},
		{"POST /v2/models/e/infer", func(c *client.Client) error { _, err := c.Infer(ctx, "e", []byte("{}")); return err }},
		{"POST /endpoints/e/invocations", func(c *client.Client) error { _, err := c.Invocations(ctx, "e", []byte("{}")); return err }},
	}
}

// TestRoutes calls every method once and compares what reaches the server.
func TestRoutes(t *testing.T) {
	for _, tt := range append(routes(t.Context()), registryRoutes(t.Context())...) {
		var got, auth string
		c := over(t, func(r *http.Request) (*http.Response, error) {
			got, auth = r.Method+" "+r.URL.RequestURI(), r.Header.Get("Authorization")
			if strings.HasSuffix(got, "/verifications") {
				return answer(200, `{"done":1,"of":2}`+"\n"+`{"findings":[]}`+"\n")
			}
			if strings.HasSuffix(got, "/d/events") {
				return answer(200, "event: deployment\ndata: {}\n\n")
			}
			return answer(200, "null")
		})
		if err := tt.call(c); err != nil || got != tt.want || auth != "Bearer secret" {
			t.Errorf("%v: got %q with %q, want %q", err, got, auth, tt.want)
		}
	}
}

// TestEveryRouteHasAMethod reads the server's own description of its API.
func TestEveryRouteHasAMethod(t *testing.T) {
	raw, err := httpapi.OpenAPI("test")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]any `yaml:"paths"`
	}
	if err := yaml.Unmarshal(raw, &doc); err != nil || len(doc.Paths) < 15 {
		t.Fatal(err, len(doc.Paths))
	}
	for path, methods := range doc.Paths {
		pattern := regexp.MustCompile("^" + regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "[^/]+") + "$")
		for method := range methods {
			if !slices.ContainsFunc(append(routes(t.Context()), registryRoutes(t.Context())...), func(r route) bool {
				m, target, _ := strings.Cut(r.want, " ")
				target, _, _ = strings.Cut(target, "?")
				return strings.EqualFold(m, method) && pattern.MatchString(target)
			}) {
				t.Errorf("no method calls %s %s", method, path)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   slipway.Error
	}{
		{404, `{"detail":"no endpoint \"x\"","code":"SLIP-E0003","next":"platform status","status":404}`,
			slipway.Error{Code: "SLIP-E0003", Kind: slipway.NotFound, Message: `no endpoint "x"`, Next: "platform status"}},
		{422, `{"error":"inputs[0]: is no number","field":"inputs[0]","code":"SLIP-E0501"}`,
			slipway.Error{Code: "SLIP-E0501", Kind: slipway.Unprocessable, Message: "is no number", Field: "inputs[0]"}},
		{409, `{"message":"taken","error_code":"X","code":"SLIP-E0004"}`, slipway.Error{Code: "SLIP-E0004", Kind: slipway.Conflict, Message: "taken"}},
		{401, `{"code":"SLIP-E0005"}`, slipway.Error{Code: "SLIP-E0005", Kind: slipway.Unauthorized}},
		{403, `{"code":"SLIP-E0006"}`, slipway.Error{Code: "SLIP-E0006", Kind: slipway.Denied}},
		{507, `{"code":"SLIP-E0605"}`, slipway.Error{Code: "SLIP-E0605", Kind: slipway.Exhausted}},
		{413, `<html>`, slipway.Error{Code: "SLIP-E0007", Kind: slipway.Invalid, Message: "the server answered 413 Request Entity Too Large",
			Next: "check the server's address, and what is in front of it"}},
		{302, ``, slipway.Error{Code: "SLIP-E0000", Kind: slipway.Internal, Message: "the server answered 302 Found",
			Next: "check the server's address, and what is in front of it"}},
	} {
		c := over(t, func(*http.Request) (*http.Response, error) {
			return answer(tt.status, tt.body, "Location", "http://elsewhere/")
		})
		_, err := c.Endpoint(t.Context(), "x")
		var got *slipway.Error
		if !errors.As(err, &got) {
			t.Fatalf("%d: %v", tt.status, err)
		}
		if diff := cmp.Diff(tt.want, *got); diff != "" {
			t.Errorf("%d: %s", tt.status, diff)
		}
	}
	t.Run("another server", func(t *testing.T) {
		c := over(t, func(*http.Request) (*http.Response, error) { return answer(200, "<html>") })
		if _, err := c.Info(t.Context()); codeOf(err) != slipway.CodeNoServer {
			t.Error(err)
		}
	})
	t.Run("an endless answer", func(t *testing.T) {
		c := over(t, func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(zeros{})}, nil
		})
		if _, err := c.Info(t.Context()); codeOf(err) != slipway.CodeTooLarge {
			t.Error(err)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

var refused = &net.OpError{Op: "dial", Err: errors.New("connection refused")}

// TestRetries counts attempts: only what is safe is repeated, and the key of a deployment
// stays the same.
func TestRetries(t *testing.T) {
	restarting := func() (*http.Response, error) {
		return answer(503, `{"code":"SLIP-E0604"}`, "Retry-After", "1")
	}
	broken := func() (*http.Response, error) { return nil, &net.OpError{Op: "read", Err: errors.New("reset")} }
	dial := func() (*http.Response, error) { return nil, refused }
	status := func(c *client.Client) error { _, err := c.Endpoints(context.Background()); return err }
	create := func(c *client.Client) error {
		_, err := c.CreateDeployment(context.Background(), "", api.CreateDeployment{})
		return err
	}
	rollback := func(c *client.Client) error { _, err := c.Rollback(context.Background(), "e", ""); return err }
	infer := func(c *client.Client) error { _, err := c.Infer(context.Background(), "e", nil); return err }
	for _, tt := range []struct {
		name  string
		fail  func() (*http.Response, error)
		call  func(*client.Client) error
		tries int
	}{
		{"get, restarting", restarting, status, 6},
		{"get, broken", broken, status, 6},
		{"get, refused", dial, status, 3},
		{"create, restarting", restarting, create, 6},
		{"rollback, restarting", restarting, rollback, 1},
		{"rollback, broken", broken, rollback, 1},
		{"rollback, refused", dial, rollback, 3},
		{"infer, restarting", restarting, infer, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries, keys := 0, map[string]bool{}
				c := over(t, func(r *http.Request) (*http.Response, error) {
					tries++
					keys[r.Header.Get("Idempotency-Key")] = true
					return tt.fail()
				})
				err := tt.call(c)
				if slipway.AsError(err).Kind != slipway.Unavailable || tries != tt.tries || len(keys) != 1 {
					t.Errorf("%v after %d tries with keys %v, want %d", err, tries, keys, tt.tries)
				}
			})
		})
	}
}

func TestRetryRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []time.Duration
		tries := 0
		c, err := client.New(client.Config{BaseURL: "http://127.0.0.1", Retrying: func(_ error, wait time.Duration) { told = append(told, wait) },
			HTTPClient: &http.Client{Transport: wire(func(r *http.Request) (*http.Response, error) {
				if body, _ := io.ReadAll(r.Body); !strings.Contains(string(body), "sha256:a") {
					t.Errorf("try %d has body %q", tries+1, body)
				}
				if tries++; tries < 3 {
					return answer(503, "", "Retry-After", "1")
				}
				return answer(200, `{"digests":["sha256:a"]}`)
			})}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.MissingBlobs(t.Context(), []string{"sha256:a"})
		if err != nil || len(got) != 1 || len(told) != 2 || slices.Min(told) < time.Second {
			t.Errorf("%v, %v, waits %v", got, err, told)
		}
	})
}

func TestTimeLimitAndCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := over(t, func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })
		start := time.Now()
		_, err := c.Info(t.Context())
		if e := slipway.AsError(err); e.Kind != slipway.Unavailable || time.Since(start) != 30*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := c.Info(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestInferIsRaw(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_ = json.NewEncoder(w).Encode(map[string]string{"got": string(b), "type": r.Header.Get("Content-Type")})
	}))
	defer s.Close()
	c, err := client.New(client.Config{BaseURL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Invocations(t.Context(), "e", []byte(`{"inputs":[1]}`))
	if want := `{"got":"{\"inputs\":[1]}","type":"application/json"}` + "\n"; err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}
