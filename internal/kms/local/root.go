package local

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/slipway-ml/slipway/internal/disk"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"golang.org/x/crypto/argon2"
)

// rootFile is the root key as it lies on disk: as it is, or sealed with what argon2id
// (RFC 9106) makes of a passphrase.
type rootFile struct {
	Purpose string `json:"purpose"`
	Key     []byte `json:"key,omitempty"`
	Sealed  []byte `json:"sealed,omitempty"`
	Salt    []byte `json:"salt,omitempty"`
	Passes  uint32 `json:"passes,omitempty"`
	KiB     uint32 `json:"kib,omitempty"`
}

const (
	purpose  = "the root key of a Slipway installation; keep a copy where its backups are not"
	maxRoot  = 4 << 10 // bytes of the file
	passes   = 3       // RFC 9106, second recommended option
	memory   = 64 << 10
	lanes    = 4
	maxKiB   = 1 << 20
	maxPass  = 64
	saltSize = 16
)

// readRoot answers fs.ErrNotExist when there is no file.
func readRoot(path string, passphrase []byte) ([]byte, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var text []byte
	if err == nil {
		if st.Mode().Perm()&0o077 != 0 {
			return nil, fileError(path, "may be read by others than its owner", "chmod 600 "+path, nil)
		}
		if st.Size() > maxRoot {
			return nil, fileError(path, "is no key file of the platform: it is too large", "name the right one with --key-file", nil)
		}
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fileError(path, "cannot be read", "check its permissions", err)
	}
	return parseRoot(path, text, passphrase)
}

func parseRoot(path string, text, passphrase []byte) ([]byte, error) {
	var f rootFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fileError(path, "is no key file of the platform", "name the right one with --key-file", nil) // the cause may quote it
	}
	switch {
	case len(f.Key) == keySize && len(f.Sealed) == 0 && passphrase == nil:
		return f.Key, nil
	case len(f.Key) == keySize && len(f.Sealed) == 0:
		return nil, fileError(path, "is not sealed by a passphrase, but one was given", "leave --key-passphrase-file out", nil)
	case len(f.Sealed) == 0 || len(f.Salt) == 0 || f.Passes == 0 || f.Passes > maxPass || f.KiB == 0 || f.KiB > maxKiB:
		return nil, fileError(path, "is no key file of the platform", "name the right one with --key-file", nil)
	case passphrase == nil:
		return nil, fileError(path, "is sealed by a passphrase", "give --key-passphrase-file FILE", nil)
	}
	aead, err := subtle.NewAESGCM(argon2.IDKey(passphrase, f.Salt, f.Passes, f.KiB, lanes, keySize))
	if err != nil {
		return nil, err
	}
	root, err := aead.Decrypt(f.Sealed, []byte(purpose))
	if err != nil || len(root) != keySize {
		return nil, fileError(path, "does not open with this passphrase", "give the right --key-passphrase-file", nil)
	}
	return root, nil
}

func writeRoot(path string, root, passphrase []byte) error {
	f := rootFile{Purpose: purpose, Key: root}
	if passphrase != nil {
		f = rootFile{Purpose: purpose, Salt: make([]byte, saltSize), Passes: passes, KiB: memory}
		_, _ = rand.Read(f.Salt)
		aead, err := subtle.NewAESGCM(argon2.IDKey(passphrase, f.Salt, passes, memory, lanes, keySize))
		if err != nil {
			return err
		}
		if f.Sealed, err = aead.Encrypt(root, []byte(purpose)); err != nil {
			return err
		}
	}
	text, err := json.Marshal(f)
	if err == nil {
		err = disk.Replace(path, append(text, '\n'), true)
	}
	if err != nil {
		return fileError(path, "cannot be written", "check the disk and its permissions", err)
	}
	return nil
}

// replaceRoot overwrites the old root key before the new one takes its name, as far as the
// file system overwrites in place.
func replaceRoot(next, path string) error {
	err := overwrite(path)
	if err == nil {
		err = os.Rename(next, path)
	}
	if err == nil {
		err = disk.Sync(filepath.Dir(path))
	}
	if err != nil {
		return fileError(path, "cannot be replaced", "check the disk and its permissions; the next start completes it", err)
	}
	return nil
}

func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(bytes.Repeat([]byte("0"), int(st.Size())), 0)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileError(path, "cannot be removed", "remove it", err)
	}
	return nil
}
