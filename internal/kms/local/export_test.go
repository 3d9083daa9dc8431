package local

// ParseRoot is what reads the file with the root key.
var ParseRoot = parseRoot
