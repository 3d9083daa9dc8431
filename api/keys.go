package api

import "time"

// Keys is how what is stored is encrypted.
type Keys struct {
	Service string     `json:"service" doc:"local, or the address of the key service"`
	Problem string     `json:"problem,omitempty" doc:"Why the key service cannot be used now"`
	Spaces  []KeySpace `json:"spaces"`
	InClear InClear    `json:"in_clear"`
}

// InClear is what an older version has stored and the background has not encrypted yet.
type InClear struct {
	Blobs  int64 `json:"blobs"`
	Bytes  int64 `json:"bytes"`
	Rotten int64 `json:"rotten,omitempty" doc:"Of these, blobs that cannot be encrypted, since they are not what their names say"`
}

// KeySpace is a team's data, or a class of it, with keys of its own.
type KeySpace struct {
	Space    string       `json:"space"`
	Versions []KeyVersion `json:"versions"`
}

// KeyVersion is one data key.
type KeyVersion struct {
	Version int       `json:"version"`
	State   string    `json:"state" enum:"active,decrypt-only,leaving,condemned,destroyed"`
	Created time.Time `json:"created"`
	Changed time.Time `json:"changed"`
	Left    int       `json:"left,omitempty" doc:"Values that have to be moved to the active key before this one is destroyed"`
	Blocked string    `json:"blocked,omitempty" doc:"Why it is kept"`
}

// RotateKeys gives a space a new key.
type RotateKeys struct {
	Space  string `json:"space" maxLength:"140"`
	Reason string `json:"reason,omitempty" maxLength:"500"`

	DestroyOld bool `json:"destroy_old,omitempty" doc:"Destroy the older keys as soon as nothing here needs them; backups that were made before do not open then"`
}

// Rewrapped says what was wrapped again.
type Rewrapped struct {
	Keys int `json:"keys"`
}

// ShredKeys destroys every key of a space.
type ShredKeys struct {
	Space  string `json:"space" maxLength:"140"`
	Reason string `json:"reason" minLength:"1" maxLength:"500"`
	Force  bool   `json:"force,omitempty" doc:"Although something that serves was made of it: that goes on from its unpacked copy"`
}

// Shredded says what was destroyed, and how that was proved.
type Shredded struct {
	Space   string   `json:"space"`
	Keys    int      `json:"keys" doc:"Data keys that were destroyed"`
	Objects int      `json:"objects" doc:"Files and secrets that were removed"`
	Proof   []string `json:"proof" doc:"What was tried, and that it failed as it must"`
	Remains []string `json:"remains,omitempty" doc:"Copies in clear that are left, and why"`
}

// Secret is a secret of a team, without its value.
type Secret struct {
	Team      string    `json:"team"`
	Name      string    `json:"name"`
	From      string    `json:"from,omitempty" doc:"Where the value lies, vault:PATH#KEY or aws-sm:NAME; empty: sealed in the platform"`
	Version   int       `json:"version" doc:"Counts the values that were set"`
	Changed   time.Time `json:"changed"`
	By        string    `json:"by"`
	Endpoints []string  `json:"endpoints,omitempty" doc:"Endpoints that name it"`
	Restart   []string  `json:"restart,omitempty" doc:"Of these, those whose replicas run with an older value"`
}

// SetSecret sets a value, or says where it lies.
type SetSecret struct {
	Value string `json:"value,omitempty" maxLength:"65536"`
	From  string `json:"from,omitempty" maxLength:"500"`
}
