package storetest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/slipway-ml/slipway/internal/sqlstore"
)

// Cluster is a PostgreSQL server that listens on a Unix socket only.
type Cluster struct {
	t         *testing.T
	program   string
	socketDir string
	user      string
	attr      *syscall.SysProcAttr
	running   *exec.Cmd
	databases atomic.Int64
}

// StartPostgres makes a cluster in a temporary directory and runs it until the test ends.
// It skips the test when PostgreSQL is not installed.
func StartPostgres(t *testing.T) *Cluster {
	t.Helper()
	initdb, server := find("initdb"), find("postgres")
	if initdb == "" || server == "" {
		t.Skip("PostgreSQL is not installed: neither on the PATH nor in /usr/lib/postgresql are initdb and postgres; this backend is not tested")
	}
	dir, err := os.MkdirTemp("", "slippg") // short: the path of a socket has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	attr := identity(t, dir)
	data := filepath.Join(dir, "data")
	prepare := exec.Command(initdb, "-D", data, "-A", "trust", "-U", superuser, "-E", "UTF8", "--locale=C", "--no-sync")
	prepare.Dir, prepare.SysProcAttr = dir, attr
	if out, err := prepare.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	c := &Cluster{t: t, program: server, socketDir: dir, user: superuser, attr: attr}
	c.Start()
	t.Cleanup(c.Stop)
	return c
}

// Start starts the server after Stop, and waits until it answers.
func (c *Cluster) Start() {
	c.t.Helper()
	c.running = exec.Command(c.program, "-D", filepath.Join(c.socketDir, "data"), "-k", c.socketDir, "-c", "listen_addresses=", "-c", "log_min_messages=panic",
		"-F") // tests survive no power cut
	c.running.Dir, c.running.SysProcAttr, c.running.Stdout, c.running.Stderr = c.socketDir, c.attr, c.t.Output(), c.t.Output()
	if err := c.running.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.await()
}

// Stop ends the server at once, without a word to its clients.
func (c *Cluster) Stop() {
	_ = c.running.Process.Signal(syscall.SIGQUIT)
	_ = c.running.Wait()
}

// Pause stops all processes of the server where they are, until Resume.
func (c *Cluster) Pause() { c.signal(syscall.SIGSTOP) }

// Resume lets them go on.
func (c *Cluster) Resume() { c.signal(syscall.SIGCONT) }

func (c *Cluster) signal(sig syscall.Signal) {
	c.t.Helper()
	pid := c.running.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, word := range append([]string{strconv.Itoa(pid)}, strings.Fields(string(children))...) { // each is the leader of its own group
		if n, err := strconv.Atoi(word); err == nil {
			_ = syscall.Kill(n, sig) // one may just have ended
		}
	}
}

// Database is an empty database of the server.
func (c *Cluster) Database() sqlstore.Options {
	c.t.Helper()
	return c.create(c.t)
}

// find looks for a program of PostgreSQL, the newest first.
func find(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	paths, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	slices.Sort(paths)
	if len(paths) == 0 {
		return ""
	}
	return paths[len(paths)-1]
}

const superuser = "slipway"

// identity is the user that the server runs as, who gets the directory: PostgreSQL refuses
// to run as root. The server ends with the test, however that ends.
func identity(t *testing.T, dir string) (attr *syscall.SysProcAttr) {
	t.Helper()
	attr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Geteuid() != 0 {
		return attr
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Skipf("PostgreSQL does not run as root, and there is no other user to run it as: %v", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr
}

// url is the address of a database of the cluster.
func (c *Cluster) url(database string) string {
	q := url.Values{"host": {c.socketDir}, "user": {c.user}}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: q.Encode()}).String()
}

// do runs a statement on the cluster.
func (c *Cluster) do(ctx context.Context, statement string) error {
	db, err := sql.Open("pgx", c.url("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statement)
	return err
}

// await waits until the server answers.
func (c *Cluster) await() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	for {
		err := c.do(ctx, "SELECT 1")
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			c.t.Fatalf("PostgreSQL does not answer: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// create makes an empty database and tells where it is.
func (c *Cluster) create(t *testing.T) sqlstore.Options {
	t.Helper()
	name := fmt.Sprintf("test%d", c.databases.Add(1))
	if err := c.do(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return sqlstore.Options{URL: c.url(name)}
}
