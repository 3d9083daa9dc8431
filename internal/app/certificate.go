package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/disk"
	"github.com/slipway-ml/slipway/internal/tlsfile"
)

// own is the authority of an installation that has one of its own.
func own(c config.Config) tlsfile.Own {
	return tlsfile.Own{Dir: c.TLS(), Names: c.Hosts(host())}
}

// renew makes the certificate of an authority of its own, if it is time.
func renew(c config.Config) error {
	if !c.TLSOwn {
		return nil
	}
	return own(c).Ensure(time.Now())
}

// announce tells the clients of this machine who signs, and gives the file for others; empty
// for an authority that is not its own.
func announce(c config.Config) (string, error) {
	if !c.TLSOwn {
		if err := os.Remove(c.AddressCA()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", homeError(err)
		}
		return "", nil
	}
	b, err := os.ReadFile(own(c).CA())
	if err == nil {
		err = disk.Replace(c.AddressCA(), b, true)
	}
	if err != nil {
		return "", homeError(err)
	}
	return own(c).CA(), nil
}

// keepRenewed looks every hour until ctx ends; the gateway follows the files.
func (a *App) keepRenewed(ctx context.Context) {
	for pause(ctx, time.Hour) == nil {
		if err := renew(a.o.Config); err != nil {
			a.o.Log.Error("the certificate was not renewed", "error", err.Error())
		}
	}
}
