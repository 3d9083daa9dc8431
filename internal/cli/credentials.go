package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
)

// credentials are what platform login keeps, by server, in a file for the user alone.
type credentials struct {
	Last    string               `json:"last"` // the server that was signed in to last
	Servers map[string]api.Grant `json:"servers"`
}

// maxCredentials bounds the file, in bytes.
const maxCredentials = 1 << 20

// refreshEarly is how long before its end a token is replaced.
const refreshEarly = time.Minute

// credentialsFile is in the user's directory of settings, empty without one.
func (s *session) credentialsFile() string {
	dir := s.env.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home := s.env.Getenv("HOME")
		if home == "" {
			return ""
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "slipway", "credentials.json")
}

func (s *session) readCredentials() (credentials, error) {
	c := credentials{Servers: map[string]api.Grant{}}
	file := s.credentialsFile()
	f, err := os.Open(file)
	if file == "" || errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, unreadable(file, err, "check its permissions, or remove it and run: platform login")
	}
	defer f.Close()
	st, err := f.Stat()
	if err == nil && st.Mode().Perm()&0o077 != 0 {
		return c, slipway.Errorf(slipway.Denied, slipway.CodeNotLoggedIn, "chmod 600 "+file+"; then, since others may have read it: platform logout && platform login", "others on this machine can read %s", file)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxCredentials))
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return c, &slipway.Error{Code: slipway.CodeNotLoggedIn, Kind: slipway.Invalid, Cause: err, Message: file + " is damaged", Next: "remove it, and run: platform login"}
	}
	if c.Servers == nil {
		c.Servers = map[string]api.Grant{}
	}
	return c, nil
}

// changeCredentials reads the file, lets change at it, and writes it, while no other command
// does. What it answers is written also when change answers an error: a refresh token that
// was used must not be used again.
func (s *session) changeCredentials(change func(c *credentials) error) error {
	file := s.credentialsFile()
	if file == "" {
		return slipway.Errorf(slipway.Invalid, slipway.CodeNotLoggedIn, "set HOME, or use SLIPWAY_TOKEN", "there is no directory to keep the sign-in in")
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(file+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // lets it go
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	c, err := s.readCredentials()
	if err != nil {
		return err
	}
	changed := change(&c)
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	draft, err := os.CreateTemp(filepath.Dir(file), ".credentials-*") // 0600
	if err != nil {
		return err
	}
	_, err = draft.Write(append(b, '\n'))
	err = errors.Join(err, draft.Sync(), draft.Close())
	if err == nil {
		err = os.Rename(draft.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(draft.Name()))
	}
	return changed
}

func plainServer(server string) string { return strings.TrimRight(server, "/") }

// lastServer is the one that was signed in to last, empty without one.
func (s *session) lastServer() string {
	c, err := s.readCredentials()
	if err != nil {
		return ""
	}
	return c.Last
}

// kept gives the token of platform login for a server, a new one if it is about to end;
// empty if nobody has signed in there.
func (s *session) kept(server string) (string, error) {
	server = plainServer(server)
	c, err := s.readCredentials()
	if err != nil {
		return "", err
	}
	g, ok := c.Servers[server]
	if !ok {
		return "", nil
	}
	if s.env.Now().Add(refreshEarly).Before(g.ExpiresAt) {
		return g.AccessToken, nil
	}
	err = s.changeCredentials(func(c *credentials) error {
		g, ok = c.Servers[server]
		if !ok || s.env.Now().Add(refreshEarly).Before(g.ExpiresAt) { // another command was first
			return nil
		}
		to, err := s.clientOf(server, "", s.env.HTTPClient)
		if err != nil {
			return err
		}
		next, err := to.RefreshGrant(context.Background(), g.RefreshToken)
		if err != nil {
			if code := slipway.AsError(err).Code; code == slipway.CodeSession || code == slipway.CodeForeign {
				delete(c.Servers, server)
				return &slipway.Error{Code: slipway.CodeNotLoggedIn, Kind: slipway.Unauthorized, Cause: err, Message: "the sign-in at " + server + " has ended", Next: "platform login --server " + server}
			}
			return err
		}
		c.Servers[server], g = next, next
		return nil
	})
	return g.AccessToken, err
}
