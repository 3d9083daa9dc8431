package anchor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/anchor"
	"github.com/slipway-ml/slipway/internal/audit"
)

var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// log is one that grows.
type log struct {
	t    *testing.T
	key  *audit.Key
	tree audit.Tree
	last [][]byte // the leaves' hashes
}

func newLog(t *testing.T) *log {
	t.Helper()
	k, err := audit.LoadKey(filepath.Join(t.TempDir(), "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	return &log{t: t, key: k}
}

func (l *log) grow() audit.Checkpoint {
	l.t.Helper()
	hash := audit.LeafHash(fmt.Append(nil, l.tree.Size()))
	l.last = append(l.last, hash)
	if err := l.tree.Append(hash, nil); err != nil {
		l.t.Fatal(err)
	}
	c, err := l.key.Sign(l.tree.Size(), l.tree.Root())
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// prove is the proof from the tree of one leaf to that of two.
func (l *log) prove(from uint64) ([][]byte, error) {
	if from == 1 && len(l.last) == 2 {
		return l.last[1:], nil
	}
	return nil, nil
}

func parse(t *testing.T, address string) anchor.Anchor {
	t.Helper()
	all, err := anchor.ParseAll([]string{address}, t.TempDir(), func() time.Time { return start })
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

// keeps brings two checkpoints to an anchor and finds each there.
func keeps(t *testing.T, a anchor.Anchor, l *log) {
	t.Helper()
	there, err := a.Last(t.Context(), l.key.Name())
	if err != nil || there.Checkpoint != "" {
		t.Fatalf("%v, %v", there, err)
	}
	for range 2 {
		c := l.grow()
		for range 2 { // again, as after an interruption
			if err := a.Put(t.Context(), c, l.key.Public(), l.prove); err != nil {
				t.Fatal(err)
			}
		}
		there, err := a.Last(t.Context(), l.key.Name())
		if err != nil {
			t.Fatal(err)
		}
		public, err := audit.ParsePublic(l.key.Public())
		if err != nil {
			t.Fatal(err)
		}
		got, err := public.Checkpoint([]byte(there.Checkpoint))
		if err != nil || !got.Same(c) || there.Anchor != a.Name() {
			t.Errorf("%v, %v", there, err)
		}
	}
}

func refused(t *testing.T, what string, err error) {
	t.Helper()
	if e := slipway.AsError(err); e.Code != slipway.CodeAuditAnchor || e.Next == "" {
		t.Errorf("%s: %v", what, err)
	}
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=x", "-c", "user.email=x@example.com"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestGit(t *testing.T) {
	remote := filepath.Join(t.TempDir(), "remote.git")
	git(t, "/", "init", "--quiet", "--bare", remote)
	address := "git+file://" + remote + "?branch=audit"
	a, l := parse(t, address), newLog(t)
	keeps(t, a, l)
	keeps(t, parse(t, address), newLog(t)) // another log in the same branch
	if n := git(t, remote, "rev-list", "--count", "audit"); n != "4" {
		t.Errorf("%s commits", n)
	}
	if there, err := parse(t, address).Last(t.Context(), l.key.Name()); err != nil || there.Checkpoint == "" {
		t.Errorf("by another server: %v, %v", there, err)
	}
	git(t, remote, "update-ref", "refs/heads/audit", "audit~2") // somebody took the other log's away
	if there, err := a.Last(t.Context(), l.key.Name()); err != nil || there.Checkpoint == "" {
		t.Errorf("%v, %v", there, err)
	}
	gone := parse(t, "git+file://"+remote+"-not-there")
	_, err := gone.Last(t.Context(), l.key.Name())
	refused(t, "a repository that is not there", err)
}

// platform is another one, as far as a witness is: the API, with the real decision.
func platform(t *testing.T) *httptest.Server {
	signer, public, err := newLog(t).key.Witness()
	if err != nil {
		t.Fatal(err)
	}
	var seen audit.Witnessed
	view := func() api.Witnessed {
		return api.Witnessed{Log: seen.Log, Size: seen.Size, Checkpoint: seen.Checkpoint, Witness: public}
	}
	answer := func(w http.ResponseWriter, v any, err error) {
		if err != nil {
			e := slipway.AsError(err)
			w.WriteHeader(map[slipway.Kind]int{slipway.NotFound: 404, slipway.Conflict: 409, slipway.Unauthorized: 401}[e.Kind])
			v = api.Problem{Code: e.Code, Detail: e.Message, Next: e.Next}
		}
		_ = json.NewEncoder(w).Encode(v)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			answer(w, nil, slipway.Errorf(slipway.Unauthorized, slipway.CodeUnauthorized, "x", "no"))
			return
		}
		if r.Method == http.MethodGet {
			if seen.Log == "" {
				answer(w, nil, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "x", "none"))
				return
			}
			answer(w, view(), nil)
			return
		}
		var q api.WitnessRequest
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		next, err := audit.Cosign(signer, seen, q.Key, "eve", []byte(q.Checkpoint), q.From, q.Proof)
		seen = next
		answer(w, view(), err)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestWitness(t *testing.T) {
	s := platform(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLog(t)
	a := parse(t, "witness+"+s.URL+"?token-file="+file)
	keeps(t, a, l)
	forged, err := l.key.Sign(3, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "another history", a.Put(t.Context(), forged, l.key.Public(), l.prove))
	_, err = parse(t, "witness+"+s.URL+"?token-file="+file+"&key=other").Last(t.Context(), l.key.Name())
	refused(t, "another witness", err)
	_, err = parse(t, "witness+"+s.URL+"?token-file=/nonexistent").Last(t.Context(), l.key.Name())
	refused(t, "no token", err)
}

func TestAddresses(t *testing.T) {
	for _, bad := range []string{"", "s3://", "ftp://x/y", "git://x/y", "s3://bucket?retain=long", "s3://bucket?other=1", "witness+ftp://x", "https://x", "s3://key:hunter2@bucket/x", "s3://bucket?endpoint=ftp://x", "\x00"} {
		_, err := anchor.ParseAll([]string{bad}, t.TempDir(), time.Now)
		refused(t, bad, err)
		if strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Error("a secret was repeated")
		}
	}
}

// An anchor that does not answer ends with its context.
func TestUnreachable(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := parse(t, "s3://bucket/x?endpoint="+s.URL).Last(ctx, "log"); err == nil {
		t.Error("an answer from nobody")
	}
}
