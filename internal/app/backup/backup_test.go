package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/backup"
	"github.com/slipway-ml/slipway/internal/blob"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	eventstore "github.com/slipway-ml/slipway/internal/sqlstore/event"
	"github.com/slipway-ml/slipway/internal/storetest"
)

// installation is a home with a database, some blobs and a clock of its own.
type installation struct {
	*Service

	now    time.Time
	blobs  *blob.Dir
	events *eventstore.Store
	key    *backup.Recovery
	named  []slipway.Digest
	held   int
}

func newInstallation(t *testing.T, b config.Backup) *installation {
	t.Helper()
	c := config.Config{Home: t.TempDir(), Backup: b}
	i := &installation{now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	var err error
	if i.blobs, err = blob.Open(c.Blobs(), oneKey{}); err != nil {
		t.Fatal(err)
	}
	if i.key, err = backup.NewRecovery(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(c.BackupSeal()), 0o700), os.WriteFile(c.BackupSeal(), i.key.Seal.Text(), 0o600)); err != nil {
		t.Fatal(err)
	}
	db := storetest.Open(t, sqlstore.Options{Path: c.Database()})
	i.events = eventstore.New(db)
	i.Service = New(t.Context(), Options{Config: c, Build: "v1", Getenv: func(string) string { return "" }, Database: db, Blobs: i.blobs, Record: i.events.Append,
		Named: func(context.Context) ([]slipway.Digest, error) { return i.named, nil },
		Allow: func(_ context.Context, p slipway.Principal, a authz.Action) error {
			if a == authz.BackupElsewhere && p.ID != "owner" {
				return slipway.Errorf(slipway.Denied, slipway.CodeDenied, "", "%s may not", p.ID)
			}
			return nil
		},
		Hold: func(context.Context) (func(), error) { i.held++; return func() { i.held-- }, nil },
		Now:  func() time.Time { return i.now }, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	t.Cleanup(i.Wait)
	return i
}

func (i *installation) put(t *testing.T, text string) slipway.Digest {
	t.Helper()
	d := slipway.DigestOf([]byte(text))
	if err := i.blobs.Put(t.Context(), d, int64(len(text)), strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return d
}

func (i *installation) actions(t *testing.T) (out []string) {
	t.Helper()
	events, err := i.events.List(t.Context(), 0, 100, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		out = append(out, e.Actor+" "+e.Action)
	}
	return out
}

// The schedule: one at once, none until it is time, and after a failure sooner. The doctor
// says when the last one is too old.
func TestSchedule(t *testing.T) {
	target := filepath.Join(t.TempDir(), "target")
	i := newInstallation(t, config.Backup{To: target, Every: time.Hour, Keep: 2})
	ctx := t.Context()
	if f := i.Finding(ctx); f.Verdict != "fail" || !strings.Contains(f.Message, "there is no backup") {
		t.Errorf("%+v", f)
	}
	step := func(after, want time.Duration, backups int, verdict string) {
		t.Helper()
		i.now = i.now.Add(after)
		if got := i.scheduled(ctx, time.Hour); got != want {
			t.Errorf("look again after %v, want %v", got, want)
		}
		all, err := i.List(ctx, slipway.Principal{}, "")
		if err != nil || len(all.Backups) != backups {
			t.Errorf("%d backups, want %d, %v", len(all.Backups), backups, err)
		}
		if f := i.Finding(ctx); f.Verdict != verdict {
			t.Errorf("%+v, want %s", f, verdict)
		}
	}
	step(0, time.Hour, 1, "pass")
	step(20*time.Minute, 40*time.Minute, 1, "pass")
	step(40*time.Minute, time.Hour, 2, "pass")
	step(time.Hour, time.Hour, 2, "pass") // the oldest has gone
	i.busy.Lock()
	step(90*time.Minute, again, 2, "pass")
	i.busy.Unlock()
	if err := os.Rename(i.o.Config.BackupSeal(), i.o.Config.BackupSeal()+".away"); err != nil {
		t.Fatal(err)
	}
	if got := i.scheduled(ctx, time.Hour); got != again {
		t.Errorf("without a key again after %v", got)
	}
	if f := i.Finding(ctx); f.Verdict != "fail" || !strings.Contains(f.Next, "backup key") {
		t.Errorf("%+v", f)
	}
	if err := os.Rename(i.o.Config.BackupSeal()+".away", i.o.Config.BackupSeal()); err != nil {
		t.Fatal(err)
	}
	i.now = i.now.Add(time.Hour)
	if f := i.Finding(ctx); f.Verdict != "fail" || !strings.Contains(f.Message, "is 2h30m0s old") {
		t.Errorf("%+v", f)
	}
	if got := fmt.Sprint(i.actions(t)); got != "[system backup.created system backup.created system backup.created]" {
		t.Error(got)
	}
}

// A backup that fails says why, is recorded, and the next one goes on. What the home lost
// before is told.
func TestFailedAndMissing(t *testing.T) {
	target := filepath.Join(t.TempDir(), "target")
	i := newInstallation(t, config.Backup{To: target})
	there, gone := i.put(t, "there"), slipway.DigestOf([]byte("gone"))
	i.named = []slipway.Digest{there, gone}
	i.o.Hold = func(context.Context) (func(), error) { return nil, errors.New("held for ever") }
	seal, store, _, err := i.place(t.Context(), slipway.Principal{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := i.make(t.Context(), store, seal, "ada", api.CreateBackup{}, 0); err == nil {
		t.Error("no error")
	}
	if _, last := i.state(); last == nil || last.State != "failed" || last.Code == "" {
		t.Errorf("%+v", last)
	}
	i.o.Hold = func(context.Context) (func(), error) { return func() {}, nil }
	if err := i.make(t.Context(), store, seal, "ada", api.CreateBackup{}, 0); err != nil {
		t.Fatal(err)
	}
	_, last := i.state()
	if last.State != "done" || last.Missing != 1 {
		t.Errorf("%+v", last)
	}
	if got := fmt.Sprint(i.actions(t)); got != "[ada backup.failed ada backup.created]" {
		t.Error(got)
	}
	_, c, err := backup.Open(t.Context(), store, i.key, last.ID)
	if err != nil || len(c.Missing) != 1 || c.Missing[0] != gone {
		t.Errorf("%v, %v", c.Missing, err)
	}
	if left, err := os.ReadDir(i.o.Config.BackupDrafts()); err == nil {
		t.Errorf("drafts are left: %v", left)
	}
}

func TestOnlyOwnersNameAPlace(t *testing.T) {
	i := newInstallation(t, config.Backup{To: filepath.Join(t.TempDir(), "target")})
	other := t.TempDir()
	for _, tt := range []struct{ who, target, code string }{
		{"grace", "", ""}, {"grace", i.o.Config.Backup.To, ""}, {"grace", other, slipway.CodeDenied}, {"owner", other, ""},
		{"owner", filepath.Join(i.o.Config.Home, "x"), slipway.CodeBackupTarget}, {"owner", i.o.Config.Home, slipway.CodeBackupTarget}, {"owner", "gs://x", slipway.CodeBackupTarget},
	} {
		_, err := i.Create(t.Context(), slipway.Principal{ID: tt.who}, api.CreateBackup{Target: tt.target})
		if err == nil && tt.code != "" || err != nil && slipway.AsError(err).Code != tt.code {
			t.Errorf("%s to %q: %v, want %q", tt.who, tt.target, err, tt.code)
		}
		i.wg.Wait()
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(i.o.Config.Home, link); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Create(t.Context(), slipway.Principal{ID: "owner"}, api.CreateBackup{Target: link}); !errors.Is(err, &slipway.Error{Code: slipway.CodeBackupTarget}) {
		t.Errorf("the home by another name: %v", err)
	}
}

// cheaply seals by a passphrase as age does, with less work than a real one costs.
func cheaply(t *testing.T, plain []byte, passphrase string) []byte {
	t.Helper()
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	to.SetWorkFactor(8)
	var b bytes.Buffer
	text := armor.NewWriter(&b)
	w, err := age.Encrypt(text, to)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err = errors.Join(err, w.Close(), text.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Files that change are copied as they were at one moment, while the log is held.
func TestAside(t *testing.T) {
	i := newInstallation(t, config.Backup{})
	home := i.o.Config.Home
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(home, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"audit/checkpoint": "1", "audit/.state/treeState": "s", "audit/tile/0/000": "t", "root.key": "secret", "blobs/incoming/x": "half", "gateway/table.json": "{}"} {
		write(name, text)
	}
	i.o.Hold = func(context.Context) (func(), error) { return func() { write("audit/checkpoint", "2") }, nil }
	target := filepath.Join(t.TempDir(), "target")
	root := cheaply(t, []byte("the root key"), "correct horse")
	if _, err := i.Create(t.Context(), slipway.Principal{ID: "owner"}, api.CreateBackup{Target: target, RootKey: "the root key"}); !errors.Is(err, &slipway.Error{Code: slipway.CodeBackupKey}) {
		t.Errorf("a root key in clear: %v", err)
	}
	if _, err := i.Create(t.Context(), slipway.Principal{ID: "owner"}, api.CreateBackup{Target: target, RootKey: string(root)}); err != nil {
		t.Fatal(err)
	}
	i.wg.Wait()
	key, err := i.key.Text("")
	if err != nil {
		t.Fatal(err)
	}
	restored := filepath.Join(t.TempDir(), "restored")
	r := Restore{Config: config.Config{Home: restored}, Target: target, Key: key, Getenv: i.o.Getenv, Now: time.Now, Progress: func(int64, int64) {}}
	r.RootPassphrase = "wrong"
	if _, err := Run(t.Context(), r); !errors.Is(err, &slipway.Error{Code: slipway.CodeBackupKey}) {
		t.Errorf("another passphrase: %v", err)
	}
	r.RootPassphrase = "correct horse"
	if _, err := Run(t.Context(), r); err != nil {
		t.Fatal(err, slipway.AsError(err).Cause)
	}
	if b, err := os.ReadFile(filepath.Join(restored, "root.key")); err != nil || string(b) != "the root key" {
		t.Errorf("%q, %v", b, err)
	}
	restored = filepath.Join(t.TempDir(), "without")
	r.Config.Home, r.RootPassphrase = restored, ""
	if found, err := Run(t.Context(), r); err != nil || !found.RootKey {
		t.Fatal(found, err)
	}
	for name, want := range map[string]string{"audit/checkpoint": "1", "audit/.state/treeState": "s", "audit/tile/0/000": "t"} {
		if b, err := os.ReadFile(filepath.Join(restored, name)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	for _, name := range []string{"root.key", "blobs/incoming/x", "gateway/table.json", "owner.token", "RESTORING"} {
		if _, err := os.Stat(filepath.Join(restored, name)); err == nil {
			t.Errorf("%s was restored", name)
		}
	}
}

func TestMoved(t *testing.T) {
	got := moved(`/old "home`, "/new")(`{"dir":"/old \"home/revisions/x","why":"in /old \"home/x","o":"/old \"home2/x"}`)
	if want := `{"dir":"/new/revisions/x","why":"in /old \"home/x","o":"/old \"home2/x"}`; got != want {
		t.Error(got)
	}
}

// oneKey is the key of every blob.
type oneKey struct{}

func (oneKey) Key(context.Context, string) ([]byte, error) { return make([]byte, 32), nil }

func (oneKey) Make(context.Context, string) ([]byte, bool, error) {
	return make([]byte, 32), false, nil
}
