package blob

// The lengths of files.
var (
	SealedSize  = bound.sealedSize
	PlainSize   = bound.plainSize
	WrappedSize = wrapped.sealedSize
	Unwrapped   = wrapped.plainSize
)
