// Package backup copies an installation to a place elsewhere, checks such a copy, and
// brings it back. A backup is sealed for a key that the machine which makes it has not got.
//
// The layout of a target, format 1; everything in it is sealed, and names tell nothing:
//
//	parts/ab/abcd…64      the bytes of one file, an age file (age-encryption.org/v1)
//	backups/bak_….backup  one backup, written last: without it there is none
//
// The name of a part is a keyed hash of its content, so that what is in the target already
// is not copied again, by this backup or another. A .backup file has three lines and a tail:
//
//	slipway-backup 1
//	{"id":…}              the Index: what it takes to list and to remove backups
//	0123…64               HMAC-SHA256 of the two lines before and the tail
//	age file              the Contents: which file of the home each part is, its digest
//
// A part is authentic because the Contents have the digest of its plaintext, and they are
// because of the HMAC. Its key is derived from a secret that both halves of the key have
// and the target has not.
package backup

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/slipway-ml/slipway"
)

// Seal is the half of a key that stays with the server. It makes backups, lists them and
// tells forged ones; it cannot read any.
type Seal struct {
	recipient *age.HybridRecipient
	secret    []byte
	names     []byte // key of the names of parts
	macs      []byte // key of the authentication of backups
}

// Recovery is the half that reads backups, to be kept elsewhere.
type Recovery struct {
	Seal
	identity *age.HybridIdentity
}

const (
	secretSize   = 32
	secretPrefix = "SLIPWAY-BACKUP-SECRET-1:"
	maxKeyFile   = 64 << 10
)

// NewRecovery makes a key.
func NewRecovery() (*Recovery, error) {
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, err
	}
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails
	return newRecovery(identity, secret)
}

func newRecovery(identity *age.HybridIdentity, secret []byte) (*Recovery, error) {
	seal, err := newSeal(identity.Recipient(), secret)
	if err != nil {
		return nil, err
	}
	return &Recovery{Seal: *seal, identity: identity}, nil
}

func newSeal(recipient *age.HybridRecipient, secret []byte) (*Seal, error) {
	s := &Seal{recipient: recipient, secret: secret}
	var err error
	if s.names, err = hkdf.Key(sha256.New, secret, nil, "slipway/1 backup names", sha256.Size); err != nil {
		return nil, err
	}
	s.macs, err = hkdf.Key(sha256.New, secret, nil, "slipway/1 backup index", sha256.Size)
	return s, err
}

// ID tells keys apart, and says nothing about them.
func (s *Seal) ID() string {
	return hex.EncodeToString(keyed(s.macs, []byte("id of "+s.recipient.String())))[:16]
}

// nameOf is the name of the part with a content.
func (s *Seal) nameOf(content slipway.Digest) string {
	return hex.EncodeToString(keyed(s.names, []byte(content)))
}

func keyed(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// Text is the seal as a file holds it.
func (s *Seal) Text() []byte {
	return fmt.Appendf(nil, "# Slipway: seals backups for the recovery key %s, and cannot read them. Keep it private all\n# the same: who has it can forge a backup.\n%s\n%s%s\n",
		s.ID(), s.recipient, secretPrefix, base64.RawStdEncoding.EncodeToString(s.secret))
}

// Text is the recovery key as a file holds it; with a passphrase, sealed by that with
// scrypt (RFC 7914) in the form of age.
func (r *Recovery) Text(passphrase string) ([]byte, error) {
	plain := fmt.Appendf(nil, "# Slipway: recovery key %s. It alone reads the backups that were sealed for it: without it they\n# are lost, and who has it reads them all. Keep it away from the machine that is backed up.\n%s\n%s%s\n",
		r.ID(), r.identity, secretPrefix, base64.RawStdEncoding.EncodeToString(r.secret))
	if passphrase == "" {
		return plain, nil
	}
	return SealPassphrase(plain, passphrase)
}

// SealPassphrase seals a small secret by a passphrase.
func SealPassphrase(plain []byte, passphrase string) ([]byte, error) {
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	text := armor.NewWriter(&b)
	w, err := age.Encrypt(text, to)
	if err != nil {
		return nil, err
	}
	if _, err = w.Write(plain); err == nil {
		err = w.Close()
	}
	if err == nil {
		err = text.Close()
	}
	return b.Bytes(), err
}

// OpenPassphrase is the inverse of SealPassphrase. It answers CodeBackupKey for another
// passphrase.
func OpenPassphrase(sealed []byte, passphrase string) ([]byte, error) {
	by, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, keyError("give the file with the passphrase: --passphrase-file FILE", "it is sealed by a passphrase")
	}
	by.SetMaxWorkFactor(maxWork)
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(sealed)), by)
	if err != nil {
		return nil, keyError("check the passphrase", "the passphrase is not the one that it was sealed with")
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxKeyFile))
	if err != nil {
		return nil, keyError("take another copy", "it is damaged")
	}
	return plain, nil
}

// SealedByPassphrase says whether a text has the form that SealPassphrase gives.
func SealedByPassphrase(text []byte) bool {
	return len(text) <= maxKeyFile && bytes.HasPrefix(text, []byte(armor.Header)) && bytes.HasSuffix(bytes.TrimSpace(text), []byte(armor.Footer))
}

// maxWork bounds what scrypt may cost a reader: 2^20 rounds of 1 KiB.
const maxWork = 20

func keyError(next, why string) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeBackupKey, next, "the key cannot be used: %s", why)
}

// ParseSeal reads the file of a seal.
func ParseSeal(text []byte) (*Seal, error) {
	public, secret, err := lines(text)
	if err != nil {
		return nil, err
	}
	recipient, err := age.ParseHybridRecipient(public)
	if err != nil {
		return nil, keyError("make one: platform backup key FILE", "this is no sealing key")
	}
	return newSeal(recipient, secret)
}

// ParseRecovery reads the file of a recovery key.
func ParseRecovery(text []byte, passphrase string) (*Recovery, error) {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte(armor.Header)) {
		plain, err := OpenPassphrase(text, passphrase)
		if err != nil {
			return nil, err
		}
		text = plain
	}
	private, secret, err := lines(text)
	if err != nil {
		return nil, err
	}
	identity, err := age.ParseHybridIdentity(private)
	if err != nil {
		return nil, keyError("give the file that platform backup key FILE wrote", "this is no recovery key")
	}
	return newRecovery(identity, secret)
}

// lines are the two of a key, without comments.
func lines(text []byte) (key string, secret []byte, err error) {
	if len(text) > maxKeyFile {
		return "", nil, keyError("give the file of a key", "it is too large")
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		encoded, isSecret := strings.CutPrefix(line, secretPrefix)
		switch {
		case line == "" || line[0] == '#':
		case isSecret:
			if secret, err = base64.RawStdEncoding.DecodeString(encoded); err != nil || len(secret) != secretSize {
				return "", nil, keyError("take another copy", "its secret is damaged")
			}
		default:
			key = line
		}
	}
	if key == "" || secret == nil {
		return "", nil, keyError("give the file that platform backup key FILE wrote", "it is not whole")
	}
	return key, secret, nil
}
