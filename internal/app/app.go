// Package app is the composition root: it makes the parts of each process, joins them and
// gives them their lifetimes. Nothing imports it but the command.
package app

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/access"
	"github.com/slipway-ml/slipway/internal/app/artifacts"
	"github.com/slipway-ml/slipway/internal/app/audit"
	"github.com/slipway-ml/slipway/internal/app/backup"
	"github.com/slipway-ml/slipway/internal/app/doctor"
	"github.com/slipway-ml/slipway/internal/app/governance"
	"github.com/slipway-ml/slipway/internal/app/models"
	"github.com/slipway-ml/slipway/internal/app/safe"
	apptracking "github.com/slipway-ml/slipway/internal/app/tracking"
	"github.com/slipway-ml/slipway/internal/app/webhooks"
	"github.com/slipway-ml/slipway/internal/blob"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/disk"
	"github.com/slipway-ml/slipway/internal/gateway"
	"github.com/slipway-ml/slipway/internal/httpapi"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	artifactstore "github.com/slipway-ml/slipway/internal/sqlstore/artifact"
	eventstore "github.com/slipway-ml/slipway/internal/sqlstore/event"
	registrystore "github.com/slipway-ml/slipway/internal/sqlstore/registry"
	rolloutstore "github.com/slipway-ml/slipway/internal/sqlstore/rollout"
	"github.com/slipway-ml/slipway/internal/tlsfile"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// Options are what a server is started with.
type Options struct {
	Config  config.Config
	Version string
	Exe     string // the platform's own executable, which is the gateway and the runtimes too
	Log     *slog.Logger
	Standby func(who string) // is told who leads, each time that this server begins to wait
}

// App is the control plane of one installation.
type App struct {
	o       Options
	started time.Time
	lock    *os.File
	runDir  string

	db          *sqlstore.DB
	safe        *safe.Safe
	blobs       *blob.Dir
	models      *registry.Service
	registered  *models.Service
	artifacts   *artifacts.Service
	tracking    *tracking.Service
	experiments *apptracking.Service
	governance  *governance.Service
	access      *access.Control
	policies    *access.Policies
	reviews     *access.Reviews
	events      *eventstore.Store
	audit       *audit.Service
	rollouts    *rolloutstore.Store
	admin       *gateway.AdminClient
	link        *safe.Link
	keeper      *keeper
	controller  *rollout.Controller
	runner      *runner
	backups     *backup.Service
	webhooks    *webhooks.Service
	api         *http.Server
	lost        chan struct{} // closed when another server has taken over
	ending      <-chan struct{}

	stop context.CancelFunc
	wg   sync.WaitGroup
}

// New opens the state of an installation and takes its lock: one server at a time. It
// answers CodeHomeLocked if another server has it; with PostgreSQL it waits for the lease
// instead, and ends with ctx.
func New(ctx context.Context, o Options) (*App, error) {
	if err := o.Config.Check(); err != nil {
		return nil, err
	}
	if err := backup.Refuse(o.Config); err != nil {
		return nil, err
	}
	if err := renew(o.Config); err != nil {
		return nil, err
	}
	if c := o.Config; c.TLSCert != "" { // before a gateway fails on it
		if _, err := tlsfile.Load(c.TLSCert, c.TLSKey); err != nil {
			return nil, err
		}
	}
	a := &App{o: o, started: time.Now(), lost: make(chan struct{})}
	for _, dir := range []string{o.Config.Home, o.Config.Logs(), o.Config.Gateway(), o.Config.Images(), o.Config.Revisions()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, homeError(err)
		}
	}
	var err error
	if a.runDir, err = o.Config.RunDir(); err != nil {
		return nil, homeError(err)
	}
	if err = a.lead(ctx); err == nil {
		err = a.open(ctx)
	}
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// open opens the stores and joins the parts.
func (a *App) open(ctx context.Context) (err error) {
	c := a.o.Config
	if a.db == nil {
		if a.db, err = sqlstore.Open(ctx, sqlstore.Options{Path: c.Database(), Now: time.Now, Log: a.o.Log}); err != nil {
			return err
		}
	}
	if a.safe, err = safe.Open(ctx, c, a.db, a.o.Log); err != nil {
		return err
	}
	a.blobs = a.safe.Blobs
	a.models = registry.New(registrystore.New(a.db), a.blobs, time.Now)
	a.events, a.rollouts = eventstore.New(a.db), rolloutstore.New(a.db)
	if err := a.newAccess(ctx); err != nil {
		return err
	}
	a.newTracking()
	a.newArtifacts()
	a.safe.Access, a.safe.Records, a.safe.Models = a.access, a.rollouts, a.models
	a.registered = models.New(models.Config{Registry: a.models, Access: a.access, Fleet: a.rollouts, Sources: sources{a, new(sync.Mutex)}, Adopt: a.safe.Adopt, Now: time.Now, Log: a.o.Log})
	a.admin = gateway.NewAdminClient(socketPath(a.runDir, adminSocket))
	a.link = safe.NewLink(a.admin, a.safe)
	a.safe.Gateway, a.safe.Changed = a.admin.Observe, a.link.Refresh
	a.controller = rollout.New(rollout.Config{Store: a.rollouts, Ledger: a.rollouts, Gateway: a.link, Grants: a.access.Grants,
		Check: a.checkLive, Now: time.Now, Log: a.o.Log})
	if err := a.newAudit(); err != nil {
		return err
	}
	if err := a.newWebhooks(); err != nil {
		return err
	}
	if err := a.newGovernance(ctx); err != nil {
		return err
	}
	a.keeper = &keeper{o: a.o, runDir: a.runDir, admin: a.admin, spawned: a.link.Refresh}
	a.runner, err = newRunner(a)
	return err
}

// Start makes the installation serve: the gateway is found or started, the API listens,
// and deployments that were under way go on. It returns when requests can be answered.
func (a *App) Start(ctx context.Context) (Ready, error) {
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stop, a.ending = stop, run.Done()
	if err := a.revive(run); err != nil {
		return Ready{}, err
	}
	if err := a.keeper.ensure(ctx); err != nil {
		return Ready{}, err
	}
	ln, err := listenPrivate(socketPath(a.runDir, ServerSocket))
	if err != nil {
		return Ready{}, homeError(err)
	}
	a.backups = a.newBackups(run)
	a.api = &http.Server{Handler: a.withSigned(a.withMLflow(a.withPages(httpapi.New(a.front())))), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(a.o.Log.Handler(), slog.LevelWarn)}
	a.wg.Go(func() {
		if err := a.api.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			a.o.Log.Error("the API cannot be served", "error", err)
		}
	})
	if a.o.Config.PostgreSQL != "" {
		a.wg.Go(func() { a.keepLease(run) })
	}
	a.wg.Go(func() { a.keeper.watch(run) })
	a.wg.Go(func() { a.controller.Run(run) })
	a.wg.Go(func() { a.runner.run(run) })
	a.wg.Go(func() { a.flushUses(run) })
	refused := access.Refusals{Name: gatewayName, Gateway: a.admin, Record: a.events, Log: a.o.Log}
	a.wg.Go(func() { refused.Run(run) })
	a.wg.Go(func() { a.reviews.Run(run, a.o.Log) })
	a.wg.Go(func() { a.safe.Run(run) })
	a.wg.Go(func() { a.link.Run(run) })
	a.wg.Go(func() { a.sweepArtifacts(run) })
	if a.o.Config.TLSOwn {
		a.wg.Go(func() { a.keepRenewed(run) })
	}
	a.wg.Go(func() { a.backups.Run(run); a.backups.Wait() })
	a.wg.Go(func() { a.audit.Run(run) })
	a.wg.Go(func() { a.webhooks.Run(run) })
	url := a.keeper.url()
	if err := a.announce(ctx); err != nil {
		return Ready{}, err
	}
	if err := disk.Replace(a.o.Config.Address(), []byte(url+"\n"), true); err != nil {
		return Ready{}, homeError(err)
	}
	r := Ready{URL: url, Home: a.o.Config.Home, TokenFile: a.o.Config.OwnerToken(), Adopted: a.keeper.adopted, Took: time.Since(a.started)}
	r.CA, err = announce(a.o.Config)
	return r, err
}

// front is what the API's front door is made of.
func (a *App) front() httpapi.Config {
	return httpapi.Config{Version: a.o.Version, Auth: a.access, Sessions: a.access, Access: a.access, Accounts: a.access, People: a.access, Policies: a.policies, Reviews: a.reviews, Models: a.registered, Layers: layersAPI{a}, Imports: a.imports(),
		Blobs: blobsAPI{a.blobs, a.access}, Deployments: deploymentsAPI{a}, Plans: deploymentsAPI{a}, Fleet: fleetAPI{a}, Doctor: doctorAPI{a},
		Keys: a.safe, Secrets: a.safe, Backups: a.backups, Webhooks: webhooks.V1{Service: a.webhooks}, Audit: auditAPI{a.audit, a.access}, Refused: a.access.Refused, Log: a.o.Log,
		Governance: a.governed()}
}

// doctor knows the parts of this installation.
func (a *App) doctor() doctor.Installation {
	return doctor.Installation{Config: a.o.Config, Store: a.rollouts, Environments: a.runner.envs, Blobs: a.blobs, Registry: a.models, Artifacts: artifactstore.New(a.db).Named,
		Program: a.runner.part, Alone: a.alone, Backup: a.backups.Finding, Database: a.db.Check, Keys: a.safe.Findings, Gateway: a.admin.Observe, Audit: a.audit.Findings, Webhooks: a.webhooks.Findings}
}

// Ready says where a started server is found.
type Ready struct {
	URL       string
	Home      string
	TokenFile string
	CA        string // the file that clients need of an authority of its own
	Adopted   bool   // a gateway was serving already
	Took      time.Duration
}

// Stop ends the control plane. With everything the gateway and its replicas end too;
// without, they go on serving, and the next server finds them.
func (a *App) Stop(ctx context.Context, everything bool) error {
	if a.stop != nil {
		a.stop()
	}
	a.runner.close()
	if a.api != nil {
		end, cancel := context.WithTimeout(ctx, 3*time.Second)
		if err := a.api.Shutdown(end); err != nil {
			a.api.Close() // watchers do not end by themselves
		}
		cancel()
	}
	var err error
	if everything {
		if err = a.keeper.stop(ctx); err == nil {
			err = os.Remove(a.o.Config.Address())
		}
	}
	a.wg.Wait()
	return errors.Join(err, a.close())
}

func (a *App) close() error {
	var errs []error
	if a.runner != nil {
		a.runner.close()
	}
	if a.db != nil {
		errs = append(errs, a.release(), a.db.Close())
	}
	if a.lock != nil {
		errs = append(errs, a.lock.Close())
	}
	return errors.Join(errs...)
}

// lockHome holds the home for this process; the kernel lets it go when the process ends.
func lockHome(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, homeError(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		pid, _ := os.ReadFile(path)
		f.Close()
		return nil, slipway.Errorf(slipway.Conflict, slipway.CodeHomeLocked, "use it, or stop it with: platform down",
			"a server runs on %s already (process %s)", filepath.Dir(path), cmp.Or(string(pid), "unknown"))
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	}
	if err != nil {
		f.Close()
		return nil, homeError(err)
	}
	return f, nil
}

func homeError(err error) error {
	e := &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Internal, Message: "the home directory cannot be used",
		Next: "check its permissions, or choose another with --home", Cause: err}
	if disk.Full(err) {
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeDiskFull, slipway.Exhausted, "the disk is full", "free space on the disk of the home directory"
	}
	return e
}

// Names of the sockets in the run directory.
const (
	adminSocket    = "gateway.sock"
	handoverSocket = "handover.sock"
	ServerSocket   = config.ServerSocket
)

func socketPath(runDir, name string) string { return filepath.Join(runDir, name) }

// listenPrivate makes a Unix socket for this user alone, in place of an old server's.
func listenPrivate(path string) (net.Listener, error) {
	draft := path + ".new"
	if err := os.Remove(draft); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: draft, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(draft, 0o600), os.Rename(draft, path)); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// random is uniform in [0, 1) and safe for concurrent use.
func random() float64 { return rand.Float64() }
