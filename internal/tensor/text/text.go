// Package text tells what texts stand for: whole numbers, times, bytes.
package text

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// Whole writes a decimal number with a fraction or an exponent without them, if it is
// whole. Its text decides: where a double has no room for a fraction it has lost it.
func Whole(text string) (string, bool) {
	const longest = 20 // digits of the types, about
	number, exponent, scientific := strings.Cut(strings.ToLower(text), "e")
	sign := ""
	if strings.HasPrefix(number, "-") {
		sign, number = "-", number[1:]
	}
	whole, fraction, _ := strings.Cut(number, ".")
	shift := 0
	if scientific {
		var err error
		if shift, err = strconv.Atoi(exponent); err != nil {
			return "", false
		}
	}
	digits := strings.TrimRight(whole+fraction, "0")
	if point := len(whole) + min(max(shift, -len(text)), len(text)+longest); point < len(digits) {
		return "", false
	} else if zeros := point - len(digits); digits != "" {
		if zeros > longest {
			return "", false
		}
		digits += strings.Repeat("0", zeros)
	}
	if digits = strings.TrimLeft(digits, "0"); digits == "" {
		return "0", true
	}
	return sign + digits, true
}

// IsBase64 tells whether a text is base64 (RFC 4648). It accepts line ends, which Python's encodebytes writes.
func IsBase64(s string) bool {
	var room [512]byte
	buf := room[:]
	if n := base64.StdEncoding.DecodedLen(len(s)); n > len(buf) {
		buf = make([]byte, n)
	}
	_, err := base64.StdEncoding.Decode(buf, []byte(s))
	return err == nil
}

// IsTime tells whether a text is a date or a time. It accepts what every reader of ISO 8601 does.
func IsTime(s string) bool {
	if len(s) > len("2026-03-31T12:30:00.123456789+00:00") {
		return false
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04:05", time.RFC3339, time.DateTime, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04", "2006-01-02T15:04Z07:00"} {
		if _, err := time.Parse(layout, s); err == nil { // fractions of seconds are taken, too
			return true
		}
	}
	return false
}
