package config

import (
	"os"
	"syscall"

	"github.com/slipway-ml/slipway"
)

// checkPrivate refuses a directory that others own or may enter: sockets in it are as
// good as the owner's token.
func checkPrivate(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm()&0o077 != 0 || !ok || int(stat.Uid) != os.Geteuid() {
		return slipway.Errorf(slipway.Denied, slipway.CodeDenied, "remove it, or choose another home with SLIPWAY_HOME",
			"%s is not a private directory of this user", dir)
	}
	return nil
}
