package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

const aboutSecrets = `A secret belongs to a team. Its models get it as an environment variable of their own processes
and of no others, if platform.yaml names it:

  secrets:
    DATABASE_PASSWORD: fraud-db

It is never shown again, and is in no table, log, image or plan.`

func (s *session) secretsCmd() *cobra.Command {
	cmd := group("secrets", "What models need to know and nobody else does", "  platform secrets set fraud-db --team risk < password.txt\n  platform secrets list")
	cmd.Long = cmd.Short + ".\n\n" + aboutSecrets
	cmd.AddCommand(s.setSecretCmd(), s.listSecretsCmd(), s.deleteSecretCmd())
	return cmd
}

// teamOf is the team that was given, or the owner in the platform.yaml here.
func (s *session) teamOf(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	p, err := s.project(projectFile)
	if err != nil {
		return "", misuse("add --team TEAM", "there is no team, and no platform.yaml here that names one")
	}
	return p.spec.Owner.Team, nil
}

func (s *session) setSecretCmd() *cobra.Command {
	var team, from string
	cmd := command("set NAME", "Set a secret; the value is read from the terminal or from stdin", "  platform secrets set fraud-db --team risk\n  platform secrets set fraud-db --team risk < password.txt\n  platform secrets set fraud-db --team risk --from vault:risk/fraud#password", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			team, err := s.teamOf(team)
			if err != nil {
				return err
			}
			r := api.SetSecret{From: from}
			if from == "" {
				if r.Value, err = s.secretValue(); err != nil {
					return err
				}
			}
			return s.with(func(c *client.Client) error {
				done, err := c.SetSecret(ctx, team, args[0], r)
				if err != nil {
					return err
				}
				return s.secretSet(done)
			})
		})
	cmd.Long = cmd.Short + ".\n\n" + aboutSecrets + "\n\nOne line end at the end of the value is left out. With --from the value stays where it is, and\nis read there whenever a model is started: vault:TEAM/PATH#KEY or aws-sm:TEAM/NAME."
	cmd.Flags().StringVar(&team, "team", "", "the team (default the owner in the platform.yaml here)")
	cmd.Flags().StringVar(&from, "from", "", "where the value lies, below the name of the team")
	return cmd
}

func (s *session) secretSet(done api.Secret) error {
	if !s.p.Document(done) {
		s.p.Say("%s of %s is set, version %d", screen.Bold(done.Name), done.Team, done.Version)
		for _, e := range done.Restart {
			s.p.Note("%s runs with an older value until it is deployed again", e)
		}
	}
	if len(done.Restart) > 0 {
		s.p.Next("platform deploy, in the project of %s", done.Restart[0])
	} else {
		s.p.Next("platform secrets list")
	}
	return nil
}

const maxSecretInput = 64<<10 + 2

// secretValue reads a value: without echo from a terminal, else all of stdin. It is never an
// argument, which everybody on the machine could read.
func (s *session) secretValue() (string, error) {
	in := s.env.Stdin
	if f, ok := in.(*os.File); ok {
		if old, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			return s.askSecret(f, *old)
		}
	}
	b, err := io.ReadAll(io.LimitReader(in, maxSecretInput))
	if err != nil {
		return "", &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Invalid, Message: "stdin cannot be read", Next: "platform secrets set NAME < FILE", Cause: err}
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if value == "" {
		return "", misuse("platform secrets set NAME < FILE", "stdin is empty: it is read for the value")
	}
	return value, nil
}

func (s *session) askSecret(f *os.File, old unix.Termios) (string, error) {
	s.p.Note("the value, which is not shown:")
	quiet := old
	quiet.Lflag &^= unix.ECHO
	err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, &quiet)
	if err != nil {
		return "", err
	}
	line, err := bufio.NewReader(io.LimitReader(f, maxSecretInput)).ReadString('\n')
	err = errors.Join(err, unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, &old))
	if value := strings.TrimRight(line, "\r\n"); err == nil && value != "" {
		return value, nil
	}
	return "", misuse("platform secrets set NAME", "no value was given")
}

func (s *session) listSecretsCmd() *cobra.Command {
	var team string
	cmd := command("list", "List secrets: who set them when, and what needs them; never their values", "  platform secrets list --team risk", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return s.with(func(c *client.Client) error {
			all, err := c.Secrets(ctx, team)
			if err != nil {
				return err
			}
			if s.p.Document(append([]api.Secret{}, all...)) {
				return nil
			}
			var rows [][]screen.Text
			for _, k := range all {
				used := strings.Join(k.Endpoints, ", ")
				if len(k.Restart) > 0 {
					used += " (" + strings.Join(k.Restart, ", ") + " with an older value)"
				}
				rows = append(rows, []screen.Text{screen.Bold(k.Team + "/" + k.Name), screen.Plain(k.From), screen.Dim(k.Changed.Local().Format("2006-01-02 15:04") + " by " + k.By), screen.Plain(used)})
			}
			s.p.Table(rows)
			s.p.Next("platform secrets set NAME --team TEAM")
			return nil
		})
	})
	cmd.Flags().StringVar(&team, "team", "", "only those of this team")
	return cmd
}

func (s *session) deleteSecretCmd() *cobra.Command {
	var team string
	cmd := command("delete NAME", "Delete a secret that no endpoint names", "  platform secrets delete fraud-db --team risk", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		team, err := s.teamOf(team)
		if err != nil {
			return err
		}
		return s.with(func(c *client.Client) error {
			if err := c.DeleteSecret(ctx, team, args[0]); err != nil {
				return err
			}
			if !s.p.Document(map[string]any{"team": team, "name": args[0], "deleted": true}) {
				s.p.Say("%s of %s is deleted", screen.Bold(args[0]), team)
			}
			s.p.Next("platform secrets list")
			return nil
		})
	})
	cmd.Flags().StringVar(&team, "team", "", "the team (default the owner in the platform.yaml here)")
	return cmd
}
