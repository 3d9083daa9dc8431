package cli

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
	"github.com/slipway-ml/slipway/internal/modeldir"
)

// deployment is what the flags of deploy say.
type deployment struct {
	file, environment, reason, key string
	watch, force                   bool
}

func (s *session) deployCmd() *cobra.Command {
	var o deployment
	cmd := command("deploy", "Check a model and roll it out", "  platform deploy --watch\n  platform deploy -f fraud/platform.yaml --env staging\n  platform deploy --force --reason 'the upstream feed is fixed'",
		cobra.NoArgs, func(ctx context.Context, _ []string) error { return s.deploy(ctx, o) })
	cmd.Long = "Check a model and roll it out. With --watch the command ends when the deployment has\nended, with exit code 0 only if it succeeded. Interrupting the watch does not stop it."
	fileFlag(cmd, &o.file)
	cmd.Flags().StringVar(&o.environment, "env", slipway.Production, "the environment to deploy to")
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "follow the deployment to its end")
	cmd.Flags().BoolVar(&o.force, "force", false, "deploy although these files were rolled back on this endpoint")
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, for the record")
	cmd.Flags().StringVar(&o.key, "idempotency-key", "", "the same key gives the same deployment; for pipelines that retry")
	return cmd
}

func (s *session) deploy(ctx context.Context, o deployment) error {
	if err := needsReason(o.force, "--force", o.reason); err != nil {
		return err
	}
	if _, err := slipway.ParseName(o.environment); err != nil {
		return err
	}
	p, err := s.project(o.file)
	if err != nil {
		return err
	}
	if err := p.checkFiles(); err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	r := api.CreateDeployment{Environment: o.environment, PlatformYAML: string(p.source), Force: o.force, Reason: o.reason}
	if p.spec.Model.Source.Dir != "" {
		v, err := s.register(ctx, c, p)
		if err != nil {
			return err
		}
		r.Version = v.Number
	}
	if r.Files, err = s.uploadValidation(ctx, c, p); err != nil {
		return err
	}
	d, err := c.CreateDeployment(ctx, o.key, r)
	if err != nil {
		return err
	}
	if d.Unchanged {
		if !s.p.Document(d) {
			s.p.Say("no changes: %s serves %s:%d with this platform.yaml already, by %s", d.Endpoint, d.Model, d.Version, d.ID)
		}
		s.p.Next("platform status %s", d.Endpoint)
		return nil
	}
	if o.watch {
		return s.follow(ctx, c, d)
	}
	if !s.p.Document(d) {
		s.p.Say("deployment %s of %s:%d to %s is under way", screen.Bold(d.ID), d.Model, d.Version, d.Endpoint)
	}
	s.p.Next("platform status %s --watch", d.Endpoint)
	return nil
}

// register uploads the model's directory and makes it a version.
func (s *session) register(ctx context.Context, c *client.Client, p *project) (api.Version, error) {
	files, total, open, err := s.modelFiles(ctx, p)
	if err != nil {
		return api.Version{}, err
	}
	r := api.RegisterVersion{Source: p.spec.Model.Source.String(), Team: p.spec.Owner.Team, Files: files}
	v, err := c.UploadVersion(ctx, p.spec.Model.Name, r, open, s.progress("uploading the model"))
	if err != nil {
		return api.Version{}, err
	}
	known := "registered"
	if !v.New {
		known = "registered before"
	}
	s.p.Note("%s:%d  %s", v.Model, v.Number, screen.Dim(slipway.Digest(v.Digest).Short()+", "+screen.Size(total)+", "+known))
	return v, nil
}

// modelFiles reads the model's directory: its files, their bytes together, and how to open
// one.
func (s *session) modelFiles(ctx context.Context, p *project) ([]api.File, int64, client.Open, error) {
	dir := p.path(p.spec.Model.Source.Dir)
	m, err := modeldir.Scan(ctx, dir, s.progress("reading the model"))
	if err != nil {
		return nil, 0, nil, err
	}
	var files []api.File
	for _, f := range m.Files {
		files = append(files, api.File{Path: f.Path, Digest: string(f.Digest), Size: f.Size, Executable: f.Executable})
	}
	return files, m.Total, func(f api.File) (io.ReadCloser, error) { return os.OpenInRoot(dir, filepath.FromSlash(f.Path)) }, nil
}

// uploadValidation uploads the files that checks need and gives their digests by role.
func (s *session) uploadValidation(ctx context.Context, c *client.Client, p *project) (map[string]string, error) {
	digests := map[string]string{}
	var files []api.File
	for role, name := range p.validationFiles() {
		f, err := os.Open(p.path(name))
		if err != nil {
			return nil, unreadable(name, err, "platform validate")
		}
		digest, n, err := slipway.DigestReader(f)
		_ = f.Close()
		if err != nil {
			return nil, unreadable(name, err, "platform validate")
		}
		digests[role] = string(digest)
		files = append(files, api.File{Path: name, Digest: string(digest), Size: n})
	}
	open := func(f api.File) (io.ReadCloser, error) { return os.Open(p.path(f.Path)) }
	return digests, c.UploadFiles(ctx, files, open, s.progress("uploading validation files"))
}

// progress shows how far something is, at each percent. It may be told by many goroutines.
func (s *session) progress(what string) func(done, total int64) {
	var last atomic.Int64
	return func(done, total int64) {
		if percent := 1 + done*100/max(total, 1); last.Swap(percent) != percent {
			s.p.Progress("%s: %s of %s", what, screen.Size(done), screen.Size(total))
		}
	}
}
