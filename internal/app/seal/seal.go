// Package seal encrypts what must not be read from the database, with a key in a file of
// the home.
package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Sealer is a signin.Sealer (AES-256-GCM).
type Sealer struct{ aead tink.AEAD }

// Open reads the key of a file, or makes it at the first start, and then lets write keep it
// for this user alone.
func Open(path string, write func(path string, content []byte) error) (*Sealer, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = newKeyset()
		if err == nil {
			err = write(path, b)
		}
	}
	if err != nil {
		return nil, err
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(b)))
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	primitive, err := aead.New(handle)
	return &Sealer{primitive}, err
}

func newKeyset() ([]byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(&out))
	return out.Bytes(), err
}

// Seal implements signin.Sealer.
func (s *Sealer) Seal(_ context.Context, aad string, plaintext []byte) ([]byte, error) {
	return s.aead.Encrypt(plaintext, []byte(aad))
}

// Open implements signin.Sealer.
func (s *Sealer) Open(_ context.Context, aad string, sealed []byte) ([]byte, error) {
	return s.aead.Decrypt(sealed, []byte(aad))
}
