package cli

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

const aboutPolicies = `The platform brings policies, version 0, which are always in force. An installation adds its own
above them, in Cedar: they can forbid more and permit more, but not what version 0 forbids. One
person proposes all additions as a file, another approves them; they are in force at once.`

func (s *session) policyCmd() *cobra.Command {
	cmd := group("policy", "Who may do what: the policies, and changes of them that two people make", "  platform policy show 0\n  platform policy test policies.cedar\n  platform policy propose policies.cedar --reason 'tier 1 is deployed by leads'")
	cmd.Long = cmd.Short + ".\n\n" + aboutPolicies
	cmd.AddCommand(
		command("list", "List versions: who proposed and who decided", "  platform policy list", cobra.NoArgs, s.listPolicies),
		command("show [VERSION]", "Print a version, or the additions in force; 0 is what the platform brings", "  platform policy show\n  platform policy show 0", cobra.MaximumNArgs(1), s.showPolicy),
		command("diff [FROM] [TO]", "Print what differs: between two versions, or a proposal and what is in force", "  platform policy diff 4\n  platform policy diff 3 4", cobra.MaximumNArgs(2), s.diffPolicies),
		command("test FILE", "Say what a file would take from and give to the accounts that there are", "  platform policy test policies.cedar", cobra.ExactArgs(1), s.testPolicy),
		s.proposePolicyCmd(), s.decidePolicyCmd(true), s.decidePolicyCmd(false), s.revertPolicyCmd())
	return cmd
}

func (s *session) listPolicies(ctx context.Context, _ []string) error {
	return s.with(func(c *client.Client) error {
		all, err := c.Policies(ctx)
		if err != nil || s.p.Document(append([]api.PolicyVersion{}, all...)) {
			return err
		}
		var rows [][]screen.Text
		for _, v := range all {
			rows = append(rows, []screen.Text{screen.Bold(strconv.Itoa(v.Version)), policyState(v), screen.Plain("by " + v.By), screen.Dim(decidedBy(v)), screen.Plain(v.Reason)})
		}
		s.p.Table(rows)
		if len(all) == 0 {
			s.p.Say("No additions: the policies that the platform brings are in force alone.")
		}
		s.p.Next("platform policy show 0")
		return nil
	})
}

func policyState(v api.PolicyVersion) screen.Text {
	switch {
	case v.InForce:
		return screen.Green("in force")
	case v.Status == "proposed":
		return screen.Yellow("proposed")
	case v.Status == "rejected":
		return screen.Red("rejected")
	}
	return screen.Dim("was in force")
}

func decidedBy(v api.PolicyVersion) string {
	if v.Decider == "" {
		return ""
	}
	text := v.Status + " by " + v.Decider
	if v.Alone {
		text += ", alone"
	}
	return text
}

// inForce is the version in force, 0 without additions, and the one that waits, if any.
func inForce(ctx context.Context, c *client.Client) (now, waits int, err error) {
	all, err := c.Policies(ctx)
	for _, v := range all {
		if v.InForce {
			now = v.Version
		}
		if v.Status == "proposed" {
			waits = v.Version
		}
	}
	return now, waits, err
}

func parseVersion(arg string) (int, error) {
	n, err := strconv.Atoi(arg)
	if err != nil || n < 0 {
		return 0, misuse("platform policy list", "%.20q is no version of the policies", arg)
	}
	return n, nil
}

func (s *session) showPolicy(ctx context.Context, args []string) error {
	return s.with(func(c *client.Client) error {
		version, _, err := inForce(ctx, c)
		if len(args) == 1 {
			version, err = parseVersion(args[0])
		}
		if err != nil {
			return err
		}
		v, err := c.Policy(ctx, version)
		if err != nil || s.p.Document(v) {
			return err
		}
		s.p.Say("%s", strings.TrimRight(v.Text, "\n"))
		s.p.Next("platform policy list")
		return nil
	})
}

func (s *session) diffPolicies(ctx context.Context, args []string) error {
	return s.with(func(c *client.Client) error {
		from, to, err := inForce(ctx, c)
		if err != nil {
			return err
		}
		var given []int
		for _, arg := range args {
			n, err := parseVersion(arg)
			if err != nil {
				return err
			}
			given = append(given, n)
		}
		switch {
		case len(given) == 2:
			from, to = given[0], given[1]
		case len(given) == 1:
			to = given[0]
		case to == 0:
			return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform policy list", "no proposal waits")
		}
		texts := map[int]string{}
		for _, n := range []int{from, to} {
			if n == 0 {
				continue // without additions
			}
			v, err := c.Policy(ctx, n)
			if err != nil {
				return err
			}
			texts[n] = v.Text
		}
		out := string(diff.Diff(fmt.Sprint("version ", from), []byte(texts[from]), fmt.Sprint("version ", to), []byte(texts[to])))
		if s.p.Document(map[string]any{"from": from, "to": to, "diff": out}) {
			return nil
		}
		if out == "" {
			out = "no difference"
		}
		s.p.Say("%s", strings.TrimRight(out, "\n"))
		s.p.Next("platform policy approve %d", to)
		return nil
	})
}

// maxPolicy bounds a file of policies.
const maxPolicy = 256 << 10

func policyFile(name string) (string, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil || !info.Mode().IsRegular():
		return "", misuse("give a file with policies in Cedar", "%s cannot be read", name)
	case info.Size() > maxPolicy:
		return "", misuse("shorten it", "%s is larger than %d bytes", name, maxPolicy)
	}
	b, err := os.ReadFile(name)
	return string(b), err
}

// maxEffects is how many effects are printed.
const maxEffects = 40

func (s *session) testPolicy(ctx context.Context, args []string) error {
	text, err := policyFile(args[0])
	if err != nil {
		return err
	}
	return s.with(func(c *client.Client) error {
		out, err := c.TestPolicy(ctx, api.TestPolicy{Text: text})
		if err != nil || s.p.Document(out) {
			return err
		}
		s.p.Say("Of %d accounts and %d resources:", out.Accounts, out.Resources)
		for _, e := range out.Effects[:min(len(out.Effects), maxEffects)] {
			when := ""
			if e.Disconnected {
				when = ", while a gateway has not heard from the server for 5 minutes"
			}
			if len(e.Lost) > 0 {
				s.p.Say("  %s on %s: %s from %s%s", screen.Bold(e.Action), e.Resource, screen.Red("taken"), people(e.Lost), when)
			}
			if len(e.Gained) > 0 {
				s.p.Say("  %s on %s: %s to %s%s", screen.Bold(e.Action), e.Resource, screen.Green("given"), people(e.Gained), when)
			}
		}
		switch more := len(out.Effects) - maxEffects; {
		case len(out.Effects) == 0:
			s.p.Say("  nothing changes")
		case more > 0:
			s.p.Say("  and %d more; --json lists them", more)
		}
		if !out.Complete {
			s.p.Note("there are too many accounts and resources to try them all")
		}
		if out.Refused != "" {
			return slipway.Errorf(slipway.Conflict, slipway.CodeLockout, "platform explain "+slipway.CodeLockout, "it cannot be proposed: %s", out.Refused)
		}
		s.p.Next("platform policy propose %s --reason WHY", args[0])
		return nil
	})
}

// people counts and names the first of them.
func people(names []string) string {
	const named = 5
	text := strings.Join(names[:min(named, len(names))], ", ")
	if len(names) > named {
		text += fmt.Sprintf(" and %d more", len(names)-named)
	}
	return fmt.Sprintf("%d (%s)", len(names), text)
}

// told prints a version after a change of it.
func (s *session) told(v api.PolicyVersion, err error, next string) error {
	if err != nil || s.p.Document(v) {
		return err
	}
	s.p.Say("version %s is %s", screen.Bold(strconv.Itoa(v.Version)), policyState(v))
	if v.Alone {
		s.p.Note("one person proposed and approved it: this is a development instance, and the record says so")
	}
	s.p.Next("%s", next)
	return nil
}

func (s *session) proposePolicyCmd() *cobra.Command {
	var reason string
	cmd := command("propose FILE", "Propose the additions of a file in place of those in force", "  platform policy propose policies.cedar --reason 'tier 1 is deployed by leads'", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			text, err := policyFile(args[0])
			if err != nil {
				return err
			}
			return s.with(func(c *client.Client) error {
				v, err := c.ProposePolicy(ctx, api.ProposePolicy{Text: text, Reason: reason})
				return s.told(v, err, fmt.Sprintf("platform policy approve %d, by another person", v.Version))
			})
		})
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is recorded")
	return cmd
}

func (s *session) revertPolicyCmd() *cobra.Command {
	var reason string
	cmd := command("revert VERSION", "Propose the text of an earlier version again; 0 is no additions", "  platform policy revert 3 --reason 'version 4 keeps leads out'", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			version, err := parseVersion(args[0])
			if err != nil {
				return err
			}
			return s.with(func(c *client.Client) error {
				v, err := c.ProposePolicy(ctx, api.ProposePolicy{Revert: &version, Reason: reason})
				return s.told(v, err, fmt.Sprintf("platform policy approve %d, by another person", v.Version))
			})
		})
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is recorded")
	return cmd
}

func (s *session) decidePolicyCmd(approve bool) *cobra.Command {
	r := api.DecidePolicy{Approve: approve}
	use, short, example := "approve VERSION", "Approve what another has proposed; it is in force at once", "  platform policy diff 4\n  platform policy approve 4"
	if !approve {
		use, short, example = "reject VERSION", "Reject a proposal, also one's own", "  platform policy reject 4 --reason 'it keeps leads out'"
	}
	cmd := command(use, short, example, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		version, err := parseVersion(args[0])
		if err != nil {
			return err
		}
		return s.with(func(c *client.Client) error {
			v, err := c.DecidePolicy(ctx, version, r)
			return s.told(v, err, "platform policy list")
		})
	})
	cmd.Flags().StringVar(&r.Reason, "reason", "", "why; it is recorded")
	return cmd
}
