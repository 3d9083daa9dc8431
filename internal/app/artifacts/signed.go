package artifacts

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/artifact"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
)

// Begin implements artifacts.Parts.
func (s *Service) Begin(ctx context.Context, c mlflowapi.Caller, path string, parts int) (artifact.Upload, error) {
	p, team, err := s.writable(ctx, c, path)
	if err != nil {
		return artifact.Upload{}, err
	}
	return s.Artifacts.Begin(ctx, c.Principal, p, team, parts)
}

// Complete implements artifacts.Parts.
func (s *Service) Complete(ctx context.Context, c mlflowapi.Caller, id, path string, sent []artifact.Sent) error {
	p, _, err := s.writable(ctx, c, path)
	if err != nil {
		return err
	}
	_, err = s.Artifacts.Complete(ctx, c.Principal, id, p, sent)
	return err
}

// Abort implements artifacts.Parts.
func (s *Service) Abort(ctx context.Context, c mlflowapi.Caller, id, path string) error {
	p, _, err := s.writable(ctx, c, path)
	if err != nil {
		return err
	}
	return s.Artifacts.Abort(ctx, id, p)
}

func (s *Service) writable(ctx context.Context, c mlflowapi.Caller, path string) (p, team string, err error) {
	if p, err = artifact.ParsePath(path); err == nil {
		team, err = s.may(ctx, c, authz.ExperimentWrite, p)
	}
	return p, team, err
}

// pass is what a signed address lets somebody do: send the parts of an upload, or get the
// bytes that a file has now.
type pass struct {
	Upload  string         `json:"u,omitempty"`
	Path    string         `json:"p,omitempty"`
	Digest  slipway.Digest `json:"d,omitempty"`
	Type    string         `json:"t,omitempty"`
	Created time.Time      `json:"c,omitzero"`
	Expires time.Time      `json:"x"`
}

// KindPass is the kind of sealed passes. They are not kept, so no rotation of keys has to move
// them: those that a destroyed key has sealed are good for nothing.
const KindPass = "artifact-address"

var passLabel = keys.Label{Object: "address", Kind: KindPass, Version: 1}

// fileLifetime is that of an address of a file, as MLflow has it.
const fileLifetime = 15 * time.Minute

// SignUpload implements artifacts.Signer.
func (s *Service) SignUpload(ctx context.Context, u artifact.Upload) (string, error) {
	return s.sign(ctx, pass{Upload: u.ID, Expires: u.Expires})
}

// SignFile implements artifacts.Signer.
func (s *Service) SignFile(ctx context.Context, f artifact.File) (string, error) {
	return s.sign(ctx, pass{Path: f.Path, Digest: f.Digest, Type: f.Type, Created: f.Created, Expires: s.Now().Add(fileLifetime)})
}

func (s *Service) sign(ctx context.Context, p pass) (string, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	sealed, err := s.Sealer.Seal(ctx, keys.Platform, passLabel, b)
	return base64.RawURLEncoding.EncodeToString(sealed), err
}

// maxToken bounds what is tried to be opened, in bytes.
const maxToken = 8 << 10

func (s *Service) passOf(ctx context.Context, token string) (p pass, err error) {
	refused := slipway.Errorf(slipway.Denied, slipway.CodeSignedURL, "ask for a new address", "this address is not good, or not any more")
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(token) > maxToken {
		return p, refused
	}
	b, err := s.Sealer.Open(ctx, keys.Platform, passLabel, sealed)
	if e := slipway.AsError(err); err != nil && e.Kind == slipway.Unavailable {
		return p, err
	}
	if err != nil || json.Unmarshal(b, &p) != nil || !p.Expires.After(s.Now()) {
		return p, refused
	}
	return p, nil
}

func (s *Service) uploadOf(ctx context.Context, token string) (string, error) {
	p, err := s.passOf(ctx, token)
	if err == nil && p.Upload == "" {
		err = slipway.Errorf(slipway.Denied, slipway.CodeSignedURL, "ask for a new address", "this address is for something else")
	}
	return p.Upload, err
}

// PutPart implements artifacts.Signed.
func (s *Service) PutPart(ctx context.Context, token string, number int, size int64, body io.Reader) (artifact.Part, error) {
	id, err := s.uploadOf(ctx, token)
	if err != nil {
		return artifact.Part{}, err
	}
	return s.Artifacts.Part(ctx, id, number, size, body)
}

// FindPart implements artifacts.Signed.
func (s *Service) FindPart(ctx context.Context, token string, number int) (artifact.Part, error) {
	id, err := s.uploadOf(ctx, token)
	if err != nil {
		return artifact.Part{}, err
	}
	return s.Artifacts.PartOf(ctx, id, number)
}

// OpenFile implements artifacts.Signed: the bytes that the file had when the address was made,
// so that the ranges that somebody asks for are of the same bytes.
func (s *Service) OpenFile(ctx context.Context, token string) (artifact.File, artifact.Bytes, error) {
	p, err := s.passOf(ctx, token)
	if err == nil && p.Digest == "" {
		err = slipway.Errorf(slipway.Denied, slipway.CodeSignedURL, "ask for a new address", "this address is for something else")
	}
	if err != nil {
		return artifact.File{}, nil, err
	}
	b, err := s.Artifacts.Blobs.Open(ctx, p.Digest)
	return artifact.File{Path: p.Path, Digest: p.Digest, Type: p.Type, Created: p.Created}, b, err
}
