package models

import (
	"cmp"
	"context"
	"encoding/base64"
	"regexp"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	mlflow "github.com/slipway-ml/slipway/internal/mlflowapi/models"
	"github.com/slipway-ml/slipway/internal/modeluri"
	"github.com/slipway-ml/slipway/internal/registry"
)

// origin is what a version is made of.
type origin struct {
	source string // as it is reported
	place  string // where the files lie, if they are not here
	files  []registry.File
	run    string
	logged string
}

// origin finds what a version that is asked for is made of. A source that is neither here nor
// a path on some machine is taken as it is. What MLflow's newest server refuses of the ids
// beside it is refused where the source is here; elsewhere nothing is known of them.
func (s *Service) origin(ctx context.Context, c mlflowapi.Caller, in mlflow.NewVersion) (origin, error) {
	o := origin{source: in.Source, run: text(in.Run), logged: text(in.Logged)}
	if strings.EqualFold(in.Tags[registry.PromptTag], "true") {
		return o, nil // its text is in a tag
	}
	scheme := modeluri.Scheme(in.Source)
	if scheme == "" && modeluri.IsLocal(in.Source) {
		if strings.ContainsAny(in.Source[:1], "/.~\\") || strings.Contains(in.Source, ":") || strings.Contains(in.Source, "..") {
			return o, modeluri.Local(in.Source)
		}
		return o, nil
	}
	if err := modeluri.CheckSource(in.Source); err != nil {
		return o, err
	}
	if scheme == "" || scheme == modeluri.Artifacts && hasHost(in.Source) {
		return o, nil
	}
	u, err := modeluri.Parse(in.Source)
	switch {
	case err != nil && scheme == modeluri.Runs:
		return o, modeluri.Foreign(in.Source, "run_id")
	case err != nil:
		return o, modeluri.Foreign(in.Source, "model_id")
	case u.Logged != "":
		return s.ofLogged(ctx, c, o, u)
	case u.Run != "":
		return s.ofRun(ctx, c, o, u)
	case scheme == modeluri.Artifacts:
		return s.ofArtifacts(ctx, c, o, u)
	default:
		return s.ofVersion(ctx, c, o, in, u)
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func hasHost(uri string) bool {
	_, rest, _ := strings.Cut(uri, ":")
	return strings.HasPrefix(rest, "//") && !strings.HasPrefix(rest, "///")
}

// ofLogged is a logged model, which must be named beside the source, too.
func (s *Service) ofLogged(ctx context.Context, c mlflowapi.Caller, o origin, u modeluri.URI) (origin, error) {
	if o.logged != u.Logged {
		return o, modeluri.Foreign(o.source, "model_id")
	}
	p, err := s.Sources.Logged(ctx, c, u.Logged)
	if missing(err) {
		return o, slipway.Errorf(slipway.NotFound, slipway.CodeNoSource, "log the model first", "Unable to fetch model from model URI source artifact location '%s'.", o.source)
	}
	if err != nil {
		return o, err
	}
	o.run, o.place = cmp.Or(o.run, p.Run), p.URI
	return s.withFiles(ctx, c, o, p.Path)
}

// ofRun is a path of a run: of its artifacts, or of the model that it logged under that name.
func (s *Service) ofRun(ctx context.Context, c mlflowapi.Caller, o origin, u modeluri.URI) (origin, error) {
	p, err := s.Sources.Run(ctx, c, u.Run)
	if missing(err) {
		return o, nil // of another server
	}
	switch {
	case err != nil:
		return o, err
	case o.logged != "":
		return o, modeluri.Foreign(o.source, "model_id")
	case o.run != "" && o.run != u.Run:
		return o, modeluri.Foreign(o.source, "run_id")
	}
	o.run = u.Run
	found, logged, err := s.inRun(ctx, c, p, u)
	if err != nil || len(found) == 0 {
		return o, err
	}
	o.files, o.logged = found, logged
	return o, nil
}

// inRun finds the files at a path of a run, and the logged model that has them, if one has.
func (s *Service) inRun(ctx context.Context, c mlflowapi.Caller, p Place, u modeluri.URI) (files []registry.File, logged string, err error) {
	if p.Path != "" {
		if files, err = s.files(ctx, c, join(p.Path, u.Path)); err != nil || len(files) > 0 {
			return files, "", err
		}
	}
	name, below, _ := strings.Cut(u.Path, "/")
	if name == "" {
		return nil, "", nil
	}
	m, err := s.Sources.Output(ctx, c, u.Run, name)
	if missing(err) || err == nil && m.Path == "" {
		return nil, "", nil
	}
	if err == nil {
		files, err = s.files(ctx, c, join(m.Path, below))
	}
	return files, m.ID, err
}

func join(path, below string) string { return strings.TrimSuffix(path+"/"+below, "/") }

// ofArtifacts is a path in this platform's artifacts. It must lie in those of the run, or of
// the logged model, that is named beside it; a path that is nobody's is somewhere else.
func (s *Service) ofArtifacts(ctx context.Context, c mlflowapi.Caller, o origin, u modeluri.URI) (origin, error) {
	files, err := s.Sources.Files(ctx, c, u.Artifact)
	nobodys := missing(err)
	if err != nil && !nobodys {
		return o, err
	}
	id, parameter, find := o.run, "run_id", s.Sources.Run
	if o.logged != "" {
		id, parameter, find = o.logged, "model_id", s.Sources.Logged
	}
	if id == "" && nobodys {
		return o, nil
	}
	p, err := find(ctx, c, id)
	switch {
	case nobodys && (err == nil || missing(err)):
		return o, nil
	case err != nil && !missing(err):
		return o, err
	case err != nil || p.Path == "" || !strings.HasPrefix(u.Artifact+"/", p.Path+"/"):
		return o, modeluri.Foreign(o.source, parameter)
	}
	o.files, o.run = files, cmp.Or(o.run, p.Run)
	return o, nil
}

// ofVersion is another version, whose files and lineage the new one shares.
func (s *Service) ofVersion(ctx context.Context, c mlflowapi.Caller, o origin, in mlflow.NewVersion, u modeluri.URI) (origin, error) {
	v, err := s.versionAt(ctx, c, u)
	if err != nil {
		return o, err
	}
	if strings.EqualFold(v.Tags[registry.PromptTag], "true") {
		return o, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "name a model", "Invalid model version source: '%s'. Prompt versions cannot be used as model version sources.", o.source)
	}
	if in.Run != nil && *in.Run != v.RunID || in.Logged != nil && *in.Logged != v.LoggedModel {
		return o, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "leave them out",
			"Invalid model version source: '%s'. The run_id and model_id request parameters must match the referenced model version.", o.source)
	}
	o.source, o.run, o.logged = modeluri.URI{Model: v.Model, Version: v.Number}.String(), v.RunID, v.LoggedModel
	if v.Digest == "" {
		o.place = uriOf(v)
		return o, nil
	}
	whole, err := s.Registry.Version(ctx, v.Model, registry.Ref{Number: v.Number})
	o.files = whole.Files
	return o, err
}

// versionAt finds the version that models:/… names.
func (s *Service) versionAt(ctx context.Context, c mlflowapi.Caller, u modeluri.URI) (registry.Version, error) {
	if _, err := s.find(ctx, c, u.Model); err != nil {
		return registry.Version{}, err
	}
	if u.Stage != "" {
		found, err := s.Registry.NewestOf(ctx, u.Model, []string{u.Stage})
		if err == nil && len(found) == 0 {
			err = slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "name a version or an alias", "No versions of model with name '%s' and stage '%s' found", u.Model, u.Stage)
		}
		if err != nil {
			return registry.Version{}, err
		}
		return found[0], nil
	}
	return s.Registry.Named(ctx, u.Model, registry.Ref{Number: u.Version, Alias: u.Alias})
}

// withFiles records the files at a path.
func (s *Service) withFiles(ctx context.Context, c mlflowapi.Caller, o origin, path string) (origin, error) {
	if path == "" {
		return o, nil
	}
	files, err := s.files(ctx, c, path)
	o.files = files
	return o, err
}

// files are those at a path, none if nothing is there.
func (s *Service) files(ctx context.Context, c mlflowapi.Caller, path string) ([]registry.File, error) {
	files, err := s.Sources.Files(ctx, c, path)
	if missing(err) {
		err = nil
	}
	return files, err
}

// plainRE are names of models that stand in a path as they are.
var plainRE = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_. -]*$`)

// Tree is the first segment of the paths below which versions lie, each as Tree, the name of
// its model and its number.
const Tree = "versions"

// uriOf is where clients find the files of a version.
func uriOf(v registry.Version) string {
	if v.Digest == "" {
		return cmp.Or(v.Place, v.Source)
	}
	name := v.Model
	if !plainRE.MatchString(name) {
		name = "~" + base64.RawURLEncoding.EncodeToString([]byte(name))
	}
	return "mlflow-artifacts:/" + Tree + "/" + name + "/" + strconv.Itoa(v.Number)
}

// VersionFiles gives the files of a version whose model is named as in the addresses that
// DownloadURI gives.
func (s *Service) VersionFiles(ctx context.Context, c mlflowapi.Caller, model string, number int) ([]registry.File, error) {
	if encoded, ok := strings.CutPrefix(model, "~"); ok {
		name, err := base64.RawURLEncoding.DecodeString(encoded)
		if err != nil {
			return nil, registry.NoModel(model)
		}
		model = string(name)
	}
	n, err := s.number(ctx, c, authz.ModelRead, model, strconv.Itoa(number))
	if err != nil {
		return nil, err
	}
	v, err := s.Registry.Version(ctx, model, registry.Ref{Number: n})
	if err == nil && v.Digest == "" {
		err = slipway.Errorf(slipway.NotFound, slipway.CodeNoFiles, "use its source", "the files of Model Version (name=%s, version=%d) are not here", model, n)
	}
	return v.Files, err
}
