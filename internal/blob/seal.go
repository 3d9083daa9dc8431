package blob

import (
	"io"

	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"

	"github.com/slipway-ml/slipway"
)

// ending tells encrypted files from those in clear.
const ending = ".sealed"

// The streaming encryption of Tink, AES-256-GCM with a key that HKDF (RFC 5869) derives from
// the blob's and a salt of the stream:
// https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming
const (
	keySize = 32
	segment = 64 << 10         // bytes of ciphertext that are authenticated together
	header  = 1 + keySize + 7  // length, salt, prefix of nonces
	tag     = 16               // of each segment
	label   = "slipway/1 blob" // with the digest: a file under another name does not open
)

func cipher(key []byte) (*subtle.AESGCMHKDF, error) {
	return subtle.NewAESGCMHKDF(key, "SHA256", keySize, segment, 0)
}

func sealTo(w io.Writer, key []byte, digest slipway.Digest) (io.WriteCloser, error) {
	c, err := cipher(key)
	if err != nil {
		return nil, err
	}
	return c.NewEncryptingWriter(w, []byte(label+string(digest)))
}

func openFrom(r io.Reader, key []byte, digest slipway.Digest) (io.Reader, error) {
	c, err := cipher(key)
	if err != nil {
		return nil, err
	}
	return c.NewDecryptingReader(r, []byte(label+string(digest)))
}

// sealedSize is the length of the file of a blob of n bytes.
func sealedSize(n int64) int64 {
	segments := max(1, (n+header+segment-tag-1)/(segment-tag))
	return header + n + segments*tag
}

// plainSize is the inverse of sealedSize; negative for a length that no file can have.
func plainSize(length int64) int64 {
	segments := (length + segment - 1) / segment
	return length - header - segments*tag
}
