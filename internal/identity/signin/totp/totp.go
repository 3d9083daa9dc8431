// Package totp is the second factor: codes of an authenticator app (RFC 6238), and recovery
// codes for those who have lost it.
package totp

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/boombuler/barcode/qr"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"github.com/slipway-ml/slipway"
)

// What every authenticator app takes for granted.
const (
	period   = 30 // seconds
	seedSize = 20 // bytes, as many as SHA-1 has (RFC 4226, section 4)
	skew     = 1  // steps that a clock may be off, either way
)

// NewSeed makes the secret that app and platform share, in base32.
func NewSeed() string {
	b := make([]byte, seedSize)
	_, _ = rand.Read(b) // never fails, says its documentation
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)
}

// Verify finds the step that a code is of. It says no for one of a step up to last, which
// was used, so that nobody who has seen a code can use it again.
func Verify(seed, code string, last int64, now time.Time) (step int64, ok bool) {
	code = strings.ReplaceAll(code, " ", "")
	at := now.Unix() / period
	for s := at - skew; s <= at+skew; s++ {
		want, err := Code(seed, time.Unix(s*period, 0))
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && s > last {
			step, ok = s, true
		}
	}
	return step, ok
}

// Code is the code of a seed at a time.
func Code(seed string, at time.Time) (string, error) {
	return totp.GenerateCodeCustom(seed, at, totp.ValidateOpts{Period: period, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
}

// URL is what an app reads from the picture.
func URL(seed, issuer, account string) (string, error) {
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(seed)
	if err != nil {
		return "", fmt.Errorf("a stored seed is damaged")
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: issuer, AccountName: account, Secret: raw, Period: period, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		return "", err
	}
	return key.URL(), nil
}

// Picture is a QR code of a text as the d of an SVG path, one unit a module, and its width
// and height with the quiet zone.
func Picture(text string) (path string, size int, err error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return "", 0, err
	}
	const quiet = 4
	var b strings.Builder
	bounds := code.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
				fmt.Fprintf(&b, "M%d %dh1v1h-1z", x-bounds.Min.X+quiet, y-bounds.Min.Y+quiet)
			}
		}
	}
	return b.String(), bounds.Dx() + 2*quiet, nil
}

// recoveries is how many recovery codes one gets.
const recoveries = 10

// NewRecovery makes recovery codes of 80 bits each, and the hashes that are kept of them.
func NewRecovery() (codes, hashes []string) {
	for range recoveries {
		b := make([]byte, 10)
		_, _ = rand.Read(b) // never fails, says its documentation
		text := strings.ToLower(base32.StdEncoding.EncodeToString(b))
		code := strings.Join([]string{text[:4], text[4:8], text[8:12], text[12:]}, "-")
		codes, hashes = append(codes, code), append(hashes, hash(code))
	}
	return codes, hashes
}

// Recover takes a code out of the hashes of those that are left.
func Recover(hashes []string, code string) (left []string, ok bool) {
	i := slices.Index(hashes, hash(code))
	if i < 0 {
		return hashes, false
	}
	return slices.Delete(slices.Clone(hashes), i, i+1), true
}

// hash forgives how a code was typed.
func hash(code string) string {
	plain := strings.NewReplacer("-", "", " ", "").Replace(strings.ToLower(code))
	return slipway.DigestOf([]byte(plain)).Hex()
}
