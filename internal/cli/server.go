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
	if server == "" || token == "" {
		home, err := s.homeDir()
		if err != nil {
			return nil, err
		}
		address, err := small(home.Address())
		if err != nil && server == "" {
			return nil, &slipway.Error{Code: slipway.CodeNoServer, Kind: slipway.Unavailable, Cause: err,
				Message: "no platform runs in " + home.Home, Next: "platform up"}
		}
		server = cmp.Or(server, address)
		if token == "" {
			if token, err = ownToken(home.OwnerToken(), server, address); err != nil {
				return nil, err
			}
		}
	}
	return client.New(client.Config{BaseURL: server, Token: token, HTTPClient: s.env.HTTPClient,
		UserAgent: "platform/" + s.env.Version, Retrying: func(err error, wait time.Duration) {
			s.p.Progress("%s; trying again in %s", slipway.AsError(err).Message, wait.Round(100*time.Millisecond))
		}})
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
