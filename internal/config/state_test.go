package config_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/config"
)

func TestBelongs(t *testing.T) {
	for path, want := range map[string][2]bool{
		"blobs/ab/abcd": {true, true}, "blobs/incoming/x": {false, true}, "blobs/ab/.draft": {false, true}, "blobsx": {false, false},
		"gateway/journal.jsonl": {true, true}, "gateway/journal.jsonl.new": {false, true}, "gateway/table.json": {false, true},
		"audit/.state/treeState": {true, true}, "keys/keyset.sealed": {true, true}, "root.key": {false, true}, "root.key.next": {false, true},
		"state.db": {false, true}, "state.db-journal": {false, false}, "owner.token": {false, true}, "backup/seal.key": {false, true}, "notes": {false, false},
		"images/blobs/sha256/x": {true, true}, "images/other": {false, false}, "RESTORING": {false, true},
	} {
		if state, known := config.Belongs(path); [2]bool{state, known} != want {
			t.Errorf("%s: state %v, known %v", path, state, known)
		}
	}
}

func TestBackupSettings(t *testing.T) {
	for name, c := range map[string]struct {
		b    config.Backup
		code string
	}{
		"none": {config.Backup{}, ""}, "all": {config.Backup{To: "/x", Every: time.Hour, Keep: 3}, ""},
		"nowhere": {config.Backup{Every: time.Hour}, slipway.CodeBackupTarget}, "kept nowhere": {config.Backup{Keep: 1}, slipway.CodeBackupTarget},
		"too often": {config.Backup{To: "/x", Every: time.Second}, slipway.CodeInvalid}, "before": {config.Backup{To: "/x", Every: -time.Hour}, slipway.CodeInvalid},
		"fewer than none": {config.Backup{To: "/x", Keep: -1}, slipway.CodeInvalid},
	} {
		err := config.Config{Listen: config.DefaultListen, Backup: c.b}.Check()
		if (err == nil) != (c.code == "") || err != nil && !errors.Is(err, &slipway.Error{Code: c.code}) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHosts(t *testing.T) {
	for listen, want := range map[string][]string{
		"127.0.0.1:8080": {"localhost", "127.0.0.1", "::1", "box"}, ":8443": {"localhost", "127.0.0.1", "::1", "box"}, "0.0.0.0:1": {"localhost", "127.0.0.1", "::1", "box"},
		"192.0.2.1:1": {"localhost", "127.0.0.1", "::1", "box", "192.0.2.1"}, "models.example.test:1": {"localhost", "127.0.0.1", "::1", "box", "models.example.test"},
	} {
		if got := (config.Config{Listen: listen}).Hosts("box"); !slices.Equal(got, want) {
			t.Errorf("%s: %v", listen, got)
		}
	}
}
