package governance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"strconv"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/registry/dossier"
	"github.com/slipway-ml/slipway/internal/signing"
)

// States of a version's signature.
const (
	Valid   = "valid"
	Missing = "missing"
	Wrong   = "wrong"
)

// system acts when nobody does.
const system = "system"

// key is the key that signs now. The first one is made when it is needed first; then it stays
// in memory, so that registering needs no key service each time.
func (s *Service) key(ctx context.Context) (*dossier.Signer, error) {
	s.signer.Lock()
	defer s.signer.Unlock()
	if s.signer.now != nil {
		return s.signer.now, nil
	}
	all, err := s.Keys.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		k, err := s.newKey(ctx, system)
		if err != nil {
			return nil, err
		}
		all = []dossier.Key{k}
	}
	for _, k := range all {
		if !k.Retired.IsZero() {
			continue
		}
		der, err := s.Sealer.Open(ctx, k.ID, k.Sealed)
		if err != nil {
			return nil, err
		}
		private, err := x509.ParsePKCS8PrivateKey(der)
		ec, ok := private.(*ecdsa.PrivateKey)
		if err != nil || !ok {
			return nil, &slipway.Error{Code: slipway.CodeSealed, Kind: slipway.Internal, Message: "the key that signs versions cannot be read", Next: "platform models keys --rotate", Cause: err}
		}
		s.signer.now = &dossier.Signer{ID: k.ID, Private: ec, Since: all[len(all)-1].Created}
		return s.signer.now, nil
	}
	return nil, slipway.Errorf(slipway.Internal, slipway.CodeInternal, "platform models keys --rotate", "there is no key that signs versions")
}

// Prepare makes the first key, so that every version that is registered from here on is
// younger than it.
func (s *Service) Prepare(ctx context.Context) error {
	_, err := s.key(ctx)
	return err
}

// newKey makes a key that signs from now on.
func (s *Service) newKey(ctx context.Context, by string) (dossier.Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return dossier.Key{}, err
	}
	k := dossier.Key{Created: s.Now().UTC().Truncate(time.Microsecond)}
	if k.ID, err = signing.KeyID(&private.PublicKey); err != nil {
		return k, err
	}
	if k.Public, err = signing.MarshalPublic(&private.PublicKey); err != nil {
		return k, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return k, err
	}
	if k.Sealed, err = s.Sealer.Seal(ctx, k.ID, der); err != nil {
		return k, err
	}
	return k, s.Keys.AddSigningKey(ctx, k, s.event(slipway.Principal{ID: by}, "signing.key-added", k.ID))
}

// Reseal implements keys.Resealer: there are few keys, all are done at once.
func (s *Service) Reseal(ctx context.Context, space keys.Space, below int) (left int, err error) {
	if space != keys.Platform {
		return 0, nil
	}
	all, err := s.Keys.SigningKeys(ctx)
	for _, k := range all {
		if version, ok := keys.VersionOf(k.Sealed); !ok || version >= below || err != nil {
			continue
		}
		var der, sealed []byte
		if der, err = s.Sealer.Open(ctx, k.ID, k.Sealed); err == nil {
			sealed, err = s.Sealer.Seal(ctx, k.ID, der)
		}
		if err == nil {
			err = s.Keys.ResealSigningKey(ctx, k.ID, k.Sealed, sealed)
		}
	}
	return 0, err
}

func filesOf(v registry.Version) []signing.File {
	out := make([]signing.File, len(v.Files))
	for i, f := range v.Files {
		out[i] = signing.File{Path: f.Path, Digest: f.Digest}
	}
	return out
}

// sign makes a signature of a version.
func (s *Service) sign(ctx context.Context, p slipway.Principal, v registry.Version) (dossier.Signature, error) {
	k, err := s.key(ctx)
	if err != nil {
		return dossier.Signature{}, err
	}
	bundle, err := signing.Sign(rand.Reader, k.Private, v.Model, filesOf(v))
	return dossier.Signature{Model: v.Model, Number: v.Number, Key: k.ID, Bundle: bundle, Created: s.Now().UTC().Truncate(time.Microsecond), By: p.ID}, err
}

// signing gives a context under which a version commits with its signature.
func (s *Service) signing(ctx context.Context, p slipway.Principal, v registry.Version) (context.Context, error) {
	sig, err := s.sign(ctx, p, v)
	if err != nil {
		return nil, err
	}
	return s.Dossier.Signed(ctx, sig, v.Digest, s.event(p, "version.signed", v.Model, "digest", string(v.Digest), "key", sig.Key)), nil
}

// Sign signs a version that was registered before versions were signed, or whose signature is
// of a key that is retired.
func (s *Service) Sign(ctx context.Context, p slipway.Principal, model, ref string) (api.Signatures, error) {
	v, err := s.version(ctx, p, authz.ModelSign, model, ref)
	if err != nil {
		return api.Signatures{}, err
	}
	if v.Digest == "" {
		return api.Signatures{}, noFiles(v)
	}
	if registry.DigestOf(v.Files) != v.Digest {
		return api.Signatures{}, slipway.Errorf(slipway.Conflict, slipway.CodeSignature, "register the files again", "the record of %s is not what was registered: it is not signed", named(v.Model, v.Number))
	}
	sig, err := s.sign(ctx, p, v)
	if err != nil {
		return api.Signatures{}, err
	}
	if err := s.Dossier.Sign(ctx, sig, s.event(p, "version.signed", v.Model, "number", strconv.Itoa(v.Number), "digest", string(v.Digest), "key", sig.Key)); err != nil {
		return api.Signatures{}, err
	}
	return s.signatures(ctx, v)
}

func noFiles(v registry.Version) error {
	return slipway.Errorf(slipway.Conflict, slipway.CodeUnsigned, "register the files themselves", "the files of %s lie elsewhere: there is nothing here to sign", named(v.Model, v.Number))
}

// Signatures gives those of a version, and says whether they hold.
func (s *Service) Signatures(ctx context.Context, p slipway.Principal, model, ref string) (api.Signatures, error) {
	v, err := s.version(ctx, p, authz.ModelRead, model, ref)
	if err != nil {
		return api.Signatures{}, err
	}
	return s.signatures(ctx, v)
}

// signatures verifies those of a version. It is valid if one of them is of a key of this
// installation, and is about exactly the version's files.
func (s *Service) signatures(ctx context.Context, v registry.Version) (api.Signatures, error) {
	out := api.Signatures{Model: v.Model, Version: v.Number, State: Missing, Message: "it was never signed", List: []api.Signature{}}
	all, err := s.Dossier.SignaturesOf(ctx, v.Model, v.Number)
	if err != nil || len(all) == 0 {
		return out, err
	}
	known, err := s.Keys.SigningKeys(ctx)
	if err != nil {
		return out, err
	}
	for _, sig := range all {
		view := api.Signature{Key: sig.Key, Created: sig.Created, By: sig.By, Bundle: string(sig.Bundle)}
		if err := verify(v, sig, known); err != nil {
			view.Problem = slipway.AsError(err).Message
		} else {
			view.Valid = true
		}
		out.List = append(out.List, view)
	}
	out.State, out.Message = Wrong, out.List[0].Problem
	for _, sig := range out.List {
		if sig.Valid {
			out.State, out.Message = Valid, "signed by "+sig.By+" on "+sig.Created.Format(time.DateOnly)+" with key "+sig.Key[:16]
			break
		}
	}
	return out, nil
}

func verify(v registry.Version, sig dossier.Signature, known []dossier.Key) error {
	for _, k := range known {
		if k.ID != sig.Key {
			continue
		}
		public, err := signing.ParsePublic(k.Public)
		if err != nil {
			return err
		}
		st, err := signing.Verify(sig.Bundle, public)
		if err != nil {
			return err
		}
		if registry.DigestOf(v.Files) != v.Digest {
			return slipway.Errorf(slipway.Unprocessable, slipway.CodeSignature, "register the files again", "the list of files is not what the version's digest stands for")
		}
		return st.Match(filesOf(v), false)
	}
	return slipway.Errorf(slipway.Unprocessable, slipway.CodeSignature, "platform models keys", "it was signed with a key that this installation has never had")
}

// SigningKeys lists the keys that sign versions, newest first: their public halves verify
// without a server.
func (s *Service) SigningKeys(ctx context.Context, p slipway.Principal) ([]api.SigningKey, error) {
	if err := s.Access.Check(ctx, p, authz.ServerRead, server); err != nil {
		return nil, err
	}
	all, err := s.Keys.SigningKeys(ctx)
	out := []api.SigningKey{}
	for _, k := range all {
		out = append(out, api.SigningKey{ID: k.ID, Public: string(k.Public), Created: k.Created, Retired: k.Retired})
	}
	return out, err
}

// RotateKey makes a new key that signs. What the others have signed stays good.
func (s *Service) RotateKey(ctx context.Context, p slipway.Principal) (api.SigningKey, error) {
	if err := s.Access.Check(ctx, p, authz.KeysRotate, server); err != nil {
		return api.SigningKey{}, err
	}
	s.signer.Lock()
	defer s.signer.Unlock()
	k, err := s.newKey(ctx, p.ID)
	if err != nil {
		return api.SigningKey{}, err
	}
	s.signer.now = nil // the next signature finds the new one
	return api.SigningKey{ID: k.ID, Public: string(k.Public), Created: k.Created}, nil
}

// alwaysSigned is the tier from which on up a version needs a signature, however old it is.
const alwaysSigned = 1

// Verified is asked before a version is deployed. It answers CodeSignature if its signature
// does not hold, and CodeUnsigned if it has none: unless it was registered before this
// installation signed versions, and the endpoint is not of tier 1. Then note says so.
func (s *Service) Verified(ctx context.Context, v registry.Version, tier int) (note string, unsigned bool, err error) {
	sig, err := s.signatures(ctx, v)
	if err != nil {
		return "", false, err
	}
	next := "platform models sign " + v.Model + " " + strconv.Itoa(v.Number)
	switch sig.State {
	case Valid:
		return sig.Message, false, nil
	case Wrong:
		return "", false, slipway.Errorf(slipway.Unprocessable, slipway.CodeSignature, "platform models verify "+v.Model+" "+strconv.Itoa(v.Number),
			"the signature of %s does not hold: %s", named(v.Model, v.Number), sig.Message)
	}
	known, err := s.Keys.SigningKeys(ctx)
	if err != nil {
		return "", false, err
	}
	early := len(known) == 0 || v.Created.Before(known[len(known)-1].Created)
	if !early || tier == alwaysSigned {
		return "", true, slipway.Errorf(slipway.Unprocessable, slipway.CodeUnsigned, next, "%s has no signature", named(v.Model, v.Number))
	}
	return "it was registered before versions were signed; sign it: " + next, true, nil
}
