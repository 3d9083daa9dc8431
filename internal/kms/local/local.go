// Package local is the key service of one machine: a keyset in a file, sealed with a root
// key in another file, which a passphrase may seal in turn.
//
// Who can read both files can open everything: it protects copies of the database, of the
// artifacts and of the keyset against whoever has not got the root key, and nothing against
// root on the machine. When keys are destroyed the root key is replaced, so that no copy of
// the keyset that was made before opens with the one that is left.
package local

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
)

// Options say where the files are.
type Options struct {
	Keyset     string // made when it is missing, 0600
	RootKey    string // made together with the keyset, 0600
	Passphrase []byte // seals the root key; nil: the file holds it as it is
	Existing   bool   // refuse to make a keyset: there is something that only the lost one opens
}

// Service is a keys.Service. Several processes may use the files: one that was paused and has
// been followed by another must not undo what that has done.
type Service struct {
	o Options

	mu   sync.RWMutex
	root []byte
	keys map[string][]byte // nil: destroyed
	seen []byte            // the keyset's file as these keys were read from it
}

const keySize = 32

// keysetLabel binds the keyset to its purpose.
const keysetLabel = "slipway/1 keyset"

// Open reads the files, or makes both when there is neither. It answers CodeKeyFile when one
// is missing, may be read by others, or does not fit the other.
func Open(o Options) (*Service, error) {
	s := &Service{o: o, keys: map[string][]byte{}}
	_, err := os.Stat(o.Keyset)
	if errors.Is(err, fs.ErrNotExist) && !o.Existing {
		if err := s.begin(); err != nil {
			return nil, err
		}
		return s, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fileError(o.Keyset, "is missing, and nothing that is stored opens without it", "bring back the newest copy of it, or give the --kms that this installation was started with before", err)
	}
	if err != nil {
		return nil, fileError(o.Keyset, "cannot be read", "check its permissions", err)
	}
	return s, s.exclusively(func() error { return nil })
}

// exclusively runs what changes the files while no other process does, on top of what the
// others have done. s.mu is held, or nobody else knows s.
func (s *Service) exclusively(change func() error) error {
	lock, err := os.OpenFile(s.o.Keyset+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		defer lock.Close()
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX) // held for as long as two small files are written
	}
	if err != nil {
		return fileError(s.o.Keyset, "cannot be locked", "check the permissions of its directory", err)
	}
	sealed, err := os.ReadFile(s.o.Keyset)
	if err != nil {
		return fileError(s.o.Keyset, "cannot be read any more", "bring back the newest copy of it", err)
	}
	if !bytes.Equal(sealed, s.seen) {
		if err := s.load(sealed); err != nil {
			return err
		}
		s.seen = sealed
	}
	return change()
}

// begin makes the files. A root key that is there already, kept elsewhere, is used: a first
// start may have been interrupted, or the user has made it.
func (s *Service) begin() error {
	err := os.MkdirAll(filepath.Dir(s.o.Keyset), 0o700)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(s.o.RootKey), 0o700)
	}
	if err != nil {
		return fileError(s.o.Keyset, "cannot be made", "check the permissions of its directory", err)
	}
	s.root, err = readRoot(s.o.RootKey, s.o.Passphrase)
	if errors.Is(err, fs.ErrNotExist) {
		s.root = fresh()
		err = writeRoot(s.o.RootKey, s.root, s.o.Passphrase)
	}
	if err != nil {
		return err
	}
	return s.save(s.keys, s.root)
}

func fresh() []byte {
	b := make([]byte, keySize)
	_, _ = rand.Read(b) // never fails
	return b
}

// next is where a root key lies that is about to replace the one in force.
func (o Options) next() string { return o.RootKey + ".next" }

// load opens the keyset with the root key, or with the next one, if a replacement of it was
// interrupted after the keyset had been sealed anew.
func (s *Service) load(sealed []byte) error {
	root, err := readRoot(s.o.RootKey, s.o.Passphrase)
	if err == nil {
		var keys map[string][]byte
		if keys, err = unseal(sealed, root); err == nil {
			s.keys, s.root = keys, root
			return removeIfThere(s.o.next())
		}
		err = fileError(s.o.RootKey, "is not the one that "+s.o.Keyset+" was sealed with", "bring back the newest of both, or name its place with --key-file", err)
	}
	replaced, e := readRoot(s.o.next(), s.o.Passphrase)
	var keys map[string][]byte
	if e == nil {
		keys, e = unseal(sealed, replaced)
	}
	switch {
	case e == nil:
		s.keys, s.root = keys, replaced
		return replaceRoot(s.o.next(), s.o.RootKey)
	case errors.Is(err, fs.ErrNotExist):
		return fileError(s.o.RootKey, "is missing, and nothing that is stored opens without it", "bring it back, or name its place with --key-file", err)
	}
	return err
}

func unseal(sealed, root []byte) (map[string][]byte, error) {
	aead, err := subtle.NewAESGCM(root)
	if err != nil {
		return nil, err
	}
	text, err := aead.Decrypt(sealed, []byte(keysetLabel))
	if err != nil {
		return nil, err
	}
	keys := map[string][]byte{}
	return keys, json.Unmarshal(text, &keys)
}

// save makes a keyset durable.
func (s *Service) save(keys map[string][]byte, root []byte) error {
	text, err := json.Marshal(keys)
	if err != nil {
		return err
	}
	aead, err := subtle.NewAESGCM(root)
	if err != nil {
		return err
	}
	sealed, err := aead.Encrypt(text, []byte(keysetLabel))
	if err != nil {
		return err
	}
	if err := disk.Replace(s.o.Keyset, sealed, true); err != nil {
		return fileError(s.o.Keyset, "cannot be written", "check the disk and its permissions", err)
	}
	s.seen = sealed
	return nil
}

// Create implements keys.Service.
func (s *Service) Create(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exclusively(func() error {
		if key, there := s.keys[name]; there {
			if key == nil {
				return destroyed(name)
			}
			return nil
		}
		keys := s.with(name, fresh())
		if err := s.save(keys, s.root); err != nil {
			return err
		}
		s.keys = keys
		return nil
	})
}

// with is the keyset with one key more, or one that is other.
func (s *Service) with(name string, key []byte) map[string][]byte {
	keys := make(map[string][]byte, len(s.keys)+1)
	for n, k := range s.keys {
		keys[n] = k
	}
	keys[name] = key
	return keys
}

func (s *Service) key(name string) (*subtle.AESGCM, error) {
	s.mu.RLock()
	key, there := s.keys[name]
	s.mu.RUnlock()
	if !there { // another process may have made it
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.exclusively(func() error { return nil }); err != nil {
			return nil, err
		}
		key, there = s.keys[name]
	}
	if key == nil && there {
		return nil, destroyed(name)
	}
	if key == nil {
		return nil, slipway.Errorf(slipway.Unavailable, slipway.CodeKeyService, "bring back the newest "+s.o.Keyset, "the keyset has no key %.80s", name)
	}
	return subtle.NewAESGCM(key)
}

// Wrap implements keys.Service.
func (s *Service) Wrap(_ context.Context, name string, plaintext, label []byte) ([]byte, error) {
	aead, err := s.key(name)
	if err != nil {
		return nil, err
	}
	return aead.Encrypt(plaintext, label)
}

// Unwrap implements keys.Service.
func (s *Service) Unwrap(_ context.Context, name string, wrapped, label []byte) ([]byte, error) {
	aead, err := s.key(name)
	if err != nil {
		return nil, err
	}
	out, err := aead.Decrypt(wrapped, label)
	if err != nil {
		return nil, slipway.Errorf(slipway.Internal, slipway.CodeSealed, "bring it back from a backup", "a wrapped key does not open")
	}
	return out, nil
}

// Destroy implements keys.Service. The root key is replaced: first the new one is written
// beside it, then the keyset without the keys is sealed with that, then it takes the place.
func (s *Service) Destroy(_ context.Context, names ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exclusively(func() error { return s.destroy(names) })
}

func (s *Service) destroy(names []string) error {
	keys, change := s.keys, false
	for _, name := range names {
		if key, there := keys[name]; key != nil || !there {
			keys, change = (&Service{keys: keys}).with(name, nil), true
		}
	}
	if !change {
		return nil
	}
	root := fresh()
	err := writeRoot(s.o.next(), root, s.o.Passphrase)
	if err == nil {
		err = s.save(keys, root)
	}
	if err != nil {
		return err
	}
	s.keys, s.root = keys, root
	return replaceRoot(s.o.next(), s.o.RootKey)
}

// Check implements keys.Service: both files are as this process knows them.
func (s *Service) Check(context.Context) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	root, err := readRoot(s.o.RootKey, s.o.Passphrase)
	if err != nil {
		return fileError(s.o.RootKey, "cannot be read any more", "bring it back before the server ends: it knows it still", err)
	}
	if !bytes.Equal(root, s.root) {
		return fileError(s.o.RootKey, "was changed while the server ran", "bring it back before the server ends", nil)
	}
	return nil
}

func destroyed(name string) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeShredded, "platform keys list", "the key %.80s is destroyed", name)
}

func fileError(path, what, next string, cause error) error {
	return &slipway.Error{Code: slipway.CodeKeyFile, Kind: slipway.Unavailable, Message: fmt.Sprintf("the key file %s %s", path, what), Next: next, Cause: cause}
}
