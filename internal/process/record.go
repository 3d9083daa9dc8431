package process

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
)

// recordBytes bounds a record; ours are far smaller.
const recordBytes = 64 << 10

// record is what a later supervisor needs to know a replica again. It is written twice:
// without a pid as the intent to start one, and complete before the replica counts as
// started. A supervisor that dies in between leaves a process without a pid on record; its
// successor finds that one by its command line.
type record struct {
	ID          string         `json:"id"`
	Revision    string         `json:"revision"`
	PID         int            `json:"pid"`         // 0: intended
	StartTicks  uint64         `json:"start_ticks"` // /proc/<pid>/stat, field 22
	Started     time.Time      `json:"started"`
	Socket      string         `json:"socket"`
	ImageDigest slipway.Digest `json:"image_digest"`
	Restarts    int            `json:"restarts"`
	Exe         string         `json:"exe"`
}

// parseRecord reads a record and checks that it can be one of ours.
func parseRecord(b []byte) (record, error) {
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return record{}, err
	}
	_, ok := slotOf(r.ID, r.Revision)
	switch {
	case !ok:
		return record{}, errors.New("id and revision do not fit")
	case r.PID < 0 || r.PID == 1:
		return record{}, errors.New("impossible pid")
	case !filepath.IsAbs(r.Socket) || filepath.Ext(r.Socket) != socketExt:
		return record{}, errors.New("no socket path")
	case r.Restarts < 0:
		return record{}, errors.New("negative restarts")
	}
	return r, nil
}

// replicaID names the replica of a revision in a slot; slotOf is its inverse.
func replicaID(revision string, slot int) string { return revision + "-r" + strconv.Itoa(slot) }

func slotOf(id, revision string) (slot int, ok bool) {
	if !fileName(id) {
		return 0, false
	}
	digits, found := strings.CutPrefix(id, revision+"-r")
	slot, err := strconv.Atoi(digits)
	return slot, found && err == nil && slot >= 0 && replicaID(revision, slot) == id
}

// fileName says whether an id can name a file: the ids of revisions are made of endpoint
// names, but they reach us in a file.
func fileName(id string) bool {
	return id != "" && len(id) <= 200 && id[0] != '.' && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}

// readRecord reads one record file, of bounded size.
func readRecord(path string) (record, error) {
	f, err := os.Open(path)
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, recordBytes))
	if err != nil {
		return record{}, err
	}
	return parseRecord(b)
}

// writeJSON replaces a file as a whole. It survives the death of this process; a machine
// that goes down takes the replicas with it, so nothing is synced.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
