package registry

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
)

// Service is the use cases of the registry.
type Service struct {
	Lists
	Finder
	Guard Guard // lets everything pass unless it is set
	store Store
	blobs Blobs
	now   func() time.Time
}

// New makes a Service.
func New(store Store, blobs Blobs, now func() time.Time) *Service {
	return &Service{Lists: store, Finder: store, Guard: open{}, store: store, blobs: blobs, now: now}
}

// Register makes a version of files whose bytes are uploaded. The same files of a model
// give the same version again, whoever registers them; added tells whether it is new. The
// first version makes the model the team's. It
// answers Invalid, with the field, for files that cannot be one directory or have another
// size, and CodeUploadMissing when bytes lack.
func (s *Service) Register(ctx context.Context, p slipway.Principal, model, team string, files []File, source string) (v Version, added bool, err error) {
	if v, err = s.Draft(ctx, model, files); err != nil {
		return Version{}, false, err
	}
	v.Source, v.Team = source, team
	return s.RegisterDraft(ctx, p, v)
}

// RegisterDraft is Register of a version that Draft gave, and that says its source, its team
// and perhaps what it was made by.
func (s *Service) RegisterDraft(ctx context.Context, p slipway.Principal, v Version) (out Version, added bool, err error) {
	now := s.now()
	v.Created, v.By, v.Updated, v.Stage = now, p.ID, now, StageNone
	detail := map[string]string{"digest": string(v.Digest), "source": v.Source}
	err = s.Guard.Add(ctx, p, v, func(ctx context.Context) (err error) {
		out, added, err = s.store.AddVersion(ctx, v, event(p, now, "version.registered", v.Model, detail))
		return err
	})
	return out, added, err
}

// Draft is the version that Register would make of the files, without its number. Nothing
// is kept.
func (s *Service) Draft(ctx context.Context, model string, files []File) (Version, error) {
	if _, err := slipway.ParseName(model); err != nil {
		return Version{}, err
	}
	sorted, err := normalize(files)
	if err != nil {
		return Version{}, err
	}
	if err := s.checkUploaded(ctx, files); err != nil {
		return Version{}, err
	}
	return Version{Model: model, Digest: DigestOf(sorted), Files: sorted}, nil
}

// checkUploaded compares the files with what has arrived.
func (s *Service) checkUploaded(ctx context.Context, files []File) error {
	digests := make([]slipway.Digest, len(files))
	for i, f := range files {
		digests[i] = f.Digest
	}
	sizes, err := s.blobs.Sizes(ctx, digests)
	if err != nil {
		return err
	}
	missing := 0
	var first slipway.Digest
	for i, f := range files {
		size, there := sizes[f.Digest]
		if !there {
			if missing++; missing == 1 {
				first = f.Digest
			}
			continue
		}
		if size != f.Size {
			return invalid(field(i, "size"), "send the size of the bytes that were uploaded", "is %d, but %d bytes were uploaded", f.Size, size)
		}
	}
	if missing > 0 {
		return slipway.Errorf(slipway.Conflict, slipway.CodeUploadMissing, "upload them, then register again",
			"%d of %d files were not uploaded, %s first", missing, len(files), first.Short())
	}
	return nil
}

// Version finds a version, with its files.
func (s *Service) Version(ctx context.Context, model string, ref Ref) (Version, error) {
	if err := CheckName("name", model); err != nil {
		return Version{}, err
	}
	if ref.Alias != "" {
		n, err := s.store.Alias(ctx, model, ref.Alias)
		if err != nil {
			return Version{}, err
		}
		ref.Number = n
	}
	return s.store.Version(ctx, model, ref.Number)
}

// Named finds the version that ref names, without its files and with all that is said of
// it.
func (s *Service) Named(ctx context.Context, model string, ref Ref) (Version, error) {
	if ref.Alias != "" {
		n, err := s.store.Alias(ctx, model, ref.Alias)
		if err != nil {
			return Version{}, err
		}
		ref.Number = n
	}
	return s.Detail(ctx, model, ref.Number)
}

// SetAlias points an alias at a version that exists. If it points there already nothing
// changes, so that a call may be repeated.
func (s *Service) SetAlias(ctx context.Context, p slipway.Principal, model, alias string, version int, reason string) error {
	if err := CheckName("name", model); err != nil {
		return err
	}
	if err := checkAlias(alias); err != nil {
		return err
	}
	if version < 1 {
		return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give the number of a version", "%d is no version", version)
	}
	if _, err := s.Detail(ctx, model, version); err != nil {
		return err
	}
	switch n, err := s.store.Alias(ctx, model, alias); {
	case err == nil && n == version:
		return nil
	case err != nil && !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}):
		return err
	}
	now := s.now()
	return s.Guard.Move(ctx, p, model, alias, version, func(ctx context.Context) error {
		return s.store.SetAlias(ctx, AliasChange{Model: model, Alias: alias, To: version, By: p.ID, Reason: reason, Time: now},
			event(p, now, "alias.moved", model+"@"+alias, map[string]string{"to": strconv.Itoa(version), "reason": reason}))
	})
}

// DeleteAlias removes an alias; one that is not there already is removed.
func (s *Service) DeleteAlias(ctx context.Context, p slipway.Principal, model, alias, reason string) error {
	if err := CheckName("name", model); err != nil {
		return err
	}
	if err := CheckAlias(alias); err != nil {
		return err
	}
	if _, err := s.Model(ctx, model); err != nil {
		return err
	}
	now := s.now()
	return s.Guard.Move(ctx, p, model, alias, 0, func(ctx context.Context) error {
		return s.store.SetAlias(ctx, AliasChange{Model: model, Alias: alias, By: p.ID, Reason: reason, Time: now},
			event(p, now, "alias.deleted", model+"@"+alias, map[string]string{"reason": reason}))
	})
}

func event(p slipway.Principal, now time.Time, action, subject string, detail map[string]string) slipway.Event {
	return slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: p.ID, Action: action, Subject: subject, Detail: detail}
}
