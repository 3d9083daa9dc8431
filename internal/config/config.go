// Package config holds the server's settings and the places of its files. It is resolved
// once, at the edge; nothing else reads the environment.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/slipway-ml/slipway"
)

// DefaultListen is where `platform up` listens unless told otherwise.
const DefaultListen = "127.0.0.1:8080"

// Config is what a server or a gateway is started with. Everything else is state.
type Config struct {
	Home    string // absolute
	Listen  string // host:port; port 0 picks a free one
	TLSCert string // PEM file; empty: no TLS
	TLSKey  string
	// PostgreSQL is the URL of a database, which may hold a password; empty: SQLite in Home.
	PostgreSQL string
	// PythonBase names the image that those of Python models build on; empty: they hold data.
	PythonBase string
	// AuditKey is the file of the key that signs the audit log; empty: one in Home.
	AuditKey string
	// AuditAnchors are the addresses of what keeps its checkpoints.
	AuditAnchors []string
}

// Resolve fills in what was not given: Home from $SLIPWAY_HOME, else the user's data
// directory. getenv is os.Getenv outside tests.
func Resolve(home string, getenv func(string) string) (string, error) {
	if home == "" {
		home = getenv("SLIPWAY_HOME")
	}
	if home == "" {
		data := getenv("XDG_DATA_HOME")
		if data == "" {
			if getenv("HOME") == "" {
				return "", slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "set SLIPWAY_HOME", "no home directory")
			}
			data = filepath.Join(getenv("HOME"), ".local", "share")
		}
		home = filepath.Join(data, "slipway")
	}
	return filepath.Abs(home)
}

// Check refuses to listen beyond loopback without TLS.
func (c Config) Check() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return slipway.Errorf(slipway.Invalid, slipway.CodeListen, "give --listen HOST:PORT, such as "+DefaultListen, "%.100q is no address", c.Listen)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return slipway.Errorf(slipway.Invalid, slipway.CodeNeedTLS, "give both --tls-cert and --tls-key", "half of a TLS key pair")
	}
	ip := net.ParseIP(host)
	loopback := host == "localhost" || ip != nil && ip.IsLoopback()
	if !loopback && c.TLSCert == "" {
		return slipway.Errorf(slipway.Invalid, slipway.CodeNeedTLS, "give --tls-cert and --tls-key, or listen on 127.0.0.1",
			"tokens would cross the network in the clear on %s", c.Listen)
	}
	return nil
}

// The files of a home directory.
func (c Config) path(parts ...string) string {
	return filepath.Join(append([]string{c.Home}, parts...)...)
}

// OwnerToken is the file with the owner's token, mode 0600.
func (c Config) OwnerToken() string { return c.path("owner.token") }

// Address is the file that says where the gateway listens.
func (c Config) Address() string { return c.path("address") }

// Lock is the file that a running server holds locked.
func (c Config) Lock() string { return c.path("server.lock") }

// Database is the SQLite file.
func (c Config) Database() string { return c.path("state.db") }

// Blobs is the content-addressed directory.
func (c Config) Blobs() string { return c.path("blobs") }

// Images is the OCI layout.
func (c Config) Images() string { return c.path("images") }

// Revisions is where images are unpacked.
func (c Config) Revisions() string { return c.path("revisions") }

// Gateway is the gateway's own directory: last table, journal, judges, replicas.
func (c Config) Gateway() string { return c.path("gateway") }

// Backups is where upgrades keep copies of the database and of the program before.
func (c Config) Backups() string { return c.path("backups") }

// Audit is the directory of the audit log.
func (c Config) Audit() string { return c.path("audit") }

// Logs is where every process logs.
func (c Config) Logs() string { return c.path("logs") }

// maxSocketDir leaves room for a socket's name in the 108 bytes of a Unix address.
const maxSocketDir = 60

// RunDir is the directory of Unix sockets, mode 0700: inside Home, or, where that path is
// too long for a socket address, one under the temporary directory that is named after
// Home. It is made if missing, and refused if somebody else owns it.
func (c Config) RunDir() (string, error) {
	dir := c.path("run")
	if len(dir) > maxSocketDir {
		sum := sha256.Sum256([]byte(c.Home))
		dir = filepath.Join(os.TempDir(), "slipway-"+hex.EncodeToString(sum[:6]))
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", fmt.Errorf("run directory: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return "", fmt.Errorf("run directory: %w", err)
	}
	return dir, checkPrivate(dir)
}
