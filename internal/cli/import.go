package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

// Import is what shall be copied from a running MLflow server, and with which credentials.
type Import struct {
	URL                       string
	Username, Password, Token string
	CA                        []byte
	Team                      string
	Experiments, Models       []string
	NoArtifacts, Full         bool
	Parallel                  int
	Agent                     string
	Progress                  func(doing string, r api.ImportReport)
}

// maxParallel bounds how many runs are copied at once.
const maxParallel = 64

func (s *session) importCmd() *cobra.Command {
	cmd := group("import", "Bring what another server has", "  platform import mlflow https://mlflow.example.com --team risk")
	cmd.AddCommand(s.importMLflowCmd())
	return cmd
}

func (s *session) importMLflowCmd() *cobra.Command {
	var i Import
	var password, token, ca string
	cmd := command("mlflow URL", "Copy experiments, runs, models and artifacts from a running MLflow server",
		"  platform import mlflow http://127.0.0.1:5000\n  platform import mlflow https://mlflow.example.com --team risk --experiment churn --model fraud\n  platform import mlflow https://mlflow.example.com --username ada --password-file ada.password --json",
		cobra.ExactArgs(1), func(ctx context.Context, args []string) (err error) {
			i.URL = args[0]
			if i.Parallel < 1 || i.Parallel > maxParallel {
				return misuse(fmt.Sprintf("give 1 to %d", maxParallel), "--parallel is %d", i.Parallel)
			}
			if i.Password, err = oneLine(password); err != nil {
				return err
			}
			if i.Token, err = oneLine(token); err != nil {
				return err
			}
			if ca != "" {
				text, err := small(ca)
				if err != nil {
					return unreadable(ca, err, "name the PEM file of the authority that signed the certificate of the MLflow server")
				}
				i.CA = []byte(text)
			}
			i.credentials(s.env.Getenv)
			return s.with(func(c *client.Client) error { return s.importMLflow(ctx, c, i) })
		})
	cmd.Long = `Copy experiments, runs, models and artifacts from a running MLflow server, of version 2 or 3.

Runs keep their ids, their times and all measurements, logged models their ids, and versions their
numbers, so that links such as runs:/ID/model and models:/fraud/3 go on. Artifacts are asked for at
the MLflow server, whatever store it has them in. What came whole is not copied again: after an
interruption, and whenever there is something new, run the same command again. Deleted experiments
and runs, traces and webhooks are not copied.

Credentials for the MLflow server are --username with --password-file, or --token-file, or else
MLFLOW_TRACKING_USERNAME with MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.`
	f := cmd.Flags()
	f.StringVar(&i.Team, "team", "", "whose experiments and models they will be (your only team, else default)")
	f.StringArrayVar(&i.Experiments, "experiment", nil, "only this experiment; may be given again")
	f.StringArrayVar(&i.Models, "model", nil, "only this registered model; may be given again")
	f.BoolVar(&i.NoArtifacts, "no-artifacts", false, "leave files where they are")
	f.BoolVar(&i.Full, "full", false, "look at what has not changed, too, and copy every file again")
	f.IntVar(&i.Parallel, "parallel", 4, "how many runs are copied at once")
	f.StringVar(&i.Username, "username", "", "for the MLflow server")
	f.StringVar(&password, "password-file", "", "a file with the password for the MLflow server")
	f.StringVar(&token, "token-file", "", "a file with a token for the MLflow server")
	f.StringVar(&ca, "source-ca", "", "a PEM file with the authority that signed the certificate of the MLflow server")
	return cmd
}

// oneLine reads a secret from a file, if one is named.
func oneLine(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := small(file)
	if err == nil && strings.TrimSpace(text) == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return "", unreadable(file, err, "name a file with one line")
	}
	return strings.TrimSpace(text), nil
}

// credentials are those of MLflow's own client, unless others are given.
func (i *Import) credentials(getenv func(string) string) {
	if i.Token != "" || i.Username != "" {
		if i.Username != "" && i.Password == "" {
			i.Password = getenv("MLFLOW_TRACKING_PASSWORD")
		}
		return
	}
	i.Username, i.Password, i.Token = getenv("MLFLOW_TRACKING_USERNAME"), getenv("MLFLOW_TRACKING_PASSWORD"), getenv("MLFLOW_TRACKING_TOKEN")
}

func (s *session) importMLflow(ctx context.Context, c *client.Client, i Import) error {
	i.Agent = "slipway/" + s.env.Version
	i.Progress = func(doing string, r api.ImportReport) {
		if doing != "" {
			doing = " of " + slipway.OneLine(doing, 60)
		}
		s.p.Progress("importing%s: %d runs, %d measurements, %d files, %s", doing, r.Runs.Copied+r.Runs.Unchanged, r.Metrics, r.Files.Copied+r.Files.Unchanged, screen.Size(r.Bytes))
	}
	r, err := s.env.Import(ctx, c, i)
	s.p.Clear()
	if r.Source == "" || s.p.Document(r) {
		return err
	}
	s.imported(r)
	if err != nil {
		return err
	}
	s.p.Next("platform models list")
	return nil
}

// shownLeft is how many of the things that were not taken are named.
const shownLeft = 20

func (s *session) imported(r api.ImportReport) {
	rows := [][]screen.Text{{screen.Bold("from " + r.Source), screen.Dim("copied"), screen.Dim("unchanged"), screen.Dim("not taken")}}
	for _, c := range []struct {
		what string
		n    api.ImportCount
	}{{"experiments", r.Experiments}, {"runs", r.Runs}, {"logged models", r.LoggedModels}, {"files", r.Files}, {"registered models", r.Models}, {"versions", r.Versions}, {"aliases", r.Aliases}} {
		rows = append(rows, []screen.Text{screen.Plain(c.what), screen.Plain(fmt.Sprint(c.n.Copied)), screen.Plain(fmt.Sprint(c.n.Unchanged)), screen.Plain(fmt.Sprint(c.n.Failed))})
	}
	s.p.Table(rows)
	s.p.Say("%d measurements, %s of files, in %.1f s", r.Metrics, screen.Size(r.Bytes), float64(r.TookMS)/1000)
	for n, l := range r.Left {
		if n == shownLeft {
			break
		}
		s.p.Say("%s %s: %s", screen.Yellow(l.What), l.ID, strings.TrimSuffix(l.Why+"; "+l.Next, "; "))
	}
	if more := len(r.Left) + r.LeftMore - shownLeft; more > 0 {
		s.p.Say("and %d more: add --json", more)
	}
}
