package oci

// NewDraft and Sweep are what makes crashes harmless.
var (
	NewDraft = newDraft
	Sweep    = sweep
)

// ParseManifest is the reader of manifests, for the fuzz test.
var ParseManifest = parseManifest
