package gateway

import (
	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/disk"
)

// fileName says whether a name from outside can be that of a file in our directory.
func fileName(s string) bool {
	if s == "" || len(s) > 200 || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		if !plain(s[i]) {
			return false
		}
	}
	return true
}

// plain are the bytes that mean nothing in file names, headers and logs.
func plain(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '.' || b == '_' || b == '-'
}

func ioError(what string, err error) error {
	e := &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Internal, Message: "cannot " + what,
		Next: "check the permissions of the gateway's directory", Cause: err}
	if disk.Full(err) {
		e.Code, e.Next = slipway.CodeDiskFull, "free space on the disk of the gateway's directory"
	}
	return e
}
