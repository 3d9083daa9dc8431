// Package artifacts decides who may do what with artifacts, and finds where those of runs,
// logged models and versions lie.
package artifacts

import (
	"context"
	"errors"
	"regexp"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/artifact"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/keys"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/tracking"
)

// Access decides who may do what.
type Access interface {
	Allows(p slipway.Principal, a authz.Action, r authz.Resource) bool
	// Check answers Denied, once that is recorded.
	Check(ctx context.Context, p slipway.Principal, a authz.Action, r authz.Resource) error
}

// Tracking finds what artifacts belong to. With teams nil all are looked through, with none
// nothing is found, in the same words.
type Tracking interface {
	Experiment(ctx context.Context, teams []string, id string) (tracking.Experiment, error)
	Run(ctx context.Context, teams []string, id string) (tracking.Run, error)
	Model(ctx context.Context, teams []string, id string) (tracking.Model, error)
}

// Versions are those of registered models. Each checks that the caller may read the model.
type Versions interface {
	// VersionFiles gives the files of a version, by path.
	VersionFiles(ctx context.Context, c mlflowapi.Caller, model string, number int) ([]registry.File, error)
	// DownloadURI is where a version's files are to be had.
	DownloadURI(ctx context.Context, c mlflowapi.Caller, model, version string) (string, error)
}

// Sealer seals and opens what addresses carry.
type Sealer interface {
	Seal(ctx context.Context, s keys.Space, l keys.Label, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, s keys.Space, l keys.Label, sealed []byte) ([]byte, error)
}

// Service is the use cases of artifacts: artifacts.Files, Parts, Places, Signer and Signed of
// the front door. Safe for concurrent use.
type Service struct {
	Artifacts *artifact.Service
	Access    Access
	Tracking  Tracking
	Versions  Versions
	Sealer    Sealer
	Now       func() time.Time
}

// numberRE is the id of an experiment.
var numberRE = regexp.MustCompile(`^(0|[1-9][0-9]{0,18})$`)

// place is what a path belongs to, as policies see it.
func (s *Service) place(ctx context.Context, c mlflowapi.Caller, p string, claim bool) (authz.Resource, error) {
	root := artifact.Root(p)
	if numberRE.MatchString(root) {
		e, err := s.Tracking.Experiment(ctx, nil, root)
		return authz.ExperimentOf(root, e.Team), err
	}
	team, err := s.Artifacts.Roots.Owner(ctx, root)
	if err != nil || team != "" {
		return authz.ExperimentOf(root, team), err
	}
	r := authz.ExperimentOf(root, c.Team)
	if !claim || !s.Access.Allows(c.Principal, authz.ExperimentWrite, r) {
		return r, nil // who may not write there is told so by may
	}
	r.Team, err = s.Artifacts.Roots.Claim(ctx, root, c.Team)
	return r, err
}

// may answers nil, and the team, if the caller may do something with what lies at a path. What
// he may not read is not there for him.
func (s *Service) may(ctx context.Context, c mlflowapi.Caller, a authz.Action, p string) (team string, err error) {
	if artifact.Root(p) == versions {
		return "", slipway.Errorf(slipway.Denied, slipway.CodeDenied, "register a new version", "the files of a version never change")
	}
	r, err := s.place(ctx, c, p, a == authz.ExperimentWrite)
	if err != nil {
		return "", err
	}
	if err := s.visible(ctx, c, r, func() error { return missing(p) }); err != nil {
		return "", err
	}
	if a == authz.ExperimentRead {
		return r.Team, nil
	}
	return r.Team, s.Access.Check(ctx, c.Principal, a, r)
}

// visible answers what missing says, once the attempt is recorded, if the caller may not read
// something.
func (s *Service) visible(ctx context.Context, c mlflowapi.Caller, r authz.Resource, missing func() error) error {
	err := s.Access.Check(ctx, c.Principal, authz.ExperimentRead, r)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeDenied}) {
		return missing()
	}
	return err
}

func missing(p string) error {
	if root := artifact.Root(p); numberRE.MatchString(root) {
		return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "look at the id: platform runs list", "No Experiment with id=%s exists", root)
	}
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "list the directory", "No such artifact: '%s'", slipway.OneLine(p, 200))
}

// Put implements artifacts.Files.
func (s *Service) Put(ctx context.Context, c mlflowapi.Caller, path string, in artifact.Content) error {
	p, err := artifact.ParsePath(path)
	if err != nil {
		return err
	}
	if in.Team, err = s.may(ctx, c, authz.ExperimentWrite, p); err != nil {
		return err
	}
	in.Path = p
	_, err = s.Artifacts.Put(ctx, c.Principal, in)
	return err
}

// Open implements artifacts.Files.
func (s *Service) Open(ctx context.Context, c mlflowapi.Caller, path string) (artifact.File, artifact.Bytes, error) {
	p, err := artifact.ParsePath(path)
	if err != nil {
		return artifact.File{}, nil, err
	}
	if artifact.Root(p) == versions {
		return s.openVersion(ctx, c, p)
	}
	if _, err := s.may(ctx, c, authz.ExperimentRead, p); err != nil {
		return artifact.File{}, nil, err
	}
	f, b, err := s.Artifacts.Open(ctx, p)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) && f.Digest == "" {
		inside, e := s.Artifacts.Store.List(ctx, p, "", 1)
		if err = missing(p); e != nil {
			err = e
		} else if len(inside) > 0 {
			err = directory(p)
		}
	}
	return f, b, err
}

func directory(p string) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeArtifactPath, "list it", "Artifact path refers to a directory, not a file: '%s'", slipway.OneLine(p, 200))
}

// List implements artifacts.Files. At the top are the places that the caller may read.
func (s *Service) List(ctx context.Context, c mlflowapi.Caller, path string) ([]artifact.Entry, error) {
	dir, err := artifact.ParseDir(path)
	if err != nil {
		return nil, err
	}
	switch {
	case artifact.Root(dir) == versions:
		return s.listVersion(ctx, c, dir)
	case dir == "":
		return s.listTop(ctx, c)
	}
	_, err = s.may(ctx, c, authz.ExperimentRead, dir)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return nil, nil // as a directory that is not there
	}
	if err != nil {
		return nil, err
	}
	return s.Artifacts.List(ctx, dir)
}

func (s *Service) listTop(ctx context.Context, c mlflowapi.Caller) (out []artifact.Entry, err error) {
	all, err := s.Artifacts.List(ctx, "")
	for _, e := range all {
		r, err := s.place(ctx, c, e.Name, false)
		if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if s.Access.Allows(c.Principal, authz.ExperimentRead, r) {
			out = append(out, e)
		}
	}
	return out, err
}

// Delete implements artifacts.Files.
func (s *Service) Delete(ctx context.Context, c mlflowapi.Caller, path string) (artifact.Deleted, error) {
	p, err := artifact.ParsePath(path)
	if err != nil {
		return artifact.Deleted{}, err
	}
	if _, err := s.may(ctx, c, authz.ExperimentDelete, p); err != nil {
		return artifact.Deleted{}, err
	}
	return s.Artifacts.Delete(ctx, c.Principal, p)
}

// Run implements artifacts.Places.
func (s *Service) Run(ctx context.Context, c mlflowapi.Caller, id string) (string, error) {
	r, err := s.Tracking.Run(ctx, nil, id)
	if err != nil {
		return "", err
	}
	return r.ArtifactURI, s.visible(ctx, c, authz.ExperimentOf(r.ExperimentID, r.Team), func() error {
		_, err := s.Tracking.Run(ctx, []string{}, id)
		return err
	})
}

// LoggedModel implements artifacts.Places.
func (s *Service) LoggedModel(ctx context.Context, c mlflowapi.Caller, id string) (string, error) {
	m, err := s.Tracking.Model(ctx, nil, id)
	if err != nil {
		return "", err
	}
	return m.ArtifactURI, s.visible(ctx, c, authz.ExperimentOf(m.ExperimentID, m.Team), func() error {
		_, err := s.Tracking.Model(ctx, []string{}, id)
		return err
	})
}

// Version implements artifacts.Places.
func (s *Service) Version(ctx context.Context, c mlflowapi.Caller, model, version string) (string, error) {
	return s.Versions.DownloadURI(ctx, c, model, version)
}
