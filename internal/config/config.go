// Package config holds the server's settings and the places of its files. It is resolved
// once, at the edge; nothing else reads the environment.
package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

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
	TLSOwn  bool // both are made, by an authority of its own
	// PostgreSQL is the URL of a database, which may hold a password; empty: SQLite in Home.
	PostgreSQL string
	// PostgreSQLUnverified allows one beyond this machine whose certificate is not checked.
	PostgreSQLUnverified bool
	// PythonBase names the image that those of Python models build on; empty: they hold data.
	PythonBase string
	// AuditKey is the file of the key that signs the audit log; empty: one in Home.
	AuditKey string
	// AuditAnchors are the addresses of what keeps its checkpoints.
	AuditAnchors []string
	// AllowExternal are addresses and networks, separated by commas, that models may be asked
	// at although they are closed otherwise; see Reach.
	AllowExternal string
	// WebhookNetworks are addresses and networks, separated by commas, where receivers of
	// webhooks may be although they are private; see Public.
	WebhookNetworks string
	// Production refuses what is for development alone, also on the loopback: behind a proxy
	// that ends TLS.
	Production bool
	// Public is the address by which people know the platform, scheme://host:port; empty: the
	// one that it listens on.
	Public string
	OIDC   OIDC

	// KeyService is LocalKeys, vault://HOST/MOUNT or aws-kms://REGION; empty: LocalKeys.
	KeyService string
	// KeyFile is the root key of the local keyset; empty: the one in Home.
	KeyFile string
	// Passphrase seals that file; nil: it is not sealed.
	Passphrase []byte
	// VaultToken is the file with the token for Vault.
	VaultToken string
	// SecretsFrom are places of secrets beside the database: vault://HOST/MOUNT, aws-sm://REGION.
	SecretsFrom []string

	Backup Backup
	// Artifacts is a bucket in which blobs are kept, s3://BUCKET/PREFIX; empty: in Home.
	Artifacts string
}

// Backup says where backups go. Without a place none is made unless somebody asks for it.
type Backup struct {
	To    string        // a directory, or s3://BUCKET/PREFIX
	Every time.Duration // 0: only when somebody asks
	Keep  int           // the newest; 0: all
}

// OIDC is the identity provider at which people sign in; without an issuer there is none.
type OIDC struct {
	Issuer     string
	ClientID   string
	SecretFile string
	Groups     string   // the claim with the groups
	MFA        []string // values of amr or acr that say that a second factor was shown
}

// Development says whether this is an installation of one machine and its owner alone.
func (c Config) Development() bool { return !c.Production && c.loopback() }

func (c Config) loopback() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// LocalKeys is the key service of this machine: a keyset in the home, sealed with a root key.
const LocalKeys = "local"

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
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return slipway.Errorf(slipway.Invalid, slipway.CodeListen, "give --listen HOST:PORT, such as "+DefaultListen, "%.100q is no address", c.Listen)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return slipway.Errorf(slipway.Invalid, slipway.CodeNeedTLS, "give both --tls-cert and --tls-key", "half of a TLS key pair")
	}
	if err := c.Backup.check(); err != nil {
		return err
	}
	if _, err := c.Reach(); err != nil {
		return err
	}
	if _, err := c.Receivers(); err != nil {
		return err
	}
	if !c.loopback() && c.TLSCert == "" {
		return slipway.Errorf(slipway.Invalid, slipway.CodeNeedTLS, "give --tls-cert and --tls-key, or listen on 127.0.0.1",
			"tokens would cross the network in the clear on %s", c.Listen)
	}
	return c.checkSignIn()
}

// checkSignIn refuses addresses at which nobody could sign in.
func (c Config) checkSignIn() error {
	invalid := func(flag, next, message string) error {
		return &slipway.Error{Code: slipway.CodeInvalid, Kind: slipway.Invalid, Field: flag, Message: message, Next: next}
	}
	if c.Public != "" {
		u, err := url.Parse(c.Public)
		if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
			return invalid("--public-url", "give https://HOST", "is no address of a host")
		}
		if u.Scheme == "http" && !c.Development() {
			return invalid("--public-url", "give https://"+u.Host, "would send passwords in the clear")
		}
	}
	if c.Production && c.loopback() && c.Public == "" {
		return invalid("--public-url", "give the address of the proxy before it, https://HOST", "is missing: a production platform on the loopback is not where people go")
	}
	if c.OIDC.Issuer == "" {
		return nil
	}
	u, err := url.Parse(c.OIDC.Issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && c.Development()):
		return invalid("--oidc-issuer", "give the https address of the identity provider", "is no address that can be trusted")
	case c.OIDC.ClientID == "" || c.OIDC.SecretFile == "":
		return invalid("--oidc-client-id", "give --oidc-client-id and --oidc-client-secret-file", "is missing, or its secret")
	case c.Public == "" && !c.Development():
		return invalid("--public-url", "give the address that is registered at the identity provider, without /sso/callback", "is missing: the identity provider must know where to send people back")
	}
	return nil
}

// minBackup is the shortest time between two backups.
const minBackup = time.Minute

func (b Backup) check() error {
	switch {
	case b.To == "" && (b.Every != 0 || b.Keep != 0):
		return slipway.Errorf(slipway.Invalid, slipway.CodeBackupTarget, "give --backup-to, too", "it is not said where backups go")
	case b.Every < 0 || b.Every > 0 && b.Every < minBackup:
		return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give --backup-every 24h", "backups are made every %v at most", minBackup)
	case b.Keep < 0:
		return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give --backup-keep 14", "a number of backups is not negative")
	}
	return nil
}

// The files of a home directory.
func (c Config) path(parts ...string) string {
	return filepath.Join(append([]string{c.Home}, parts...)...)
}

// OwnerToken is the file with the owner's token, mode 0600.
func (c Config) OwnerToken() string { return c.path("owner.token") }

// SocketOnly is a file that is there when the owner's token is good at the server's own
// socket alone.
func (c Config) SocketOnly() string { return c.path("production") }

// ServerSocket is the name of the socket of the API in RunDir.
const ServerSocket = "server.sock"

// Address is the file that says where the gateway listens.
func (c Config) Address() string { return c.path("address") }

// AddressCA is the file with who has signed its certificate; there is none unless that is an
// authority of the installation's own.
func (c Config) AddressCA() string { return c.path("address.ca") }

// Lock is the file that a running server holds locked.
func (c Config) Lock() string { return c.path("server.lock") }

// Database is the SQLite file.
func (c Config) Database() string { return c.path("state.db") }

// Blobs is the content-addressed directory.
func (c Config) Blobs() string { return c.path("blobs") }

// Keyset is the local keyset, sealed with the root key. Backups may hold it.
func (c Config) Keyset() string { return c.path("keys", "keyset.sealed") }

// RootKey is the file with the root key of the local keyset, which no backup holds.
func (c Config) RootKey() string { return cmp.Or(c.KeyFile, c.path("root.key")) }

// BlobsElsewhere is the file that says in which bucket the blobs of this home are.
func (c Config) BlobsElsewhere() string { return c.path("blobs", "elsewhere") }

// Images is the OCI layout.
func (c Config) Images() string { return c.path("images") }

// Revisions is where images are unpacked.
func (c Config) Revisions() string { return c.path("revisions") }

// Gateway is the gateway's own directory: last table, journal, judges, replicas.
func (c Config) Gateway() string { return c.path("gateway") }

// TLS is where an authority of its own keeps its files.
func (c Config) TLS() string { return c.path("tls") }

// Hosts are the names under which clients on this machine, and those that know its name,
// come to the address.
func (c Config) Hosts(machine string) []string {
	out := []string{"localhost", "127.0.0.1", "::1"}
	host, _, _ := net.SplitHostPort(c.Listen)
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = ""
	}
	for _, name := range []string{machine, host} {
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

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
