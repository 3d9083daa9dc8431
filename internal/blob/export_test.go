package blob

// The lengths of files.
var (
	SealedSize = sealedSize
	PlainSize  = plainSize
)
