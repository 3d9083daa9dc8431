package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway/internal/cli/screen"
	"github.com/slipway-ml/slipway/internal/config"
)

// session is one run of the command line.
type session struct {
	env     Env
	p       *screen.Printer
	home    string
	server  string
	ca      string
	started bool // the command line was understood
}

func newSession(env Env) *session {
	colour := env.Terminal && env.Getenv("NO_COLOR") == "" && env.Getenv("TERM") != "dumb"
	return &session{env: env, p: &screen.Printer{Out: env.Stdout, Err: env.Stderr, Colour: colour,
		Live: env.Terminal && env.Getenv("TERM") != "dumb", Width: env.Width}}
}

const about = `Deploy models, watch them prove themselves, and take back what does not.

First steps:
  platform up                 start the platform on this machine
  platform init fraud         write an example project
  cd fraud
  platform deploy --watch     check it and roll it out
  platform predict            ask it

Exit codes: 0 done, 1 failed, 2 wrong input or usage, 3 a check failed or the
deployment did not succeed, 4 not found, 5 the server cannot be reached, 6 not allowed.

Environment: SLIPWAY_HOME, SLIPWAY_SERVER, SLIPWAY_TOKEN, SLIPWAY_CA, NO_COLOR.`

func (s *session) root() *cobra.Command {
	root := &cobra.Command{
		Use: "platform", Short: "Deploy models, watch them prove themselves, and take back what does not", Long: about,
		Version: s.env.Version, SilenceErrors: true, SilenceUsage: true, DisableSuggestions: true, SuggestionsMinimumDistance: 2,
		PersistentPreRun: func(*cobra.Command, []string) { s.started = true },
	}
	root.SetIn(s.env.Stdin)
	root.SetOut(s.env.Stdout)
	root.SetErr(s.env.Stderr)
	root.SetFlagErrorFunc(flagError)
	flags := root.PersistentFlags()
	flags.BoolVar(&s.p.JSON, "json", false, "print JSON for programs: one document, or one a line for streams")
	flags.StringVar(&s.home, "home", "", "the platform's directory (default $SLIPWAY_HOME or ~/.local/share/slipway)")
	flags.StringVar(&s.server, "server", "", "the server's URL (default $SLIPWAY_SERVER or the one of --home)")
	flags.StringVar(&s.ca, "ca-file", "", "the authority of the server's certificate (default $SLIPWAY_CA, else those of the system)")
	root.AddCommand(s.upCmd(), s.downCmd(), s.upgradeCmd(), s.demoCmd(), s.initCmd(), s.devCmd(), s.validateCmd(), s.schemaCmd(), s.planCmd(), s.adoptCmd(), s.deployCmd(),
		s.completing(s.pushCmd(), 1, endpoints|deployments), s.completing(s.predictCmd(), 1, endpoints), s.completing(s.statusCmd(), 1, endpoints),
		s.completing(s.logsCmd(), 1, endpoints), s.completing(s.rollbackCmd(), 1, endpoints), s.completing(s.promoteCmd(), 1, endpoints|deployments),
		s.completing(s.abortCmd(), 1, endpoints|deployments), s.completing(s.deploymentsCmd(), 1, endpoints|deployments),
		s.completing(s.historyCmd(), 1, endpoints), s.completing(s.diffCmd(), 2, endpoints|deployments|revisions),
		s.completing(s.explainCmd(), 1, endpoints|deployments), s.loginCmd(), s.logoutCmd(), s.whoamiCmd(), s.accountsCmd(), s.tokensCmd(), s.sessionsCmd(),
		s.models().Models(), s.models().Runs(), s.models().Trace(),
		s.policyCmd(), s.accessCmd(), s.auditCmd(), s.ssoCmd(), s.keysCmd(), s.secretsCmd(), s.webhooksCmd(), s.backupCmd(), s.importCmd(), s.doctorCmd(), s.versionCmd())
	for _, c := range s.env.Hidden {
		c.Hidden = true
		root.AddCommand(c)
	}
	return root
}

// command makes a command whose arguments are counted by args.
func command(use, short, example string, args cobra.PositionalArgs, run func(ctx context.Context, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Example: example, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), args) }}
}

// group makes a command that only has others below it.
func group(use, short, example string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.ArbitraryArgs, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return misuse("platform "+use+" --help", "there is no command %s %.40q", use, args[0])
		}
		return cmd.Help()
	}}
}

// preferJSON honours --json on a command line that could not be read to its end.
func (s *session) preferJSON(args []string) { s.p.JSON = s.p.JSON || slices.Contains(args, "--json") }

// homeDir is the platform's directory.
func (s *session) homeDir() (config.Config, error) {
	home, err := config.Resolve(s.home, s.env.Getenv)
	return config.Config{Home: home}, err
}
