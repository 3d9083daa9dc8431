package blob

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"

	aead "github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"

	"github.com/slipway-ml/slipway"
)

// ending tells encrypted files from those in clear.
const ending = ".sealed"

// The streaming encryption of Tink, AES-256-GCM with a key that HKDF (RFC 5869) derives from
// another and a salt of the stream:
// https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming
const (
	keySize = 32
	segment = 64 << 10        // bytes of ciphertext that are authenticated together
	prefix  = 7               // of nonces
	header  = 1 + keySize + 7 // length, salt, prefix of nonces
	tag     = 16              // of each segment
	nonce   = 12              // bytes: prefix, number of the segment, whether it is the last
)

// A file has one of two forms, which its first byte tells. Bound is a stream with the key of
// the blob; its label has the digest, so that it can be written only where that is known.
// Wrapped begins with a byte and the key of its stream, which the key of the blob wraps: that
// part is written when the digest of what came is known. In either a file under another name
// does not open.
type form struct {
	head  int64 // bytes before the stream
	label string
}

var (
	bound   = form{0, "slipway/1 blob"}
	wrapped = form{1 + wrap, "slipway/2 blob"}
)

const (
	wrap        = nonce + keySize + tag
	wrappedByte = 2
	boundByte   = header // the length that a stream begins with
)

// formOf reads the form of a file.
func formOf(f io.ReaderAt) (form, error) {
	var first [1]byte
	_, err := f.ReadAt(first[:], 0)
	switch {
	case err == nil && first[0] == wrappedByte:
		return wrapped, nil
	case err == nil && first[0] == boundByte, errors.Is(err, io.EOF):
		return bound, nil
	case err != nil:
		return bound, err
	}
	return bound, errAltered
}

// errAltered says that a file is not what was written.
var errAltered = errors.New("the file was altered")

// sealTo encrypts a stream. The caller writes what comes before it.
func (f form) sealTo(w io.Writer, key []byte, digest slipway.Digest) (io.WriteCloser, error) {
	c, err := subtle.NewAESGCMHKDF(key, "SHA256", keySize, segment, int(f.head))
	if err != nil {
		return nil, err
	}
	return c.NewEncryptingWriter(w, []byte(f.label+string(digest)))
}

// wrapKey is what a wrapped file begins with.
func wrapKey(blobKey []byte, digest slipway.Digest, key []byte) ([]byte, error) {
	a, err := aead.NewAESGCM(blobKey)
	if err != nil {
		return nil, err
	}
	out, err := a.Encrypt(key, []byte(wrapped.label+string(digest)))
	return append([]byte{wrappedByte}, out...), err
}

// newKey makes the key of a stream.
func newKey() []byte {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	return key
}

// opened decrypts segments of a file, each by itself.
type opened struct {
	form
	aead   cipher.AEAD
	prefix [prefix]byte
}

// openFrom reads the head of a file. It answers errAltered when that does not open.
func openFrom(f io.ReaderAt, blobKey []byte, digest slipway.Digest) (o opened, err error) {
	head := make([]byte, wrapped.head+header) // of the longer form
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return o, err
	}
	if o.form, err = formOf(bytes.NewReader(head[:n])); err != nil {
		return o, err
	}
	if int64(n) < o.head+header {
		return o, errAltered
	}
	key, label := blobKey, o.label+string(digest)
	if o.form == wrapped {
		a, err := aead.NewAESGCM(blobKey)
		if err != nil {
			return o, err
		}
		if key, err = a.Decrypt(head[1:o.head], []byte(label)); err != nil {
			return o, errAltered
		}
		label = o.label
	}
	stream := head[o.head : o.head+header]
	if stream[0] != header {
		return o, errAltered
	}
	derived, err := hkdf.Key(sha256.New, key, stream[1:1+keySize], label, keySize)
	if err != nil {
		return o, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return o, err
	}
	copy(o.prefix[:], stream[1+keySize:])
	o.aead, err = cipher.NewGCM(block)
	return o, err
}

// short is errAltered for a file that ends too early, and other errors as they are.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errAltered
	}
	return err
}

// open decrypts a segment in place.
func (o *opened) open(sealed []byte, number int64, last bool) ([]byte, error) {
	var n [nonce]byte
	copy(n[:], o.prefix[:])
	binary.BigEndian.PutUint32(n[prefix:], uint32(number)) //nolint:gosec // a blob has at most 2^20 segments
	if last {
		n[nonce-1] = 1
	}
	plain, err := o.aead.Open(sealed[:0], n[:], sealed, nil)
	if err != nil {
		return nil, errAltered
	}
	return plain, nil
}

// sealedSize is the length of the file of a blob of n bytes.
func (f form) sealedSize(n int64) int64 {
	segments := max(1, (n+f.head+header+segment-tag-1)/(segment-tag))
	return f.head + header + n + segments*tag
}

// plainSize is the inverse of sealedSize; negative for a length that no file can have.
func (f form) plainSize(length int64) int64 {
	segments := (length + segment - 1) / segment
	return length - f.head - header - segments*tag
}
