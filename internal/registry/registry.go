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

// Version is one immutable version of a model. Numbers start at 1 and have no gaps. Files
// are sorted by path, and Digest is DigestOf them. Source is where they came from, in the
// words of who registered them.
type Version struct {
	Model   string
	Team    string // that owns the model, from its first version on; lists leave it out
	Number  int
	Digest  slipway.Digest
	Files   []File
	Source  string
	Created time.Time
	By      string
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

// Model is a line of versions. Latest is the newest number.
type Model struct {
	Name   string
	Latest int
	Team   string // that owns it
}

// AliasChange is one move of an alias. From is 0 when the alias was new.
type AliasChange struct {
	Model, Alias string
	From, To     int
	By, Reason   string
	Time         time.Time
}
