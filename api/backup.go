package api

import "time"

// CreateBackup asks for a backup.
type CreateBackup struct {
	Target string `json:"target,omitempty" maxLength:"1000" doc:"Where it goes, on or from the machine of the server: a directory or s3://BUCKET/PREFIX; empty for the configured place. Another one is for owners only"`
	Full   bool   `json:"full,omitempty" doc:"Copy what is in the target already, too"`
	// RootKey is sealed by whoever asks: the server does not learn the passphrase.
	RootKey string `json:"root_key,omitempty" maxLength:"65536" doc:"The root key of the key service, sealed by a passphrase as an armored age file; without it the backup has none"`
}

// BackupRun is a backup under way, or how it ended.
type BackupRun struct {
	ID      string    `json:"id,omitempty" doc:"Once it is there"`
	State   string    `json:"state" enum:"running,done,failed"`
	Target  string    `json:"target"`
	By      string    `json:"by"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	Done    int64     `json:"done" doc:"Bytes that were looked at"`
	Bytes   int64     `json:"bytes" doc:"Of the whole backup"`
	Copied  int64     `json:"copied" doc:"Bytes that were not in the target already"`
	Missing int       `json:"missing,omitempty" doc:"Blobs that the record names and the home had not any more"`
	Removed []string  `json:"removed,omitempty" doc:"Older backups, which were too many"`
	Code    string    `json:"code,omitempty" doc:"Why it failed"`
	Message string    `json:"message,omitempty"`
	Next    string    `json:"next,omitempty"`
}

// Backup is one in a target.
type Backup struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created,omitzero"`
	Build   string    `json:"build,omitempty"`
	Key     string    `json:"key,omitempty" doc:"That it is sealed for"`
	Bytes   int64     `json:"bytes,omitempty"`
	Parts   int       `json:"parts,omitempty"`
	Problem string    `json:"problem,omitempty" doc:"Why it cannot be used"`
}

// Backups are those of a target, the newest first.
type Backups struct {
	Target  string   `json:"target"`
	Every   string   `json:"every,omitempty" doc:"How often one is made by itself"`
	Keep    int      `json:"keep,omitempty" doc:"How many are kept"`
	Backups []Backup `json:"backups"`
}

// BackupProgress is what a server does.
type BackupProgress struct {
	Running *BackupRun `json:"running,omitempty"`
	Last    *BackupRun `json:"last,omitempty" doc:"How the last one ended that this server began"`
}

// BackupVerified says that somebody has read all of a backup, with the recovery key.
type BackupVerified struct {
	Target string `json:"target" maxLength:"1000"`
	Parts  int    `json:"parts"`
	Bytes  int64  `json:"bytes"`
	Bad    int    `json:"bad" doc:"Parts that are not as they were written"`
}
