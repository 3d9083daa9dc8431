package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/client"
)

// maxSecret bounds the small files of a home, in bytes.
const maxSecret = 4 << 10

// client finds the server and its token: from the flags and the environment, else from
// the files of the home. The home's token goes to the home's own server only.
func (s *session) client() (*client.Client, error) {
	server, token := cmp.Or(s.server, s.env.Getenv("SLIPWAY_SERVER")), s.env.Getenv("SLIPWAY_TOKEN")
	home := ""
	if server == "" || token == "" {
		dir, err := s.homeDir()
		if err != nil {
			return nil, err
		}
		address, err := small(dir.Address())
		if err != nil && server == "" {
			return nil, &slipway.Error{Code: slipway.CodeNoServer, Kind: slipway.Unavailable, Cause: err,
				Message: "no platform runs in " + dir.Home, Next: "platform up"}
		}
		server, home = cmp.Or(server, address), address
		if token == "" {
			if token, err = ownToken(dir.OwnerToken(), server, address); err != nil {
				return nil, err
			}
		}
	}
	ca, err := s.authority(server == home)
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{BaseURL: server, Token: token, HTTPClient: s.env.HTTPClient, CA: ca,
		UserAgent: "platform/" + s.env.Version, Retrying: func(err error, wait time.Duration) {
			s.p.Progress("%s; trying again in %s", slipway.AsError(err).Message, wait.Round(100*time.Millisecond))
		}})
}

// authority is who may have signed the server's certificate: who was named, or for the server of
// the home its own; nil for those that the system trusts.
func (s *session) authority(own bool) ([]byte, error) {
	file := cmp.Or(s.ca, s.env.Getenv("SLIPWAY_CA"))
	if home, err := s.homeDir(); file == "" && own && err == nil {
		if _, err := os.Lstat(home.AddressCA()); err == nil {
			file = home.AddressCA()
		}
	}
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, unreadable(file, err, "name a PEM file with --ca-file or SLIPWAY_CA")
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1<<20))
}

func ownToken(file, server, address string) (string, error) {
	const next = "set SLIPWAY_TOKEN to a token of that server"
	if strings.TrimRight(server, "/") != strings.TrimRight(address, "/") {
		return "", &slipway.Error{Code: slipway.CodeNotLoggedIn, Kind: slipway.Unauthorized, Message: "there is no token for " + server, Next: next}
	}
	token, err := small(file)
	if err != nil {
		return "", &slipway.Error{Code: slipway.CodeNotLoggedIn, Kind: slipway.Unauthorized, Cause: err,
			Message: fmt.Sprintf("the owner's token cannot be read: %v", err), Next: next}
	}
	return token, nil
}

// small reads a file of one line.
func small(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err == nil && len(strings.TrimSpace(string(b))) == 0 {
		err = errors.New(name + " is empty")
	}
	return strings.TrimSpace(string(b)), err
}

// unreadable is an error about a file that was named by the user.
func unreadable(name string, err error, next string) error {
	message := fmt.Sprintf("%s cannot be read: %v", name, err)
	if errors.Is(err, fs.ErrNotExist) {
		message = name + " does not exist"
	}
	return &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Invalid, Message: message, Next: next, Cause: err}
}
