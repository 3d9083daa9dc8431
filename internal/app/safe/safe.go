// Package safe joins what encrypts: the key service that was chosen, the data keys in the
// database, the blobs and the secrets. In the background it encrypts what an older program
// has stored in clear, and does what rotations and shreddings have left to do.
package safe

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/blob"
	"github.com/slipway-ml/slipway/internal/bucket"
	"github.com/slipway-ml/slipway/internal/config"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/kms/aws"
	"github.com/slipway-ml/slipway/internal/kms/local"
	"github.com/slipway-ml/slipway/internal/kms/vault"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/rollout"
	"github.com/slipway-ml/slipway/internal/route"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	eventstore "github.com/slipway-ml/slipway/internal/sqlstore/event"
	keystore "github.com/slipway-ml/slipway/internal/sqlstore/keys"
)

// Access decides who may do what.
type Access interface {
	Allows(p slipway.Principal, a authz.Action, r authz.Resource) bool
	Check(ctx context.Context, p slipway.Principal, a authz.Action, r authz.Resource) error
}

// Records says to whom what is stored belongs.
type Records interface {
	Endpoints(ctx context.Context) ([]rollout.Endpoint, error)
	Deployments(ctx context.Context, endpoint string, before, limit int) ([]rollout.Deployment, error)
}

// Models lists what was registered.
type Models interface {
	Models(ctx context.Context, after string, limit int) ([]registry.Model, error)
	Versions(ctx context.Context, model string, before, limit int) ([]registry.Version, error)
	Version(ctx context.Context, model string, ref registry.Ref) (registry.Version, error)
}

// Artifacts says whose they are.
type Artifacts interface {
	// Teams gives whose artifacts, and parts of uploads, name digests.
	Teams(ctx context.Context, digests []slipway.Digest) (map[slipway.Digest][]string, error)
}

// Safe is what encrypts in one installation.
type Safe struct {
	Ring    *keys.Ring
	Blobs   *blob.Dir
	Access  Access
	Records Records
	Models  Models
	Files   Artifacts
	Gateway func(ctx context.Context) (route.Observation, error)
	Changed func() // is told when a secret was set

	// Backends are the places of secrets beside the database, by what their references begin
	// with.
	Backends map[string]Backend

	config  config.Config
	service keys.Service
	store   *keystore.Store
	events  *eventstore.Store
	db      *sqlstore.DB
	objects *keys.Objects
	log     *slog.Logger
	bucket  *bucket.Objects // nil: blobs are in the home
	wake    chan struct{}

	mu       sync.Mutex
	inClear  blob.Progress
	images   inImages
	progress []keys.Progress
	due      due
	problem  string
	shredder sync.Mutex // one rotation or shredding at a time
}

// Open opens the key service and joins the rest. The caller sets the exported fields before
// anything is asked.
func Open(ctx context.Context, c config.Config, db *sqlstore.DB, log *slog.Logger) (*Safe, error) {
	s := &Safe{config: c, store: keystore.New(db), events: eventstore.New(db), db: db, log: log, wake: make(chan struct{}, 1), due: due{true, true, true}}
	all, err := s.store.Keys(ctx, "")
	if err != nil {
		return nil, err
	}
	existing := false
	for _, k := range all {
		existing = existing || k.State != keys.Destroyed
	}
	if s.service, err = service(ctx, c, existing); err != nil {
		return nil, err
	}
	if s.Backends, err = backends(ctx, c); err != nil {
		return nil, err
	}
	s.Ring = keys.New(keys.Config{Store: s.store, Service: s.service, Now: time.Now, Log: log})
	s.objects = keys.NewObjects(s.Ring, s.store)
	keys.NewSecrets(s.Ring, s.store)
	if s.Blobs, err = blob.Open(c.Blobs(), s.objects); err == nil {
		err = s.elsewhere(ctx)
	}
	return s, err
}

// service opens the one that was chosen.
func service(ctx context.Context, c config.Config, existing bool) (keys.Service, error) {
	scheme, _, _ := strings.Cut(c.KeyService, "://")
	switch scheme {
	case "", config.LocalKeys:
		return local.Open(local.Options{Keyset: c.Keyset(), RootKey: c.RootKey(), Passphrase: c.Passphrase, Existing: existing})
	case "vault", "vault+http":
		v, err := vault.Dial(c.KeyService, c.VaultToken)
		return vault.Transit{Client: v}, err
	case "aws-kms":
		return aws.OpenKMS(ctx, c.KeyService)
	default:
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "write --kms local, vault://HOST/MOUNT or aws-kms://REGION", "%.100q is no key service", c.KeyService)
	}
}

// backends opens the places of secrets that were given.
func backends(ctx context.Context, c config.Config) (map[string]Backend, error) {
	out := map[string]Backend{}
	for _, address := range c.SecretsFrom {
		scheme, _, _ := strings.Cut(address, "://")
		switch scheme {
		case "vault", "vault+http":
			v, err := vault.Dial(address, c.VaultToken)
			if err != nil {
				return nil, err
			}
			out["vault"] = vault.Values{Client: v}
		case "aws-sm":
			v, err := aws.OpenValues(ctx, address)
			if err != nil {
				return nil, err
			}
			out["aws-sm"] = v
		default:
			return nil, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "write --secrets-from vault://HOST/MOUNT or aws-sm://REGION", "%.100q is no place for secrets", address)
		}
	}
	return out, nil
}

// Pace of the background.
const (
	pace  = 5 * time.Second  // while something is left to do
	still = 10 * time.Minute // else, unless woken
)

// Run works in the background until ctx ends.
func (s *Safe) Run(ctx context.Context) {
	for {
		err := s.work(ctx)
		if err != nil && ctx.Err() == nil {
			e := slipway.AsError(err)
			s.log.Warn("encryption in the background does not go on", "error", e.Error(), "cause", e.Cause)
		}
		s.mu.Lock()
		s.problem = ""
		if err != nil {
			s.problem = slipway.AsError(err).Message
		}
		wait := still
		if err != nil || len(s.progress) > 0 || s.due != (due{}) {
			wait = pace
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-time.After(wait):
		}
	}
}

// due is what may be left to do beside keys: all of it after a start.
type due struct {
	encrypt bool // blobs and images of an older program lie in clear
	assign  bool // uploads wait for the team that registered them
	copies  bool // what was shredded has copies in clear
}

// work does all that is left, or what of it can be done now.
func (s *Safe) work(ctx context.Context) error {
	s.mu.Lock()
	todo := s.due
	s.due = due{}
	s.mu.Unlock()
	var errs []error
	do := func(wanted *bool, work func(context.Context) error) {
		if *wanted {
			err := work(ctx)
			*wanted = err != nil
			errs = append(errs, err)
		}
	}
	do(&todo.encrypt, s.encrypt)
	do(&todo.assign, s.assign)
	errs = append(errs, s.advance(ctx))
	do(&todo.copies, func(ctx context.Context) error {
		waits, err := s.removeCopies(ctx)
		if err == nil && waits {
			s.want(due{copies: true})
		}
		return err
	})
	s.want(todo)
	return errors.Join(errs...)
}

// want adds to what is left to do.
func (s *Safe) want(d due) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.due = due{s.due.encrypt || d.encrypt, s.due.assign || d.assign, s.due.copies || d.copies}
}

func (s *Safe) encrypt(ctx context.Context) error {
	err := s.Blobs.Encrypt(ctx, func(p blob.Progress) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.inClear = p
	})
	return errors.Join(err, s.thinImages(ctx))
}

// advance does what rotations and shreddings have left.
func (s *Safe) advance(ctx context.Context) (err error) {
	s.shredder.Lock()
	defer s.shredder.Unlock()
	for ctx.Err() == nil {
		var now []keys.Progress
		now, err = s.Ring.Advance(ctx)
		s.mu.Lock()
		s.progress = now
		s.mu.Unlock()
		if err != nil || left(now) == 0 {
			break
		}
	}
	return errors.Join(err, s.dropShredded(ctx))
}

func left(all []keys.Progress) (n int) {
	for _, p := range all {
		n += p.Left
	}
	return n
}

// Poke wakes the background.
func (s *Safe) Poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Adopt gives what was uploaded to a team, before the team relies on it. When the key service
// is down it stays with the uploads, whose keys are as good, until the background gets to it.
func (s *Safe) Adopt(ctx context.Context, team string, digests ...slipway.Digest) {
	if err := s.adopt(ctx, team, digests); err != nil {
		s.log.WarnContext(ctx, "uploads wait to be given to their team", "team", team, "error", err.Error())
		s.want(due{assign: true})
		s.Poke()
	}
}

func (s *Safe) adopt(ctx context.Context, team string, digests []slipway.Digest) error {
	space := keys.Platform
	if team != "" {
		space = keys.Team(team)
	}
	objects := make([]string, len(digests))
	for i, d := range digests {
		objects[i] = string(d)
	}
	return s.objects.Adopt(ctx, space, objects...)
}

// page is how many records are read at once.
const page = 200

// assign gives what is with the uploads to the teams that have registered it.
func (s *Safe) assign(ctx context.Context) error {
	const every = 1 << 31
	_, waiting, err := s.store.SpaceObjectKeys(ctx, keys.Uploads, every, 1)
	if err != nil || waiting == 0 {
		return err
	}
	for after, more := "", true; more; {
		models, err := s.Models.Models(ctx, after, page)
		if err != nil {
			return err
		}
		for _, m := range models {
			if err := s.assignVersions(ctx, m); err != nil {
				return err
			}
			after = m.Name
		}
		more = len(models) == page
	}
	endpoints, err := s.Records.Endpoints(ctx)
	if err != nil {
		return err
	}
	for i := range endpoints {
		if err := s.assignFiles(ctx, &endpoints[i]); err != nil {
			return err
		}
	}
	return s.assignArtifacts(ctx)
}

// assignArtifacts gives teams their artifacts.
func (s *Safe) assignArtifacts(ctx context.Context) error {
	const every = 1 << 31
	waiting, _, err := s.store.SpaceObjectKeys(ctx, keys.Uploads, every, every)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(waiting, page) {
		digests := make([]slipway.Digest, len(chunk))
		for i, k := range chunk {
			digests[i] = slipway.Digest(k.Object)
		}
		teams, err := s.Files.Teams(ctx, digests)
		if err != nil {
			return err
		}
		for d, all := range teams {
			for _, team := range all {
				if err := s.adopt(ctx, team, []slipway.Digest{d}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *Safe) assignVersions(ctx context.Context, m registry.Model) error {
	for before, more := 0, true; more; {
		versions, err := s.Models.Versions(ctx, m.Name, before, page)
		if err != nil {
			return err
		}
		for _, v := range versions {
			before = v.Number
			v, err = s.Models.Version(ctx, m.Name, registry.Ref{Number: v.Number})
			if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
				continue // it was deleted meanwhile
			}
			if err != nil {
				return err
			}
			if err := s.adopt(ctx, m.Team, Files(v.Files)); err != nil {
				return err
			}
		}
		more = len(versions) == page
	}
	return nil
}

// assignFiles gives a team the files that its deployments were validated with.
func (s *Safe) assignFiles(ctx context.Context, e *rollout.Endpoint) error {
	for before, more := 0, true; more; {
		all, err := s.Records.Deployments(ctx, e.Key, before, page)
		if err != nil {
			return err
		}
		for _, d := range all {
			var digests []slipway.Digest
			for _, digest := range d.Files {
				digests = append(digests, digest)
			}
			if err := s.adopt(ctx, e.Owner, digests); err != nil {
				return err
			}
			before = d.Number
		}
		more = len(all) == page
	}
	return nil
}

// Files are the digests of a version's files.
func Files(files []registry.File) []slipway.Digest {
	out := make([]slipway.Digest, len(files))
	for i, f := range files {
		out[i] = f.Digest
	}
	return out
}

// Findings are what the doctor says of the keys and of what lies in clear.
func (s *Safe) Findings(ctx context.Context) []api.Finding {
	out := []api.Finding{{Check: "keys", Verdict: "pass", Message: s.name() + " answers"}}
	if err := s.service.Check(ctx); err != nil {
		e := slipway.AsError(err)
		out[0] = api.Finding{Check: "keys", Verdict: "fail", Message: s.name() + ": " + e.Message, Next: e.Next}
	}
	s.mu.Lock()
	waits, images, problem := s.inClear, s.images, s.problem
	s.mu.Unlock()
	f := api.Finding{Check: "encryption", Verdict: "pass", Message: "every blob is encrypted, and no image holds a model"}
	switch {
	case problem != "":
		f = api.Finding{Check: "encryption", Verdict: "warn", Message: "it does not go on: " + problem, Next: "platform keys list"}
	case waits.Rotten > 0:
		f = api.Finding{Check: "encryption", Verdict: "warn", Message: plural(waits.Rotten, "blob") + " of an older version cannot be encrypted: the bytes are not those of the name", Next: "bring them back from a backup, or remove them"}
	case images.kept > 0:
		f = api.Finding{Check: "encryption", Verdict: "warn", Message: plural(int64(images.kept), "image") + " of an older version hold models in clear: their files are not there to make them again", Next: "platform doctor --fix"}
	case images.images > 0:
		f = api.Finding{Check: "encryption", Verdict: "warn", Message: plural(int64(images.images), "image") + " of an older version hold models in clear still", Next: "platform doctor, in a minute"}
	case waits.Blobs > 0:
		f = api.Finding{Check: "encryption", Verdict: "warn", Message: plural(waits.Blobs, "blob") + " of an older version lie in clear still, " + mib(waits.Bytes), Next: "platform doctor, in a minute"}
	}
	return append(append(out, f), s.bucketFinding(ctx)...)
}

func (s *Safe) name() string {
	if s.config.KeyService == "" {
		return config.LocalKeys
	}
	return s.config.KeyService
}
