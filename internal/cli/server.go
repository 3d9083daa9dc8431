package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/config"
)

// maxSecret bounds the small files of a home, in bytes.
const maxSecret = 4 << 10

// client finds the server and its token: from the flags and the environment, else from what
// platform login has kept, else from the files of the home. The home's token goes to the
// home's own server only, at its socket if it is good there alone.
func (s *session) client() (*client.Client, error) {
	server, token := cmp.Or(s.server, s.env.Getenv("SLIPWAY_SERVER")), s.env.Getenv("SLIPWAY_TOKEN")
	own := s.env.HTTPClient
	if server == "" || token == "" {
		home, err := s.homeDir()
		if err != nil {
			return nil, err
		}
		address, err := small(home.Address())
		if server = cmp.Or(server, address, s.lastServer()); server == "" {
			return nil, &slipway.Error{Code: slipway.CodeNoServer, Kind: slipway.Unavailable, Cause: err,
				Message: "no platform runs in " + home.Home, Next: "platform up; or, for one that runs elsewhere: platform login --server URL"}
		}
		if token == "" {
			if token, err = s.kept(server); err != nil {
				return nil, err
			}
		}
		if token == "" {
			if token, err = ownToken(home.OwnerToken(), server, address); err != nil {
				return nil, err
			}
			if server, own, err = s.socket(home, server); err != nil {
				return nil, err
			}
		}
	}
	return s.clientOf(server, token, own)
}

// clientOf makes a client that tells of what it tries again.
func (s *session) clientOf(server, token string, own *http.Client) (*client.Client, error) {
	ca, err := s.authority(server)
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{BaseURL: server, Token: token, HTTPClient: own, CA: ca,
		UserAgent: "platform/" + s.env.Version, Retrying: func(err error, wait time.Duration) {
			s.p.Progress("%s; trying again in %s", slipway.AsError(err).Message, wait.Round(100*time.Millisecond))
		}})
}

// socket finds the way to the server of a home for the owner's token: its own socket if the
// installation takes it there alone.
func (s *session) socket(home config.Config, server string) (string, *http.Client, error) {
	if _, err := os.Stat(home.SocketOnly()); err != nil {
		return server, s.env.HTTPClient, nil // it is good at the usual address
	}
	dir, err := home.RunDir()
	if err != nil {
		return "", nil, err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, config.ServerSocket))
	}
	return "http://localhost", &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}, nil
}

// authority is who may have signed the server's certificate: who was named, or for the server of
// the home its own; nil for those that the system trusts.
func (s *session) authority(server string) ([]byte, error) {
	file := cmp.Or(s.ca, s.env.Getenv("SLIPWAY_CA"))
	if home, err := s.homeDir(); file == "" && err == nil {
		address, _ := small(home.Address())
		if _, err := os.Lstat(home.AddressCA()); err == nil && address == server {
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
	next := "platform login --server " + server + ", or set SLIPWAY_TOKEN to a token of that server"
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
