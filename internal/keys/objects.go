package keys

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"github.com/slipway-ml/slipway"
)

// ObjectKey is the key of one stored object, sealed for one space. An object that several
// teams have registered has one for each of them: it is stored once, and each team's can be
// shredded alone.
type ObjectKey struct {
	Object string // a digest
	Space  Space
	Sealed []byte
}

func objectLabel(object string) Label { return Label{Object: object, Kind: KindObjectKey, Version: 1} }

// KindObjectKey is the kind of sealed keys of objects.
const KindObjectKey = "object-key"

// ObjectStore keeps sealed keys of objects.
type ObjectStore interface {
	// ObjectKeys gives the keys of objects, in any order.
	ObjectKeys(ctx context.Context, objects ...string) ([]ObjectKey, error)
	// SpaceObjectKeys gives at most limit keys that a space has sealed with a version below
	// the given one, by object, and how many there are.
	SpaceObjectKeys(ctx context.Context, s Space, below, limit int) (some []ObjectKey, all int, err error)
	// ChangeObjectKeys drops and adds keys, all or none. It answers Conflict when one to drop
	// is not there with these bytes, when one to add is there, or when one to add was not
	// sealed with the active key of its space.
	ChangeObjectKeys(ctx context.Context, drop, add []ObjectKey) error
}

// Objects gives the keys of objects. Safe for concurrent use.
type Objects struct {
	ring  *Ring
	store ObjectStore
}

// NewObjects makes an Objects.
func NewObjects(r *Ring, s ObjectStore) *Objects {
	o := &Objects{r, s}
	r.Register(KindObjectKey, o)
	return o
}

// maxTries bounds how often a change is tried that others race with.
const maxTries = 10

// Key gives the key of an object: NotFound if it has none, CodeShredded if all that could
// open it are destroyed.
func (o *Objects) Key(ctx context.Context, object string) ([]byte, error) {
	key, _, err := o.find(ctx, object)
	if err == nil && key == nil {
		err = slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "upload it again", "there is no key for %.80s", object)
	}
	return key, err
}

// find gives the key of an object, nil if it has none, and what it was looked for in. That
// all are shredded is believed only if nothing has changed meanwhile: a key that leaves is
// destroyed as soon as what it sealed has moved.
func (o *Objects) find(ctx context.Context, object string) (key []byte, found []ObjectKey, err error) {
	same := func(a, b ObjectKey) bool { return a.Space == b.Space && bytes.Equal(a.Sealed, b.Sealed) }
	for range maxTries {
		before := found
		if found, err = o.store.ObjectKeys(ctx, object); err != nil {
			return nil, nil, err
		}
		key, err = o.open(ctx, found)
		if !errors.Is(err, &slipway.Error{Code: slipway.CodeShredded}) || slices.EqualFunc(before, found, same) {
			break
		}
	}
	return key, found, err
}

// open gives the key from the first that opens. Without any it gives nil.
func (o *Objects) open(ctx context.Context, found []ObjectKey) (key []byte, err error) {
	for _, k := range found {
		var e error
		if key, e = o.ring.Open(ctx, k.Space, objectLabel(k.Object), k.Sealed); e == nil {
			return key, nil
		}
		if err == nil || !errors.Is(e, &slipway.Error{Code: slipway.CodeShredded}) {
			err = e
		}
	}
	return nil, err
}

// Make gives the key of an object, and makes it, in the space of uploads, when there is none
// that opens: then it is fresh, and whatever is stored under the object is of another key.
func (o *Objects) Make(ctx context.Context, object string) (key []byte, fresh bool, err error) {
	for range maxTries {
		key, found, err := o.find(ctx, object)
		if key != nil {
			return key, false, nil
		}
		if err != nil && !errors.Is(err, &slipway.Error{Code: slipway.CodeShredded}) {
			return nil, false, err
		}
		key = make([]byte, 32)
		_, _ = rand.Read(key)
		sealed, err := o.ring.Seal(ctx, Uploads, objectLabel(object), key)
		if err != nil {
			return nil, false, err
		}
		err = o.store.ChangeObjectKeys(ctx, found, []ObjectKey{{object, Uploads, sealed}})
		if !errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) {
			return key, true, err
		}
	}
	return nil, false, raced()
}

// Adopt gives objects to a space, out of that of the uploads. What has no key that
// opens is left out: it is stored in clear yet, or was shredded.
func (o *Objects) Adopt(ctx context.Context, s Space, objects ...string) error {
	for range maxTries {
		found, err := o.store.ObjectKeys(ctx, objects...)
		if err != nil {
			return err
		}
		of := map[string][]ObjectKey{}
		for _, k := range found {
			of[k.Object] = append(of[k.Object], k)
		}
		var drop, add []ObjectKey
		for object, all := range of {
			d, a, err := o.adopt(ctx, s, object, all)
			if err != nil {
				return err
			}
			drop, add = append(drop, d...), append(add, a...)
		}
		if len(drop)+len(add) == 0 {
			return nil
		}
		err = o.store.ChangeObjectKeys(ctx, drop, add)
		if !errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) {
			return err
		}
	}
	return raced()
}

// adopt says which keys of one object go and come. A key of the space that was shredded
// since counts for nothing.
func (o *Objects) adopt(ctx context.Context, s Space, object string, all []ObjectKey) (drop, add []ObjectKey, err error) {
	for _, k := range all {
		if k.Space == s {
			_, err := o.open(ctx, []ObjectKey{k})
			if err == nil {
				return leaving(all, s), nil, nil
			}
			if !errors.Is(err, &slipway.Error{Code: slipway.CodeShredded}) {
				return nil, nil, err
			}
			drop = append(drop, k)
		}
	}
	key, _, err := o.find(ctx, object)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeShredded}) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	sealed, err := o.ring.Seal(ctx, s, objectLabel(object), key)
	return append(drop, leaving(all, s)...), []ObjectKey{{object, s, sealed}}, err
}

// leaving are the keys that the space of the uploads has no use for any more.
func leaving(all []ObjectKey, s Space) (out []ObjectKey) {
	for _, k := range all {
		if k.Space == Uploads && s != Uploads {
			out = append(out, k)
		}
	}
	return out
}

func raced() error {
	return slipway.Errorf(slipway.Unavailable, slipway.CodeUnavailable, "try again in a second", "the key changes all the time")
}

// batch is how many keys one call moves: each is opened and sealed in some microseconds.
const batch = 500

// Reseal implements Resealer.
func (o *Objects) Reseal(ctx context.Context, s Space, below int) (int, error) {
	some, all, err := o.store.SpaceObjectKeys(ctx, s, below, batch)
	if err != nil || len(some) == 0 {
		return 0, err
	}
	var add []ObjectKey
	for _, k := range some {
		key, err := o.ring.Open(ctx, s, objectLabel(k.Object), k.Sealed)
		if err == nil {
			k.Sealed, err = o.ring.Seal(ctx, s, objectLabel(k.Object), key)
		}
		if err != nil {
			return all, err
		}
		add = append(add, k)
	}
	err = o.store.ChangeObjectKeys(ctx, some, add)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) {
		return all, nil // others changed one of them: the next call sees
	}
	if err != nil {
		return all, err
	}
	return all - len(some), nil
}

// Drop forgets the keys of a space that was shredded, a bounded number of them. Those that
// have no key left any more are given to remove first, which deletes what is stored.
func (o *Objects) Drop(ctx context.Context, s Space, below int, remove func(ctx context.Context, object string) error) (left int, err error) {
	some, all, err := o.store.SpaceObjectKeys(ctx, s, below, batch)
	if err != nil || len(some) == 0 {
		return 0, err
	}
	for _, k := range some {
		others, err := o.store.ObjectKeys(ctx, k.Object)
		if err == nil && len(others) == 1 {
			err = remove(ctx, k.Object)
		}
		if err != nil {
			return all, err
		}
	}
	err = o.store.ChangeObjectKeys(ctx, some, nil)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeConflict}) {
		return all, nil
	}
	return all - len(some), err
}
