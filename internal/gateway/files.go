package gateway

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/slipway-ml/slipway"
)

// replaceFile puts new content in place of a file in one step. With durable it is on disk
// when replaceFile returns.
func replaceFile(path string, content []byte, durable bool) (err error) {
	draft := path + ".new"
	f, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(draft, path)
	}
	if err == nil && durable {
		err = syncDir(filepath.Dir(path))
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

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
	if slipway.DiskFull(err) {
		e.Code, e.Next = slipway.CodeDiskFull, "free space on the disk of the gateway's directory"
	}
	return e
}
