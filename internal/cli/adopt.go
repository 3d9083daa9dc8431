package cli

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing/fstest"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/adopt"
	"github.com/slipway-ml/slipway/internal/cli/screen"
	"github.com/slipway-ml/slipway/internal/spec"
)

// adoption is what the flags of adopt say.
type adoption struct {
	name, team, protocol, model, example, dir string
	tier                                      int
}

const (
	adoptLimit = 15 * time.Second // of one question to the server
	maxAdopt   = 1 << 20          // bytes of its answer
)

func (s *session) adoptCmd() *cobra.Command {
	var o adoption
	cmd := command("adopt URL", "Bring a model aboard that is served elsewhere",
		"  platform adopt http://scoring.example.com:8080 --name churn --team growth\n  platform adopt http://127.0.0.1:5000 --name churn --team growth --example request.json",
		cobra.ExactArgs(1), func(ctx context.Context, args []string) error { return s.adopt(ctx, args[0], o) })
	cmd.Long = "Bring a model aboard that a server elsewhere answers for already, by the Open Inference Protocol\nor by MLflow's scoring protocol. It writes a project; deploying that routes requests through the\nplatform to the server, with canary, counts and records. Nothing is changed at the server."
	flags := cmd.Flags()
	flags.StringVar(&o.name, "name", "", "the endpoint's name (default: the model's name at the server)")
	flags.StringVar(&o.team, "team", "", "who answers for it")
	flags.IntVar(&o.tier, "tier", 4, "1 is critical for customers or money, 4 an experiment")
	flags.StringVar(&o.protocol, "protocol", "", "open-inference or mlflow (default: what the server answers to)")
	flags.StringVar(&o.model, "model", "", "the model's name at the server (default: the endpoint's)")
	flags.StringVar(&o.example, "example", "", "a file with one request, if the server does not tell what the model takes")
	flags.StringVar(&o.dir, "dir", "", "where to write the project (default: the endpoint's name)")
	return cmd
}

func (s *session) adopt(ctx context.Context, url string, o adoption) error {
	url = strings.TrimRight(url, "/")
	switch {
	case o.team == "":
		return misuse("platform adopt URL --name NAME --team TEAM", "say who answers for the model: --team TEAM")
	case o.name == "" && o.model == "":
		return misuse("platform adopt URL --name NAME --team TEAM", "give the endpoint a name: --name NAME")
	case o.name == "":
		o.name = o.model
	case o.model == "":
		o.model = o.name
	}
	p := adopt.Project{Name: o.name, Team: o.team, Tier: o.tier, Server: adopt.Server{URL: url, Protocol: o.protocol, Model: o.model}}
	if err := s.meet(ctx, &p); err != nil {
		return err
	}
	if err := s.learn(ctx, &p, o.example); err != nil {
		return err
	}
	files, err := p.Files()
	if err != nil {
		return err
	}
	if _, err := spec.Load(projectFile, files[projectFile]); err != nil {
		return err
	}
	if o.dir == "" {
		o.dir = o.name
	}
	return s.writeAdopted(p, o.dir, files)
}

func (s *session) writeAdopted(p adopt.Project, dir string, files map[string][]byte) error {
	tree := fstest.MapFS{}
	for name, b := range files {
		tree[name] = &fstest.MapFile{Data: b}
	}
	target, err := s.emptyDir(dir, "add --dir ANOTHER-DIRECTORY")
	if err != nil {
		return err
	}
	written, err := write(target, tree)
	if err != nil {
		return &slipway.Error{Code: slipway.CodeIO, Message: "the project cannot be written: " + err.Error(), Next: "name another directory with --dir", Cause: err}
	}
	if !s.p.Document(map[string]any{"endpoint": p.Name, "directory": dir, "protocol": p.Server.Protocol, "inputs": len(p.Signature.Inputs),
		"outputs": len(p.Signature.Outputs), "files": written}) {
		s.p.Say("%s: %d inputs and %d outputs at %s, by %s", screen.Bold(p.Name), len(p.Signature.Inputs), len(p.Signature.Outputs), p.Server.URL, p.Server.Protocol)
		for _, f := range written {
			s.p.Say("  %s", screen.Dim(filepath.Join(dir, f)))
		}
	}
	s.p.Next("cd %s && platform deploy --watch", quoted(dir))
	return nil
}

// meet finds out which protocol the server speaks.
func (s *session) meet(ctx context.Context, p *adopt.Project) error {
	probes := []struct{ protocol, path string }{{spec.ProtocolOpenInference, "/v2/health/ready"}, {spec.ProtocolMLflow, "/ping"}}
	var last error
	for _, probe := range probes {
		if p.Server.Protocol != "" && p.Server.Protocol != probe.protocol {
			continue
		}
		if _, last = s.fetch(ctx, p.Server.URL+probe.path); last == nil {
			p.Server.Protocol = probe.protocol
			return nil
		}
	}
	if last == nil {
		return misuse("use --protocol open-inference or --protocol mlflow", "%.40q is no protocol that is known", p.Server.Protocol)
	}
	return &slipway.Error{Code: slipway.CodeNoReplica, Kind: slipway.Unavailable, Cause: last,
		Message: "no server at " + p.Server.URL + " is ready by the Open Inference Protocol (/v2/health/ready) or by MLflow's (/ping)",
		Next:    "check the address; is the server started, and reachable from here?"}
}

// learn finds out what the model takes and gives: by the example, else by what the server
// tells.
func (s *session) learn(ctx context.Context, p *adopt.Project, example string) error {
	if example != "" {
		b, err := s.data("@" + example)
		if err != nil {
			return err
		}
		p.Signature.Inputs, err = adopt.FromRequest(b)
		if err == nil && p.Server.Protocol == spec.ProtocolMLflow {
			p.Example = b
		}
		return err
	}
	if p.Server.Protocol == spec.ProtocolMLflow {
		return misuse("platform adopt "+p.Server.URL+" --example request.json", "MLflow's protocol does not tell what the model takes: give one request with --example FILE")
	}
	b, err := s.fetch(ctx, p.Server.URL+"/v2/models/"+p.Server.Model)
	if err != nil {
		return &slipway.Error{Code: slipway.CodeNotFound, Kind: slipway.NotFound, Cause: err,
			Message: "the server has no model named " + p.Server.Model, Next: "give the name that it has there: --model NAME"}
	}
	p.Signature, err = adopt.FromMetadata(b)
	return err
}

// fetch asks a server for a document.
func (s *session) fetch(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, adoptLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	c := s.env.HTTPClient
	if c == nil {
		c = http.DefaultClient
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, slipway.Errorf(slipway.Unavailable, slipway.CodeNoReplica, "", "status %d", resp.StatusCode)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxAdopt))
}

// emptyDir makes a path absolute and refuses one that has something in it.
func (s *session) emptyDir(dir, next string) (string, error) {
	target := dir
	if !filepath.IsAbs(target) {
		target = filepath.Join(s.env.Dir, dir)
	}
	entries, err := os.ReadDir(target)
	if err != nil && !os.IsNotExist(err) {
		return "", unreadable(dir, err, "name another directory")
	}
	if len(entries) > 0 {
		return "", slipway.Errorf(slipway.Conflict, slipway.CodeConflict, next, "%s is not empty, and nothing is overwritten", dir)
	}
	return target, nil
}
