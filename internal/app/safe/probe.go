package safe

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/blob"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/oci"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/sqlstore"
	keystore "github.com/slipway-ml/slipway/internal/sqlstore/keys"
)

// backup is what a backup that was made before would hold of a space.
type backup struct {
	dir    string
	file   sqlstore.Options
	sample keys.ObjectKey // the first file of the space; none if its digest is empty
	image  slipway.Digest // one that was built of files of the space alone; empty if there is none
	made   registry.Version
	values int
}

func (b *backup) blobs() string { return filepath.Join(b.dir, "blobs") }

// ofImage is where the files of the image are.
func (b *backup) ofImage() string { return filepath.Join(b.dir, "image") }

func (b *backup) remove() { _ = os.RemoveAll(b.dir) }

// copy makes a backup of the database, and of a file of the space, as anybody may have one.
func (s *Safe) copy(ctx context.Context, space keys.Space) (_ *backup, err error) {
	b := &backup{}
	if b.dir, err = os.MkdirTemp(s.config.Home, "probe-*"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.remove()
		}
	}()
	b.file = sqlstore.Options{Path: filepath.Join(b.dir, "state.db"), Now: time.Now, Log: s.log}
	const every = 1 << 31
	some, all, err := s.store.SpaceObjectKeys(ctx, space, every, every)
	b.values = all
	if err == nil {
		var secrets []keys.Secret
		secrets, err = s.sealed(ctx, space, every)
		b.values += len(secrets)
	}
	if err == nil && s.config.PostgreSQL == "" {
		err = sqlstore.Backup(ctx, s.config.Database(), b.file.Path)
	} else if err == nil {
		err = s.copyRows(ctx, b, space, some)
	}
	for i := 0; err == nil && i < len(some) && b.sample.Object == ""; i++ {
		d := slipway.Digest(some[i].Object)
		others, e := s.store.ObjectKeys(ctx, some[i].Object)
		if e == nil && len(others) == 1 && s.Blobs.Copy(ctx, d, b.blobs()) == nil {
			b.sample = some[i]
		}
		err = e
	}
	if err == nil && b.sample.Object != "" {
		err = s.copyImage(ctx, space, b)
	}
	return b, err
}

// maxProbe bounds the bytes of the image with which a shredding is proved.
const maxProbe = 256 << 20

// copyImage adds to a copy the files of an image that was built of the space, if there is one.
func (s *Safe) copyImage(ctx context.Context, space keys.Space, b *backup) error {
	endpoints, err := s.Records.Endpoints(ctx)
	if err != nil {
		return err
	}
	for i := range endpoints {
		if endpoints[i].Owner != space.Owner() {
			continue
		}
		latest, err := s.Records.Deployments(ctx, endpoints[i].Key, 0, page)
		if err != nil {
			return err
		}
		for _, d := range latest {
			if d.Revision == nil {
				continue
			}
			v, err := s.Models.Version(ctx, d.Revision.Model, registry.Ref{Number: d.Revision.Version})
			if err != nil {
				return err
			}
			alone, err := s.alone(ctx, space, v)
			if err != nil {
				return err
			}
			if alone && s.copyFiles(ctx, v, b.ofImage()) == nil {
				b.image, b.made = d.Revision.ImageDigest, v
				return nil
			}
		}
	}
	return nil
}

func (s *Safe) copyFiles(ctx context.Context, v registry.Version, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	copied := map[slipway.Digest]bool{}
	for _, f := range v.Files {
		if !copied[f.Digest] {
			if err := s.Blobs.Copy(ctx, f.Digest, to); err != nil {
				return err
			}
		}
		copied[f.Digest] = true
	}
	return nil
}

// alone says whether all files of a version have keys of the space and no others, and can be
// copied in a moment.
func (s *Safe) alone(ctx context.Context, space keys.Space, v registry.Version) (bool, error) {
	var size int64
	for _, f := range v.Files {
		size += f.Size
		all, err := s.store.ObjectKeys(ctx, string(f.Digest))
		if err != nil || len(all) != 1 || all[0].Space != space || size > maxProbe {
			return false, err
		}
	}
	return len(v.Files) > 0, nil
}

// copyRows is a backup of what a PostgreSQL database holds of the space.
func (s *Safe) copyRows(ctx context.Context, b *backup, space keys.Space, objects []keys.ObjectKey) error {
	all, err := s.store.Keys(ctx, space)
	if err != nil {
		return err
	}
	return b.with(ctx, func(store *keystore.Store) error {
		for _, k := range all {
			if err := store.AddKey(ctx, k, slipway.Event{ID: slipway.NewID("evt", k.Created), Time: k.Created}); err != nil {
				return err
			}
		}
		for chunk := range slices.Chunk(objects, page) {
			if err := store.ChangeObjectKeys(ctx, nil, chunk); err != nil && !errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) {
				return err
			}
		}
		return nil
	})
}

// with opens the database of the backup.
func (b *backup) with(ctx context.Context, do func(*keystore.Store) error) error {
	db, err := sqlstore.Open(ctx, b.file)
	if err != nil {
		return err
	}
	return errors.Join(do(keystore.New(db)), db.Close())
}

// prove restores the copy and tries to open it with the key service as it is now.
func (s *Safe) prove(ctx context.Context, space keys.Space, gone []keys.Key, b *backup) ([]string, error) {
	var out []string
	for _, k := range gone {
		if len(k.Wrapped) == 0 {
			continue // it had been condemned before
		}
		if err := s.Ring.Probe(ctx, k); err != nil {
			return nil, err
		}
	}
	out = append(out, "the key service unwraps none of "+plural(int64(len(gone)), "data key")+" from a copy that was made before")
	if err := s.proveImages(ctx, space); err != nil {
		return nil, err
	}
	out = append(out, "no image in "+s.config.Images()+" holds files that it was built of and that are destroyed")
	if b.sample.Object == "" {
		return out, nil
	}
	err := b.with(ctx, func(store *keystore.Store) error {
		ring := keys.New(keys.Config{Store: store, Service: s.service, Now: time.Now, Log: s.log})
		objects := keys.NewObjects(ring, store)
		dir, err := blob.Open(b.blobs(), objects)
		if err != nil {
			return err
		}
		in, _, err := dir.Open(ctx, slipway.Digest(b.sample.Object))
		if err == nil {
			_ = in.Close()
		}
		if err = refused(err, space, "a file"); err != nil || b.image == "" {
			return err
		}
		if dir, err = blob.Open(b.ofImage(), objects); err != nil {
			return err
		}
		return refused(oci.WriteModel(ctx, s.config.Images(), b.image, modelFiles(ctx, dir, b.made), io.Discard), space, "an image")
	})
	if err != nil {
		return nil, err
	}
	said := "a file from a backup of the database and of the blobs, restored beside the installation, does not open"
	if b.image != "" {
		said += ", and the model of image " + b.image.Short() + " cannot be made again from it"
	}
	return append(out, said), nil
}

// refused is nil if what was tried with a copy failed for want of the key.
func refused(err error, space keys.Space, what string) error {
	if err == nil {
		return slipway.Errorf(slipway.Internal, slipway.CodeSealed, "platform keys list", "%s of %s opens from a copy of the database still", what, space)
	}
	if errors.Is(err, &slipway.Error{Code: slipway.CodeKeyLost}) { // the copy knows of no shredding
		return nil
	}
	return err // that proves nothing
}

// proveImages looks for models of what was shredded in the images of older programs.
func (s *Safe) proveImages(ctx context.Context, space keys.Space) error {
	all, err := oci.ModelsInClear(ctx, s.config.Images())
	for _, c := range all {
		v, _, e := s.versionOf(ctx, c.Image)
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		missing, e := s.Blobs.Missing(ctx, Files(v.Files))
		if e == nil && len(missing) > 0 {
			e = slipway.Errorf(slipway.Internal, slipway.CodeSealed, "platform doctor --fix", "image %s of an older version holds files of %s in clear still", c.Image.Short(), space)
		}
		err = errors.Join(err, e)
	}
	return err
}
