package cli

import (
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

// Push is what is pushed, from the layout at Dir. Model opens the layer of the model, which
// is not in the layout.
type Push struct {
	Dir, Image, Reference string
	Plain                 bool
	Model                 func() (io.ReadCloser, error)
	Progress              func(done, total int64)
}

func (s *session) pushCmd() *cobra.Command {
	var plain bool
	cmd := command("push ENDPOINT|DEPLOYMENT REFERENCE", "Push the image of a revision to a registry",
		"  platform push fraud registry.example.com/models/fraud:3\n  platform push dep_0192… registry.example.com/models/fraud", cobra.ExactArgs(2),
		func(ctx context.Context, args []string) error { return s.push(ctx, args[0], args[1], plain) })
	cmd.Long = "Push the image of a revision to a registry: the very bytes that were validated, as a container image\nthat serves the model at port 8080. Credentials are those of docker login. What the registry has\nis not sent again."
	cmd.Flags().BoolVar(&plain, "plain-http", false, "speak to a registry on this machine without TLS")
	return cmd
}

func (s *session) push(ctx context.Context, what, reference string, plain bool) error {
	home, err := s.homeDir()
	if err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	of, err := revisionOf(ctx, c, what)
	if err != nil {
		return err
	}
	pinned, err := s.env.Push(ctx, Push{Dir: home.Images(), Image: of.Image, Reference: reference, Plain: plain, Progress: s.progress("pushing the image"),
		Model: func() (io.ReadCloser, error) { return c.ImageLayer(ctx, of.Model, strconv.Itoa(of.Version), of.Image) }})
	if err != nil {
		return err
	}
	if !s.p.Document(map[string]string{"image": of.Image, "reference": pinned}) {
		s.p.Say("%s", screen.Bold(pinned))
	}
	s.p.Next("docker run -p 8080:8080 %s", pinned)
	return nil
}

// revisionOf is what a deployment has released, or what an endpoint serves.
func revisionOf(ctx context.Context, c *client.Client, what string) (api.Revision, error) {
	if strings.HasPrefix(what, "dep_") {
		d, err := c.Deployment(ctx, what)
		if err == nil && d.Image == "" {
			err = slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform deployments "+d.Endpoint, "%s has released no image", what)
		}
		return api.Revision{Model: d.Model, Version: d.Version, Image: d.Image}, err
	}
	e, err := c.Endpoint(ctx, what)
	if err != nil {
		return api.Revision{}, err
	}
	var serving *api.Revision
	for _, r := range []*api.Revision{e.Stable, e.Candidate} {
		if r != nil && (serving == nil || r.Weight > serving.Weight) {
			serving = r
		}
	}
	if serving == nil {
		return api.Revision{}, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform status "+what, "%s serves nothing", what)
	}
	return *serving, nil
}
