// Package registry keeps models: named lines of immutable versions, each a set of files
// with one digest, and aliases that point at versions and remember where they pointed.
package registry

import (
	"time"

	"github.com/slipway-ml/slipway"
)

// File is one file of a version. Path is as modeldir.CheckPath wants it, Size in bytes.
type File struct {
	Path       string         `json:"path"`
	Digest     slipway.Digest `json:"digest"`
	Size       int64          `json:"size"`
	Executable bool           `json:"executable,omitempty"`
}

// Version is one immutable version of a model: what it is never changes, what is said about
// it may. Numbers start at 1, are given once, and are missing where versions were deleted.
// Files are sorted by path, and Digest is DigestOf them; both are empty when the files lie
// elsewhere, at Source. Source is where they came from, in the words of who registered them.
type Version struct {
	Model   string
	Team    string // that owns the model; lists leave it out
	Number  int
	Digest  slipway.Digest
	Files   []File
	Source  string
	Created time.Time
	By      string

	Updated     time.Time
	Stage       string // one of Stages
	Description string
	RunID       string // the run that made it
	RunLink     string
	LoggedModel string // the id of the logged model that it was registered from
	Place       string // where its files lie, if they are not here and Source does not say
	Tags        map[string]string
	Aliases     []string
}

// File finds a file by path, or gives nil.
func (v *Version) File(path string) *File {
	for i := range v.Files {
		if v.Files[i].Path == path {
			return &v.Files[i]
		}
	}
	return nil
}

// Model is a line of versions. Latest is the newest number, 0 without versions.
type Model struct {
	Name   string
	Latest int
	Team   string // that owns it

	Description string
	Created     time.Time
	Updated     time.Time // of it, or of one of its versions
	By          string    // who made it
}

// Entry is a model with all that is said about it.
type Entry struct {
	Model
	Tags    map[string]string
	Aliases map[string]int
	Newest  []Version // of each stage that has versions, the newest, with tags and aliases
}

// AliasChange is one move of an alias. From is 0 when the alias was new, To when it was
// removed.
type AliasChange struct {
	Model, Alias string
	From, To     int
	By, Reason   string
	Time         time.Time
}
