package config

import (
	"path"
	"strings"
)

// Change is how a file of a home changes.
type Change int

// The ways.
const (
	Never    Change = iota // what has a name keeps its bytes
	Replaced               // another file takes its place
	Grows                  // it is written to where it lies
)

// Item is a file or a directory of a home that is state, relative to it.
type Item struct {
	Path   string
	Change Change
	// Early is copied before the database, which so has all that it has.
	Early bool
}

// State is what a backup copies beside the database, in this order: what names other files
// comes before them, so that what it names is copied too. What of a home is neither here nor
// in NotState is an oversight.
var State = []Item{
	{"audit", Replaced, true},
	{"audit.key", Replaced, true},           // that signs it: a log goes on under the same name
	{"gateway/journal.jsonl", Grows, false}, // rollbacks that the server may not have seen yet
	{"keys", Replaced, false},
	{"images/index.json", Replaced, false},
	{"images/oci-layout", Never, false},
	{"images/layers", Never, false},
	{"images/blobs", Never, false},
	{"blobs", Never, false},
}

// NotState is what a backup leaves out, each with the reason.
var NotState = []struct{ Path, Why string }{
	{"state.db", "the database is copied as a dump, which is of one moment"},
	{"state.db-wal", "part of the database"},
	{"state.db-shm", "part of the database"},
	{"owner.token", "it lets in who reads it; a start makes another"},
	{"root.key", "with it the keys of the backup would open; it has a copy of its own"},
	{"root.key.next", "the same, while it is being replaced"},
	{"production", "how the server was started; a start makes it"},
	{"backup", "the key that seals backups, and drafts"},
	{"backups", "copies that upgrades made"},
	{"tls", "certificates of an authority of its own; a start makes them"},
	{"address", "where it listens now"},
	{"address.ca", "part of it"},
	{"server.lock", "who runs now"},
	{"run", "sockets"},
	{"logs", "what processes logged on that machine"},
	{"revisions", "images, unpacked; made again from them"},
	{"environments", "of Python models; built again from what the models require"},
	{"trials", "of validations under way"},
	{"blobs/incoming", "uploads that are not whole"},
	{"gateway", "the table, which the server gives it, and what runs on that machine"},
	{"RESTORING", "a restore has not finished"},
}

// Belongs says whether a path of a home, with slashes, is state, and whether it is known at
// all. The longer of two entries that fit decides.
func Belongs(p string) (state, known bool) {
	longest := -1
	fits := func(entry string) bool {
		if (p == entry || strings.HasPrefix(p, entry+"/")) && len(entry) > longest {
			longest = len(entry)
			return true
		}
		return false
	}
	for _, i := range State {
		if fits(i.Path) {
			state, known = true, true
		}
	}
	for _, n := range NotState {
		if fits(n.Path) {
			state, known = false, true
		}
	}
	if strings.HasPrefix(path.Base(p), ".") || strings.HasSuffix(p, ".new") { // a draft
		state = false
	}
	return state, known
}

// Restoring is the file that says that a restore into this home has not finished.
func (c Config) Restoring() string { return c.path("RESTORING") }

// BackupSeal is the key that seals backups, mode 0600.
func (c Config) BackupSeal() string { return c.path("backup", "seal.key") }

// BackupDrafts is where a backup keeps what it copies while that changes.
func (c Config) BackupDrafts() string { return c.path("backup", "drafts") }

// BackupDigests is the file with digests that were taken before.
func (c Config) BackupDigests() string { return c.path("backup", "digests.json") }
