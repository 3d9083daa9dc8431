package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
)

func (s *session) planCmd() *cobra.Command {
	file, environment := projectFile, slipway.Production
	cmd := command("plan", "Say what a deployment would change", "  platform plan\n  platform plan -f fraud/platform.yaml --env staging --json",
		cobra.NoArgs, func(ctx context.Context, _ []string) error { return s.plan(ctx, file, environment) })
	cmd.Long = "Say what a deployment would change against what serves: version, schema, resources and policy,\neach with where the new value comes from. The model's files are uploaded; nothing else happens."
	fileFlag(cmd, &file)
	cmd.Flags().StringVar(&environment, "env", slipway.Production, "the environment to compare with")
	return cmd
}

func (s *session) plan(ctx context.Context, file, environment string) error {
	p, err := s.project(file)
	if err == nil {
		err = p.checkFiles()
	}
	if err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	r := api.CreatePlan{Environment: environment, PlatformYAML: string(p.source)}
	if p.spec.Model.Source.Dir != "" {
		files, _, open, err := s.modelFiles(ctx, p)
		if err != nil {
			return err
		}
		if err := c.UploadFiles(ctx, files, open, s.progress("uploading the model")); err != nil {
			return err
		}
		r.Files = files
	}
	out, err := c.Plan(ctx, r)
	if err != nil {
		return err
	}
	if !s.p.Document(out) {
		s.p.Say("%s", strings.TrimRight(out.Text, "\n"))
	}
	if !out.Changed {
		s.p.Next("platform status %s", out.Endpoint)
		return nil
	}
	next := "platform deploy --watch"
	if file != projectFile {
		next = "platform deploy -f " + quoted(file) + " --watch"
	}
	if environment != slipway.Production {
		next += " --env " + environment
	}
	s.p.Next("%s", next)
	return nil
}
